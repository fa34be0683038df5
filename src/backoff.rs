//! Backoff after failures. The delay is a pure function of the failure class, the number of consecutive failures and
//! the object. A restarted operator or another replica therefore calculates the same time, and many objects do not
//! retry simultaneously.

use jiff::SignedDuration;
use strum::{EnumString, IntoStaticStr};

/// Class of a failure. It determines the backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr)]
pub enum Class {
    /// Transient (no response, HTTP 5xx): retry in seconds, doubling.
    Retry,
    /// Transient, while users of the credential may be unable to log in: as `Retry`, with a short maximum.
    Urgent,
    /// Throttled by AWS or the API server: as `Retry`, with a longer first delay.
    Throttled,
    /// Concurrent write, or a stale read: retry immediately.
    Conflict,
    /// Access denied. User action is required, and permissions take minutes to propagate: from a minute to an hour.
    Denied,
    /// As `Denied`, while users of the credential may be unable to log in: retried as soon as `Urgent`.
    DeniedInForce,
    /// Invalid object or value. A change of the object triggers a reconcile; the delay is only a safety net.
    Invalid,
    /// Bug in the operator. Retried rarely, to limit the damage until it is fixed.
    Bug,
    /// Exhausted quota, which only a user or time can resolve: at least one hour.
    Limit,
}

impl Class {
    /// Its name in the status.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it passes by itself, usually within seconds.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Retry | Self::Urgent | Self::Throttled | Self::Conflict)
    }

    /// The longest delay, jitter included.
    pub fn longest(self) -> SignedDuration {
        let (_, longest) = self.bounds();
        SignedDuration::from_millis(i64::try_from((longest / 10).saturating_mul(12)).unwrap_or(i64::MAX))
    }

    /// First and maximum delay in milliseconds, before jitter.
    const fn bounds(self) -> (u64, u64) {
        const SECOND: u64 = 1000;
        const MINUTE: u64 = 60 * SECOND;
        match self {
            Self::Conflict => (SECOND, 30 * SECOND),
            Self::Retry => (5 * SECOND, 10 * MINUTE),
            Self::Urgent | Self::DeniedInForce => (5 * SECOND, 30 * SECOND),
            Self::Throttled => (15 * SECOND, 10 * MINUTE),
            Self::Denied => (MINUTE, 60 * MINUTE),
            Self::Invalid => (10 * MINUTE, 10 * MINUTE),
            Self::Bug => (10 * MINUTE, 60 * MINUTE),
            // At least one hour after subtracting the jitter.
            Self::Limit => (75 * MINUTE, 75 * MINUTE),
        }
    }
}

/// Factor that shortens all delays, for tests that need many failures in a short time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    times_faster: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { times_faster: 1 }
    }
}

impl Pace {
    /// Divides all delays by `times`.
    pub fn faster(times: u32) -> Self {
        Self { times_faster: u64::from(times.max(1)) }
    }

    /// As [`delay`], at this pace. At least one millisecond.
    pub fn delay(self, class: Class, count: u32, seed: u128) -> SignedDuration {
        let millis = jittered(wait(class, count), count, seed).checked_div(self.times_faster).unwrap_or_default();
        SignedDuration::from_millis(i64::try_from(millis.max(1)).unwrap_or(i64::MAX))
    }
}

/// Delay after the `count`-th consecutive failure (from 1), with a jitter of up to 20 percent. `seed` distinguishes
/// objects: their uid.
pub fn delay(class: Class, count: u32, seed: u128) -> SignedDuration {
    Pace::default().delay(class, count, seed)
}

/// Delay in milliseconds before jitter: doubles with each failure, up to the maximum.
fn wait(class: Class, count: u32) -> u64 {
    let (first, longest) = class.bounds();
    // 2^16 times the first delay exceeds every maximum.
    let doublings = count.saturating_sub(1).min(16);
    (first << doublings).min(longest)
}

fn jittered(millis: u64, count: u32, seed: u128) -> u64 {
    let per_mille = (mix(seed, count) % 401).saturating_add(800);
    millis.saturating_mul(per_mille) / 1000
}

