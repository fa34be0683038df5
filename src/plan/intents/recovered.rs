//! Workloads did not become healthy with the current value, and `spec.rollout.onFailure` is `RollBack`: the previous value is
//! written again, once for each version.

use super::intent::{Intent, Proposal};
use crate::api::{Cause, RolloutPhase};
use crate::plan::assessment::Examined;
use crate::plan::situation::Situation;
use crate::step::Source;

/// Restores the previous value. A restored value that fails too is not replaced.
pub(super) fn recovered(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Situation { want, seen, secret, current, .. } = situation;
    let asked = want.rollout.as_ref().is_some_and(|rollout| rollout.rolls_back) && want.value.is_some();
    let failed = examined.rollout.as_ref().filter(|news| news.phase == RolloutPhase::Failed && news.version == current.version);
    // All workloads were healthy with the value once, so it is not the reason.
    let failed = failed.is_some_and(|news| news.completed.is_none());
    // A value of another writer is the truth, also if pods cannot use it.
    let ours = current.version.is_derived() && !situation.is_recovery(&current.version);
    // An emergency replaces a value that leaked.
    let ours = ours && !situation.is_emergency(&current.version);
    if !asked || !failed || !ours {
        return Proposal::Nothing;
    }
    let version = want.ids.recovery(&current.version);
    let Some(of) = secret.previous().filter(|_| !situation.known(&version)) else { return Proposal::Nothing };
    if seen.journal.unfit_to_copy(of) || seen.journal.missing(of) {
        return Proposal::Nothing;
    }
    Proposal::Version(Intent { version, source: Some(Source::Copy { of: of.clone() }), cause: Cause::RolledBack })
}
