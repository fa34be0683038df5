//! When targets are asked whether they accept the current value.

use std::fmt;
use std::sync::{MutexGuard, OnceLock, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::generations::{Generations, MANY};
use crate::backoff::{self, Class};

/// What is known of the last check of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastCheck {
    /// It accepted the value. Or the check after this time is the first one.
    Accepted(Timestamp),
    /// It refused it. The next check follows as soon as the backoff of the step is over.
    Refused,
    /// It has a new value since then, and is asked at once.
    Outdated,
    /// It did not answer, so many times in a row, and is asked again at this time.
    Silent(u32, Timestamp),
}

/// The last check of each object, with a hash of the target. Not with what else is remembered: a check that is forgotten is
/// postponed by an interval, and would be postponed for ever if more objects exist than are remembered.
#[derive(Debug, Default)]
pub(in crate::reconcile) struct Checks {
    last: std::sync::Mutex<Generations<Option<(u64, LastCheck)>>>,
    objects: OnceLock<Objects>,
}

/// Counts the objects that exist.
struct Objects(Box<dyn Fn() -> usize + Send + Sync>);

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(&self.0()).finish()
    }
}

impl Checks {
    /// Those of all objects, however many `count` returns.
    pub(super) fn remembers(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        // The first one stays.
        let _ = self.objects.set(Objects(Box::new(count)));
    }

    fn last_checks(&self) -> MutexGuard<'_, Generations<Option<(u64, LastCheck)>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_check<T>(&self, uid: &str, change: impl FnOnce(&mut Option<(u64, LastCheck)>) -> T) -> T {
        let many = self.objects.get().map_or(MANY, |count| MANY.max(count.0()));
        change(self.last_checks().entry(uid, many))
    }

    pub(super) fn forget(&self, uid: &str) {
        self.last_checks().remove(uid);
    }

    /// When this target is asked next whether it accepts the current value: now, if the last check was one of another target.
    /// After a restart, the checks of all objects are spread over the interval: `offset`, less than `every`, is the place of
    /// this one. `refused`: the status says that the target refused the value.
    pub(in crate::reconcile) fn due(
        &self,
        uid: &str,
        target: u64,
        every: SignedDuration,
        offset: SignedDuration,
        refused: bool,
        now: Timestamp,
    ) -> Timestamp {
        let first = || (target, if refused { LastCheck::Refused } else { LastCheck::Accepted(sum(now, offset.saturating_sub(every))) });
        let (last_target, last) = self.last_check(uid, |last| *last.get_or_insert_with(first));
        match last {
            _ if last_target != target => now,
            // A time in the future was taken from a wrong clock.
            LastCheck::Accepted(at) if at <= now => sum(at, every),
            LastCheck::Silent(_, until) if until <= sum(now, Class::Retry.longest()) => until,
            LastCheck::Accepted(_) | LastCheck::Silent(..) | LastCheck::Refused | LastCheck::Outdated => now,
        }
    }

    /// The target accepts the value that is current, or is about to be.
    pub(in crate::reconcile) fn accepts(&self, uid: &str, target: u64, now: Timestamp) {
        self.last_check(uid, |last| *last = Some((target, LastCheck::Accepted(now))));
    }

    /// The target gets a new value, and has not been asked in the way that clients take.
    pub(in crate::reconcile) fn changes(&self, uid: &str, target: u64) {
        self.last_check(uid, |last| *last = Some((target, LastCheck::Outdated)));
    }

    /// The target refuses the current value.
    pub(in crate::reconcile) fn refuses(&self, uid: &str, target: u64) {
        self.last_check(uid, |last| *last = Some((target, LastCheck::Refused)));
    }

    /// The target did not answer. Says when it is asked again; `None`: it refused the value before, so the step fails.
    pub(in crate::reconcile) fn silent(&self, uid: &str, target: u64, seed: u128, now: Timestamp) -> Option<Timestamp> {
        self.last_check(uid, |check| {
            let count = match check.filter(|(last, _)| *last == target) {
                Some((_, LastCheck::Refused)) => return None,
                Some((_, LastCheck::Silent(count, _))) => count.saturating_add(1),
                Some((_, LastCheck::Accepted(_) | LastCheck::Outdated)) | None => 1,
            };
            let delay = SignedDuration::from_secs(backoff::delay(Class::Retry, count, seed).as_secs().max(1));
            let until = sum(now, delay);
            *check = Some((target, LastCheck::Silent(count, until)));
            Some(until)
        })
    }
}

fn sum(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}