/// Mixes the bits of its arguments with `SplitMix64` by Steele, Lea and Flood.
fn mix(seed: u128, count: u32) -> u64 {
    let bytes = seed.to_le_bytes();
    let (low, high) = bytes.split_at(8);
    let half = |half: &[u8]| half.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    [half(low), half(high), u64::from(count)].into_iter().fold(0, |state: u64, word| {
        let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Class; 9] = [
        Class::Retry,
        Class::Urgent,
        Class::Throttled,
        Class::Conflict,
        Class::Denied,
        Class::DeniedInForce,
        Class::Invalid,
        Class::Bug,
        Class::Limit,
    ];

    #[test]
    fn waits_double_from_the_first_to_the_longest() {
        let table: [(Class, &[u64]); 9] = [
            (Class::Conflict, &[1, 2, 4, 8, 16, 30, 30]),
            (Class::Retry, &[5, 10, 20, 40, 80, 160, 320, 600, 600]),
            (Class::Urgent, &[5, 10, 20, 30, 30]),
            (Class::Throttled, &[15, 30, 60, 120, 240, 480, 600, 600]),
            (Class::Denied, &[60, 120, 240, 480, 960, 1920, 3600, 3600]),
            (Class::DeniedInForce, &[5, 10, 20, 30, 30]),
            (Class::Invalid, &[600, 600]),
            (Class::Bug, &[600, 1200, 2400, 3600, 3600]),
            (Class::Limit, &[4500, 4500]),
        ];
        for (class, seconds) in table {
            for (count, expected) in (1..).zip(seconds) {
                assert_eq!(wait(class, count), expected * 1000, "{class:?} {count}");
            }
            assert_eq!(wait(class, 0), wait(class, 1));
            assert_eq!(wait(class, u32::MAX), seconds.last().unwrap() * 1000);
        }
    }

    #[test]
    fn jitter_stays_within_a_fifth_and_is_spread_over_all_of_it() {
        for class in ALL {
            for count in [1, 3, 100] {
                let base = i64::try_from(wait(class, count)).unwrap();
                let delays = (0..1000_u128).map(|seed| delay(class, count, seed << 64 | 7));
                let delays: Vec<i64> = delays.map(|d| i64::try_from(d.as_millis()).unwrap()).collect();
                let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
                assert!(*least >= base * 8 / 10 && *most <= base * 12 / 10);
                assert!(*least < base * 82 / 100 && *most > base * 118 / 100);
                let mean = delays.iter().sum::<i64>() / 1000;
                assert!((mean - base).abs() < base / 50, "{class:?} {mean}");
            }
        }
    }

    #[test]
    fn a_wait_is_never_shorter_than_the_one_before_until_it_is_at_its_longest() {
        for class in ALL {
            for seed in 0..100 {
                for count in 1..20 {
                    let grows = wait(class, count + 1) == 2 * wait(class, count);
                    let (now, next) = (delay(class, count, seed), delay(class, count + 1, seed));
                    assert!(!grows || next > now, "{class:?} {count}");
                }
            }
        }
    }

    #[test]
    fn the_same_failure_of_the_same_object_waits_the_same() {
        let seed = 0x1234_5678_9abc_def0_1234_5678_9abc_def0;
        assert_eq!(delay(Class::Retry, 3, seed), delay(Class::Retry, 3, seed));
        assert_ne!(delay(Class::Retry, 3, seed), delay(Class::Retry, 3, seed + 1));
    }

    #[test]
    fn a_limit_is_left_alone_for_an_hour() {
        for seed in 0..10_000 {
            assert!(delay(Class::Limit, 1, seed) >= SignedDuration::from_hours(1));
        }
    }

    #[test]
    fn tests_may_set_the_pace() {
        let (slow, fast) = (delay(Class::Retry, 1, 1), Pace::faster(100).delay(Class::Retry, 1, 1));
        assert_eq!(fast.as_millis(), slow.as_millis() / 100);
        let least = Pace::faster(u32::MAX).delay(Class::Conflict, 1, 1);
        assert_eq!(least, SignedDuration::from_millis(1));
        assert_eq!(Pace::faster(0), Pace::default());
    }
}
