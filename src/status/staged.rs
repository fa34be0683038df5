//! The version on its way to a target.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::history;
use crate::api::{RotatedSecretStatus, StagedStatus, StagedStep};
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
        history::abandon(after, version, cause, *why, now);
    }
    let announced = match &examined.staging {
        Some(StagingNews::Announced(version)) => Some(version),
        _ => None,
    };
    after.staged = pending.or(announced).map(|version| {
        let same = before.staged.as_ref().filter(|staged| staged.version_id == version.as_str());
        StagedStatus {
            version_id: version.to_string(),
            step: step(seen, examined, pending.is_some(), version),
            since: same.map_or(Time(now), |staged| staged.since.clone()),
            postgres: want.strategy.as_ref().map(Strategy::record).or_else(|| same.and_then(|staged| staged.postgres.clone())),
        }
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
