//! A version of ours is staged: it has `AWSPENDING` and is not current. It is finished or abandoned before anything new
//! begins, also if its cause is gone. It is abandoned if another writer made another version current since: that one wins.

use super::intent::{Intent, Proposal};
use crate::api::condition::Reason;
use crate::api::{ABANDONED_LABEL, Abandonment, Cause, STAGED_LABEL};
use crate::command::Command;
use crate::compare::Pending;
use crate::desired::{RollbackRequest, RollbackTo, Strategy};
use crate::failure::Failure;
use crate::plan::assessment::{Examined, StagingNews};
use crate::plan::hold::left_staged;
use crate::plan::situation::Situation;
use crate::refusal::Refusal;
use crate::step::Step;
use crate::version_id::VersionId;

/// Finishes or abandons it.
pub(super) fn staged(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let (Pending::Ours(version, cause) | Pending::Overtaken(version, cause)) = &situation.secret.pending else {
        return Proposal::Nothing;
    };
    if situation.seen.status.staging.abandoned(version).is_some() {
        return Proposal::Step(Step::Abandon { version: version.clone(), current: situation.current.version.clone() });
    }
    if let Some(why) = to_abandon(situation, version, *cause) {
        examined.aspects.rotated = match why {
            // Pods have the value that the other client chose, and the target does not.
            Abandonment::Overtaken => Some(Refusal::new(
                Reason::Progressing,
                format!("another client changed AWSCURRENT while version {version} was on its way; the target gets the current value"),
            )),
            _ => verify_failed(situation, version).or_else(|| examined.aspects.rotated.take()),
        };
        examined.staging = Some(StagingNews::Abandoned(version.clone(), why));
        examined.wake.at([situation.now]);
        return Proposal::Wait;
    }
    if situation.want.value.is_none() {
        return Proposal::Nothing;
    }
    Proposal::Version(Intent { version: version.clone(), source: None, cause: *cause })
}

/// Why the staged version does not become current.
fn to_abandon(situation: &Situation<'_>, version: &VersionId, cause: Cause) -> Option<Abandonment> {
    if matches!(situation.secret.pending, Pending::Overtaken(..)) {
        return Some(Abandonment::Overtaken);
    }
    // The status was lost after the target was asked to forget the version.
    if situation.secret.labels.get(ABANDONED_LABEL) == Some(version) {
        return Some(Abandonment::Withdrawn);
    }
    let recorded = situation.seen.status.staging.target_of(version).is_some();
    if recorded && (situation.want.strategy.is_none() || for_other_users(situation, version)) {
        return Some(Abandonment::TargetRemoved);
    }
    if verify_failed(situation, version).is_some() {
        return Some(Abandonment::VerifyFailed);
    }
    if recorded && (withdrawn(situation) || replaced_by_rollback(situation, version)) {
        return Some(Abandonment::Withdrawn);
    }
    let changes = situation.changes_credential(cause) && !situation.is_emergency(version);
    (recorded && changes && situation.pinned_to_current()).then_some(Abandonment::Pinned)
}

/// The users that take turns are others than those for which the version was made. The target knows its user by the old name.
fn for_other_users(situation: &Situation<'_>, version: &VersionId) -> bool {
    let recorded = situation.seen.status.staging.target_of(version).map(|target| Strategy::recorded(target, &situation.want.namespace));
    let turns = |strategy: Option<&Strategy>| strategy.and_then(Strategy::alternation).map(|alternation| alternation.turns.clone());
    turns(recorded.as_ref()).zip(turns(situation.want.strategy.as_ref())).is_some_and(|(users, declared)| users != declared)
}

/// The target has the new value, and it does not work. Pods have the old one, which the target refuses.
fn verify_failed(situation: &Situation<'_>, version: &VersionId) -> Option<Refusal> {
    let failed = situation.seen.journal.failure(&Step::Verify { version: version.clone() })?;
    Some(failed.refusal()).filter(|refusal| refusal.reason == Reason::VerifyFailed)
}

/// A person asks for the version that is current, which no other one is to follow.
fn withdrawn(situation: &Situation<'_>) -> bool {
    asked_for(situation).is_some_and(|to| *to == situation.current.version)
}

/// A person asks for an older version, and the target refuses this one. The older one would wait for it.
fn replaced_by_rollback(situation: &Situation<'_>, version: &VersionId) -> bool {
    let apply = Step::Apply { version: version.clone(), from: situation.current.version.clone() };
    let refused = |failure: &Failure| failure.reason == Reason::ApplyFailed && !failure.class.is_transient();
    let refused = situation.seen.journal.failure(&apply).is_some_and(|failed| refused(&failed.failure));
    let carries_it_out =
        || situation.want.rollback_request.as_ref().is_some_and(|request| situation.want.ids.rollback(&request.token) == *version);
    refused && !carries_it_out() && asked_for(situation).is_some_and(|to| to != version && situation.was_current(to))
}

/// The version that an open rollback request names.
fn asked_for<'a>(situation: &Situation<'a>) -> Option<&'a VersionId> {
    let Some(RollbackRequest { token, to: Some(RollbackTo::Version(to)) }) = &situation.want.rollback_request else { return None };
    let handled = situation.seen.status.requests.rollback.as_ref().is_some_and(|(handled, _)| handled == token);
    (!handled && situation.want.value.is_some()).then_some(to)
}

/// A version of ours that nothing goes on with: the target may accept its password only, also while no rotation is due.
pub(super) fn left_behind(situation: &Situation<'_>) -> Option<Refusal> {
    let Pending::Foreign(version) = &situation.secret.pending else { return None };
    let marked = situation.secret.labels.get(STAGED_LABEL) == Some(version);
    marked.then(|| left_staged(situation.want, situation.secret, version))
}

/// The last version was abandoned because it did not work, and no other one followed.
pub(super) fn last_abandoned(situation: &Situation<'_>) -> Option<Refusal> {
    let last = situation.seen.status.staging.abandoned.first().filter(|last| last.why == Abandonment::VerifyFailed)?;
    let applies = situation.want.strategy.is_some() && last.time >= situation.current.changed;
    let rotate = Command::RotateByPlugin(situation.want.object_ref());
    let message = format!(
        "version {} did not work in the target and was abandoned: the target accepts the current version again. The next version is made \
         when a rotation is due; after the cause is corrected: {rotate}",
        last.version
    );
    applies.then(|| Refusal::new(Reason::VerifyFailed, message))
}
