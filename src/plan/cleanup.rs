//! What to do for an object that is being deleted. It ends for every combination of facts: either with the AWS secret
//! scheduled for deletion, or with the reason why it is kept.

use jiff::{SignedDuration, Timestamp};

use crate::desired::{AwsRemoval, Removal};
use crate::facts::{Remains, SecretLeft};
use crate::journal::{CONSISTENCY_WINDOW, Effect, Journal};
use crate::step::{Step, StepKind};

/// How long to wait for AWS to remove replicas.
const REPLICAS_LEAVE: SignedDuration = SignedDuration::from_secs(5);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanupNext {
    /// Look for the AWS secret.
    Look,
    /// Carry out this step.
    Do(Step),
    /// Look again at this time.
    Wait {
        /// When.
        until: Timestamp,
        /// What the deletion waits for.
        why: String,
    },
    /// Remove the finalizer. `kept`: why an AWS secret remains that should have been deleted.
    Release {
        /// The reason.
        kept: Option<String>,
    },
}

/// What to do next. What AWS shows may be older than the last change of the secret, so the absence of the secret or of its
/// tags counts only after the consistency window. A deletion that AWS shows may have been cancelled since, so it is
/// requested again within the window. A deletion that AWS accepted counts at once.
pub fn plan_cleanup(removal: &Removal, remains: &Remains, journal: &Journal, now: Timestamp) -> CleanupNext {
    if remains.mirror && !journal.tried(&Step::ReleaseMirror) {
        return CleanupNext::Do(Step::ReleaseMirror);
    }
    let Some(aws) = removal.aws.as_ref().filter(|_| !journal.did(StepKind::Delete)) else { return released() };
    if !aws.managed {
        return kept("spec.value was removed from the object, which has not managed the AWS secret since".to_owned());
    }
    if removal.suspended {
        return kept("spec.suspend is true, so nothing is changed in AWS".to_owned());
    }
    let unsettled = || {
        let until = removal.requested.saturating_add(CONSISTENCY_WINDOW).unwrap_or(now);
        (now < until).then_some(until)
    };
    match (&remains.secret, unsettled()) {
        (None, _) => CleanupNext::Look,
        (Some(SecretLeft::OutOfReach(why)), _) => kept(why.clone()),
        (Some(SecretLeft::Ours { deleted: false, replicas, .. }), _) => delete(aws, replicas, journal, now),
        (Some(SecretLeft::Ours { deleted: true, .. }), Some(_)) => CleanupNext::Do(Step::Delete { window: aws.window }),
        (Some(_), Some(until)) => CleanupNext::Wait { until, why: format!("AWS may show an old state; what it shows counts from {until}") },
        (Some(SecretLeft::Foreign), None) if aws.recorded.is_some() || aws.adopting => {
            kept("its tags do not say that it is owned by this object".to_owned())
        }
        (Some(SecretLeft::Former { deleted: false, .. }), None) => {
            kept("its tags say that it is owned by an earlier object of this name, and this object did not adopt it".to_owned())
        }
        (
            Some(
                SecretLeft::Ours { deleted: true, .. }
                | SecretLeft::Former { deleted: true, .. }
                | SecretLeft::Absent
                | SecretLeft::Foreign,
            ),
            None,
        ) => released(),
    }
}

fn released() -> CleanupNext {
    CleanupNext::Release { kept: None }
}

fn kept(why: String) -> CleanupNext {
    CleanupNext::Release { kept: Some(why) }
}

/// AWS refuses to delete a secret that has replicas, and removes them after it has answered.
fn delete(aws: &AwsRemoval, replicas: &std::collections::BTreeSet<String>, journal: &Journal, now: Timestamp) -> CleanupNext {
    let stop = Step::StopReplicating { regions: replicas.clone() };
    let stopped = journal.entries().iter().rev().find(|entry| entry.step.key() == stop.key());
    match stopped.map(|entry| &entry.effect) {
        _ if replicas.is_empty() => CleanupNext::Do(Step::Delete { window: aws.window }),
        None => CleanupNext::Do(stop),
        Some(Effect::Applied { .. }) => {
            let until = now.saturating_add(REPLICAS_LEAVE).unwrap_or(now);
            CleanupNext::Wait { until, why: "AWS is removing the replicas of the secret".to_owned() }
        }
        // AWS does not have them any more and still shows them, or is removing them.
        Some(_) => CleanupNext::Do(Step::Delete { window: aws.window }),
    }
}
