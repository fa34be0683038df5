//! A person asks for an older value (annotation `rotated-secrets.io/rollback`).
//!
//! The value is written as a new version whose id follows from the request's token. So a request is carried out once,
//! also if status, annotation or operator are restored from an older time, and the mirror only moves forward.

use super::intent::{Intent, Proposal};
use crate::api::{AWSPENDING, Cause, RollbackRefusal};
use crate::compare::Pending;
use crate::desired::RollbackTo;
use crate::plan::assessment::Examined;
use crate::plan::situation::Situation;
use crate::step::{Source, StepKind};
use crate::version_id::VersionId;

/// Writes the older value again, once for each token.
pub(super) fn rolled_back(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Some(request) = &situation.want.rollback_request else { return Proposal::Nothing };
    if situation.is_staged(&situation.want.ids.rollback(&request.token)) {
        return Proposal::Nothing;
    }
    match answer(situation) {
        Answer::Handled(refused) => {
            examined.requests.rollback = Some((request.token.clone(), refused));
            Proposal::Nothing
        }
        Answer::Inconsistent => {
            examined.awaiting_consistency = true;
            Proposal::Wait
        }
        Answer::Write { version, of } => Proposal::Version(Intent { version, source: Some(Source::Copy { of }), cause: Cause::RolledBack }),
    }
}

/// The refusal of a request for `AWSPREVIOUS` while another version is on its way. That version is finished first, and then the
/// label would be on the version that the request is to replace.
pub(super) fn refused_meanwhile(situation: &Situation<'_>) -> Option<(String, Option<RollbackRefusal>)> {
    let Situation { want, seen, secret, .. } = situation;
    let request = want.rollback_request.as_ref().filter(|request| request.to == Some(RollbackTo::Previous) && want.value.is_some())?;
    let version = want.ids.rollback(&request.token);
    let handled = seen.status.requests.rollback.as_ref().is_some_and(|(token, _)| *token == request.token) || situation.known(&version);
    let on_its_way = matches!(secret.pending, Pending::Ours(..) | Pending::Overtaken(..) | Pending::Delegated(_));
    let moves = on_its_way || seen.journal.did(StepKind::Promote);
    (moves && !handled).then(|| (request.token.clone(), Some(RollbackRefusal::RotationInProgress)))
}

enum Answer {
    /// It was carried out, there is nothing to do, or it cannot be carried out.
    Handled(Option<RollbackRefusal>),
    /// AWS shows a label of the version and not the version.
    Inconsistent,
    /// A new version with the value of an older one.
    Write { version: VersionId, of: VersionId },
}

fn answer(situation: &Situation<'_>) -> Answer {
    let Situation { want, seen, secret, current, .. } = situation;
    let Some(request) = &want.rollback_request else { return Answer::Handled(None) };
    if let Some((_, refused)) = seen.status.requests.rollback.as_ref().filter(|(token, _)| *token == request.token) {
        return Answer::Handled(*refused);
    }
    let version = want.ids.rollback(&request.token);
    if situation.known(&version) {
        return Answer::Handled(None);
    }
    if let Some((_, refused)) = refused_meanwhile(situation) {
        return Answer::Handled(refused);
    }
    if want.value.is_none() {
        return Answer::Handled(Some(RollbackRefusal::MirrorOnly));
    }
    let of = match &request.to {
        None => return Answer::Handled(Some(RollbackRefusal::Malformed)),
        Some(RollbackTo::Version(of)) => of,
        // AWSPREVIOUS is the version that was rolled back from: two equal requests must not undo each other.
        Some(RollbackTo::Previous) if seen.status.rolled_back() == Some(&current.version) => {
            return Answer::Handled(Some(RollbackRefusal::AlreadyRolledBack));
        }
        Some(RollbackTo::Previous) => match secret.previous() {
            Some(previous) => previous,
            None => return Answer::Handled(Some(RollbackRefusal::NoPreviousVersion)),
        },
    };
    if *of == current.version {
        return Answer::Handled(None);
    }
    if situation.only_pending(of) {
        return Answer::Handled(Some(RollbackRefusal::VersionPending));
    }
    read_before(situation, of).unwrap_or_else(|| Answer::Write { version, of: of.clone() })
}

/// What this reconcile found when it read the version, if it cannot be copied.
fn read_before(situation: &Situation<'_>, of: &VersionId) -> Option<Answer> {
    let Situation { seen, secret, .. } = situation;
    if seen.journal.unfit_to_copy(of) {
        return Some(Answer::Handled(Some(RollbackRefusal::FieldMissing)));
    }
    // A version without a value has AWSPENDING only. Any other label means that it exists.
    let shown = || secret.labels.iter().any(|(label, version)| version == of && label != AWSPENDING);
    seen.journal.missing(of).then(|| if shown() { Answer::Inconsistent } else { Answer::Handled(Some(RollbackRefusal::VersionNotFound)) })
}
