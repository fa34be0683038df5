//! What to do where AWS rotates with a function (docs/design/0008-rotation-by-aws.md).
//!
//! ```text
//!   off --ClaimRotation--> marked --ConfigureRotation--> on --(asked) RotateNow--> pending ==AWS==> current
//!   on --(suspended) CancelRotation--> marked       on --(not declared any more) CancelRotation--> marked --ReleaseRotation--> off
//! ```
//!
//! While a version is pending that is not current, nothing is sent that AWS would refuse or that would abandon it.

use jiff::{SignedDuration, Timestamp};

use super::due::Look;
use super::{Ownership, Rest, CONSISTENCY_WINDOW, Step, kept, known};
use crate::api::condition::Reason;
use crate::desired::{LambdaRotation, Refusal, Rotation};
use crate::version_id::VersionId;

/// How long AWS may be busy with a rotation after its date has passed, before that counts as a failure.
const GRACE: SignedDuration = SignedDuration::from_mins(15);
/// How long a version may be pending without anything note. A function has a quarter of an hour for each of four steps.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// How soon to look again while AWS rotates; and when it takes longer.
const SOON: SignedDuration = SignedDuration::from_secs(15);
const LATER: SignedDuration = SignedDuration::from_secs(60);

/// Rotation by AWS, as far as it concerns us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LambdaRotationFacts {
    /// It is on. Where it is on and not ours, [`super::Remote::foreign_rotation`] says so as well.
    pub enabled: bool,
    /// Our mark is on the secret.
    pub marked: bool,
    /// Another object's mark is, and the secret is not ours.
    pub contested: bool,
    /// Function and rules are the declared ones.
    pub as_declared: bool,
    /// By when AWS will have rotated next.
    pub next: Option<Timestamp>,
    /// When AWS last rotated.
    pub last: Option<Timestamp>,
}

/// What there is to do about rotation by AWS.
pub(super) enum Governed {
    /// This.
    Do(Step),
    /// Nothing now, and nobody else decides about rotation.
    Rest,
    /// It is none of AWS's.
    No,
}

/// Whether AWS rotates, is to rotate, or is to stop.
pub(super) fn concerns(look: &Look<'_>) -> bool {
    matches!(look.want.rotation, Rotation::Lambda(_)) || retired(look)
}

/// Our mark is still there, and nobody else has made the secret their own since.
fn retired(look: &Look<'_>) -> bool {
    look.remote.rotation.marked && look.remote.ownership != Ownership::Another
}

/// The namespace may not use the function.
pub(super) fn not_allowed(want: &crate::desired::Desired) -> Refusal {
    let function = if let Rotation::Lambda(lambda_rotation) = &want.rotation { lambda_rotation.function.as_str() } else { "" };
    Refusal::new(
        Reason::FunctionNotAllowed,
        format!(
            "the function {function} is none of those that namespace {} may have AWS rotate with: name another in \
             spec.rotation.lambda.functionArn, or ask the administrator to put it into the annotation {} on the Namespace",
            want.namespace,
            crate::api::ALLOWED_FUNCTIONS
        ),
    )
}

/// A version that AWS is rotating to, or left pending.
pub(super) fn turning<'a>(look: &'a Look<'_>) -> Option<&'a VersionId> {
    look.remote.pending.as_ref().filter(|pending| **pending != look.current.version)
}

/// Decides, and says how rotation stands.
pub(super) fn govern(look: &Look<'_>, rest: &mut Rest) -> Governed {
    match &look.want.rotation {
        Rotation::Lambda(lambda_rotation) => wanted(look, lambda_rotation, rest),
        _ if retired(look) => unwanted(look, rest),
        _ => Governed::No,
    }
}

/// Rotation by AWS was declared once, and is not any more.
fn unwanted(look: &Look<'_>, rest: &mut Rest) -> Governed {
    if !look.remote.rotation.enabled {
        return Governed::Do(Step::ReleaseRotation);
    }
    if turning(look).is_some() && failure(look).is_none() {
        watch(look, rest);
        return Governed::Rest;
    }
    Governed::Do(Step::CancelRotation)
}

