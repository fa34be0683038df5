//! The periodic check of the target: a login with the current value. Another client may have changed the password in the
//! server, and pods that start then cannot log in. Nothing is written.

use super::intent::Proposal;
use crate::compare::{Ownership, Pending};
use crate::desired::Rotation;
use crate::plan::assessment::Examined;
use crate::plan::situation::Situation;
use crate::step::Step;

/// Asks the target when the interval has passed. A refusal is repeated until the target accepts the value.
pub(super) fn checked(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Some(due) = situation.seen.check_due.filter(|_| applies(situation)) else { return Proposal::Nothing };
    let step = Step::Check { version: situation.current.version.clone() };
    if situation.seen.journal.goes_on(&step).is_some() {
        return Proposal::Step(step);
    }
    let refused = situation.seen.journal.failure(&step).is_some();
    // In this reconcile, the target has answered already, or could not.
    let over = due > situation.now || situation.seen.journal.tried(&step);
    if over && !refused {
        examined.wake.at([due]);
        return Proposal::Nothing;
    }
    Proposal::Step(step)
}

/// Whether the target is to accept the current value, and pods have it.
fn applies(situation: &Situation<'_>) -> bool {
    let Situation { want, secret, current, .. } = situation;
    // The server has the staged value or the current one, or will soon have another one.
    let staged = matches!(secret.pending, Pending::Ours(..) | Pending::Overtaken(..));
    let suspended = matches!(want.rotation, Rotation::Scheduled { suspended: true, .. });
    let ours = want.value.is_some() && secret.ownership == Ownership::Ours;
    let in_use = want.target.is_none() || situation.mirrored() == Some(&current.version);
    want.strategy.is_some() && ours && in_use && !staged && !suspended
}
