//! A request or an edit ends the wait after a failure. An object whose attempts hang must not use this to occupy a
//! permit all the time, so it pauses for as long as the last attempt took.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::queue::Key;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// An attempt that took less occupies no permit worth mentioning.
const SHORTEST: Duration = Duration::from_secs(1);
/// Above this number, pauses that have ended are forgotten.
const MANY: usize = 1000;

/// When each object may be reconciled again, if its last reconcile failed slowly.
#[derive(Debug, Default)]
pub struct Pauses(Mutex<HashMap<Key, Instant>>);

impl Pauses {
    /// A reconcile that took this long has failed at `now`.
    pub fn failed(&self, key: Key, took: Duration, now: Instant) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pauses.len() >= MANY {
            pauses.retain(|_, until| *until > now);
        }
        if took >= SHORTEST {
            pauses.insert(key, now.checked_add(took.min(LONGEST)).unwrap_or(now));
        }
    }

    /// The rest of the object's pause at `now`.
    pub fn rest(&self, key: &Key, now: Instant) -> Option<Duration> {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = pauses.get(key)?.saturating_duration_since(now);
        if rest.is_zero() {
            pauses.remove(key);
        }
        (!rest.is_zero()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_pauses_for_as_long_as_its_failed_attempt_took() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        for (took, pause) in [(0, None), (1, Some(1)), (5, Some(5)), (15, Some(15)), (30, Some(30)), (45, Some(30)), (180, Some(30))] {
            let pauses = Pauses::default();
            let key = Key::new("shop", "db");
            pauses.failed(key.clone(), seconds(took), start);
            assert_eq!(pauses.rest(&key, start), pause.map(seconds), "{took}");
            assert_eq!(pauses.rest(&key, start + seconds(31)), None, "{took}");
            assert_eq!(pauses.rest(&Key::new("shop", "other"), start), None);
        }
    }

    #[test]
    fn pauses_that_have_ended_are_forgotten() {
        let (pauses, start) = (Pauses::default(), Instant::now());
        for number in 0..5 * MANY {
            let now = start + Duration::from_secs(60 * u64::try_from(number / MANY).unwrap());
            pauses.failed(Key::new("shop", number.to_string()), Duration::from_secs(5), now);
        }
        assert!(pauses.0.lock().unwrap().len() <= 2 * MANY);
    }
}
