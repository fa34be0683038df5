//! The rollout of the version that the Secret holds.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{RolloutPhase, RolloutStatus, RotatedSecretStatus, WorkloadRef, WorkloadState, WorkloadStatus};
use crate::desired::Desired;
use crate::facts::ReportedRollout;
use crate::plan::Examined;
use crate::version_id::VersionId;

/// How many workloads the status lists.
pub(super) const MOST_LISTED: usize = 32;

/// Records it. What was not looked at stays as it was reported.
pub(super) fn report(after: &mut RotatedSecretStatus, want: &Desired, examined: &Examined) {
    if want.rollout.is_none() {
        after.rollout = None;
        return;
    }
    let Some(news) = &examined.rollout else { return };
    let before = after.rollout.take().filter(|before| before.version_id == news.version.as_str());
    let restarts = before.as_ref().map_or(0, |before| before.restarts).saturating_add(news.restarted);
    let (workloads, unlisted) = match &news.workloads {
        None => before.map(|before| (before.workloads, before.unlisted)).unwrap_or_default(),
        Some(workloads) => {
            let mut listed: Vec<_> = workloads.iter().collect();
            // Those that are not healthy come first, so that they are not among the unlisted.
            listed.sort_by_key(|(workload, state, _)| (*state <= WorkloadState::ScaledToZero, workload.clone()));
            let unlisted = listed.len().saturating_sub(MOST_LISTED);
            listed.truncate(MOST_LISTED);
            (listed.into_iter().map(status).collect(), i32::try_from(unlisted).unwrap_or(i32::MAX))
        }
    };
    after.rollout = Some(RolloutStatus {
        version_id: news.version.to_string(),
        phase: news.phase,
        start_time: Time(news.since),
        completion_time: news.completed.map(Time),
        restarts,
        workloads,
        unlisted,
    });
}

fn status((workload, state, restarts): &(WorkloadRef, WorkloadState, u32)) -> WorkloadStatus {
    let WorkloadRef { kind, name } = workload.clone();
    WorkloadStatus { kind, name, state: *state, restarts: i32::try_from(*restarts).unwrap_or(i32::MAX) }
}

/// How long the rollout took that this reconcile found complete. `None`: none, or it restarted no workload.
pub fn rolled_out(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Option<SignedDuration> {
    let completed = |rollout: &RolloutStatus| rollout.completion_time.clone().filter(|_| rollout.phase == RolloutPhase::Completed);
    let rollout = after.rollout.as_ref()?;
    let at = completed(rollout)?.0;
    let known = before.rollout.as_ref().is_some_and(|before| before.version_id == rollout.version_id && completed(before).is_some());
    let restarted = rollout.workloads.iter().any(|workload| workload.restarts > 0);
    (restarted && !known).then(|| at.duration_since(rollout.start_time.0))
}

/// The rollout as a fact.
pub(super) fn read(status: &RotatedSecretStatus, now: Timestamp, bounded: impl Fn(Timestamp) -> Timestamp) -> Option<ReportedRollout> {
    let rollout = status.rollout.as_ref()?;
    // A time in the future was written by a wrong clock: the timeout and the retirement count from now.
    let past = |time: &Time| bounded(time.0).min(now);
    let restarts: BTreeMap<_, _> = rollout
        .workloads
        .iter()
        .map(|found| {
            let workload = WorkloadRef { kind: found.kind, name: found.name.clone() };
            (workload, u32::try_from(found.restarts).unwrap_or_default())
        })
        .collect();
    Some(ReportedRollout {
        version: VersionId::parse(&rollout.version_id)?,
        phase: rollout.phase,
        since: past(&rollout.start_time),
        completed: rollout.completion_time.as_ref().map(past),
        waits_for_user: rollout.workloads.iter().any(|found| found.state.is_of_user()),
        total: u32::try_from(rollout.restarts).unwrap_or_default(),
        restarts,
    })
}
