//! What keeps a new version from being started. Every [`Intent`] passes here. Two other places start work:
//! `lambda_rotation::start` has the holds of the steps that make no version, and `absent` creates the AWS secret, or its
//! first value, without these holds.

use jiff::{SignedDuration, Timestamp};

use super::assessment::{Examined, StagingNews};
use super::intents::Intent;
use super::situation::Situation;
use super::{retirement, rollout};
use crate::api::Cause;
use crate::api::condition::Reason;
use crate::api::{AWSPENDING, STAGED_LABEL};
use crate::command::Command;
use crate::compare::{Manager, Pending, SecretState};
use crate::desired::{Delivery, Desired};
use crate::facts::pace::{self, Limited};
use crate::failure::Failed;
use crate::journal::{Remedy, Unfit};
use crate::refusal::Refusal;
use crate::step::StepKind;
use crate::version_id::VersionId;

/// How often to look for a version that AWS may hide.
const LOOK_FOR_HIDDEN: SignedDuration = SignedDuration::from_secs(30);

/// Why an intent has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// A version could not be written.
    Failed(Failed),
    /// Something that the conditions report.
    Obstacle(Refusal),
    /// Requests, or changes of the declaration, follow each other too quickly: this one waits until then.
    TooSoon(Timestamp),
    /// AWS may show an old state.
    Inconsistent,
    /// The current version is recorded in the history first.
    Unrecorded,
    /// The last version is reported before the next is made: this reconcile made it, or the Secret does not get it, and
    /// a later reconcile would take it for a lost update.
    OneVersion,
    /// The version and its target are recorded first, so that the version can be abandoned later.
    Unannounced,
    /// Another version may be staged, and AWS may not show it before this time. This one would take its labels, and the
    /// target may accept only that one.
    Hidden(Timestamp),
}

/// Whether anything holds back this intent.
pub(super) fn hold(situation: &Situation<'_>, intent: &Intent, examined: &Examined) -> Option<Hold> {
    if let Some(failed) = situation.seen.failed_version() {
        return Some(Hold::Failed(failed.clone()));
    }
    // The target may have a version that is staged, so nothing but the target holds that up.
    let refusal = match intent.source {
        Some(_) => obstacle(situation, intent.cause, examined),
        None => undeliverable(situation, intent.cause, examined),
    };
    if let Some(refusal) = refusal {
        return Some(Hold::Obstacle(refusal));
    }
    // A version that is staged was counted when it was written. A value is restored once for each version whose rollout failed, and
    // pods need it now.
    let restores = intent.version == situation.want.ids.recovery(&situation.current.version);
    if let Some(limited) = Limited::of(intent.cause).filter(|_| intent.source.is_some() && !restores)
        && let Some(until) = too_soon(situation, limited)
    {
        return Some(Hold::TooSoon(until));
    }
    if examined.awaiting_consistency {
        return Some(Hold::Inconsistent);
    }
    // After a lost update, the external version is recorded before another one follows it. Otherwise, an update that is
    // lost to that one could not be recognized after a crash.
    if situation.unrecorded() || situation.seen.journal.did(StepKind::RestoreCurrent) {
        return Some(Hold::Unrecorded);
    }
    let status = &situation.seen.status;
    let unreported = unfit(situation).is_some() && status.newest() != Some(&situation.current.version);
    if unreported || situation.seen.journal.moved_current() {
        return Some(Hold::OneVersion);
    }
    if let Some((_, until)) = situation.seen.hidden(situation.now).filter(|(recorded, _)| **recorded != intent.version) {
        return Some(Hold::Hidden(until));
    }
    let unannounced = situation.want.delivery == Delivery::Staged && !situation.announced(&intent.version);
    unannounced.then_some(Hold::Unannounced)
}

/// Reports why `intent` waits. `true`: nothing else is examined in this reconcile.
pub(super) fn defer(situation: &Situation<'_>, intent: &Intent, hold: Hold, examined: &mut Examined) -> bool {
    let redeclared = intent.cause == Cause::SpecChanged;
    match hold {
        Hold::Failed(failed) => fail(&failed, redeclared, examined),
        Hold::Obstacle(refusal) => obstruct(refusal, redeclared, examined),
        // A rotation that is due does not wait for it.
        Hold::TooSoon(until) if redeclared => delay_change(until, examined),
        Hold::TooSoon(until) => delay(until, examined),
        Hold::Inconsistent => return true,
        Hold::Unrecorded => {
            if redeclared {
                examined.aspects.provisioned = Some(recorded_first());
            }
            examined.wake.at([situation.now]);
            return redeclared;
        }
        Hold::OneVersion => {
            // The report must not say that the new declaration was carried out.
            if redeclared {
                examined.aspects.provisioned.get_or_insert_with(recorded_first);
            }
            examined.wake.at([situation.now]);
            return true;
        }
        Hold::Unannounced => {
            announce(situation, intent, examined);
            return true;
        }
        Hold::Hidden(until) => {
            await_hidden(situation, until, redeclared, examined);
            return true;
        }
    }
    false
}

