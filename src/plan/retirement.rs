//! When the target gives up the previous credential: after every workload is healthy with the current one, and
//! `spec.rollout.retireAfter`.
//!
//! The label `rotated-secrets/retiring` is on the version whose credential is left to retire. It is moved there before the
//! next version is promoted, and taken away when the target has refused the credential. So no restart forgets it, and it
//! happens once.

use jiff::Timestamp;

use super::assessment::Examined;
use super::rollout;
use super::situation::Situation;
use crate::api::condition::Reason;
use crate::api::{Cause, RETIRING_LABEL, RolloutPhase};
use crate::desired::Strategy;
use crate::facts::Workload;
use crate::refusal::Refusal;
use crate::step::Step;
use crate::value::DeclaredValue;
use crate::version_id::VersionId;

/// The label on the version that the promotion replaces, if its credential is to be retired later. A label that AWS refuses
/// to move holds up no rotation; the credential then stays valid until the next one. In an emergency it holds up the
/// promotion: without the label, the leaked credential would stay valid although the request is carried out.
pub(super) fn mark(situation: &Situation<'_>, staged: &VersionId, replaced: &VersionId) -> Option<Step> {
    // A change of the declaration keeps the password, and the credential before it is still left to retire.
    let declared = situation.want.value.as_ref().map(DeclaredValue::hash);
    if left(situation).is_some() && declared.is_some_and(|hash| situation.want.ids.is_declaration(staged, replaced, &hash)) {
        return None;
    }
    let wanted = situation.want.strategy.as_ref().is_some_and(Strategy::overlaps) && retires(situation);
    let from = situation.secret.labels.get(RETIRING_LABEL).cloned();
    let marked = from.as_ref() == Some(replaced);
    let step = Step::MoveLabel { label: RETIRING_LABEL.to_owned(), from, to: Some(replaced.clone()) };
    let journal = &situation.seen.journal;
    let insists = situation.is_emergency(staged) && journal.failure(&step).is_some();
    (wanted && !marked && (insists || !journal.tried(&step))).then_some(step)
}

/// Without a rollout, nobody knows whether pods still have the previous credential. In an emergency, that does not matter.
fn retires(situation: &Situation<'_>) -> bool {
    situation.want.rollout.is_some() || situation.want.emergency || in_emergency(situation)
}

/// Whether the current credential is that of an emergency. A change of the declaration keeps the password, so the credential
/// before it is still to be retired at once.
fn in_emergency(situation: &Situation<'_>) -> bool {
    let (current, status) = (&situation.current.version, &situation.seen.status);
    let made_the_password = status.history.iter().find(|entry| entry.cause != Cause::SpecChanged);
    let made_the_password = made_the_password.filter(|_| status.newest() == Some(current));
    situation.is_emergency(current) || made_the_password.is_some_and(|entry| situation.is_emergency(&entry.version))
}

/// The version whose credential is left to retire.
pub(super) fn left<'a>(situation: &Situation<'a>) -> Option<&'a VersionId> {
    let strategy = situation.want.strategy.as_ref().filter(|strategy| strategy.overlaps());
    let ours = situation.want.value.is_some() && strategy.is_some() && retires(situation);
    let labelled = situation.secret.labels.get(RETIRING_LABEL).filter(|_| ours)?;
    (*labelled != situation.current.version).then_some(labelled)
}

/// Retires it, when it is time and the Secret holds the current version. Before that, the workloads are read once more: one
/// may have been added or changed since the rollout.
pub(super) fn advance(situation: &Situation<'_>, examined: &mut Examined) -> Option<Step> {
    let left = left(situation)?;
    let journal = &situation.seen.journal;
    let step = Step::Retire { version: left.clone(), current: situation.current.version.clone() };
    if let Some(failed) = journal.failure(&step) {
        examined.aspects.fail(failed);
        return None;
    }
    let mut due = due(situation, examined)?;
    if due <= situation.now && !in_emergency(situation) {
        let Some(workloads) = &situation.seen.workloads else { return rollout::look(situation, examined) };
        if rollout::lacks(workloads, &situation.current.version) {
            rollout::reopen(situation, examined);
            return None;
        }
        if let Some(unsettled) = rollout::unsettled(workloads, &situation.current.version, left) {
            examined.aspects.rolled_out = Some(unsettled);
            examined.unsettled = true;
            return None;
        }
        due = drained(examined, workloads)?;
    }
    examined.retirement = Some(due);
    if due > situation.now {
        examined.wake.at([due]);
        return None;
    }
    (!journal.tried(&step)).then_some(step)
}

/// In an emergency, what keeps the operator from the target is told of the credential that leaked, too: it is still valid.
pub(super) fn held_up(situation: &Situation<'_>, examined: &mut Examined) {
    let why = examined.aspects.rotated.as_ref().filter(|why| why.reason.requires_user_action() && !examined.awaiting_consistency);
    if let (Some(left), Some(why)) = (left(situation), why)
        && in_emergency(situation)
    {
        let message = format!("the credential of version {left} is still valid, because it cannot be retired: {}", why.message);
        examined.aspects.rolled_out = Some(Refusal::new(Reason::RetirementFailed, message));
    }
}

/// When no pod is in termination any more that a workload does not count.
fn drained(examined: &Examined, workloads: &[Workload]) -> Option<Timestamp> {
    let grace = workloads.iter().map(|found| found.grace).max().unwrap_or_default();
    examined.rollout.as_ref()?.completed?.saturating_add(grace).ok()
}

fn due(situation: &Situation<'_>, examined: &Examined) -> Option<Timestamp> {
    let current = &situation.current.version;
    // A staged version is finished first: it may be what an emergency asks for.
    if situation.secret.pending.in_progress().is_some() {
        return None;
    }
    if situation.mirrored() != Some(current) {
        return None;
    }
    if in_emergency(situation) {
        return Some(situation.now);
    }
    let rollout = situation.want.rollout.as_ref()?;
    let news = examined.rollout.as_ref().filter(|news| news.version == *current && news.phase == RolloutPhase::Completed)?;
    news.completed?.saturating_add(rollout.retire_after).ok()
}

/// A label of a strategy that is not declared any more.
pub(super) fn forgotten(situation: &Situation<'_>) -> Option<Step> {
    let overlaps = situation.want.strategy.as_ref().is_some_and(Strategy::overlaps);
    let version = situation.secret.labels.get(RETIRING_LABEL).filter(|_| !overlaps)?;
    Some(Step::MoveLabel { label: RETIRING_LABEL.to_owned(), from: Some(version.clone()), to: None })
}

/// Why a new version has to wait: it would take the place of a credential that pods may still use.
pub(super) fn obstacle(situation: &Situation<'_>, cause: Cause, examined: &Examined) -> Option<Refusal> {
    let left = left(situation)?;
    // Every workload has the current one, and the next change of the password makes this one invalid.
    let step = Step::Retire { version: left.clone(), current: situation.current.version.clone() };
    if situation.seen.journal.failure(&step).is_some_and(|failed| !failed.failure.class.is_transient()) {
        return None;
    }
    // After a rollout that failed, and while workloads are not healthy, a person decides.
    let completed = examined.rollout.as_ref().is_some_and(|news| news.phase == RolloutPhase::Completed);
    let decided = cause == Cause::Requested && (situation.want.emergency || examined.unsettled);
    if !completed || cause == Cause::RolledBack || decided {
        return None;
    }
    let until = examined.retirement.map_or_else(String::new, |due| format!(" at {due}"));
    Some(Refusal::new(
        Reason::Waiting,
        format!("waiting until the credential of version {left} is retired{until} (spec.rollout.retireAfter)"),
    ))
}
