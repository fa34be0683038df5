//! How workloads take up the version that the Secret holds.
//!
//! ```text
//!   Secret holds V --FindWorkloads--> Restart each whose pod template lacks V --> Waiting --> Completed | Failed
//! ```
//!
//! Which workloads have V is read from their pod templates. The status keeps when the rollout began and ended. A rollout that
//! has ended is not looked at again: pods that start later have V anyway.

use jiff::{SignedDuration, Timestamp};

use super::assessment::{Examined, RolloutNews};
use super::intents::Intent;
use super::situation::Situation;
use crate::api::condition::Reason;
use crate::api::{Cause, RETIRING_LABEL, RolloutPhase, WorkloadRef, WorkloadState};
use crate::command::Command;
use crate::desired::Rollout;
use crate::facts::{ReportedRollout, Workload};
use crate::failure::Failed;
use crate::refusal::Refusal;
use crate::step::{Step, StepKind};
use crate::version_id::VersionId;

/// How often workloads are looked at during a rollout.
const LOOK: SignedDuration = SignedDuration::from_secs(5);
/// How often they are looked at while a user is waited for.
const SLOW_LOOK: SignedDuration = SignedDuration::from_secs(30);
/// How long after the version was found in the Secret workloads are restarted: a kubelet that still has the earlier state of
/// the Secret would give it to a new pod.
const SPREADS: SignedDuration = SignedDuration::from_secs(2);
/// How often one workload is restarted for one version. Then another client removes the annotation each time.
const MOST_RESTARTS: u32 = 3;
/// How many workloads one reconcile restarts.
const AT_ONCE: usize = 10;
/// How many workloads a message names.
const NAMED: usize = 5;

/// The next step of the rollout, or how it is.
pub(super) fn advance(situation: &Situation<'_>, examined: &mut Examined) -> Option<Step> {
    let Situation { want, seen, now, .. } = *situation;
    let (rollout, version) = (want.rollout.as_ref()?, situation.mirrored()?);
    let reported = reported(situation, version);
    let since = reported.map_or(now, |reported| reported.since);
    let phase = RolloutPhase::Completed;
    if let Some(completed) = reported.filter(|reported| reported.phase == phase).and_then(|reported| reported.completed) {
        examined.rollout =
            Some(RolloutNews { version: version.clone(), phase, since, completed: Some(completed), restarted: 0, workloads: None });
        examined.aspects.rolled_out = restored(situation, version);
        return None;
    }
    let Some(workloads) = &seen.workloads else { return look(situation, examined) };
    let mut failures = Vec::new();
    let spread_at = since.saturating_add(SPREADS).unwrap_or(since);
    if is_first(situation, workloads) {
        // Nothing is restarted.
    } else if spread_at > now {
        examined.wake.at([spread_at]);
    } else {
        match restart(situation, version, workloads, reported) {
            Restart::Step(step) => return Some(step),
            Restart::Done(failed) => failures = failed,
        }
    }
    assess(situation, rollout, version, &states(situation, version, workloads, reported), examined);
    if let Some(failed) = failures.first() {
        examined.aspects.fail(failed);
    }
    None
}

/// How far the rollout is, and when to look again.
fn assess(
    situation: &Situation<'_>,
    rollout: &Rollout,
    version: &VersionId,
    states: &[(WorkloadRef, WorkloadState, u32)],
    examined: &mut Examined,
) {
    let (now, reported) = (situation.now, reported(situation, version));
    // A workload that is resumed, or was restarted just now, gets the whole time.
    let resumed = reported.is_some_and(|reported| reported.waits_for_user) && !waits_for_user(states);
    let resumed = resumed || situation.seen.journal.did(StepKind::Restart);
    let since = reported.filter(|_| !resumed).map_or(now, |reported| reported.since);
    let phase = phase(situation, rollout, since, reported, states);
    examined.aspects.rolled_out = match phase {
        RolloutPhase::Completed => restored(situation, version),
        RolloutPhase::Waiting => Some(waiting(version, states)),
        RolloutPhase::Failed => Some(failed(situation, rollout, version, states)),
    };
    let moves = |state: WorkloadState| matches!(state, WorkloadState::Progressing | WorkloadState::Outdated);
    if phase == RolloutPhase::Waiting && states.iter().any(|(_, state, _)| moves(*state)) {
        let ends = since.saturating_add(rollout.timeout).unwrap_or(since);
        examined.wake.at([now.saturating_add(LOOK).unwrap_or(now).min(ends.max(now))]);
    }
    let completed = if phase == RolloutPhase::Completed { Some(now) } else { completed_before(reported) };
    let restarted = i32::try_from(restarted(situation)).unwrap_or(i32::MAX);
    examined.rollout = Some(RolloutNews { version: version.clone(), phase, since, completed, restarted, workloads: Some(states.to_vec()) });
}

