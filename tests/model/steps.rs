//! What each step of the operator does to the world.

use rotated_secrets::api::condition::{ConditionType, Reason};
use rotated_secrets::api::{ABANDONED_LABEL, AWSCURRENT, AWSPENDING, AWSPREVIOUS, STAGED_LABEL};
use rotated_secrets::backoff::Class;
use rotated_secrets::failure::{Failed, Failure};
use rotated_secrets::journal::Effect;
use rotated_secrets::step::{Stage, Step};
use rotated_secrets::version_id::VersionId;

use crate::machine::Missing;
use crate::state::{Mirror, World};

fn failed(aspect: ConditionType, class: Class, reason: Reason) -> Effect {
    Effect::Failed(Failed { aspect, failure: Failure { class, reason, message: String::new() } })
}

/// Carries out a step. `None`: AWS says that a label moved, so the reconcile ends and begins again.
pub(crate) fn carry_out(world: &mut World, step: &Step, missing: Option<Missing>) -> Option<Effect> {
    let now = world.now;
    let applied = Some(Effect::Applied { at: now });
    match step {
        Step::AddFinalizer => world.finalizer = true,
        Step::RemoveFinalizer => world.finalizer = false,
        Step::RecordPlace => {}
        Step::Adopt { tags } | Step::Tag { tags } => {
            world.aws.tags.extend(tags.clone());
            world.aws.changed = now;
        }
        Step::Untag { keys } => {
            world.aws.tags.retain(|key, _| !keys.contains(key));
            world.aws.changed = now;
        }
        Step::Put { version, stage, label, .. } => {
            let own = if *stage == Stage::Pending { AWSPENDING } else { AWSCURRENT };
            let label = label.as_deref().filter(|_| missing != Some(Missing::Label));
            let labels: Vec<&str> = [Some(own), label].into_iter().flatten().collect();
            let password = world.passwords + 1;
            if *stage == Stage::Pending {
                world.met = Some((version.clone(), now));
            }
            if !world.aws.put(version, password, &labels, now) {
                let created = world.aws.versions.get(version).map(|version| version.created)?;
                return Some(Effect::Exists { created });
            }
            world.passwords = password;
        }
        Step::Apply { version, from } => return Some(apply(world, version, from)),
        Step::Verify { version } => {
            let works = world.aws.password(version) == Some(world.server) && world.broken.as_ref() != Some(version);
            if !works && missing != Some(Missing::Verify) {
                return Some(failed(ConditionType::Rotated, Class::Denied, Reason::VerifyFailed));
            }
        }
        Step::Promote { version: to, from } | Step::RestoreCurrent { to, from } => {
            if !world.aws.move_label(AWSCURRENT, Some(from), Some(to), now) {
                return None;
            }
        }
        Step::Abandon { version, current } => return Some(abandon(world, version, current, missing)),
        Step::Settle { version } => {
            if !world.aws.move_label(AWSPENDING, Some(version), None, now) {
                return Some(Effect::Absent);
            }
        }
        Step::MoveLabel { label, from, to } => {
            if !world.aws.move_label(label, from.as_ref(), to.as_ref(), now) {
                return None;
            }
        }
        Step::CreateMirror { version } | Step::AdoptMirror { version } | Step::ReplaceMirror { version, .. } => {
            if matches!(step, Step::ReplaceMirror { confirm: true, .. }) && world.aws.current() != Some(version) {
                return Some(Effect::Absent);
            }
            world.mirror = Some(Mirror { version: version.clone(), written: now, changed: world.aws.changed });
        }
        other => unreachable!("no story of this model has the step {other:?}"),
    }
    applied
}

/// Logs in with one of the passwords that the operator knows, and sets the new one.
fn apply(world: &mut World, version: &VersionId, from: &VersionId) -> Effect {
    let known = [Some(version), Some(from), world.aws.labelled(AWSPREVIOUS), world.aws.labelled(ABANDONED_LABEL)];
    let accepted = known.into_iter().flatten().any(|known| world.aws.password(known) == Some(world.server));
    match world.aws.password(version).filter(|_| accepted) {
        Some(password) => {
            world.server = password;
            Effect::Applied { at: world.now }
        }
        None => failed(ConditionType::Rotated, Class::Denied, Reason::ApplyFailed),
    }
}

fn abandon(world: &mut World, version: &VersionId, current: &VersionId, missing: Option<Missing>) -> Effect {
    let now = world.now;
    let before = world.aws.labelled(ABANDONED_LABEL).cloned();
    if before.as_ref() != Some(version) {
        world.aws.move_label(ABANDONED_LABEL, before.as_ref(), Some(version), now);
    }
    if missing != Some(Missing::Undo) {
        let known = [Some(version), Some(current), world.aws.labelled(AWSPREVIOUS)];
        let accepted = known.into_iter().flatten().any(|known| world.aws.password(known) == Some(world.server));
        let Some(password) = world.aws.password(current).filter(|_| accepted) else {
            return failed(ConditionType::Rotated, Class::Denied, Reason::AbandonFailed);
        };
        world.server = password;
    }
    for label in [AWSPENDING, STAGED_LABEL] {
        if world.aws.labelled(label) == Some(version) {
            world.aws.move_label(label, Some(version), None, now);
        }
    }
    Effect::Applied { at: now }
}
