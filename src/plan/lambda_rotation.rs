//! Rotation by AWS with a Lambda function (docs/design/0008-rotation-by-aws.md).
//!
//! ```text
//!   off --ClaimRotation--> claimed --ConfigureRotation--> on --(requested) RotateNow--> pending ==AWS==> current
//!   on --(suspended) CancelRotation--> claimed     on --(no longer declared) CancelRotation--> claimed --ReleaseRotation--> off
//! ```
//!
//! While a version is pending that is not current, nothing is sent that AWS would refuse or that would abandon it.

mod failure;

use jiff::{SignedDuration, Timestamp};

use self::failure::{GRACE, MAX_PENDING, failure};
use super::assessment::Examined;
use super::hold::{delay, left_staged, too_soon};
use super::intents::{Proposal, open_request};
use super::situation::Situation;
use super::{hold, retention};
use crate::api::condition::Reason;
use crate::api::{AWSPENDING, STAGED_LABEL};
use crate::command::Command;
use crate::desired::{Desired, LambdaRotation, Rotation};
use crate::facts::pace::Limited;
use crate::journal::{CONSISTENCY_WINDOW, Remedy};
use crate::refusal::Refusal;
use crate::step::Step;
use crate::version_id::VersionId;

/// How soon to check a rotation in progress; and when it takes longer.
const RECHECK_SOON: SignedDuration = SignedDuration::from_secs(15);
const RECHECK_LATER: SignedDuration = SignedDuration::from_secs(60);

/// The namespace may not use the function.
pub(super) fn not_allowed(want: &Desired) -> Refusal {
    let function = if let Rotation::Lambda(lambda) = &want.rotation { lambda.function.as_str() } else { "" };
    Refusal::new(
        Reason::FunctionNotAllowed,
        format!(
            "namespace {} may not use the rotation function {function}: name another one in spec.rotation.lambda.functionArn, or ask the \
             administrator to add it to the annotation {} on the Namespace",
            want.namespace,
            crate::api::ALLOWED_FUNCTIONS
        ),
    )
}

/// Whether AWS rotates, should rotate, or should stop.
pub(super) fn lambda(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    match &situation.want.rotation {
        Rotation::Lambda(lambda) => declared(situation, lambda, examined),
        _ if retired(situation) => undeclared(situation, examined),
        _ => Proposal::Nothing,
    }
}

/// Our claim is still there, and no other object owns the secret now.
fn retired(situation: &Situation<'_>) -> bool {
    situation.secret.rotation.claimed && !situation.secret.ownership.is_another()
}

/// A version that AWS rotates to, or left pending.
fn pending<'a>(situation: &Situation<'a>) -> Option<&'a VersionId> {
    situation.secret.pending.in_progress()
}

/// Rotation by AWS was declared once, and no longer is.
fn undeclared(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    if !situation.secret.rotation.enabled {
        return Proposal::Step(Step::ReleaseRotation);
    }
    if pending(situation).is_some() && failure(situation).is_none() {
        recheck(situation, examined);
        return Proposal::Wait;
    }
    Proposal::Step(Step::CancelRotation)
}

fn declared(situation: &Situation<'_>, lambda: &LambdaRotation, examined: &mut Examined) -> Proposal {
    let rotation = &situation.secret.rotation;
    if let Some(refusal) = not_ours(situation).or_else(|| lambda.config.as_ref().err().cloned()) {
        examined.aspects.rotated = Some(refusal);
        return Proposal::Wait;
    }
    examined.rotation.next = rotation.next.filter(|_| rotation.enabled);
    if lambda.suspended {
        return suspended(situation, lambda, examined);
    }
    let mut request = open_request(situation);
    if request.is_none() {
        examined.requests.rotate.clone_from(&situation.want.rotate_request);
    } else if let Some(until) = too_soon(situation, Limited::Requests) {
        delay(until, examined);
        request = None;
    }
    let Some(step) = next_step(situation, lambda, request) else {
        examined.aspects.rotated = failure(situation).or(examined.aspects.rotated.take());
        recheck(situation, examined);
        return Proposal::Wait;
    };
    start(situation, step, examined)
}

fn next_step(situation: &Situation<'_>, lambda: &LambdaRotation, request: Option<VersionId>) -> Option<Step> {
    let rotation = &situation.secret.rotation;
    if !rotation.claimed {
        return Some(Step::ClaimRotation);
    }
    if !(rotation.enabled && rotation.as_declared) {
        return Some(Step::ConfigureRotation { version: first(situation, lambda) });
    }
    // The function moves no retention labels. The previous version gets one before it loses AWSPREVIOUS.
    let label = situation.want.value.as_ref().and_then(|_| retention::before_write(situation));
    label.or_else(|| request.map(|version| Step::RotateNow { version }))
}

