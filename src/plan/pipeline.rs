//! How a new version becomes current. Every intent takes this way, for every cause and source of the value.
//!
//! ```text
//!   Direct:  Put [AWSCURRENT]                                       one call: nothing has to be applied to a target
//!   Staged:  Put [AWSPENDING, rotated-secrets/staged] -> Apply -> Verify -> Promote -> Settle
//! ```
//!
//! AWS takes `AWSPENDING` from the version when another writer puts a value. The target may accept the version then, so the
//! label of our own keeps the version and says that it is to be abandoned.
//!
//! The phase is derived from AWS's labels; nothing is remembered. A version of ours with `AWSPENDING` is promoted before
//! anything new begins, also after a crash, and also if its cause is gone by then.

use super::intents::Intent;
use super::situation::Situation;
use super::{retention, retirement};
use crate::api::STAGED_LABEL;
use crate::compare::{Ownership, Pending};
use crate::desired::Delivery;
use crate::step::{Stage, Step};
use crate::version_id::VersionId;

/// The first step of an intent, or what has to come before it.
pub(super) fn begin(situation: &Situation<'_>, intent: Intent) -> Step {
    if let Some(label) = retention::before_write(situation) {
        return label;
    }
    let predecessor = situation.current.version.clone();
    let Some(source) = intent.source else { return finish(situation, intent.version, predecessor) };
    let stage = match situation.want.delivery {
        Delivery::Direct => Stage::Current,
        Delivery::Staged => Stage::Pending,
    };
    let label = match stage {
        Stage::Current => retention::next(situation.want, situation.seen, situation.secret).map(|slot| slot.label),
        Stage::Pending => Some(STAGED_LABEL.to_owned()),
    };
    Step::Put { version: intent.version, source, predecessor: Some(predecessor), cause: intent.cause, stage, label }
}

/// The next step of a staged version. Whether the target has it is asked again in every reconcile, so that a promotion
/// follows a login which the same process has seen.
fn finish(situation: &Situation<'_>, version: VersionId, from: VersionId) -> Step {
    let steps = match situation.want.delivery {
        Delivery::Direct => Vec::new(),
        Delivery::Staged => vec![Step::Apply { version: version.clone(), from: from.clone() }, Step::Verify { version: version.clone() }],
    };
    if let Some(step) = mark(situation, &version) {
        return step;
    }
    let next = steps.into_iter().find(|step| !situation.seen.journal.carried_out(step));
    let next = next.or_else(|| retirement::mark(situation, &version, &from));
    next.unwrap_or(Step::Promote { version, from })
}

/// The label on a version that an earlier release of the operator staged without it. A label that AWS refuses to move holds
/// up no rotation.
fn mark(situation: &Situation<'_>, version: &VersionId) -> Option<Step> {
    let from = situation.secret.labels.get(STAGED_LABEL).cloned();
    let marked = situation.want.delivery == Delivery::Direct || from.as_ref() == Some(version);
    let step = Step::MoveLabel { label: STAGED_LABEL.to_owned(), from, to: Some(version.clone()) };
    (!marked && !situation.seen.journal.tried(&step)).then_some(step)
}

/// A staged version of ours was promoted and still has `AWSPENDING`.
pub(super) fn settle(situation: &Situation<'_>) -> Option<Step> {
    let Pending::Current(version) = &situation.secret.pending else { return None };
    let ours = situation.secret.ownership == Ownership::Ours && version.is_derived();
    // AWS leaves the label there after its own rotations.
    let step = Step::Settle { version: version.clone() };
    // If AWS does not carry it out, the credential goes on without it.
    (ours && !situation.secret.rotated_by_aws() && !situation.seen.journal.tried(&step)).then_some(step)
}
