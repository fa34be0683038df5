//! The plan: facts -> at most one step, or an assessment. Pure, synchronous, total.
//!
//! ```text
//!   absent --Create--> current C --mirror--> mirrored C --(an intent)--> Put N --> current N, previous C --mirror--> ...
//!   refused: not ours, not allowed, scheduled for deletion, foreign rotation, Secret not ours: report it, write nothing
//! ```
//!
//! # Expected flow
//! [`plan`] passes the guards in order (access, finalizer, existence, ownership, drift of settings, lost update,
//! retention labels, mirror), then asks each intent of [`intents::INTENTS`] whether it wants a new version. The first
//! one that does, and that nothing holds back ([`hold`]), enters the [`pipeline`].
//!
//! # Guarantees
//! 1. *Total*: every combination of facts has an answer. Impossible facts lead to a refusal, never to a panic.
//! 2. *Finish before start*: the current version is mirrored before a new one is made.
//! 3. *Record before destroy*: a value is durable in AWS before anything depends on it; the old one keeps `AWSPREVIOUS`.
//! 4. *Idempotent by name*: the id of a new version follows from its cause ([`crate::version_id`]).
//! 5. *Nothing that is not ours is written.*
//! 6. *No step twice*: a step that the journal has is not repeated in the same reconcile.
//! 7. *A place is recorded before an AWS secret becomes ours there*.
//! 8. *A failed step holds up only what depends on it*: it is not tried until its backoff is over, and the rest goes on.

mod absent;
mod adoption;
mod assessment;
mod cleanup;
mod hold;
mod intents;
mod lambda_rotation;
mod lost_update;
mod mirror;
mod pipeline;
pub mod retention;
mod retirement;
mod rollout;
mod settings;
mod situation;

pub use absent::initial;
pub use assessment::{Aspects, Assessment, Blocked, Examined, HandledRequests, Next, RolloutNews, RotationOutlook, StagingNews, Wake};
pub use cleanup::{CleanupNext, plan_cleanup};

use jiff::Timestamp;

use self::situation::Situation;
use crate::api::condition::Reason;
use crate::api::{ALLOWED_NAMES, MIRROR_NAMES};
use crate::command::Command;
use crate::compare::{Current, Observation, Ownership, SecretState};
use crate::desired::{Desired, SecretArn};
use crate::facts::Place;
use crate::step::{Step, StepKind};

/// What to do next for an object that is not being deleted.
pub fn plan(want: &Desired, seen: &Observation, now: Timestamp) -> Next {
    match once(seen, decide(want, seen, now)) {
        Next::Do(step) if unrecorded(want, seen, &step) => once(seen, Next::Do(Step::RecordPlace)),
        next => next,
    }
}

/// No step is carried out twice, and none whose backoff is not over.
fn once(seen: &Observation, next: Next) -> Next {
    match next {
        Next::Do(step) => match seen.journal.failure(&step) {
            Some(failed) => Next::Rest(Assessment::Blocked(Blocked::failed(failed))),
            None if seen.journal.tried(&step) => Next::await_consistency(Reason::Progressing, "AWS does not show the last change yet"),
            None => Next::Do(step),
        },
        rest @ Next::Rest(_) => rest,
    }
}

fn decide(want: &Desired, seen: &Observation, now: Timestamp) -> Next {
    if let Some(next) = access(want, seen) {
        return next;
    }
    if let Some(blocked) = misplaced(want, seen) {
        return Next::Rest(Assessment::Blocked(blocked));
    }
    let Some(secret) = &seen.secret else { return absent::absent(want, seen) };
    if let Some(next) = adoption::admit(want, seen, secret, now) {
        return next;
    }
    let manages = want.value.is_some() && seen.access.function_allowed;
    if manages && let Some(step) = settings::correct(want, seen, secret) {
        return Next::Do(step);
    }
    let Some(current) = &secret.current else { return absent::valueless(want, seen, secret) };
    let situation = Situation { want, seen, secret, current, now };
    if let Some(step) = relabel(&situation, manages) {
        // The Secret is repaired also while AWS refuses the label.
        let repair = seen.journal.failure(&step).and_then(|_| mirror::keep(&situation));
        return Next::Do(repair.unwrap_or(step));
    }
    match mirror::mirror(&situation) {
        Err(step) => Next::Do(step),
        Ok(mirrored) => intents::examine(&situation, mirrored),
    }
}

