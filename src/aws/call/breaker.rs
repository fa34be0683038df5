//! A circuit breaker for each target. While an endpoint does not answer, calls to it fail at once, so that they occupy
//! neither permits nor sessions. Pure: the time is an argument. It is monotonic, so that a clock that is set neither keeps a breaker
//! open nor keeps one from opening.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::aws::fault::Cause;

/// How long calls fail at once after one without an answer. It is the shortest wait after such a failure, so that the
/// object's own retry is a probe.
const OPEN: Duration = Duration::from_secs(4);
/// A target that has answered nothing for this long, although it was called, takes no further calls.
const SILENT: Duration = Duration::from_secs(5);
/// Above this number, a target is forgotten for each new one.
const MANY: usize = 1000;

/// Each has endpoints of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Service {
    SecretsManager,
    /// `ListSecrets`, which may hang or be cut off by itself: its answers are large. Only the order of reconciles depends on it.
    Lists,
    Sts,
    Sqs,
}

impl Service {
    /// Whether its calls may wait long for their answer. All queues of a region are one target, and each has one call
    /// at a time, so a call that waits says nothing of another queue.
    fn polls(self) -> bool {
        self == Self::Sqs
    }
}

/// What answers or does not answer as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) service: Service,
    pub(super) region: String,
    /// The role that signs; `None`: the operator itself.
    pub(super) role: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// AWS answered, with success or with an error.
    Answered,
    /// Without an answer, for this cause.
    Unanswered(Cause),
    /// It was given up, or nothing was sent.
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    /// The calls in progress, with the time at which each began.
    calls: HashMap<u64, Instant>,
    answered: Option<Instant>,
    /// Since when it is open, and what opened it.
    opened: Option<(Instant, Cause)>,
    /// The call that tries whether the target answers again.
    probe: Option<u64>,
}

impl State {
    /// Whether the target was called long ago and has answered nothing since then.
    fn silent(&self, now: Instant) -> bool {
        let oldest = self.calls.values().min();
        oldest
            .is_some_and(|began| now.saturating_duration_since(*began) >= SILENT && self.answered.is_none_or(|answered| answered < *began))
    }
}

/// The breakers of all targets.
#[derive(Debug, Default)]
pub(super) struct Breakers {
    targets: HashMap<Target, State>,
    calls: u64,
}

impl Breakers {
    /// Begins a call. `Err`: it has to fail at once, for the same cause as the one before.
    pub(super) fn begin(&mut self, target: &Target, now: Instant) -> Result<u64, Cause> {
        if self.targets.len() >= MANY && !self.targets.contains_key(target) {
            self.forget_one();
        }
        let state = self.targets.entry(target.clone()).or_default();
        let call = self.calls;
        if let Some((opened, cause)) = state.opened {
            let open = now.saturating_duration_since(opened) < OPEN;
            if open || (state.probe.is_some() && !target.service.polls()) {
                return Err(cause);
            }
            state.probe = Some(call);
        } else if !target.service.polls() && state.silent(now) {
            return Err(Cause::Unavailable);
        }
        self.calls = self.calls.saturating_add(1);
        state.calls.insert(call, now);
        Ok(call)
    }

    /// Forgets the target that matters least: one that never answered before one that did, a closed one before an open
    /// one, the oldest first. Objects may name Regions that do not exist, and these never answer. A target with calls in
    /// progress is not forgotten; their number is limited.
    fn forget_one(&mut self) {
        let idle = self.targets.iter().filter(|(_, state)| state.calls.is_empty());
        let least = idle.min_by_key(|(_, state)| {
            (state.answered.is_some(), state.opened.is_some(), state.answered.max(state.opened.map(|(since, _)| since)))
        });
        if let Some(least) = least.map(|(target, _)| target.clone()) {
            self.targets.remove(&least);
        }
    }

