//! `PutSecretValue` moves `AWSCURRENT` unconditionally, so an external update between our read and our write can be
//! lost. External values win: the operator moves `AWSCURRENT` back to that version, in the same reconcile or after a
//! restart.

use super::mirror::follows_current;
use super::situation::Situation;
use crate::compare::MirrorState;
use crate::desired::RollbackRequest;
use crate::step::Step;
use crate::value::DeclaredValue;
use crate::version_id::VersionId;

/// Moves `AWSCURRENT` back to an external version that our write replaced.
pub(super) fn restore(situation: &Situation<'_>) -> Option<Step> {
    let Situation { seen, secret, current, .. } = situation;
    let external = match seen.journal.written() {
        // This reconcile knows which version ours was meant to follow.
        Some(written) => {
            secret.previous().filter(|previous| Some(*previous) != written.predecessor && current.version == *written.version)?
        }
        None => lost_earlier(situation)?,
    };
    Some(Step::RestoreCurrent { to: external.clone(), from: current.version.clone() })
}

/// The write was made, and its reconcile never ended. A version is only written when the mirror holds its predecessor.
/// So if the current version is ours and not reported, and the mirror still holds what was reported last, ours was meant
/// to follow that. Another version in between that cannot be ours was lost.
fn lost_earlier<'a>(situation: &Situation<'a>) -> Option<&'a VersionId> {
    let Situation { want, seen, secret, current, .. } = *situation;
    let external = secret.previous()?;
    let newest = seen.status.newest()?;
    let lost = want.value.is_some()
        && follows_current(want)
        && (situation.mirrored() == Some(newest) || refused_before(situation, external))
        && current.version.is_derived()
        && written_by_operator(situation, newest)
        && !seen.status.recorded(&current.version)
        && !external.is_derived()
        && !seen.status.recorded(external);
    lost.then_some(external)
}

/// Whether the operator wrote the current version after `predecessor`, and not AWS. A rotation by AWS that the operator
/// requested has an id of the operator too, and the function has set its value in the database.
fn written_by_operator(situation: &Situation<'_>, predecessor: &VersionId) -> bool {
    let Situation { want, secret, current, .. } = situation;
    let declared = |value: &DeclaredValue| want.ids.is_declaration(&current.version, predecessor, &value.hash());
    let rolled_back = |request: &RollbackRequest| want.ids.rollback(&request.token) == current.version;
    !secret.rotated_by_aws() || want.value.as_ref().is_some_and(declared) || want.rollback_request.as_ref().is_some_and(rolled_back)
}

/// Whether AWS refused to move `AWSCURRENT` back, and the Secret was deleted since.
fn refused_before(situation: &Situation<'_>, external: &VersionId) -> bool {
    let Situation { seen, current, .. } = situation;
    let restore = Step::RestoreCurrent { to: external.clone(), from: current.version.clone() };
    seen.mirror == MirrorState::Absent && seen.journal.failure(&restore).is_some()
}
