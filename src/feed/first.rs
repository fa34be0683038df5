//! The first list of each source: what AWS showed of every secret when this process began to lead. An object that was at rest
//! before needs no call of its own then. A list may show an old state, so only the conclusion that nothing is to be done may be
//! drawn from it, and once for each object.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use super::source::Source;
use crate::desired::SecretArn;
use crate::facts::AwsSecret;
use crate::identity::AwsAccount;

/// A list is worth its calls if there are so many objects for each page.
const OBJECTS_PER_PAGE: usize = 10;
/// 10,000 secrets. An account with more is not listed.
const MOST_PAGES: usize = 100;
/// How long objects are reconciled for the first time, and what a list shows may be used.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// The first lists of all sources.
#[derive(Debug, Default)]
pub(super) struct FirstLists(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lists: HashMap<Source, Arc<FirstList>>,
    /// The secrets of objects that are reconciled for the first time, and since when.
    expected: HashSet<String>,
    /// How many of them are in each account and region.
    objects: HashMap<(AwsAccount, String), usize>,
    since: Option<Timestamp>,
}

/// The first list of one source.
#[derive(Debug, Default)]
pub(super) struct FirstList {
    /// When it began, and what of it was not used yet, by ARN.
    entries: OnceCell<(Timestamp, Mutex<HashMap<String, AwsSecret>>)>,
}

impl FirstList {
    /// What it shows of this secret. `list` makes the list, if there is none yet; others wait for it meanwhile.
    pub(super) async fn take(
        &self,
        arn: &str,
        now: Timestamp,
        list: impl AsyncFnOnce() -> HashMap<String, AwsSecret>,
    ) -> Option<AwsSecret> {
        let (began, entries) = self.entries.get_or_init(async || (now, Mutex::new(list().await))).await;
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_recent(*began, now) {
            *entries = HashMap::new();
        }
        entries.remove(arn)
    }
}

impl FirstLists {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clear(&self) {
        self.lock().lists.clear();
    }

    /// Frees what is too old to be used.
    pub(super) fn expire(&self, now: Timestamp) {
        let mut state = self.lock();
        if state.since.is_some_and(|since| !is_recent(since, now)) {
            *state = State::default();
        }
    }

    /// Whether an object with this secret is reconciled for the first time.
    pub(super) fn expects(&self, arn: &str) -> bool {
        self.lock().expected.contains(arn)
    }

    /// The objects that have these secrets are reconciled for the first time from now on.
    pub(super) fn expect(&self, secrets: impl Iterator<Item = SecretArn>, now: Timestamp) {
        let (mut objects, mut expected) = (HashMap::<_, usize>::new(), HashSet::new());
        for arn in secrets {
            let number = objects.entry((arn.account, arn.region)).or_default();
            *number = number.saturating_add(1);
            expected.insert(arn.text);
        }
        // A list from before does not have what its objects used already, nor what another leader did since.
        *self.lock() = State { lists: HashMap::new(), expected, objects, since: Some(now) };
    }

    /// The list of the source in which this secret is, and with how many pages it is worth its calls. `own`: the account of
    /// the source, if it is known; a list shows no secrets of others. Otherwise, the number of pages must not depend on who
    /// asks first.
    pub(super) fn of(&self, source: &Source, arn: &str, own: Option<&AwsAccount>, now: Timestamp) -> Option<(Arc<FirstList>, usize)> {
        let arn = SecretArn::parse(arn)?;
        if arn.region != source.region || own.is_some_and(|own| *own != arn.account) {
            return None;
        }
        let mut state = self.lock();
        state.since.filter(|since| is_recent(*since, now))?;
        let shown = state.objects.iter().filter(|((account, region), _)| *region == source.region && own.is_none_or(|own| own == account));
        let pages = shown.map(|(_, number)| *number).max()? / OBJECTS_PER_PAGE;
        (pages > 0).then(|| (Arc::clone(state.lists.entry(source.clone()).or_default()), pages.min(MOST_PAGES)))
    }
}

/// Whether what was read at this time may still be used. After a clock was set back, its age is not known. Reconciles that wait for a
/// list began a little before it.
fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).abs() <= LONGEST
}

#[cfg(test)]
mod tests;