fn await_hidden(situation: &Situation<'_>, until: Timestamp, redeclared: bool, examined: &mut Examined) {
    let version = situation.seen.hidden(situation.now).map_or_else(String::new, |(version, _)| version.to_string());
    let waits =
        format!("waiting until {until} at the latest: AWS may have version {version}, which the status records, and not show it yet");
    obstruct(Refusal::new(Reason::Progressing, waits), redeclared, examined);
    // AWS shows it before that, as a rule, and pods may have a password that the target refuses until it is finished.
    let look = situation.now.saturating_add(LOOK_FOR_HIDDEN).unwrap_or(until);
    examined.wake.at([until.min(look)]);
}

fn recorded_first() -> Refusal {
    Refusal::new(Reason::Progressing, "spec.value changed: the current version is recorded first")
}

fn obstruct(refusal: Refusal, redeclared: bool, examined: &mut Examined) {
    let aspects = &mut examined.aspects;
    if redeclared {
        let message = format!("spec.value changed: {}", refusal.message);
        aspects.provisioned = Some(Refusal::new(refusal.reason, message));
        return;
    }
    *(if examined.rotation.rotates { &mut aspects.rotated } else { &mut aspects.provisioned }) = Some(refusal);
}

/// The new declaration is not carried out either.
fn fail(failed: &Failed, redeclared: bool, examined: &mut Examined) {
    examined.aspects.fail(failed);
    if redeclared && examined.aspects.provisioned.is_none() {
        let message = format!("spec.value changed: {}", failed.failure.message);
        examined.aspects.provisioned = Some(Refusal::new(failed.failure.reason, message));
    }
}

fn announce(situation: &Situation<'_>, intent: &Intent, examined: &mut Examined) {
    let progressing = |message: &str| Some(Refusal::new(Reason::Progressing, message));
    if intent.cause == Cause::SpecChanged {
        examined.aspects.provisioned = progressing("spec.value changed: the new version is recorded before it is staged");
    }
    // What became of the last version does not concern this one.
    if examined.aspects.rotated.is_some() {
        examined.aspects.rotated = progressing("a new version is recorded before it is staged");
    }
    examined.staging = Some(StagingNews::Announced(intent.version.clone()));
    examined.wake.at([situation.now]);
}

/// Until when a version waits, because too many were created.
pub(super) fn too_soon(situation: &Situation<'_>, limited: Limited) -> Option<Timestamp> {
    let Situation { want, seen, now, .. } = *situation;
    let interval = want.request_interval;
    let remembered = seen.charged.of(limited).filter(|charged| pace::credible(*charged, now, interval));
    let charged = seen.status.charged(limited, interval, now).into_iter().chain(remembered).max()?;
    Some(pace::free_at(charged, interval)).filter(|until| *until > now)
}

/// An open request waits until then.
pub(super) fn delay(until: Timestamp, examined: &mut Examined) {
    examined.requests.held_until = Some(until);
    examined.wake.at([until]);
}

/// A change of the declaration waits until then. A requested or due rotation carries it out earlier.
fn delay_change(until: Timestamp, examined: &mut Examined) {
    let message = format!(
        "spec.value changed: the new version waits until {until}, because spec.value changes too quickly (three times in a row, then once in \
         each --minimum-request-interval of the operator). Look whether a template writes another value each time. A requested rotation \
         carries the change out now"
    );
    examined.aspects.provisioned = Some(Refusal::new(Reason::Progressing, message));
    examined.wake.at([until]);
}

/// What the conditions report of a version that is not staged yet: also that workloads take up the last one.
pub(super) fn obstacle(situation: &Situation<'_>, cause: Cause, examined: &Examined) -> Option<Refusal> {
    undeliverable(situation, cause, examined)
        .or_else(|| pinned(situation, cause))
        .or_else(|| rollout::obstacle(situation, cause, examined))
        .or_else(|| retirement::obstacle(situation, cause, examined))
}

/// Pods keep the current version, and the target would refuse it. In an emergency it is to be refused.
fn pinned(situation: &Situation<'_>, cause: Cause) -> Option<Refusal> {
    let harmless = !situation.changes_credential(cause) || cause == Cause::Requested && situation.want.emergency;
    (situation.pinned_to_current() && !harmless).then(|| {
        let message = "waiting, because spec.target.versionId pins the Secret to the current version, and the target would refuse its password: \
                       remove spec.target.versionId";
        Refusal::new(Reason::Overdue, message)
    })
}