/// When workloads that were read, and are waited for, are looked at again at the latest.
pub(super) fn look_again(situation: &Situation<'_>) -> Option<Timestamp> {
    let waits = situation.want.rollout.is_some() && situation.seen.workloads.is_some();
    situation.now.saturating_add(SLOW_LOOK).ok().filter(|_| waits)
}

/// Reads the workloads. `None`: not now. This reconcile read them before it wrote the Secret, or cannot read them.
pub(super) fn look(situation: &Situation<'_>, examined: &mut Examined) -> Option<Step> {
    let (journal, step) = (&situation.seen.journal, Step::FindWorkloads);
    if let Some(failed) = journal.failure(&step) {
        examined.aspects.fail(failed);
        return None;
    }
    examined.wake.at(read_before(situation).then_some(situation.now));
    (!read_before(situation)).then_some(step)
}

/// Whether this reconcile read the workloads, and then wrote the Secret.
fn read_before(situation: &Situation<'_>) -> bool {
    situation.seen.workloads.is_none() && situation.seen.journal.carried_out(&Step::FindWorkloads)
}

fn reported<'a>(situation: &Situation<'a>, version: &VersionId) -> Option<&'a ReportedRollout> {
    situation.seen.status.mirror.rollout.as_ref().filter(|reported| reported.version == *version)
}

/// Whether no version was rolled out before: the pods have the one that the Secret holds, since they started with it or since
/// a user took care of it.
fn is_first(situation: &Situation<'_>, workloads: &[Workload]) -> bool {
    let reported = situation.seen.status.mirror.rollout.is_some();
    let marked = situation.secret.labels.contains_key(RETIRING_LABEL);
    // A version that follows another one, so pods have that one.
    let written = situation.seen.journal.written().is_some_and(|written| written.predecessor.is_some());
    !reported && !marked && !written && workloads.iter().all(|workload| workload.version.is_none())
}

enum Restart {
    /// One is to be restarted.
    Step(Step),
    /// None is. Some could not be.
    Done(Vec<Failed>),
}

fn restart(situation: &Situation<'_>, version: &VersionId, workloads: &[Workload], reported: Option<&ReportedRollout>) -> Restart {
    let mut failures = Vec::new();
    // The status does not list every workload.
    let most = workloads.len().saturating_mul(MOST_RESTARTS as usize);
    if restarted(situation) >= AT_ONCE || reported.is_some_and(|reported| reported.total as usize >= most) {
        return Restart::Done(failures);
    }
    for found in workloads.iter().filter(|found| found.state(version) == WorkloadState::Outdated) {
        let step = Step::Restart { version: version.clone(), workload: found.workload.clone() };
        if let Some(failed) = situation.seen.journal.failure(&step) {
            failures.push(failed.clone());
        } else if !situation.seen.journal.tried(&step) && restarts(reported, &found.workload) < MOST_RESTARTS {
            return Restart::Step(step);
        }
    }
    Restart::Done(failures)
}

/// How many workloads this reconcile restarted.
fn restarted(situation: &Situation<'_>) -> usize {
    situation.seen.journal.kinds().filter(|kind| *kind == StepKind::Restart).count()
}

fn restarts(reported: Option<&ReportedRollout>, workload: &WorkloadRef) -> u32 {
    reported.and_then(|reported| reported.restarts.get(workload)).copied().unwrap_or_default()
}