    /// Ends a call.
    pub(super) fn end(&mut self, target: &Target, call: u64, end: End, now: Instant) {
        let Some(state) = self.targets.get_mut(target) else { return };
        let Some(began) = state.calls.remove(&call) else { return };
        if state.probe == Some(call) {
            state.probe = None;
        }
        match end {
            End::Answered => {
                state.answered = Some(now);
                state.opened = None;
            }
            // An answer to a later call shows that the target is there.
            End::Unanswered(cause) if state.answered.is_none_or(|answered| answered <= began) => state.opened = Some((now, cause)),
            End::Unanswered(_) | End::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    fn target(region: &str) -> Target {
        Target { service: Service::SecretsManager, region: region.to_owned(), role: None }
    }

    fn at(second: u64) -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START + Duration::from_secs(second)
    }

    #[test]
    fn after_a_call_without_an_answer_others_fail_at_once_until_a_probe_is_answered() {
        let (mut breakers, west) = (Breakers::default(), target("eu-west-1"));
        let first = breakers.begin(&west, at(0)).unwrap();
        breakers.end(&west, first, End::Unanswered(Cause::Unavailable), at(3));
        for second in 3..7 {
            assert_eq!(breakers.begin(&west, at(second)), Err(Cause::Unavailable), "{second}");
        }
        for other in [
            target("eu-north-1"),
            Target { service: Service::Sts, ..west.clone() },
            Target { service: Service::Lists, ..west.clone() },
            Target { role: Some("r".to_owned()), ..west.clone() },
        ] {
            assert!(breakers.begin(&other, at(3)).is_ok(), "{other:?} is another target");
        }
        let probe = breakers.begin(&west, at(7)).unwrap();
        assert_eq!(breakers.begin(&west, at(60)), Err(Cause::Unavailable), "one probe at a time");
        breakers.end(&west, probe, End::Unanswered(Cause::Unavailable), at(61));
        assert_eq!(breakers.begin(&west, at(64)), Err(Cause::Unavailable), "open again");
        let probe = breakers.begin(&west, at(65)).unwrap();
        breakers.end(&west, probe, End::Answered, at(65));
        assert!(breakers.begin(&west, at(65)).is_ok() && breakers.begin(&west, at(65)).is_ok(), "closed");
    }

    #[test]
    fn one_lost_answer_among_others_closes_nothing() {
        let (mut breakers, west) = (Breakers::default(), target("eu-west-1"));
        let lost = breakers.begin(&west, at(0)).unwrap();
        let other = breakers.begin(&west, at(1)).unwrap();
        breakers.end(&west, other, End::Answered, at(2));
        breakers.end(&west, lost, End::Unanswered(Cause::Unavailable), at(3));
        assert!(breakers.begin(&west, at(3)).is_ok());
    }

    #[test]
    fn a_target_that_is_silent_takes_no_further_calls_before_the_first_one_times_out() {
        let (mut breakers, west) = (Breakers::default(), target("eu-west-1"));
        let hanging = breakers.begin(&west, at(0)).unwrap();
        let (second, answered) = (breakers.begin(&west, at(4)).unwrap(), breakers.begin(&west, at(4)).unwrap());
        assert_eq!(breakers.begin(&west, at(5)), Err(Cause::Unavailable));
        breakers.end(&west, answered, End::Answered, at(6));
        assert!(breakers.begin(&west, at(7)).is_ok(), "one call hangs, the target answers");
        breakers.end(&west, hanging, End::Unanswered(Cause::Unavailable), at(45));
        breakers.end(&west, second, End::Unknown, at(45));
        assert_eq!(breakers.begin(&west, at(46)), Err(Cause::Unavailable), "the call of second 7 hangs too");
    }

    #[test]
    fn a_queue_without_messages_holds_no_other_queue_of_its_region_up() {
        let (mut breakers, queues) = (Breakers::default(), Target { service: Service::Sqs, ..target("eu-west-1") });
        let idle = breakers.begin(&queues, at(0)).unwrap();
        let other = breakers.begin(&queues, at(19)).expect("the first one waits for messages");
        breakers.end(&queues, idle, End::Unanswered(Cause::Unavailable), at(30));
        assert_eq!(breakers.begin(&queues, at(31)), Err(Cause::Unavailable), "no answer at all");
        let probe = breakers.begin(&queues, at(34)).unwrap();
        assert!(breakers.begin(&queues, at(50)).is_ok(), "the probe waits for messages, too");
        breakers.end(&queues, probe, End::Answered, at(54));
        breakers.end(&queues, other, End::Unanswered(Cause::Unavailable), at(55));
        assert!(breakers.begin(&queues, at(55)).is_ok(), "a later call was answered");
    }

    #[test]
    fn a_probe_that_is_given_up_lets_another_one_try() {
        let (mut breakers, west) = (Breakers::default(), target("eu-west-1"));
        let first = breakers.begin(&west, at(0)).unwrap();
        breakers.end(&west, first, End::Unanswered(Cause::Unavailable), at(1));
        let probe = breakers.begin(&west, at(10)).unwrap();
        breakers.end(&west, probe, End::Unknown, at(10));
        assert!(breakers.begin(&west, at(10)).is_ok());
    }

    #[test]
    fn invented_targets_are_forgotten_before_one_that_has_answered() {
        let (mut breakers, west, busy) = (Breakers::default(), target("eu-west-1"), target("eu-north-1"));
        let answered = breakers.begin(&west, at(0)).unwrap();
        breakers.end(&west, answered, End::Answered, at(0));
        let unanswered = breakers.begin(&west, at(1)).unwrap();
        breakers.end(&west, unanswered, End::Unanswered(Cause::Unavailable), at(2));
        let busy_call = breakers.begin(&busy, at(2)).unwrap();
        for (number, end) in (0..5000).zip([End::Unanswered(Cause::Unavailable), End::Unknown].into_iter().cycle()) {
            let target = target(&format!("region-{number}"));
            let call = breakers.begin(&target, at(3)).unwrap();
            breakers.end(&target, call, end, at(3));
        }
        assert_eq!(breakers.targets.len(), MANY);
        assert_eq!(breakers.begin(&west, at(4)), Err(Cause::Unavailable), "it is still open");
        breakers.end(&busy, busy_call, End::Unanswered(Cause::Unavailable), at(4));
        assert_eq!(breakers.begin(&busy, at(5)), Err(Cause::Unavailable), "the call in progress was not forgotten");
    }

    #[test]
    fn a_call_that_fails_at_once_names_the_cause_of_the_one_before() {
        let (mut breakers, west) = (Breakers::default(), target("eu-west-1"));
        for (cause, began) in [(Cause::CredentialsUnavailable, 0), (Cause::Unavailable, 10)] {
            let call = breakers.begin(&west, at(began)).unwrap();
            breakers.end(&west, call, End::Unanswered(cause), at(began + 1));
            assert_eq!(breakers.begin(&west, at(began + 2)), Err(cause));
        }
    }
}
