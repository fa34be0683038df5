//! Changes of conditions that log, Events, counter and audit stream tell.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::RotatedSecretStatus;
use crate::api::condition::{ConditionType, Reason};

/// The conditions beside Ready that are told. Stalled and Reconciling only repeat what Ready says.
const ASPECTS: [ConditionType; 4] = [ConditionType::Provisioned, ConditionType::Rotated, ConditionType::Mirrored, ConditionType::RolledOut];

/// A change of the status or of the reason of a condition.
#[derive(Debug, Clone, Copy)]
pub struct ConditionChange<'a> {
    /// The condition before; `None`: it was not there.
    pub before: Option<&'a Condition>,
    /// The condition now.
    pub now: &'a Condition,
    /// A call failed for the reason that the condition has now.
    failure: bool,
    /// The status before had this reason as well, in another condition.
    known: bool,
}

impl<'a> ConditionChange<'a> {
    /// The changes between two statuses that are told: each change of Ready, and of the other conditions each new problem and
    /// each recovery. One cause is told once, by Ready if it has that reason. The conditions that a rotation or a rollout
    /// passes through are not told.
    pub fn all(before: &'a RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Vec<Self> {
        let mut told: Vec<Self> = Self::of(ConditionType::Ready, before, after).into_iter().collect();
        for of in ASPECTS {
            let change = Self::of(of, before, after).filter(|change| change.is_problem() || change.is_recovery());
            told.extend(change.filter(|change| !told.iter().any(|earlier| earlier.tells(change))));
        }
        told
    }

    fn of(of: ConditionType, earlier: &'a RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Option<Self> {
        let (before, now) = (find(earlier, of), find(after, of)?);
        let same = before.is_some_and(|before| (&before.status, &before.reason) == (&now.status, &now.reason));
        let failure = || {
            let failures = after.failures.as_ref()?;
            // While something fails, a rotation is overdue because of that.
            let overdue = of != ConditionType::Ready && now.reason == Reason::Overdue.as_str();
            Some(overdue || failures.steps.iter().any(|step| step.reason == now.reason))
        };
        // That a condition was True before is news: the Secret is gone while the operator does nothing for the object.
        let held = of != ConditionType::Ready && before.is_some_and(|before| before.status == "True");
        let known = || !held && has_problem(earlier, &now.reason);
        (!same).then(|| Self { before, now, failure: failure().unwrap_or_default(), known: known() })
    }

    /// Whether this change tells the cause of the other one, which is of another condition.
    fn tells(&self, other: &Self) -> bool {
        if other.is_problem() {
            let overdue = self.is_of_ready() && other.now.reason == Reason::Overdue.as_str();
            return self.is_problem() && (overdue || self.now.reason == other.now.reason);
        }
        let was = |change: &Self| change.before.map(|before| before.reason.clone());
        (self.is_of_ready() && self.is_recovery()) || was(self) == was(other)
    }

    /// Whether it is the condition Ready.
    pub fn is_of_ready(&self) -> bool {
        self.now.type_ == "Ready"
    }

    /// Whether the condition is False for a reason that is neither the progress of a change nor a suspension.
    pub fn is_problem(&self) -> bool {
        is_problem(self.now)
    }

    /// Whether the condition is True.
    pub fn holds(&self) -> bool {
        self.now.status == "True"
    }

    /// Whether Ready was False, or another condition had a problem, and is True.
    pub fn is_recovery(&self) -> bool {
        self.holds() && self.before.is_some_and(|before| if self.is_of_ready() { before.status == "False" } else { is_problem(before) })
    }

    /// Whether the operator refuses what it read. Otherwise a call to AWS, Kubernetes or a target failed for this reason, in
    /// this reconcile or before, which was counted then.
    pub fn is_refusal(&self) -> bool {
        self.is_problem() && !self.failure && !self.known
    }

    /// Whether the operator refuses what it refused before. Another condition, or Stalled, had the reason already, and it was
    /// told and counted then.
    pub fn is_repeated(&self) -> bool {
        self.is_problem() && !self.failure && self.known
    }
}

/// Whether a condition has a problem for this reason, or Stalled has kept it.
fn has_problem(status: &RotatedSecretStatus, reason: &str) -> bool {
    let has = |condition: &Condition| if condition.type_ == "Stalled" { condition.status == "True" } else { is_problem(condition) };
    status.conditions.iter().any(|condition| condition.reason == reason && has(condition))
}

fn is_problem(condition: &Condition) -> bool {
    let mut expected = vec![Reason::Creating, Reason::Progressing, Reason::Suspended];
    // Pods are being replaced. Ready waits for them only if a rotation does.
    expected.extend((condition.type_ != "Ready").then_some(Reason::Waiting));
    condition.status == "False" && expected.iter().all(|expected| condition.reason != expected.as_str())
}

fn find(status: &RotatedSecretStatus, of: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == of.to_string())
}

#[cfg(test)]
mod tests;
