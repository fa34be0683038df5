//! How fast requests and changes of the declaration may create versions: a generic cell rate algorithm. Each version is
//! charged with one interval, and a few may be charged in advance. A person or a template may change an object in a loop,
//! and AWS has a quota of versions.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::status::StatusFacts;
use crate::api::Cause;

/// So many in a row do not wait: a person who corrects a mistake.
pub const BURST: i32 = 3;
/// How far the clock of AWS, which dates the versions, may be ahead.
const SKEW: SignedDuration = SignedDuration::from_mins(2);

/// What is limited, each by itself: a loop in one of them does not delay the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Rotate and rollback requests.
    Requests,
    /// Changes of `spec.value`.
    Declarations,
}

impl Limited {
    /// The limit for versions with this cause.
    pub fn of(cause: Cause) -> Option<Self> {
        match cause {
            Cause::Requested | Cause::RolledBack => Some(Self::Requests),
            Cause::SpecChanged => Some(Self::Declarations),
            Cause::Created | Cause::Adopted | Cause::Scheduled | Cause::External => None,
        }
    }
}

/// Up to when a process has charged versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charged {
    /// Those of requests.
    pub requests: Option<Timestamp>,
    /// Those of changes of `spec.value`.
    pub declarations: Option<Timestamp>,
}

impl Charged {
    /// Up to when this limit is charged.
    pub fn of(self, limited: Limited) -> Option<Timestamp> {
        match limited {
            Limited::Requests => self.requests,
            Limited::Declarations => self.declarations,
        }
    }

    /// Charges one more version, created at `now`. A clock that was wrong before is not believed.
    pub fn add(&mut self, limited: Limited, interval: SignedDuration, now: Timestamp) {
        let charged = match limited {
            Limited::Requests => &mut self.requests,
            Limited::Declarations => &mut self.declarations,
        };
        *charged = Some(charge(charged.filter(|charged| credible(*charged, now, interval)), now, interval));
    }
}

/// Up to when versions are charged after one more, created at `at`. Never more than [`BURST`] intervals ahead, so a wrong
/// time is forgotten after one interval.
pub fn charge(charged: Option<Timestamp>, at: Timestamp, interval: SignedDuration) -> Timestamp {
    let from = charged.map_or(at, |charged| charged.max(at));
    later(from, interval).min(later(at, interval.saturating_mul(BURST)))
}

/// When the next version may be created.
pub fn free_at(charged: Timestamp, interval: SignedDuration) -> Timestamp {
    let ahead = interval.saturating_mul(BURST.saturating_sub(1));
    charged.saturating_sub(ahead).unwrap_or(charged)
}

