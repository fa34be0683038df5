//! The change feed: lists of the secrets of a whole region say which of them changed, so that objects at rest are not read
//! one by one. It decides only when an object is reconciled, and nothing else: see docs/design/0027-change-feed.md.

mod events;
mod first;
mod listing;
mod source;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

pub use self::events::{Again, Arrival, EventIndex, LabelMoved, Useless};
use self::first::FirstLists;
pub use self::listing::{LAG, Standing};
use self::listing::{Listing, Resting};
pub use self::source::Source;
use crate::desired::SecretArn;
use crate::facts::{AwsSecret, Listed};
use crate::fairness::Key;
use crate::identity::AwsAccount;

/// Fewer objects are cheaper to read one by one.
const LEAST_OBJECTS: usize = 3;
/// How many parts of an interval there are, over which work is spread.
pub const PARTS: u64 = 12;
/// How long after a denied list the next one is tried, unless the interval is longer.
const AFTER_DENIAL: SignedDuration = SignedDuration::from_mins(10);
/// How long a list may last, if the interval is shorter. The next one does not begin before.
const LONGEST_LIST: SignedDuration = SignedDuration::from_mins(5);

/// The AWS secret of an object, as the object saw it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub source: Source,
    /// The full ARN.
    pub arn: String,
    /// `LastChangedDate`.
    pub changed: Timestamp,
}

/// What a list came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The entries, newest first, down to [`Feed::since`].
    Listed(Vec<Listed>),
    /// AWS denies it.
    Denied,
    /// It failed.
    Failed,
    /// There was more than is read at once.
    TooLong,
}

/// How many objects rest, and how many of them are left to the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub covered: usize,
    pub uncovered: usize,
}

/// What this process knows of the objects at rest. A new process knows nothing, and reconciles every object once.
#[derive(Debug)]
pub struct Feed {
    interval: SignedDuration,
    state: Mutex<State>,
    first: FirstLists,
}

#[derive(Debug, Default)]
struct State {
    listings: HashMap<Arc<Source>, Listing>,
    /// The source of each object that rests, and the ARN of its secret. Shared with the listings.
    objects: HashMap<Key, (Arc<Source>, Arc<str>)>,
}

impl Feed {
    /// `interval`: between two lists of one source.
    pub fn new(interval: SignedDuration) -> Self {
        Self { interval, state: Mutex::default(), first: FirstLists::default() }
    }

    /// The data is complete after every change, so a poisoned lock is used as it is.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object came to rest with this sight of its secret. Says whether the feed covers it: then it needs no reconcile of its
    /// own until the sweep.
    pub fn rests(&self, key: &Key, sight: Sight, now: Timestamp) -> bool {
        let mut state = self.state();
        state.forget(key);
        let listing = self.listing(&mut state, &sight.source, now);
        // With this one.
        let covered = listing.objects.saturating_add(1) >= LEAST_OBJECTS && listing.covers(now, self.interval);
        let arn: Arc<str> = sight.arn.into();
        listing.add(Arc::clone(&arn), Resting { key: key.clone(), seen: sight.changed, waits: covered });
        let source = state.listings.get_key_value(&sight.source).map_or_else(|| Arc::new(sight.source), |(known, _)| Arc::clone(known));
        state.objects.insert(key.clone(), (source, arn));
        covered
    }

    /// The objects that have these secrets are reconciled for the first time from now on.
    pub fn expect(&self, secrets: impl Iterator<Item = SecretArn>, now: Timestamp) {
        self.first.expect(secrets, now);
    }

    /// Whether an object with this secret is reconciled for the first time.
    pub fn expects(&self, arn: &str) -> bool {
        self.first.expects(arn)
    }

    /// What the first list of the source shows of this secret: once, and only soon after it. `own`: the account of the
    /// source, if it is known. `list` makes the list with at most so many pages, and says whether it is complete. Others wait
    /// for it meanwhile.
    pub async fn first_sight(
        &self,
        source: &Source,
        arn: &str,
        own: Option<&AwsAccount>,
        now: Timestamp,
        list: impl AsyncFnOnce(usize) -> (HashMap<String, AwsSecret>, bool),
    ) -> Option<AwsSecret> {
        let (first, pages) = self.first.of(source, arn, own, now)?;
        let make = async || {
            let (entries, complete) = list(pages).await;
            if complete {
                self.began(source, now, entries.values());
            }
            entries
        };
        first.take(arn, now, make).await
    }