fn states(
    situation: &Situation<'_>,
    version: &VersionId,
    workloads: &[Workload],
    reported: Option<&ReportedRollout>,
) -> Vec<(WorkloadRef, WorkloadState, u32)> {
    let first = is_first(situation, workloads);
    workloads
        .iter()
        .map(|found| {
            let step = Step::Restart { version: version.clone(), workload: found.workload.clone() };
            let now = u32::from(situation.seen.journal.carried_out(&step));
            let restarts = restarts(reported, &found.workload).saturating_add(now);
            let state = match found.state(version) {
                _ if first => WorkloadState::Healthy,
                // Its controller has not seen the new pod template.
                WorkloadState::Outdated if now > 0 => WorkloadState::Progressing,
                WorkloadState::Outdated if restarts >= MOST_RESTARTS => WorkloadState::Contested,
                state => state,
            };
            (found.workload.clone(), state, restarts)
        })
        .collect()
}

fn waits_for_user(states: &[(WorkloadRef, WorkloadState, u32)]) -> bool {
    states.iter().any(|(_, state, _)| state.is_of_user())
}

fn phase(
    situation: &Situation<'_>,
    rollout: &Rollout,
    since: Timestamp,
    reported: Option<&ReportedRollout>,
    states: &[(WorkloadRef, WorkloadState, u32)],
) -> RolloutPhase {
    use WorkloadState::{Contested, Manual, Outdated, Paused, Progressing, Stuck};
    let any = |wanted: &[WorkloadState]| states.iter().any(|(_, state, _)| wanted.contains(state));
    if !any(&[Progressing, Outdated, Paused, Manual, Stuck, Contested]) {
        return RolloutPhase::Completed;
    }
    let late = situation.now.duration_since(since) >= rollout.timeout;
    let failed_before = reported.is_some_and(|reported| reported.phase == RolloutPhase::Failed);
    let failed = any(&[Stuck, Contested]) || failed_before || late && any(&[Progressing, Outdated]);
    if failed { RolloutPhase::Failed } else { RolloutPhase::Waiting }
}

