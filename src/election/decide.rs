//! Decisions of leader election: from the observed Lease to acquire, renew or wait. Pure.
//!
//! Wall clocks of different replicas are never compared. A Lease has expired when this replica has observed it
//! unchanged for the lease duration that its holder wrote; this is the rule of client-go. Safety does not depend on the
//! election: two leaders derive the same version IDs from the same causes.
//!
//! The duration that a holder wrote is believed up to five minutes, because a holder that lives renews much sooner. Else a
//! Lease with a duration of a day would keep every replica from leading for a day after its holder died.

use std::time::Duration;

/// The longest duration of another holder that is believed, unless our own is longer.
const MOST_BELIEVED: Duration = Duration::from_mins(5);

/// Timing of the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Duration after which a Lease that was not renewed may be acquired by another replica.
    pub duration: Duration,
    /// Duration after which a leader that could not renew the Lease starts no new reconciles.
    pub renew_deadline: Duration,
    /// Interval of renewals, and of retries by a candidate.
    pub retry_period: Duration,
}

impl Timing {
    /// The problem with these values, as a message about the flags. `None` if they are valid.
    pub fn fault(&self) -> Option<&'static str> {
        if self.duration <= self.renew_deadline {
            Some("--lease-duration must be longer than --lease-renew-deadline, so that a leader stops before the next one starts")
        } else if self.renew_deadline < self.retry_period * 2 {
            Some("--lease-renew-deadline must be at least twice --lease-retry-period, so that a single failed renewal has no effect")
        } else {
            None
        }
    }
}

/// A Lease as observed by a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// Identity of the holder. `None` if the Lease was released or never acquired.
    pub holder: Option<&'a str>,
    /// Lease duration as written by the holder.
    pub duration: Duration,
    /// Time since which this replica has observed the Lease unchanged.
    pub unchanged: Duration,
}

impl Sighting<'_> {
    /// How long the holder is believed since the Lease was last changed. Not at all if there is none.
    pub fn lasts(&self, timing: &Timing) -> Duration {
        self.holder.map_or(Duration::ZERO, |_| self.duration.min(timing.duration.max(MOST_BELIEVED)))
    }
}

/// The next action of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Acquire the Lease.
    Take,
    /// Renew the Lease.
    Renew,
    /// Wait for this time, or until the Lease changes.
    Wait(Duration),
}

/// The next action of `me`. `leading`: the Lease was acquired by this process. If the Lease carries our identity from
/// an earlier process of the same pod, it is acquired immediately.
pub fn decide(lease: Option<Sighting<'_>>, me: &str, leading: bool, timing: &Timing) -> Move {
    let Some(lease) = lease else { return Move::Take };
    match lease.holder {
        None => Move::Take,
        Some(holder) if holder == me => {
            let due = timing.retry_period.saturating_sub(lease.unchanged);
            if !leading {
                Move::Take
            } else if due.is_zero() {
                Move::Renew
            } else {
                Move::Wait(due)
            }
        }
        Some(_) => {
            let left = lease.lasts(timing).saturating_sub(lease.unchanged);
            if left.is_zero() { Move::Take } else { Move::Wait(left) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing =
        Timing { duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry_period: Duration::from_secs(2) };

    fn seen(holder: Option<&str>, unchanged: u64) -> Sighting<'_> {
        Sighting { holder, duration: Duration::from_secs(15), unchanged: Duration::from_secs(unchanged) }
    }

    #[test]
    fn a_lease_that_nobody_holds_is_taken_at_once() {
        for leading in [false, true] {
            assert_eq!(decide(None, "me", leading, &TIMING), Move::Take);
            assert_eq!(decide(Some(seen(None, 0)), "me", leading, &TIMING), Move::Take);
        }
    }

    #[test]
    fn anothers_lease_is_taken_when_we_saw_it_unchanged_for_as_long_as_it_lasts_and_not_before() {
        for (unchanged, expected) in [(0, 15), (1, 14), (14, 1)] {
            for leading in [false, true] {
                assert_eq!(decide(Some(seen(Some("other"), unchanged)), "me", leading, &TIMING), Move::Wait(Duration::from_secs(expected)));
            }
        }
        for unchanged in [15, 16, 3600] {
            assert_eq!(decide(Some(seen(Some("other"), unchanged)), "me", false, &TIMING), Move::Take);
        }
    }

    #[test]
    fn the_holders_word_counts_and_not_our_own_setting() {
        let lease = Sighting { holder: Some("other"), duration: Duration::from_mins(1), unchanged: Duration::from_secs(20) };
        assert_eq!(decide(Some(lease), "me", false, &TIMING), Move::Wait(Duration::from_secs(40)));
    }

    #[test]
    fn a_day_that_a_dead_holder_wrote_is_believed_for_five_minutes_and_our_own_longer_duration_in_full() {
        let day =
            |unchanged| Sighting { holder: Some("dead"), duration: Duration::from_hours(24), unchanged: Duration::from_secs(unchanged) };
        assert_eq!(decide(Some(day(299)), "me", false, &TIMING), Move::Wait(Duration::from_secs(1)));
        assert_eq!(decide(Some(day(300)), "me", false, &TIMING), Move::Take);
        let ours = Timing { duration: Duration::from_mins(10), ..TIMING };
        assert_eq!(decide(Some(day(300)), "me", false, &ours), Move::Wait(Duration::from_mins(5)));
    }

    #[test]
    fn a_holder_is_believed_for_a_time_and_a_released_lease_has_none() {
        let lasts = |lease: Sighting<'_>| lease.lasts(&TIMING).as_secs();
        assert_eq!((lasts(seen(Some("me"), 0)), lasts(seen(Some("other"), 60)), lasts(seen(None, 0))), (15, 15, 0));
        assert_eq!(lasts(Sighting { duration: Duration::from_hours(24), ..seen(Some("dead"), 0) }), 300);
    }

    #[test]
    fn a_leader_renews_every_retry_period() {
        assert_eq!(decide(Some(seen(Some("me"), 0)), "me", true, &TIMING), Move::Wait(Duration::from_secs(2)));
        assert_eq!(decide(Some(seen(Some("me"), 1)), "me", true, &TIMING), Move::Wait(Duration::from_secs(1)));
        for unchanged in [2, 3, 100] {
            assert_eq!(decide(Some(seen(Some("me"), unchanged)), "me", true, &TIMING), Move::Renew);
        }
    }

    #[test]
    fn the_next_life_of_the_same_pod_goes_on_at_once() {
        assert_eq!(decide(Some(seen(Some("me"), 0)), "me", false, &TIMING), Move::Take);
    }

    #[test]
    fn timings_that_would_let_two_lead_or_one_stumble_are_refused() {
        assert_eq!(TIMING.fault(), None);
        let second = Duration::from_secs(1);
        let short = Timing { duration: 10 * second, ..TIMING };
        assert!(short.fault().is_some_and(|fault| fault.contains("--lease-duration")));
        let hasty = Timing { renew_deadline: 3 * second, ..TIMING };
        assert!(hasty.fault().is_some_and(|fault| fault.contains("--lease-retry-period")));
    }
}