fn wanted(look: &Look<'_>, lambda_rotation: &LambdaRotation, rest: &mut Rest) -> Governed {
    let rotation = &look.remote.rotation;
    if let Some(refusal) = not_ours(look).or_else(|| lambda_rotation.terms.as_ref().err().cloned()) {
        rest.rotated = Some(refusal);
        return Governed::Rest;
    }
    rest.next_rotation = rotation.next.filter(|_| rotation.enabled);
    let failed = failure(look);
    if lambda_rotation.suspended {
        return suspended(look, lambda_rotation, failed.is_some(), rest);
    }
    let request = asked(look);
    if request.is_none() {
        rest.rotate_handled.clone_from(&look.want.rotate_request);
    }
    let step = if !rotation.marked {
        Step::ClaimRotation
    } else if !(rotation.enabled && rotation.as_declared) {
        Step::ConfigureRotation { version: first(look, lambda_rotation) }
    } else if let Some(version) = request {
        label(look).unwrap_or(Step::RotateNow { version })
    } else if let Some(label) = label(look) {
        label
    } else {
        rest.rotated = failed.or(rest.rotated.take());
        watch(look, rest);
        return Governed::Rest;
    };
    if turning(look).is_some() && step != Step::ClaimRotation {
        // AWS would refuse. Where rotation is off nobody goes on with what is pending.
        rest.rotated = failed.or_else(|| (!rotation.enabled).then(|| left_over(look))).or(rest.rotated.take());
        watch(look, rest);
        Governed::Rest
    } else if rest.mirrored.is_some() {
        rest.rotated = Some(Refusal::new(Reason::Overdue, "held until the Secret can be written (see Mirrored)"));
        Governed::Rest
    } else if rest.unsettled {
        Governed::Rest
    } else if unrecorded(look) {
        rest.rotated = Some(Refusal::new(Reason::Progressing, "the current version is recorded, then AWS is told"));
        rest.wake = Some(look.now);
        Governed::Rest
    } else {
        Governed::Do(step)
    }
}

/// The function labels nothing for us: what AWS made previous gets the label of a version to go back to before it loses that.
fn label(look: &Look<'_>) -> Option<Step> {
    look.want.value.as_ref().and_then(|_| retention::before_write(look.want, look.seen, look.remote, look.current))
}

/// Where AWS rotates, the current version is reported before another can follow: the labels remember only two.
pub(super) fn unrecorded(look: &Look<'_>) -> bool {
    matches!(look.want.rotation, Rotation::Lambda(_)) && look.seen.reported.history.first() != Some(&look.current.version)
}