/// The AWS secret and its current version, if the object may use its value as it is now.
pub fn usable<'a>(want: &Desired, seen: &'a Observation, now: Timestamp) -> Option<(&'a SecretState, &'a Current)> {
    if want.suspended || !seen.access.granted() || misplaced(want, seen).is_some() {
        return None;
    }
    let secret = seen.secret.as_ref().filter(|secret| adoption::admit(want, seen, secret, now).is_none())?;
    Some((secret, secret.current.as_ref()?))
}

/// The next label to move before the mirror.
fn relabel(situation: &Situation<'_>, manages: bool) -> Option<Step> {
    // Labels of an old state say nothing.
    if situation.secret.outdated.is_some() {
        return None;
    }
    lost_update::restore(situation)
        .or_else(|| manages.then(|| pipeline::settle(situation)).flatten())
        .or_else(|| manages.then(|| retention::prune(situation)).flatten())
}

/// Why no secret may be created or used here. Tags that name this object are proof enough, wherever the status points.
fn misplaced(want: &Desired, seen: &Observation) -> Option<Blocked> {
    let proved = want.value.is_some() && seen.secret.as_ref().is_some_and(|secret| secret.ownership == Ownership::Ours);
    let blocked = match &seen.place {
        Place::AsConfigured | Place::Recorded(_) => None,
        Place::Unproved(refusal) => Some(Blocked::by(refusal.clone())),
        Place::Unsettled(refusal, until) => Some(Blocked { wake: Wake(Some(*until)), ..Blocked::by(refusal.clone()) }),
    };
    blocked.filter(|_| !proved)
}

/// Whether this step makes an AWS secret the object's at a place that the status does not say. The place is recorded first,
/// so that a restart with other flags finds the secret, and again before each attempt: how old the record is tells whether
/// AWS may not show the secret yet.
fn unrecorded(want: &Desired, seen: &Observation, step: &Step) -> bool {
    let known = seen.status.arn.as_deref().and_then(SecretArn::parse).is_some_and(|arn| want.is_at(&arn.region, &arn.name));
    step.claims_secret() && !known && !seen.journal.did(StepKind::RecordPlace)
}

/// What ends the plan before the AWS secret matters.
fn access(want: &Desired, seen: &Observation) -> Option<Next> {
    if want.suspended {
        return Some(Next::Rest(Assessment::Suspended));
    }
    if !seen.access.name_allowed {
        let (verb, annotation) = if want.manages() { ("own", ALLOWED_NAMES) } else { ("mirror", MIRROR_NAMES) };
        return Some(Next::refuse(
            Reason::NameNotAllowed,
            format!(
                "the AWS name {} is outside what namespace {} may {verb}: leave out spec.aws.secretName, or ask the administrator to allow the \
                 name, beside those that the annotation allows already: {}",
                want.secret_name,
                want.namespace,
                Command::AllowName { namespace: &want.namespace, annotation, name: &want.secret_name },
            ),
        ));
    }
    if let Some(refusal) = &seen.access.refused {
        return Some(Next::blocked(refusal.clone()));
    }
    let needed = want.needs_finalizer() || seen.status.staging.announced.is_some();
    let differs = seen.finalizer != needed;
    differs.then_some(Next::Do(if seen.finalizer { Step::RemoveFinalizer } else { Step::AddFinalizer }))
}

#[cfg(test)]
mod tests;
