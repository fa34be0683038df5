//! Changes of the condition Ready.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::RotatedSecretStatus;
use crate::api::condition::Reason;

/// A change of the status or of the reason of Ready.
#[derive(Debug, Clone, Copy)]
pub struct ReadyChange<'a> {
    /// Ready before; `None`: it was not there.
    pub before: Option<&'a Condition>,
    /// Ready now.
    pub now: &'a Condition,
    /// A call failed for the reason that Ready has now.
    failure: bool,
}

impl<'a> ReadyChange<'a> {
    /// The change between two statuses; `None`: there is none.
    pub fn of(before: &'a RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Option<Self> {
        let (before, now) = (ready(before), ready(after)?);
        let same = before.is_some_and(|before| (&before.status, &before.reason) == (&now.status, &now.reason));
        let failure = || after.failures.as_ref().is_some_and(|failures| failures.steps.iter().any(|step| step.reason == now.reason));
        (!same).then(|| Self { before, now, failure: failure() })
    }

    /// Whether Ready is False for a reason that is neither the progress of a change nor a suspension.
    pub fn is_problem(&self) -> bool {
        let expected = [Reason::Creating, Reason::Progressing, Reason::Suspended];
        !self.holds() && expected.iter().all(|expected| self.now.reason != expected.as_str())
    }

    /// Whether Ready is True.
    pub fn holds(&self) -> bool {
        self.now.status == "True"
    }

    /// Whether Ready was False and is True.
    pub fn is_recovery(&self) -> bool {
        self.holds() && self.before.is_some_and(|before| before.status == "False")
    }

    /// Whether a call to AWS, Kubernetes or a target failed for this reason, in this reconcile or before. Otherwise the operator
    /// refuses what it read.
    pub fn is_failure(&self) -> bool {
        self.failure
    }
}

fn ready(status: &RotatedSecretStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == "Ready")
}
