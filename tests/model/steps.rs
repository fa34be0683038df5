//! What each step of the operator does to the world.

use rotated_secrets::api::condition::{ConditionType, Reason};
use rotated_secrets::api::{ABANDONED_LABEL, AWSCURRENT, AWSPENDING, STAGED_LABEL};
use rotated_secrets::backoff::Class;
use rotated_secrets::failure::{Failed, Failure};
use rotated_secrets::journal::Effect;
use rotated_secrets::step::{Source, Stage, Step};
use rotated_secrets::version_id::VersionId;

use crate::machine::{Missing, Users};
use crate::server::Answer;
use crate::state::{Mirror, Who, World};

fn failed(aspect: ConditionType, class: Class, reason: Reason) -> Effect {
    Effect::Failed(Failed { aspect, failure: Failure { class, reason, message: String::new(), request_id: None } })
}

/// Carries out a step. `None`: AWS or the API server says that something changed, so the reconcile ends and begins again.
/// `seen`: the revision of the mirror that the process read.
pub(crate) fn carry_out(
    world: &mut World,
    who: Who,
    (users, missing): (Users, Option<Missing>),
    step: &Step,
    seen: Option<u8>,
) -> Option<Effect> {
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
        Step::Put { version, source, stage, label, predecessor, .. } => {
            let own = if *stage == Stage::Pending { AWSPENDING } else { AWSCURRENT };
            let label = label.as_deref().filter(|_| missing != Some(Missing::Label));
            let labels: Vec<&str> = [Some(own), label].into_iter().flatten().collect();
            world.tick();
            let now = world.now;
            let before = predecessor.as_ref().and_then(|before| world.aws.versions.get(before)).map_or(0, |before| before.user);
            let (user, password) = match source {
                Source::Compose if users == Users::Two => (1 - before, world.passwords + 1),
                Source::Compose => (before, world.passwords + 1),
                Source::Copy { of } => world.aws.versions.get(of).map(|of| (of.user, of.password))?,
            };
            if *stage == Stage::Pending {
                world.process(who).met = Some((version.clone(), now));
            }
            if !world.aws.put(version, (user, password), &labels, now) {
                let created = world.aws.versions.get(version).map(|version| version.created)?;
                return Some(Effect::Exists { created });
            }
            world.passwords = world.passwords.max(password);
        }
        Step::Apply { version, from } => {
            if world.server.apply(&world.aws, version, from, missing) == Answer::Refused {
                return Some(failed(ConditionType::Rotated, Class::Denied, Reason::ApplyFailed));
            }
        }
        Step::Verify { version } => {
            let works = world.server.accepts(&world.aws, version) && world.broken.as_ref() != Some(version);
            if !works && missing != Some(Missing::Verify) {
                return Some(failed(ConditionType::Rotated, Class::Denied, Reason::VerifyFailed));
            }
        }
        Step::Promote { version: to, from } | Step::RestoreCurrent { to, from } => {
            let holder = world.aws.current().cloned();
            let from = if missing == Some(Missing::Swap) { holder.as_ref() } else { Some(from) };
            if !world.aws.move_label(AWSCURRENT, from, Some(to), now) {
                return None;
            }
        }
        Step::Abandon { version, current } => return Some(abandon(world, missing, version, current)),
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
            if world.mirror.as_ref().map(|mirror| mirror.revision) != seen {
                return None;
            }
            let revision = seen.unwrap_or_default() + 1;
            world.mirror = Some(Mirror { version: version.clone(), written: now, changed: world.aws.changed, revision });
        }
        other => unreachable!("no story of this model has the step {other:?}"),
    }
    applied
}

/// Whether the step is about a staged version that is staged no longer. AWS shows that with its value.
pub(crate) fn labels_have_moved(world: &World, step: &Step) -> bool {
    let (Step::Apply { version, .. } | Step::Verify { version } | Step::Abandon { version, .. }) = step else { return false };
    [AWSPENDING, STAGED_LABEL].iter().all(|label| world.aws.labelled(label) != Some(version))
}

fn abandon(world: &mut World, missing: Option<Missing>, version: &VersionId, current: &VersionId) -> Effect {
    let now = world.now;
    let credential = |version: &VersionId| world.aws.versions.get(version).map(|version| (version.user, version.password));
    // A copy of the current value was not applied.
    if credential(version) == credential(current) {
        return unstage(world, version);
    }
    let before = world.aws.labelled(ABANDONED_LABEL).cloned();
    if before.as_ref() != Some(version) && missing != Some(Missing::Abandoned) {
        world.aws.move_label(ABANDONED_LABEL, before.as_ref(), Some(version), now);
    }
    if missing != Some(Missing::Undo) && world.server.undo(&world.aws, version, current) == Answer::Refused {
        return failed(ConditionType::Rotated, Class::Denied, Reason::AbandonFailed);
    }
    unstage(world, version)
}

fn unstage(world: &mut World, version: &VersionId) -> Effect {
    let now = world.now;
    for label in [AWSPENDING, STAGED_LABEL] {
        if world.aws.labelled(label) == Some(version) {
            world.aws.move_label(label, Some(version), None, now);
        }
    }
    Effect::Applied { at: now }
}
