//! Who acts, where several replicas run: what a candidate for a Lease does next. Pure: the lease as seen -> take it, renew it, or wait.
//!
//! Nobody's wall clock is compared with ours. A lease has run out when *we* have seen it unchanged for as long as its holder said that it
//! lasts, which is client-go's rule. Safety does not rest on any of this: two leaders mean the same versions by the same causes.

use std::time::Duration;

/// How long a lease lasts and how often it is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A lease that is not renewed for so long is anybody's.
    pub duration: Duration,
    /// A leader that could not renew for so long begins nothing new.
    pub renew_deadline: Duration,
    /// How often a leader renews, and how soon a candidate tries again after a failure.
    pub retry_period: Duration,
}

impl Timing {
    /// What is wrong with it, as a sentence about the flags; `None`: nothing.
    pub fn fault(&self) -> Option<&'static str> {
        if self.duration <= self.renew_deadline {
            Some("--lease-duration must be longer than --lease-renew-deadline, so that a leader stops before the next one begins")
        } else if self.renew_deadline < self.retry_period * 2 {
            Some("--lease-renew-deadline must be at least twice --lease-retry-period, so that one lost renewal does not matter")
        } else {
            None
        }
    }
}

/// A Lease as a candidate sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// Who holds it; `None`: it was released, or never taken.
    pub holder: Option<&'a str>,
    /// How long it lasts, by its holder's word.
    pub duration: Duration,
    /// For how long we have seen it like this.
    pub unchanged: Duration,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Write our name into it.
    Take,
    /// Write the time into it.
    Renew,
    /// Nothing, for so long; sooner when it changes.
    Wait(Duration),
}

/// The next move of `me`. `leading`: we took it in this life; a name of ours from an earlier life of the same pod is taken up at once.
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
            let left = lease.duration.saturating_sub(lease.unchanged);
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
