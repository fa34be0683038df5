//! AWS reports a failed rotation only in CloudTrail. It follows from dates.

use jiff::SignedDuration;

use crate::api::AWSPENDING;
use crate::api::condition::Reason;
use crate::command::Command;
use crate::desired::Rotation;
use crate::plan::situation::Situation;
use crate::refusal::Refusal;
use crate::version_id::VersionId;

/// How long a due rotation may take to begin before it counts as failed.
pub(super) const GRACE: SignedDuration = SignedDuration::from_mins(15);
/// How long a version may be pending without any change. A function has a quarter of an hour for each of four steps.
pub(super) const MAX_PENDING: SignedDuration = SignedDuration::from_hours(1);

/// Whether a rotation by AWS failed.
pub(super) fn failure(situation: &Situation<'_>) -> Option<Refusal> {
    if !situation.secret.rotation.enabled {
        return None;
    }
    match situation.secret.pending.in_progress() {
        Some(pending) => stuck(situation, pending),
        None => not_begun(situation),
    }
}

fn not_begun(situation: &Situation<'_>) -> Option<Refusal> {
    let overdue = |next: &jiff::Timestamp| next.saturating_add(GRACE).is_ok_and(|end| end <= situation.now);
    let next = situation.secret.rotation.next.filter(overdue)?;
    let want = situation.want;
    Some(Refusal::new(
        Reason::Overdue,
        format!(
            "AWS had to rotate by {next} and has not started: see RotationFailed in CloudTrail; to rotate now: {}",
            Command::Rotate(want.object_ref())
        ),
    ))
}

fn stuck(situation: &Situation<'_>, pending: &VersionId) -> Option<Refusal> {
    let late = situation.secret.rotation.next.is_some_and(|next| next < situation.now);
    let limit = if late { GRACE } else { MAX_PENDING };
    if situation.secret.last_changed.is_none_or(|changed| situation.now.duration_since(changed) < limit) {
        return None;
    }
    let want = situation.want;
    let function = match &want.rotation {
        Rotation::Lambda(lambda) => lambda.function.as_str(),
        _ => "NAME",
    };
    let log = Command::TailFunctionLog { region: &want.region, function: function_name(function) };
    let remove = Command::RemoveLabel { secret: situation.secret.at(want), label: AWSPENDING, version: pending.as_str() };
    Some(Refusal::new(
        Reason::RotationFailed,
        format!(
            "AWS could not rotate to version {pending}; the version before it stays current, and AWS retries: see the log of the function ({log}) \
             and RotationFailed in CloudTrail. To start over once it is fixed, remove the label ({remove}), and request a rotation: {}",
            Command::Rotate(want.object_ref())
        ),
    ))
}

/// The name in the ARN of a function, without a version or an alias: the log group has that name.
fn function_name(arn: &str) -> &str {
    arn.split(':').nth(6).unwrap_or(arn)
}
