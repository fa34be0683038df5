//! Faults on demand: which calls go wrong, and how. A plan plays the same way each time it is given the same calls: chance is drawn from the
//! seed, the rule and the call's number among the calls that match the rule, so that other calls in between change nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::AwsError;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The call is refused with this code (HTTP 400) and has no effect.
    Refuse {
        /// The error code, such as `AccessDeniedException`.
        code: String,
        /// The text.
        message: String,
    },
    /// The call takes effect, then the connection is closed without an answer.
    LoseAnswer,
    /// The call waits first, at most until there is another plan.
    Delay {
        /// For how long, in milliseconds.
        millis: u64,
    },
    /// The call is refused as over the quota, with no effect.
    Throttle,
    /// The call is answered with a server error and has no effect.
    ServerError {
        /// The HTTP status: 500 or 503.
        status: u16,
    },
    /// An event is lost between the event bus and the queue. Calls are not touched by it.
    LoseEvent,
    /// An event arrives that many times more. Calls are not touched by it.
    RepeatEvent {
        /// How many copies there are besides the first.
        times: usize,
    },
    /// A read is answered from the state of that many seconds ago. Writes are not touched by it: they always act on the newest state.
    StaleRead {
        /// The age.
        seconds: u64,
    },
}

/// Which of the calls that match a rule get its fault.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum When {
    /// All of them.
    Always,
    /// One of them, counted from one.
    Nth(u64),
    /// The first so many.
    First(u64),
    /// Each with this chance, between 0 and 1.
    Probability(f64),
}

/// One rule of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// The operation that it matches; none means every operation.
    #[serde(default)]
    pub operation: Option<String>,
    /// The Region that it matches; none means every Region.
    #[serde(default)]
    pub region: Option<String>,
    /// Which of those calls.
    pub when: When,
    /// What happens to them.
    pub fault: Fault,
}

/// A list of rules. All that fit a call happen to it; of several refusals the first in the list.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultPlan {
    /// Where chance comes from.
    #[serde(default)]
    pub seed: u64,
    /// The rules.
    pub rules: Vec<FaultRule>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// A plan with this seed and no rule yet.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, rules: Vec::new() }
    }

    /// This plan and one more rule; `operation` may be `"*"` for every operation.
    #[must_use]
    pub fn with(mut self, operation: &str, when: When, fault: Fault) -> Self {
        self.rules.push(FaultRule { operation: (operation != "*").then(|| operation.to_owned()), region: None, when, fault });
        self
    }

    /// This plan, where the last rule matches calls to this Region only.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        if let Some(rule) = self.rules.last_mut() {
            rule.region = Some(region.to_owned());
        }
        self
    }
}

/// A plan and how far it has played.
#[derive(Debug, Default)]
pub(crate) struct FaultInjector {
    plan: FaultPlan,
    seen: Vec<u64>,
}

/// What happens to one call.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct InjectedFault {
    pub(crate) delay: Duration,
    pub(crate) refusal: Option<(u16, AwsError)>,
    pub(crate) lose_answer: bool,
    pub(crate) age: Duration,
    pub(crate) lose_event: bool,
    pub(crate) repeat: usize,
}

impl FaultInjector {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        let seen = vec![0; plan.rules.len()];
        Self { plan, seen }
    }

    /// Draws for one call.
    pub(crate) fn next(&mut self, operation: &str, region: &str) -> InjectedFault {
        let mut injected = InjectedFault::default();
        for (index, (rule, seen)) in self.plan.rules.iter().zip(&mut self.seen).enumerate() {
            let differs = |only: &Option<String>, is: &str| only.as_deref().is_some_and(|only| only != is);
            if differs(&rule.operation, operation) || differs(&rule.region, region) {
                continue;
            }
            *seen += 1;
            let hit = match rule.when {
                When::Always => true,
                When::Nth(nth) => *seen == nth,
                When::First(count) => *seen <= count,
                When::Probability(chance) => draw(self.plan.seed, index, *seen) < chance,
            };
            if hit {
                injected.add(&rule.fault);
            }
        }
        injected
    }
}

impl InjectedFault {
    fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::Refuse { code, message } => {
                self.refuse(400, AwsError::new(code.clone(), message));
            }
            Fault::Throttle => self.refuse(400, AwsError::throttled()),
            Fault::ServerError { status } => {
                let code = if *status == 503 { "ServiceUnavailable" } else { "InternalServiceError" };
                self.refuse(*status, AwsError::new(code, "An error occurred on the server side."));
            }
            Fault::LoseAnswer => self.lose_answer = true,
            Fault::Delay { millis } => self.delay += Duration::from_millis(*millis),
            Fault::LoseEvent => self.lose_event = true,
            Fault::RepeatEvent { times } => self.repeat = self.repeat.max(*times),
            Fault::StaleRead { seconds } => self.age = self.age.max(Duration::from_secs(*seconds)),
        }
    }

    fn refuse(&mut self, status: u16, error: AwsError) {
        self.refusal.get_or_insert((status, error));
    }
}

/// A number in [0, 1) that depends on these three only.
fn draw(seed: u64, rule: usize, nth: u64) -> f64 {
    let digest =
        Sha256::new().chain_update(seed.to_le_bytes()).chain_update((rule as u64).to_le_bytes()).chain_update(nth.to_le_bytes()).finalize();
    let drawn = digest.iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    f64::from(drawn) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_only_the_calls_it_looks_at() {
        let mut injector = FaultInjector::new(FaultPlan::none().with("PutSecretValue", When::Nth(2), Fault::LoseAnswer));
        let hits: Vec<bool> = ["PutSecretValue", "GetSecretValue", "PutSecretValue", "PutSecretValue"]
            .iter()
            .map(|operation| injector.next(operation, "eu-central-1").lose_answer)
            .collect();
        assert_eq!(hits, [false, false, true, false]);
    }

    #[test]
    fn a_rule_for_a_region_leaves_the_others_alone() {
        let plan = FaultPlan::none().with("*", When::Always, Fault::LoseAnswer).in_region("eu-west-1");
        let mut injector = FaultInjector::new(plan);
        assert!(injector.next("PutSecretValue", "eu-west-1").lose_answer && !injector.next("PutSecretValue", "eu-central-1").lose_answer);
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed_whatever_else_is_called() {
        let plan = FaultPlan::seeded(7).with("PutSecretValue", When::Probability(0.3), Fault::Throttle);
        let (mut alone, mut among) = (FaultInjector::new(plan.clone()), FaultInjector::new(plan));
        let mut hits = 0;
        for _ in 0..1000 {
            among.next("GetSecretValue", "eu-central-1");
            let injected = alone.next("PutSecretValue", "eu-central-1");
            hits += usize::from(injected.refusal.is_some());
            assert_eq!(injected, among.next("PutSecretValue", "eu-central-1"));
        }
        assert!((200..400).contains(&hits), "{hits}");
    }

    #[test]
    fn a_plan_can_be_written_as_json() {
        let text = r#"{"seed":3,"rules":[{"operation":"PutSecretValue","when":{"nth":1},"fault":"loseAnswer"},
            {"when":{"probability":0.5},"fault":{"delay":{"millis":5}}},{"when":"always","fault":{"staleRead":{"seconds":9}}}]}"#;
        let plan: FaultPlan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.rules.len(), 3);
    }
}
