//! Who else claims the mirrored Secret, and how often it had to be repaired.

use jiff::{SignedDuration, Timestamp};

/// Other clients with a claim to the Secret. Their names are bounded and escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Kind and name of the controller of the Secret, if it is not our object.
    pub controller: Option<(String, String)>,
    /// The field manager that changed what the operator had written.
    pub manager: Option<String>,
}

/// Repairs of the Secret in a row: each wrote the version that the Secret had held before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repairs {
    /// How many.
    pub count: u32,
    /// When the last one was written.
    pub last: Timestamp,
    /// The field manager that made them necessary, if it is known.
    pub manager: Option<String>,
}

/// So many repairs are not delayed: a person who edits a Secret sees at once that the edit does not last.
const IMMEDIATE: u32 = 3;
/// So many repairs are a conflict that a person must end.
const CONTESTED: u32 = 5;
/// The longest delay of a repair.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_secs(60);
/// After this time without a repair, the count begins again.
const QUIET: SignedDuration = SignedDuration::from_mins(5);

impl Repairs {
    /// The repairs up to now, with one more.
    pub fn again(earlier: Option<&Self>, manager: Option<String>, now: Timestamp) -> Self {
        let earlier = earlier.filter(|earlier| earlier.is_recent(now));
        let manager = manager.or_else(|| earlier.and_then(|earlier| earlier.manager.clone()));
        Self { count: earlier.map_or(0, |earlier| earlier.count).saturating_add(1), last: now, manager }
    }

    /// Whether the last repair is not long ago. One in the future was written by a wrong clock.
    pub fn is_recent(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.last);
        age < QUIET && age > -QUIET
    }

    /// Until when the next repair is delayed: five seconds after the third one, doubling, at most a minute.
    pub fn delayed_until(&self) -> Option<Timestamp> {
        let doublings = self.count.checked_sub(IMMEDIATE)?.min(8);
        let delay = SignedDuration::from_secs(5_i64 << doublings).min(LONGEST_DELAY);
        self.last.saturating_add(delay).ok()
    }

    /// Whether another client changes the Secret again and again.
    pub fn is_contested(&self) -> bool {
        self.count >= CONTESTED
    }

    /// When the Secret counts as uncontested if no repair follows.
    pub fn quiet_at(&self) -> Timestamp {
        self.last.saturating_add(QUIET).unwrap_or(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_first_repairs_are_immediate_and_later_ones_at_most_a_minute_apart() {
        let (mut repairs, mut now, mut delays) = (None::<Repairs>, 1000, Vec::new());
        for _ in 0..9 {
            let next = Repairs::again(repairs.as_ref(), None, at(now));
            let delay = next.delayed_until().map_or(0, |until| until.as_second() - now);
            delays.push((delay, next.is_contested()));
            now += delay;
            repairs = Some(next);
        }
        let expected = [(0, false), (0, false), (5, false), (10, false), (20, true), (40, true), (60, true), (60, true), (60, true)];
        assert_eq!(delays, expected);
    }

    #[test]
    fn after_some_minutes_without_a_repair_the_count_begins_again() {
        let many = Repairs { count: 9, last: at(1000), manager: Some("argocd".to_owned()) };
        assert!(many.is_recent(at(1299)) && !many.is_recent(at(1300)));
        assert!(!many.is_recent(at(600)), "a wrong clock wrote it");
        assert_eq!(Repairs::again(Some(&many), None, at(1299)), Repairs { count: 10, last: at(1299), manager: many.manager.clone() });
        assert_eq!(Repairs::again(Some(&many), None, at(1300)), Repairs { count: 1, last: at(1300), manager: None });
    }
}