    /// The first list counts as one of the feed, if it is complete.
    fn began<'a>(&self, source: &Source, began: Timestamp, entries: impl Iterator<Item = &'a AwsSecret>) {
        let dated = entries.filter_map(|secret| Some(Listed { arn: secret.arn.clone(), changed: secret.last_changed? }));
        let newest = dated.max_by_key(|entry| entry.changed);
        self.listens(source, began);
        // Objects that rest already are named by the next list, too.
        self.ended(source, began, &Answer::Listed(newest.into_iter().collect()));
    }

    /// Objects of this source are about to rest.
    fn listens(&self, source: &Source, now: Timestamp) {
        self.listing(&mut self.state(), source, now);
    }

    fn listing<'a>(&self, state: &'a mut State, source: &Source, now: Timestamp) -> &'a mut Listing {
        let first = now.saturating_add(self.share(source)).unwrap_or(now);
        state.listings.entry(Arc::new(source.clone())).or_insert_with(|| Listing::new(first))
    }

    /// The object is gone, or does not rest.
    pub fn forget(&self, key: &Key) {
        self.state().forget(key);
    }

    /// Forgets everything. What another leader did meanwhile is not known.
    pub fn clear(&self) {
        *self.state() = State::default();
        self.first.clear();
    }

    /// The sources whose list is due, each with how far back it is read. Their next lists are planned.
    pub fn due(&self, now: Timestamp) -> Vec<(Source, Option<Timestamp>)> {
        self.first.expire(now);
        let mut state = self.state();
        // An identity that no object uses any more.
        state.listings.retain(|_, listing| !listing.is_empty() || listing.covers(now, self.interval));
        let longest = self.after_denial();
        let due = state.listings.iter_mut().filter(|(_, listing)| listing.is_due(now, longest) && listing.objects >= LEAST_OBJECTS);
        due.map(|(source, listing)| {
            // Not while this one is under way. It is given up before.
            listing.next = now.saturating_add(self.longest_list()).unwrap_or(now);
            (Source::clone(source), listing.since())
        })
        .collect()
    }

    /// A list has ended that began at `began`. Returns the objects whose secret changed since they saw it, and the standing of the
    /// source if it is another one now.
    pub fn ended(&self, source: &Source, began: Timestamp, answer: &Answer) -> (Vec<Key>, Option<Standing>) {
        let mut state = self.state();
        let Some(listing) = state.listings.get_mut(source) else { return (Vec::new(), None) };
        let before = listing.standing;
        listing.next = listing.next.min(began.saturating_add(self.interval).unwrap_or(began));
        let changed = match answer {
            Answer::Listed(entries) => listing.succeed(began, entries),
            Answer::Denied => {
                listing.fail(Standing::Denied);
                listing.lose();
                listing.next = began.saturating_add(self.after_denial()).unwrap_or(began);
                Vec::new()
            }
            Answer::Failed => {
                listing.fail(Standing::Failing);
                Vec::new()
            }
            Answer::TooLong => {
                listing.fail(Standing::Failing);
                listing.lose();
                Vec::new()
            }
        };
        (changed, Some(listing.standing).filter(|standing| *standing != before))
    }

    /// Objects that waited for a feed that does not cover them any more: those of this part of the interval. Each is returned
    /// once.
    pub fn uncovered(&self, part: u64, now: Timestamp) -> Vec<Key> {
        let mut state = self.state();
        let here = |key: &Key| part_of(key) == part;
        let mut released = Vec::new();
        for listing in state.listings.values_mut() {
            if !listing.covers(now, self.interval) {
                listing.lose();
            }
            released.extend(listing.release(here));
        }
        released
    }

    /// How many objects rest.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        let covered = state.listings.values().map(Listing::waiting).sum();
        Counts { covered, uncovered: state.objects.len().saturating_sub(covered) }
    }

    /// The longest time that a list may last.
    pub fn longest_list(&self) -> SignedDuration {
        LONGEST_LIST.max(self.interval)
    }

    /// How long after a denied list the next one is tried. No other pause is longer.
    fn after_denial(&self) -> SignedDuration {
        AFTER_DENIAL.max(self.interval)
    }

    /// The first list of each source comes at a time of its own.
    fn share(&self, source: &Source) -> SignedDuration {
        let [part, parts] = [part_of(source), PARTS].map(|number| i32::try_from(number).unwrap_or(1));
        self.interval.checked_div(parts).unwrap_or_default().saturating_mul(part)
    }
}

impl State {
    fn forget(&mut self, key: &Key) {
        if let Some((source, arn)) = self.objects.remove(key)
            && let Some(listing) = self.listings.get_mut(&source)
        {
            listing.remove(&arn, key);
        }
    }
}

/// One of the parts of an interval, the same for equal values.
fn part_of(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish() % PARTS
}

#[cfg(test)]
mod tests;
