//! The AWS secret does not exist, or has no value.

use super::{Assessment, Blocked, Next, hold, lambda_rotation, mirror};
use crate::api::condition::Reason;
use crate::api::{Cause, InitialRef};
use crate::command::Command;
use crate::compare::{MirrorState, Observation, SecretState};
use crate::desired::{Desired, Strategy};
use crate::refusal::Refusal;
use crate::step::{Source, Stage, Step};

/// It does not exist.
pub(super) fn absent(want: &Desired, seen: &Observation) -> Next {
    if want.value.is_none() {
        return Next::refuse(
            Reason::SecretNotFound,
            format!(
                "there is no AWS secret {} in {}: create it, or declare in spec.value what the operator creates",
                want.secret_name, want.region
            ),
        );
    }
    if !seen.access.function_allowed {
        return Next::blocked(lambda_rotation::not_allowed(want));
    }
    if seen.mirror == MirrorState::Foreign {
        // No value is made that could not be delivered.
        let refusal = Refusal::new(Reason::Creating, "waiting until the Secret can be written (see Mirrored)");
        let blocked = Blocked { mirrored: Some(mirror::not_owned(want, seen)), ..Blocked::by(refusal) };
        return Next::Rest(Assessment::Blocked(blocked));
    }
    if want.strategy.is_some() && initial(want, seen).is_none() {
        return Next::blocked(no_first_value(want));
    }
    if let Some(refusal) = want.settings.key.rejected() {
        return Next::blocked(refusal.clone());
    }
    let version = want.ids.creation();
    if seen.used().contains_key(&version) { created_invisible() } else { Next::Do(Step::Create { version }) }
}

/// It exists without a value.
pub(super) fn valueless(want: &Desired, seen: &Observation, secret: &SecretState) -> Next {
    if secret.outdated.is_some() {
        return Next::await_consistency(Reason::Progressing, "AWS shows a state that is older than the last version");
    }
    if want.value.is_none() {
        return Next::refuse(
            Reason::SecretNotFound,
            format!("the AWS secret {} has no value yet: put one, and the operator mirrors it", want.secret_name),
        );
    }
    let not_allowed = || (!seen.access.function_allowed).then(|| lambda_rotation::not_allowed(want));
    if let Some(refusal) = hold::other_rotation(want, secret).or_else(not_allowed) {
        return Next::blocked(refusal);
    }
    if want.strategy.is_some() && initial(want, seen).is_none() {
        return Next::blocked(no_first_value(want));
    }
    let version = want.ids.creation();
    if seen.used().contains_key(&version) {
        return created_invisible();
    }
    Next::Do(Step::Put {
        version,
        source: Source::Compose,
        predecessor: None,
        cause: Cause::Created,
        stage: Stage::Current,
        label: super::retention::next(want, seen, secret).map(|slot| slot.label),
    })
}

/// The Secret that has the first value. An object that had a value before does not get the first one again: it was rotated
/// away, and may have leaked. The mirrored Secret may be the last copy of the value that works.
pub fn initial<'a>(want: &'a Desired, seen: &Observation) -> Option<&'a InitialRef> {
    let had_value = !seen.status.history.is_empty() || matches!(seen.mirror, MirrorState::Ours { .. });
    want.initial.as_ref().filter(|_| !had_value)
}

/// A value that the operator generates is none that the target accepts.
fn no_first_value(want: &Desired) -> Refusal {
    let create = Command::CreateForAdoption(want.secret_ref(), want.object_ref());
    // Otherwise a person who names a user would get its password.
    let admin = want.strategy.as_ref().and_then(Strategy::admin);
    let admin = admin.map_or("", |_| " (adminRef is used only for a user whose password the object has)");
    Refusal::new(
        Reason::SecretNotFound,
        format!(
            "spec.rotation.{} changes a credential that works already, and there is no AWS secret {} with a value that has it{admin}: name a \
             Secret with the present password in spec.value.initialRef; or set spec.aws.adoptionPolicy: IfTagged, put the present value, \
             such as username and password, into value.json, and run: {create}",
            want.strategy.as_ref().map_or("postgres", Strategy::field),
            want.secret_name
        ),
    )
}

/// AWS has the version and did not show it yet.
fn created_invisible() -> Next {
    Next::await_consistency(Reason::Creating, "created; AWS does not show it yet")
}
