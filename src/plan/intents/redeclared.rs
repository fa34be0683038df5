//! The declared fields changed.

use super::intent::{Intent, Proposal};
use crate::api::condition::Reason;
use crate::api::{Abandonment, Cause};
use crate::desired::Rotation;
use crate::journal::CONSISTENCY_WINDOW;
use crate::plan::assessment::Examined;
use crate::plan::situation::Situation;
use crate::refusal::Refusal;
use crate::step::Source;
use crate::value::DeclaredValue;

/// The staging labels show that the new declaration was written, but only until another version follows: it is reported
/// first.
pub(super) fn unreported(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Some(declared) = situation.want.value.as_ref().map(DeclaredValue::hash) else { return Proposal::Nothing };
    if unchanged(situation, &declared) || !situation.has_declared(&declared) {
        return Proposal::Nothing;
    }
    examined.wake.at([situation.now]);
    Proposal::Wait
}

/// Writes a version with the new declaration, once for each predecessor.
pub(super) fn redeclared(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Situation { want, seen, current, .. } = situation;
    let Some(declared) = want.value.as_ref().map(DeclaredValue::hash) else { return Proposal::Nothing };
    if unchanged(situation, &declared) {
        return Proposal::Nothing;
    }
    // Only a rollback has been examined so far.
    if examined.requests.held_until.is_some() {
        let message = "spec.value changed: the requested rollback comes first, and waits because requests follow each other too quickly";
        examined.aspects.provisioned = Some(Refusal::new(Reason::Progressing, message));
        return Proposal::Nothing;
    }
    let used = seen.used();
    for version in want.ids.declarations(&current.version, &declared) {
        if let Some(why) = seen.status.staging.abandoned(&version).filter(|why| *why != Abandonment::AlreadyExists) {
            let message = format!("spec.value changed: version {version} was abandoned ({})", why.as_str());
            examined.aspects.provisioned = Some(Refusal::new(Reason::VerifyFailed, message));
            return Proposal::Nothing;
        }
        match used.get(&version) {
            // Made for this change, and not shown as current yet.
            Some(created) if situation.now.duration_since(*created) < CONSISTENCY_WINDOW => {
                examined.awaiting_consistency = true;
                examined.wake.at(created.saturating_add(CONSISTENCY_WINDOW));
                return Proposal::Wait;
            }
            // Made for an earlier change: the same one, before another client moved AWSCURRENT back.
            Some(_) => {}
            None if situation.known(&version) || seen.status.recorded(&version) => {}
            None => return Proposal::Version(Intent { version, source: Some(Source::Compose), cause: Cause::SpecChanged }),
        }
    }
    // AWS removes versions without a staging label, and their ids are free again.
    let message =
        "spec.value changed; the same change was made and moved back too often for another version: move AWSCURRENT to another version";
    examined.aspects.provisioned = Some(Refusal::new(Reason::Progressing, message));
    Proposal::Nothing
}

fn unchanged(situation: &Situation<'_>, declared: &str) -> bool {
    let Situation { want, seen, current, .. } = situation;
    // A rotation in this reconcile has the new declaration already.
    if seen.journal.composed(&current.version) {
        return true;
    }
    if let Some(reported) = &seen.status.declared.hash {
        return reported == declared;
    }
    // The status does not know. An external value stays; a version that can only be ours must be as declared.
    let may_be_external = match want.rotation {
        // A version that the function made has the id of our request.
        Rotation::Lambda(_) => current.version != want.ids.creation(),
        _ => !current.version.is_derived(),
    };
    current.matches != Some(false) || may_be_external
}
