//! What is known of one source, and of the objects that rest on it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::facts::Listed;
use crate::fairness::Key;

/// A list may show a change up to five minutes late, and below newer ones. Three times that is read again.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html>
pub const LAG: SignedDuration = SignedDuration::from_mins(15);

/// Whether lists of a source work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// None has ended yet.
    Unknown,
    /// The last one was complete.
    Working,
    /// The last one failed.
    Failing,
    /// AWS denies them.
    Denied,
}

/// An object that rests.
#[derive(Debug, Clone)]
pub(super) struct Resting {
    pub(super) key: Key,
    /// The date of the secret that it saw.
    pub(super) seen: Timestamp,
    /// It has no reconcile of its own before the sweep.
    pub(super) waits: bool,
}

#[derive(Debug)]
pub(super) struct Listing {
    /// By the ARN of the secret. Several objects may mirror one.
    secrets: HashMap<Arc<str>, Vec<Resting>>,
    /// How many objects there are.
    pub(super) objects: usize,
    pub(super) standing: Standing,
    /// When the last complete list began.
    last: Option<Timestamp>,
    /// The date of the newest entry of the last complete list, by the clock of AWS.
    newest: Option<Timestamp>,
    /// When the next list is due.
    pub(super) next: Timestamp,
    /// Objects that waited for lists which did not come. They are reconciled, whatever comes later.
    lost: BTreeSet<Key>,
}

impl Listing {
    pub(super) fn new(next: Timestamp) -> Self {
        Self { secrets: HashMap::new(), objects: 0, standing: Standing::Unknown, last: None, newest: None, next, lost: BTreeSet::new() }
    }

    /// Whether nothing needs it any more.
    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.secrets.values().flatten().filter(|resting| resting.waits).count()
    }

    pub(super) fn add(&mut self, arn: Arc<str>, resting: Resting) {
        // Hardly any secret has a second object.
        self.secrets.entry(arn).or_insert_with(|| Vec::with_capacity(1)).push(resting);
        self.objects = self.objects.saturating_add(1);
    }

    pub(super) fn remove(&mut self, arn: &str, key: &Key) {
        self.lost.remove(key);
        if let Some(resting) = self.secrets.get_mut(arn) {
            let before = resting.len();
            resting.retain(|resting| resting.key != *key);
            self.objects = self.objects.saturating_sub(before.saturating_sub(resting.len()));
            if resting.is_empty() {
                self.secrets.remove(arn);
            }
        }
    }

    /// Whether a change is seen without a reconcile: the last complete list is not older than two intervals. It may
    /// have begun a little after `now`, which a reconcile takes before it reports. A list from further ahead is of a
    /// clock that was set back.
    pub(super) fn covers(&self, now: Timestamp, interval: SignedDuration) -> bool {
        let ages = interval.saturating_mul(-1)..=interval.saturating_mul(2);
        self.standing != Standing::Denied && self.last.is_some_and(|last| ages.contains(&now.duration_since(last)))
    }

    /// Whether the next list is due. No list is planned further ahead than `longest`, unless the clock was set back
    /// since.
    pub(super) fn is_due(&self, now: Timestamp, longest: SignedDuration) -> bool {
        let planned = SignedDuration::from_nanos(1)..=longest;
        !planned.contains(&self.next.duration_since(now))
    }

    /// Down to which date the next list is read. `None`: down to [`LAG`] before its newest entry, and no further than
    /// twice that before the list itself. What rests on the feed was read after the last complete list, so older changes
    /// are known. Both dates are of AWS's clock. If nothing changes, the clock of the operator counts, with as much again
    /// for its error, so that a batch of changes is not read for ever. It counts alone if no list had an entry.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let by_entries = self.newest.and_then(|newest| newest.checked_sub(LAG).ok());
        let by_clock = self.last.and_then(|last| last.checked_sub(LAG.saturating_mul(2)).ok());
        by_clock.max(by_entries)
    }

    /// A list is complete. Returns the objects that saw an older date.
    pub(super) fn succeed(&mut self, began: Timestamp, entries: &[Listed]) -> Vec<Key> {
        self.standing = Standing::Working;
        self.last = Some(began);
        self.newest = entries.iter().map(|entry| entry.changed).max().max(self.newest);
        let seen = entries.iter().filter_map(|entry| Some((entry.changed, self.secrets.get(entry.arn.as_str())?)));
        seen.flat_map(|(changed, resting)| resting.iter().filter(move |resting| resting.seen < changed))
            .map(|resting| resting.key.clone())
            .collect()
    }

    /// A list failed. What changes meanwhile is in the next one, if that comes soon.
    pub(super) fn fail(&mut self, standing: Standing) {
        self.standing = standing;
    }

    /// Lists begin again without the ones before: what changed meanwhile is not found by the next one.
    pub(super) fn lose(&mut self) {
        (self.last, self.newest) = (None, None);
        for resting in self.secrets.values_mut().flatten().filter(|resting| resting.waits) {
            resting.waits = false;
            self.lost.insert(resting.key.clone());
        }
    }

    /// Takes the lost objects of this part.
    pub(super) fn release(&mut self, part: impl Fn(&Key) -> bool) -> BTreeSet<Key> {
        let (released, left) = std::mem::take(&mut self.lost).into_iter().partition(part);
        self.lost = left;
        released
    }
}