/// Why rotation of this secret is not ours to decide on.
fn not_ours(look: &Look<'_>) -> Option<Refusal> {
    let name = &look.want.secret_name;
    if look.remote.ownership == Ownership::Another || look.remote.rotation.contested {
        return Some(Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} belongs to another object, or another object has AWS rotate it (see its tags rotated-secrets.io/*): remove \
                 spec.rotation to mirror it only"
            ),
        ));
    }
    look.remote.foreign_rotation.then(|| {
        Refusal::new(
            Reason::ForeignRotation,
            format!(
                "AWS rotates {name} already, with another function or for a service that owns it: turn that off with aws secretsmanager \
                 cancel-rotate-secret --secret-id {name}, name that function in spec.rotation.lambda, or remove spec.rotation to mirror it only"
            ),
        )
    })
}

fn suspended(look: &Look<'_>, lambda_rotation: &LambdaRotation, failed: bool, rest: &mut Rest) -> Governed {
    if look.remote.rotation.enabled {
        if turning(look).is_some() && !failed {
            watch(look, rest);
            return Governed::Rest;
        }
        return Governed::Do(Step::CancelRotation);
    }
    let due = lambda_rotation.terms.as_ref().ok().and_then(|terms| terms.schedule.next_after(look.current.anchor));
    if asked(look).is_some() {
        let message =
            "a rotation is asked for and spec.rotation.suspend is true: AWS rotates only where rotation is on, so set it to false";
        rest.rotated = Some(Refusal::new(Reason::Suspended, message));
    } else {
        rest.rotate_handled.clone_from(&look.want.rotate_request);
        if due.is_some_and(|due| due <= look.now) {
            let message = "a rotation is due and spec.rotation.suspend is true: set it to false, and AWS rotates in its next window";
            rest.rotated = Some(Refusal::new(Reason::Suspended, message));
        }
    }
    rest.wake = rest.wake.into_iter().chain(due.filter(|due| *due > look.now)).min();
    Governed::Rest
}

/// The version to which to rotate at once when rotation is first configured, where that is asked.
fn first(look: &Look<'_>, lambda_rotation: &LambdaRotation) -> Option<VersionId> {
    // A value of ours that was just made is as young as any; somebody else's is new to us.
    let new = if look.want.value.is_some() { look.seen.reported.unscheduled } else { look.seen.reported.never_scheduled };
    let version = look.want.ids.first();
    (lambda_rotation.immediately && new && !known(&version, look.seen, look.remote, look.current)).then_some(version)
}

/// A person asked for a rotation that AWS has not begun.
fn asked(look: &Look<'_>) -> Option<VersionId> {
    let token = look.want.rotate_request.as_ref()?;
    let version = look.want.ids.request(token);
    let handled = look.seen.reported.rotate_handled.as_ref() == Some(token) || known(&version, look.seen, look.remote, look.current);
    (!handled).then_some(version)
}

/// What AWS says only in CloudTrail follows from dates.
fn failure(look: &Look<'_>) -> Option<Refusal> {
    let rotation = &look.remote.rotation;
    if !rotation.enabled {
        return None;
    }
    let late = rotation.next.filter(|next| *next < look.now);
    let Some(pending) = turning(look) else {
        let next = late.filter(|next| next.saturating_add(GRACE).is_ok_and(|end| end <= look.now))?;
        return Some(Refusal::new(
            Reason::Overdue,
            format!(
                "AWS was to rotate by {next} and has not begun: see RotationFailed in CloudTrail; to rotate now: kubectl annotate rsec {} {}=$(date \
                 +%s) --overwrite",
                look.want.name,
                crate::api::ROTATE
            ),
        ));
    };
    let limit = if late.is_some() { GRACE } else { PATIENCE };
    if look.remote.last_changed.is_none_or(|changed| look.now.duration_since(changed) < limit) {
        return None;
    }
    let name = &look.want.secret_name;
    let function =
        if let Rotation::Lambda(lambda_rotation) = &look.want.rotation { lambda_rotation.function.rsplit(':').next().unwrap_or("") } else { "NAME" };
    Some(Refusal::new(
        Reason::RotationFailed,
        format!(
            "AWS could not rotate to version {pending}; the version before it stays current, and AWS tries again by itself: see the log of the \
             function (aws logs tail /aws/lambda/{function}) and RotationFailed in CloudTrail. To begin anew once it is mended, take the label \
             away with aws secretsmanager update-secret-version-stage --secret-id {name} --version-stage AWSPENDING --remove-from-version-id \
             {pending}, and ask for a rotation"
        ),
    ))
}

fn left_over(look: &Look<'_>) -> Refusal {
    let name = &look.want.secret_name;
    let pending = turning(look).map_or("", VersionId::as_str);
    Refusal::new(
        Reason::ForeignPending,
        format!(
            "version {pending} of {name} is labelled AWSPENDING by a rotation that was cancelled, so AWS begins none: see whether its value is in \
             use, then take the label away with aws secretsmanager update-secret-version-stage --secret-id {name} --version-stage AWSPENDING \
             --remove-from-version-id {pending}"
        ),
    )
}

/// When to look again while AWS rotates, or may fail to.
fn watch(look: &Look<'_>, rest: &mut Rest) {
    let rotation = &look.remote.rotation;
    let mut moments = Vec::new();
    if turning(look).is_some() {
        if let Some(changed) = look.remote.last_changed {
            let young = look.now.duration_since(changed) < CONSISTENCY_WINDOW;
            moments.push(look.now + if young { SOON } else { LATER });
            moments.extend([changed.saturating_add(GRACE), changed.saturating_add(PATIENCE)].into_iter().flatten());
        }
    } else if let Some(next) = rotation.next {
        moments.extend(next.saturating_add(GRACE));
    }
    rest.wake = rest.wake.into_iter().chain(moments.into_iter().filter(|moment| *moment > look.now)).min();
}