/// Whether a process whose clock was right may have charged up to this time.
pub fn credible(charged: Timestamp, now: Timestamp, interval: SignedDuration) -> bool {
    charged <= later(now, interval.saturating_mul(BURST))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

impl StatusFacts {
    /// Up to when the versions in the history are charged. Its times are not trusted: one in the future was written by
    /// someone else, or by a wrong clock.
    pub fn charged(&self, limited: Limited, interval: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        // The oldest entry of a version says why it was created. A label that someone moved back makes another one.
        let first: BTreeMap<_, _> = self.history.iter().map(|entry| (&entry.version, entry)).collect();
        let counted = first.into_values().filter(|entry| Limited::of(entry.cause) == Some(limited));
        let mut times: Vec<Timestamp> = counted.map(|entry| entry.time).filter(|time| *time <= later(now, SKEW)).collect();
        times.sort_unstable();
        times.into_iter().fold(None, |charged, time| Some(charge(charged, time.min(now), interval)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::HistoryFact;

    const INTERVAL: SignedDuration = SignedDuration::from_mins(10);
    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn status(entries: &[(&str, i64, Cause)]) -> StatusFacts {
        let entry =
            |(version, time, cause): &(&str, i64, Cause)| HistoryFact { version: (*version).into(), time: at(*time), cause: *cause };
        StatusFacts { history: entries.iter().map(entry).collect(), ..StatusFacts::default() }
    }

    /// Seconds from now until the next request is carried out. Changes of the declaration wait as long after their like.
    fn wait(entries: &[(&str, i64, Cause)], interval: SignedDuration) -> i64 {
        let seconds = |limited, entries: &[(&str, i64, Cause)]| {
            let charged = status(entries).charged(limited, interval, at(NOW));
            charged.map_or(0, |charged| (free_at(charged, interval).as_second() - NOW).max(0))
        };
        let redeclared = entries.iter().map(|(version, time, cause)| match Limited::of(*cause) {
            Some(Limited::Requests) => (*version, *time, Cause::SpecChanged),
            Some(Limited::Declarations) => (*version, *time, Cause::Requested),
            None => (*version, *time, *cause),
        });
        let waits = seconds(Limited::Requests, entries);
        assert_eq!(seconds(Limited::Declarations, &redeclared.collect::<Vec<_>>()), waits, "{entries:?}");
        waits
    }

    #[test]
    fn three_requests_in_a_row_do_not_wait_and_the_next_ones_are_an_interval_apart() {
        let (mut charged, mut now, mut waits) = (None, NOW, Vec::new());
        for _ in 0..6 {
            let wait = charged.map_or(0, |charged| (free_at(charged, INTERVAL).as_second() - now).max(0));
            waits.push(wait);
            now += wait;
            charged = Some(charge(charged, at(now), INTERVAL));
        }
        assert_eq!(waits, [0, 0, 0, 600, 600, 600]);
        // After half an hour, all three are free again.
        assert_eq!(free_at(charge(charged, at(now + 1800), INTERVAL), INTERVAL), at(now + 1800 - 600));
    }

    #[test]
    fn the_history_says_how_long_a_request_waits() {
        use Cause::{Created, External, Requested, RolledBack, Scheduled, SpecChanged};
        for (about, entries, seconds) in [
            ("nothing was requested", vec![("c", NOW, Scheduled), ("b", NOW, External), ("a", NOW, Created), ("d", NOW, SpecChanged)], 0),
            ("two", vec![("b", NOW, Requested), ("a", NOW, RolledBack)], 0),
            ("three", vec![("c", NOW, Requested), ("b", NOW, RolledBack), ("a", NOW, Requested)], 600),
            ("three, a minute ago", vec![("c", NOW - 60, Requested), ("b", NOW - 60, Requested), ("a", NOW - 60, Requested)], 540),
            ("three, but not in a row", vec![("c", NOW, Requested), ("b", NOW - 600, Requested), ("a", NOW - 1200, Requested)], 0),
            ("not in order", vec![("c", NOW - 60, Requested), ("b", NOW, Requested), ("a", NOW - 60, Requested)], 540),
            ("a label that someone moved back", vec![("a", NOW, RolledBack), ("b", NOW, Requested), ("a", NOW, Scheduled)], 0),
            ("one version is one request", vec![("a", NOW, RolledBack), ("a", NOW, RolledBack), ("a", NOW, Requested)], 0),
            ("in the future", vec![("c", NOW + 3600, Requested), ("b", NOW + 3600, Requested), ("a", NOW + 3600, Requested)], 0),
            ("a clock that is ahead", vec![("c", NOW + 60, Requested), ("b", NOW + 60, Requested), ("a", NOW + 60, Requested)], 600),
            (
                "more than there can be",
                (0..10).map(|n| (["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][n], NOW, Requested)).collect(),
                600,
            ),
        ] {
            assert_eq!(wait(&entries, INTERVAL), seconds, "{about}");
            assert_eq!(wait(&entries, SignedDuration::ZERO), 0, "{about}, turned off");
        }
    }

    #[test]
    fn no_time_and_no_interval_is_out_of_range() {
        for time in [Timestamp::MIN, at(NOW), Timestamp::MAX] {
            for interval in [SignedDuration::ZERO, INTERVAL, SignedDuration::MAX] {
                let charged = charge(Some(time), time, interval);
                assert!(free_at(charged, interval) <= charged);
                assert!(credible(charged, time, interval));
                assert!(
                    status(&[("a", NOW, Cause::Requested)])
                        .charged(Limited::Requests, interval, time)
                        .is_none_or(|charged| charged >= time.min(at(NOW)))
                );
            }
        }
    }
}
