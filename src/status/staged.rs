//! The version on its way to a target.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::history;
use crate::api::{AWSCURRENT, AWSPENDING, RotatedSecretStatus, STAGED_LABEL, StagedStatus, StagedStep};
use crate::compare::{Observation, Pending, SecretState};
use crate::desired::{Desired, Strategy};
use crate::plan::{Examined, StagingNews};
use crate::step::Step;
use crate::version_id::VersionId;

/// Records what is about to happen to a version, and what comes next.
pub(super) fn report(
    after: &mut RotatedSecretStatus,
    before: &RotatedSecretStatus,
    want: &Desired,
    seen: &Observation,
    secret: &SecretState,
    examined: &Examined,
    now: Timestamp,
) {
    let (pending, cause) = match &secret.pending {
        Pending::Ours(version, cause) | Pending::Overtaken(version, cause) => (Some(version), Some(*cause)),
        _ => (None, None),
    };
    if let (Some(StagingNews::Abandoned(version, why)), Some(cause)) = (&examined.staging, cause) {
        history::abandon(after, before, version, cause, *why, now);
    }
    let announced = match &examined.staging {
        Some(StagingNews::Announced(version)) => Some(version),
        _ => None,
    };
    // What the operator does not go on with keeps its record as long as a label says that the target may have it.
    let left = seen.status.staging.announced.as_ref().filter(|announced| {
        let labelled = |label: &str| secret.labels.get(label) == Some(&announced.version);
        !labelled(AWSCURRENT) && (labelled(AWSPENDING) || labelled(STAGED_LABEL)) || seen.hidden(now).is_some()
    });
    let left = left.map(|announced| &announced.version);
    after.staged = pending.or(announced).or(left).map(|version| {
        let same = before.staged.as_ref().filter(|staged| staged.version_id == version.as_str());
        let declared = want.strategy.as_ref().map(Strategy::record);
        let recorded = same.and_then(StagedStatus::target);
        let current = secret.current.as_ref().map(|current| current.version.to_string());
        // A version that is not staged yet is recorded again when it is about to be.
        let same_attempt = same.filter(|_| announced != Some(version) || pending == Some(version));
        // Another target is recorded when it is announced. Until then the version may be at this one.
        let target = if announced == Some(version) { declared.or(recorded) } else { recorded.or(declared) };
        let staged = StagedStatus {
            version_id: version.to_string(),
            step: match same {
                Some(same) if pending.or(announced) != Some(version) => same.step,
                _ => step(seen, examined, pending.is_some(), version),
            },
            since: same_attempt.map_or(Time(now), |staged| staged.since.clone()),
            from: same_attempt.and_then(|staged| staged.from.clone()).or(current),
            due_time: history::staged_due_time(before, version, now),
            postgres: None,
            mysql: None,
            redis: None,
            webhook: None,
            job: None,
        };
        staged.with_target(target)
    });
}

fn step(seen: &Observation, examined: &Examined, staged: bool, version: &VersionId) -> StagedStep {
    let verify = Step::Verify { version: version.clone() };
    if !staged {
        StagedStep::Stage
    } else if matches!(examined.staging, Some(StagingNews::Abandoned(..))) || seen.status.staging.abandoned(version).is_some() {
        StagedStep::Abandon
    } else if seen.journal.failure(&verify).is_some() {
        StagedStep::Verify
    } else {
        StagedStep::Apply
    }
}

#[cfg(test)]
mod tests;
