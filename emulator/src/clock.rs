//! The emulator's clock: real time plus an offset, or a time that stands still until it is moved.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Tells the emulator the time. Clones are one clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<Reading>>);

#[derive(Debug, Clone, Copy)]
enum Reading {
    Real { offset: SignedDuration },
    Fixed(Timestamp),
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

impl Clock {
    /// Follows real time.
    pub fn real() -> Self {
        Self(Arc::new(Mutex::new(Reading::Real { offset: SignedDuration::ZERO })))
    }

    /// Stands still at `now` until moved. Token buckets do not refill meanwhile.
    pub fn fixed(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Reading::Fixed(now))))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match *self.reading() {
            Reading::Real { offset } => shift(Timestamp::now(), offset),
            Reading::Fixed(now) => now,
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        let mut reading = self.reading();
        *reading = match *reading {
            Reading::Real { offset } => Reading::Real { offset: offset.saturating_add(by) },
            Reading::Fixed(now) => Reading::Fixed(shift(now, by)),
        };
    }

    /// Sets the clock. A real one goes on from there.
    pub fn set(&self, to: Timestamp) {
        let mut reading = self.reading();
        *reading = match *reading {
            Reading::Real { .. } => Reading::Real { offset: to.duration_since(Timestamp::now()) },
            Reading::Fixed(_) => Reading::Fixed(to),
        };
    }

    fn reading(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `at` moved by `by`, held at the ends of time.
pub(crate) fn shift(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// `at` less `by`.
pub(crate) fn before(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// `at` plus `by`.
pub(crate) fn after(at: Timestamp, by: Duration) -> Timestamp {
    shift(at, SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_one_clock() {
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        clock.clone().advance(Duration::from_secs(90));
        assert_eq!(clock.now().as_second(), 90);
    }

    #[test]
    fn a_real_clock_goes_on_from_where_it_was_set() {
        let clock = Clock::real();
        clock.set(Timestamp::UNIX_EPOCH);
        assert!(clock.now().as_second() < 60);
    }
}
