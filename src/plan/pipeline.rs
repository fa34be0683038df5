//! How a new version becomes current. Every intent takes this way, for every cause and source of the value.
//!
//! ```text
//!   Direct:  Put [AWSCURRENT]                                       one call: nothing has to be applied to a target
//!   Staged:  Put [AWSPENDING] -> (apply, verify) -> Promote -> Settle
//! ```
//!
//! The phase is derived from AWS's labels; nothing is remembered. A version of ours with `AWSPENDING` is promoted before
//! anything new begins, also after a crash, and also if its cause is gone by then.

use super::intents::Intent;
use super::retention;
use super::situation::Situation;
use crate::compare::{Ownership, Pending};
use crate::desired::Delivery;
use crate::step::{Stage, Step};

/// The first step of an intent, or what has to come before it.
pub(super) fn begin(situation: &Situation<'_>, intent: Intent) -> Step {
    if let Some(label) = retention::before_write(situation) {
        return label;
    }
    let predecessor = situation.current.version.clone();
    let Some(source) = intent.source else { return Step::Promote { version: intent.version, from: predecessor } };
    let stage = match situation.want.delivery {
        Delivery::Direct => Stage::Current,
        Delivery::Staged => Stage::Pending,
    };
    let label = retention::next(situation.want, situation.seen, situation.secret).filter(|_| stage == Stage::Current);
    Step::Put {
        version: intent.version,
        source,
        predecessor: Some(predecessor),
        cause: intent.cause,
        stage,
        label: label.map(|slot| slot.label),
    }
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