/// What the conditions report: another rotation, a version that could not be delivered, or one that would lose fields. A
/// mirror that is pinned to a version that does not exist holds nothing up.
fn undeliverable(situation: &Situation<'_>, cause: Cause, examined: &Examined) -> Option<Refusal> {
    other_rotation(situation.want, situation.secret).or_else(|| undelivered(situation, cause, examined)).or_else(|| lossy(situation, cause))
}

fn unfit<'a>(situation: &Situation<'a>) -> Option<&'a Unfit> {
    situation.seen.journal.unfit(&situation.current.version)
}

/// The current version does not reach the Secret, and a new one would not either.
fn undelivered(situation: &Situation<'_>, cause: Cause, examined: &Examined) -> Option<Refusal> {
    let helps = match unfit(situation) {
        // The Secret is pinned to another version, which must not be mirrored: the current one is not delivered anyway.
        None => situation.seen.journal.any_unfit_to_mirror(),
        // An older value may be the correction.
        Some(_) if cause == Cause::RolledBack => true,
        Some(unfit) => unfit.remedy != Remedy::Value,
    };
    // A client that keeps changing the Secret does not stop a rotation: the Secret can be written.
    let writable = |refusal: &Refusal| matches!(refusal.reason, Reason::VersionNotFound | Reason::Contested);
    // A Secret that is no longer declared is reported if it cannot be released, and gets no value.
    let declared = situation.want.target.is_some();
    let refused = declared && examined.aspects.mirrored.as_ref().is_some_and(|refusal| !writable(refusal));
    (refused && !helps).then(|| Refusal::new(Reason::Overdue, "waiting until the Secret can be written (see Mirrored)"))
}

/// Fields that others added would be lost, and no person requests it.
fn lossy(situation: &Situation<'_>, cause: Cause) -> Option<Refusal> {
    let unrequested = matches!(cause, Cause::Scheduled | Cause::SpecChanged);
    let unfit = unfit(situation).filter(|unfit| unrequested && unfit.remedy == Remedy::Request)?;
    Some(Refusal::new(Reason::Overdue, format!("waiting: {}", unfit.refusal.message)))
}

/// Another rotation that a write would abandon.
pub(super) fn other_rotation(want: &Desired, secret: &SecretState) -> Option<Refusal> {
    if secret.rotation.foreign {
        return Some(foreign_rotation(want, secret));
    }
    let name = &want.secret_name;
    match &secret.pending {
        Pending::None | Pending::Current(_) | Pending::Ours(..) | Pending::Overtaken(..) => None,
        Pending::Delegated(_) => Some(Refusal::new(
            Reason::Progressing,
            "AWS is rotating, and a write would abandon that rotation; the write follows when it has ended",
        )),
        Pending::Foreign(version) if secret.labels.get(STAGED_LABEL) == Some(version) => Some(left_staged(want, secret, version)),
        Pending::Foreign(version) => Some(Refusal::new(
            Reason::ForeignPending,
            format!(
                "version {version} of {name} has the label AWSPENDING of another rotation, which a write would abandon: let that rotation end, \
                 or remove the label: {}",
                Command::RemoveLabel { secret: secret.at(want), label: AWSPENDING, version: version.as_str() }
            ),
        )),
    }
}

/// A version of ours whose target is not known, or that another writer replaced after it was current.
pub(super) fn left_staged(want: &Desired, secret: &SecretState, version: &VersionId) -> Refusal {
    let remove = |label| Command::RemoveLabel { secret: secret.at(want), label, version: version.as_str() };
    Refusal::new(
        Reason::ForeignPending,
        format!(
            "the operator staged version {version} of {} for a target that neither spec nor status names, and the target may accept its password \
             only: restore the target in spec.rotation; or, if the target accepts the current version, remove the labels: {}; {}",
            want.secret_name,
            remove(AWSPENDING),
            remove(STAGED_LABEL)
        ),
    )
}

/// AWS rotates the secret, and not for this object.
pub(super) fn foreign_rotation(want: &Desired, secret: &SecretState) -> Refusal {
    Refusal::new(
        Reason::ForeignRotation,
        format!("AWS rotates {} itself: {}remove spec.value and spec.rotation to mirror it only", want.secret_name, turn_off(want, secret)),
    )
}

/// How rotation by AWS is disabled, as the first of several ways. The rotation of an AWS service cannot be.
pub(super) fn turn_off(want: &Desired, secret: &SecretState) -> String {
    match secret.manager {
        Some(Manager::Service) => "an AWS service manages it (OwningService); ".to_owned(),
        _ => format!("turn that off with {}, or ", Command::CancelRotation(secret.at(want))),
    }
}