/// The step, unless something holds it back.
fn start(situation: &Situation<'_>, step: Step, examined: &mut Examined) -> Proposal {
    let rotation = &situation.secret.rotation;
    let aspects = &mut examined.aspects;
    if pending(situation).is_some() && step != Step::ClaimRotation {
        // AWS would refuse. If rotation is off, no rotation finishes what is pending.
        aspects.rotated = failure(situation).or_else(|| (!rotation.enabled).then(|| left_over(situation))).or(aspects.rotated.take());
        recheck(situation, examined);
        return Proposal::Wait;
    }
    let unfit = situation.seen.journal.unfit(&situation.current.version);
    // The message of a value without the declared fields advises to request a rotation. A label may move before it.
    let helps = matches!(step, Step::RotateNow { .. } | Step::MoveLabel { .. }) && unfit.is_some_and(|unfit| unfit.remedy != Remedy::Value);
    let undelivered =
        situation.want.target.is_some() && aspects.mirrored.as_ref().is_some_and(|refusal| refusal.reason != Reason::Contested);
    if undelivered && !helps {
        aspects.rotated = Some(Refusal::new(Reason::Overdue, "waiting until the Secret can be written (see Mirrored)"));
        return Proposal::Wait;
    }
    if examined.awaiting_consistency {
        return Proposal::Wait;
    }
    if situation.unrecorded() {
        aspects.rotated = Some(Refusal::new(Reason::Progressing, "the current version is recorded before AWS is told to rotate"));
        examined.wake.at([situation.now]);
        return Proposal::Wait;
    }
    Proposal::Step(step)
}

/// Why this object does not decide about the rotation of the secret.
fn not_ours(situation: &Situation<'_>) -> Option<Refusal> {
    let name = &situation.want.secret_name;
    if situation.secret.ownership.is_another() || situation.secret.rotation.contested {
        return Some(Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} belongs to another object, or another object manages its rotation (see its tags rotated-secrets.io/*): \
                 remove spec.rotation to mirror it only"
            ),
        ));
    }
    situation.secret.rotation.foreign.then(|| {
        Refusal::new(
            Reason::ForeignRotation,
            format!(
                "AWS rotates {name} already, with another function or for a service that manages it: {}remove spec.rotation to mirror it only, or \
                 name the function in spec.rotation.lambda",
                hold::turn_off(situation.want, situation.secret)
            ),
        )
    })
}

fn suspended(situation: &Situation<'_>, lambda: &LambdaRotation, examined: &mut Examined) -> Proposal {
    if situation.secret.rotation.enabled {
        if pending(situation).is_some() && failure(situation).is_none() {
            recheck(situation, examined);
            return Proposal::Wait;
        }
        return Proposal::Step(Step::CancelRotation);
    }
    let due = lambda.config.as_ref().ok().and_then(|config| config.schedule.next_after(situation.current.schedule_base));
    let message = if open_request(situation).is_some() {
        Some("a rotation is requested and spec.rotation.suspend is true: AWS rotates only while rotation is on, so set it to false")
    } else {
        examined.requests.rotate.clone_from(&situation.want.rotate_request);
        let overdue = due.is_some_and(|due| due <= situation.now);
        overdue.then_some("a rotation is due and spec.rotation.suspend is true: set it to false, and AWS rotates in its next window")
    };
    if let Some(message) = message {
        examined.aspects.rotated = Some(Refusal::new(Reason::Suspended, message));
    }
    examined.wake.at(due.filter(|due| *due > situation.now));
    Proposal::Wait
}

/// The version to rotate to at once when rotation is first configured, if the spec asks for that.
fn first(situation: &Situation<'_>, lambda: &LambdaRotation) -> Option<VersionId> {
    // A value of ours that was just made needs no rotation; an external value does.
    let status = &situation.seen.status;
    let new = if situation.want.value.is_some() { status.rotation_is_new() } else { status.schedule.is_none() };
    let version = situation.want.ids.first();
    (lambda.immediately && new && !situation.known(&version)).then_some(version)
}

fn left_over(situation: &Situation<'_>) -> Refusal {
    let Situation { want, secret, .. } = situation;
    if let Some(staged) = pending(situation).filter(|pending| secret.labels.get(STAGED_LABEL) == Some(*pending)) {
        return left_staged(want, secret, staged);
    }
    let name = &situation.want.secret_name;
    let pending = pending(situation).map_or("", VersionId::as_str);
    Refusal::new(
        Reason::ForeignPending,
        format!(
            "version {pending} of {name} has the label AWSPENDING of a rotation that was cancelled, so AWS starts no other: check whether its value \
             is in use, then remove the label: {}",
            Command::RemoveLabel { secret: situation.secret.at(situation.want), label: AWSPENDING, version: pending }
        ),
    )
}

/// When to check again while AWS rotates, or may fail to.
fn recheck(situation: &Situation<'_>, examined: &mut Examined) {
    let rotation = &situation.secret.rotation;
    let now = situation.now;
    let mut times: Vec<Timestamp> = Vec::new();
    if pending(situation).is_some() {
        if let Some(changed) = situation.secret.last_changed {
            let young = now.duration_since(changed) < CONSISTENCY_WINDOW;
            times.extend(now.saturating_add(if young { RECHECK_SOON } else { RECHECK_LATER }));
            times.extend([changed.saturating_add(GRACE), changed.saturating_add(MAX_PENDING)].into_iter().flatten());
        }
    } else if let Some(next) = rotation.next {
        times.extend(next.saturating_add(GRACE));
    }
    examined.wake.at(times.into_iter().filter(|time| *time > now));
}
