//! What to do for an object that is being deleted. It ends for every combination of facts: either with the AWS secret
//! scheduled for deletion, or with the reason why it is kept.

use jiff::{SignedDuration, Timestamp};

use crate::desired::Removal;
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
    if !aws.managed && removal.strategy.is_none() {
        return kept("spec.value was removed from the object, which has not managed the AWS secret since".to_owned());
    }
    if removal.suspended {
        return suspended(aws.window.is_some() || removal.staged.is_some());
    }
    let unsettled = unsettled(removal, now);
    if let Some(step) = abandon(removal, remains, journal) {
        return CleanupNext::Do(step);
    }
    let Some(window) = aws.window.filter(|_| aws.managed) else { return retained(removal, remains, journal, unsettled) };
    match (&remains.secret, unsettled) {
        (None, _) => CleanupNext::Look,
        (Some(SecretLeft::OutOfReach(why)), _) => kept(why.clone()),
        (Some(SecretLeft::Ours { deleted: false, replicas, .. }), _) => delete(window, replicas, journal, now),
        (Some(SecretLeft::Ours { deleted: true, .. }), Some(_)) => CleanupNext::Do(Step::Delete { window }),
        (Some(_), Some(until)) => old_state(until),
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

/// Until when AWS may show a state from before the deletion.
fn unsettled(removal: &Removal, now: Timestamp) -> Option<Timestamp> {
    let until = removal.requested.saturating_add(CONSISTENCY_WINDOW).unwrap_or(now);
    (now < until).then_some(until)
}

/// Nothing is changed in AWS. `pending`: something would be.
fn suspended(pending: bool) -> CleanupNext {
    if pending { kept("spec.suspend is true, so nothing is changed in AWS".to_owned()) } else { released() }
}

/// The version that is staged for a target is abandoned first: nothing finishes it once the object is gone. The values of a
/// secret that is scheduled for deletion cannot be read.
fn abandon(removal: &Removal, remains: &Remains, journal: &Journal) -> Option<Step> {
    let Some(SecretLeft::Ours { deleted: false, staged: Some(staged), .. }) = &remains.secret else { return None };
    let step = Step::Abandon { version: staged.version.clone(), current: staged.current.clone() };
    (removal.strategy.is_some() && !journal.tried(&step)).then_some(step)
}

/// Why the staged version stays as it is. Any other failure ends the attempt, and another one follows.
fn left_staged(journal: &Journal) -> Option<String> {
    journal.failed().find(|(key, _)| key.kind() == StepKind::Abandon).map(|(_, failed)| failed.failure.message.clone())
}

/// The AWS secret stays, and only a staged version matters.
fn retained(removal: &Removal, remains: &Remains, journal: &Journal, unsettled: Option<Timestamp>) -> CleanupNext {
    let abandoned = journal.did(StepKind::Abandon);
    if let Some(why) = left_staged(journal) {
        return kept(why);
    }
    match (&remains.secret, unsettled) {
        (None, _) => CleanupNext::Look,
        (Some(SecretLeft::OutOfReach(why)), _) if removal.staged.is_some() => kept(why.clone()),
        // What the status says was staged after the state that AWS shows.
        (Some(_), Some(until)) if removal.staged.is_some() && !abandoned => old_state(until),
        _ => released(),
    }
}

fn old_state(until: Timestamp) -> CleanupNext {
    CleanupNext::Wait { until, why: format!("AWS may show an old state; what it shows counts from {until}") }
}

fn released() -> CleanupNext {
    CleanupNext::Release { kept: None }
}

fn kept(why: String) -> CleanupNext {
    CleanupNext::Release { kept: Some(why) }
}

/// AWS refuses to delete a secret that has replicas, and removes them after it has answered.
fn delete(window: i32, replicas: &std::collections::BTreeSet<String>, journal: &Journal, now: Timestamp) -> CleanupNext {
    let stop = Step::StopReplicating { regions: replicas.clone() };
    let stopped = journal.entries().iter().rev().find(|entry| entry.step.key() == stop.key());
    match stopped.map(|entry| &entry.effect) {
        _ if replicas.is_empty() => CleanupNext::Do(Step::Delete { window }),
        None => CleanupNext::Do(stop),
        Some(Effect::Applied { .. }) => {
            let until = now.saturating_add(REPLICAS_LEAVE).unwrap_or(now);
            CleanupNext::Wait { until, why: "AWS is removing the replicas of the secret".to_owned() }
        }
        // AWS does not have them any more and still shows them, or is removing them.
        Some(_) => CleanupNext::Do(Step::Delete { window }),
    }
}