/// The workloads that are not healthy yet, for messages.
fn named(states: &[(WorkloadRef, WorkloadState, u32)]) -> String {
    let fine = [WorkloadState::Healthy, WorkloadState::ScaledToZero, WorkloadState::Missing];
    let left: Vec<_> = states.iter().filter(|(_, state, _)| !fine.contains(state)).collect();
    let shown: Vec<String> = left.iter().take(NAMED).map(|(workload, state, _)| format!("{workload} ({})", <&str>::from(*state))).collect();
    let more = left.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn waiting(version: &VersionId, states: &[(WorkloadRef, WorkloadState, u32)]) -> Refusal {
    Refusal::new(Reason::Waiting, format!("waiting for workloads to run with version {version}: {}", named(states)))
}

fn failed(situation: &Situation<'_>, rollout: &Rollout, version: &VersionId, states: &[(WorkloadRef, WorkloadState, u32)]) -> Refusal {
    let object = situation.want.object_ref();
    let restores = rollout.rolls_back && version.is_derived() && !situation.is_recovery(version) && !situation.is_emergency(version);
    let restores = restores && completed_before(reported(situation, version)).is_none();
    let next = if restores {
        "the previous value is restored".to_owned()
    } else {
        format!(
            "the previous credential is not retired, and no scheduled rotation happens until they are healthy; to restore the previous value: \
             {}; to rotate again, which may make the credential of pods that still work invalid: {}",
            Command::Rollback(object),
            Command::RotateByPlugin(object)
        )
    };
    Refusal::new(Reason::RolloutFailed, format!("workloads do not run with version {version}: {}; {next}", named(states)))
}

/// The version restores the value from before a rollout that failed.
fn restored(situation: &Situation<'_>, version: &VersionId) -> Option<Refusal> {
    let rotate = Command::RotateByPlugin(situation.want.object_ref());
    situation.is_recovery(version).then(|| {
        Refusal::new(
            Reason::RolloutRolledBack,
            format!(
                "the workloads did not become healthy with the last new value, and version {version} restores the one before it. The next \
                 rotation follows by schedule; after the cause is corrected: {rotate}"
            ),
        )
    })
}

/// When all workloads had the version, if that was so once. A later failure does not say that the value is wrong.
fn completed_before(reported: Option<&ReportedRollout>) -> Option<Timestamp> {
    reported.and_then(|reported| reported.completed)
}

/// Whether one of these workloads does not have the version.
pub(super) fn lacks(workloads: &[Workload], version: &VersionId) -> bool {
    workloads.iter().any(|found| found.state(version) == WorkloadState::Outdated)
}

/// Why a credential is not retired although every workload has the version: earlier pods of one may be left, and nobody knows
/// which version they have.
pub(super) fn unsettled(workloads: &[Workload], version: &VersionId, left: &VersionId) -> Option<Refusal> {
    use WorkloadState::{Healthy, Missing, ScaledToZero};
    let states: Vec<_> = workloads.iter().map(|found| (found.workload.clone(), found.state(version), 0)).collect();
    let settled = states.iter().all(|(_, state, _)| matches!(state, Healthy | Missing | ScaledToZero));
    (!settled).then(|| {
        let message = format!("the credential of version {left} is retired when these workloads are healthy: {}", named(&states));
        Refusal::new(Reason::Waiting, message)
    })
}

/// The rollout goes on: a workload without the version was added since.
pub(super) fn reopen(situation: &Situation<'_>, examined: &mut Examined) {
    let Some(news) = &mut examined.rollout else { return };
    news.phase = RolloutPhase::Waiting;
    news.since = situation.now;
    let states = situation.seen.workloads.as_deref().map(|found| states(situation, &news.version, found, None)).unwrap_or_default();
    examined.aspects.rolled_out = Some(waiting(&news.version, &states));
    news.workloads = Some(states);
    examined.wake.at([situation.now]);
}

/// Reads the workloads before a scheduled rotation, which waits for those that are not healthy.
pub(super) fn look_before(situation: &Situation<'_>, intent: &Intent) -> Option<Step> {
    let asks = situation.want.rollout.as_ref().is_some_and(|rollout| rollout.requires_healthy);
    let step = Step::FindWorkloads;
    let unread = situation.seen.workloads.is_none() && situation.seen.journal.failure(&step).is_none();
    (asks && intent.cause == Cause::Scheduled && intent.source.is_some() && unread).then_some(step)
}

/// Why a new version has to wait: workloads take up the last one, or could not take up this one.
pub(super) fn obstacle(situation: &Situation<'_>, cause: Cause, examined: &Examined) -> Option<Refusal> {
    let rollout = situation.want.rollout.as_ref()?;
    // A person says that the current value is wrong, or that it must not be used any longer.
    if cause == Cause::RolledBack || cause == Cause::Requested && situation.want.emergency {
        return None;
    }
    let Some(news) = &examined.rollout else {
        // The workloads could not be read, so pods may have the credential that the next rotation makes invalid.
        let unread = situation.seen.journal.failure(&Step::FindWorkloads).filter(|_| cause == Cause::Scheduled);
        let again = || read_before(situation).then(|| Refusal::new(Reason::Waiting, "waiting until the workloads are read again"));
        return unread.map(Failed::refusal).or_else(again);
    };
    match news.phase {
        RolloutPhase::Waiting => {
            Some(Refusal::new(Reason::Waiting, format!("waiting until the workloads run with version {} (see RolledOut)", news.version)))
        }
        // Pods that still work have the credential that the next version would make invalid. A person may decide that.
        RolloutPhase::Failed if matches!(cause, Cause::Scheduled | Cause::SpecChanged) => Some(Refusal::new(
            Reason::RolloutFailed,
            format!("waiting, because the workloads do not run with version {} (see RolledOut)", news.version),
        )),
        RolloutPhase::Completed if cause == Cause::Scheduled && rollout.requires_healthy => unhealthy(situation),
        RolloutPhase::Failed | RolloutPhase::Completed => None,
    }
}

fn unhealthy(situation: &Situation<'_>) -> Option<Refusal> {
    if let Some(failed) = situation.seen.journal.failure(&Step::FindWorkloads) {
        return Some(failed.refusal());
    }
    let workloads = situation.seen.workloads.as_ref()?;
    let unhealthy: Vec<_> =
        workloads.iter().filter_map(|found| found.unhealthy().map(|state| (found.workload.clone(), state, 0))).collect();
    (!unhealthy.is_empty()).then(|| {
        Refusal::new(
            Reason::Overdue,
            format!(
                "waiting, because workloads are not healthy (spec.rollout.requireHealthy): {}; to rotate nevertheless: {}",
                named(&unhealthy),
                Command::RotateByPlugin(situation.want.object_ref())
            ),
        )
    })
}
