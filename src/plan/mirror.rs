//! Which version the mirrored Secret holds, and when it may be written.

use jiff::{SignedDuration, Timestamp};

use super::situation::{Situation, is_of_pending};
use crate::api::AWSPREVIOUS;
use crate::api::condition::{ConditionType, Reason};
use crate::command::{Command, ObjectRef};
use crate::compare::{MirrorState, Observation, explain};
use crate::desired::{Desired, Pin};
use crate::facts::Repairs;
use crate::journal::CONSISTENCY_WINDOW;
use crate::refusal::Refusal;
use crate::step::Step;
use crate::version_id::VersionId;

/// The mirror when there is nothing to do for it now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mirrored {
    /// Why it does not hold its version.
    pub(super) refusal: Option<Refusal>,
    /// When to reconcile again.
    pub(super) wake: Option<Timestamp>,
    /// AWS may show an old state.
    pub(super) awaiting_consistency: bool,
    /// The value could not be read in AWS.
    pub(super) unread: bool,
}

impl Mirrored {
    fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }
}

/// The next write of the mirrored Secret, or how it is.
pub(super) fn mirror(situation: &Situation<'_>) -> Result<Mirrored, Step> {
    let Situation { want, seen, .. } = situation;
    match &seen.mirror {
        MirrorState::Unwanted => return Ok(Mirrored::default()),
        MirrorState::Surplus => {
            // Until it is released, the Secret would be deleted with the object.
            let failed = seen.journal.failure(&Step::ReleaseMirror).map(|failed| Mirrored::refused(failed.refusal()));
            let tried = seen.journal.tried(&Step::ReleaseMirror);
            return failed.or_else(|| tried.then(Mirrored::default)).ok_or(Step::ReleaseMirror);
        }
        MirrorState::Foreign => return Ok(Mirrored::refused(not_owned(want, seen))),
        MirrorState::Absent | MirrorState::Adoptable | MirrorState::Ours { .. } => {}
    }
    // A version id means one value for ever, so a read cannot be too old for it.
    if let Some(until) = situation.secret.outdated.filter(|_| !pinned_by_id(want)) {
        return Ok(Mirrored { wake: Some(until), awaiting_consistency: true, ..Mirrored::default() });
    }
    let version = match pinned_or_current(situation) {
        Ok(version) => version,
        Err(refusal) => return Ok(Mirrored::refused(refusal)),
    };
    let unfit = seen.journal.unfit(&version).map(|unfit| unfit.refusal.clone());
    let step = match write(situation, version) {
        Err(step) => step,
        mirrored => return mirrored.map(|mirrored| contested(situation, mirrored)),
    };
    if let Some(failed) = seen.journal.failure(&step) {
        return Ok(Mirrored { unread: failed.aspect == ConditionType::Provisioned, ..Mirrored::refused(failed.refusal()) });
    }
    unfit.map_or(Err(step), |refusal| Ok(Mirrored::refused(refusal)))
}

/// The write that repairs the Secret as it was reported last. Another version is not mirrored while `AWSCURRENT` cannot be
/// given back to an external one: the version in the Secret tells that ours replaced it.
pub(super) fn keep(situation: &Situation<'_>) -> Option<Step> {
    let Situation { want, seen, .. } = situation;
    let version = seen.status.newest().filter(|_| follows_current(want))?.clone();
    let step = match &seen.mirror {
        MirrorState::Absent => Step::CreateMirror { version },
        MirrorState::Ours { version: Some(held), intact: false, .. } if *held == version => Step::ReplaceMirror { version, confirm: false },
        _ => return None,
    };
    (!seen.journal.tried(&step)).then_some(step)
}

/// Whether a Secret is declared that holds the current version.
pub(super) fn follows_current(want: &Desired) -> bool {
    want.target.as_ref().is_some_and(|target| target.pin == Pin::Current)
}

/// Another client keeps changing the Secret. That is said as long as it may go on.
fn contested(situation: &Situation<'_>, mirrored: Mirrored) -> Mirrored {
    let Situation { want, seen, now, .. } = situation;
    let Some(repairs) = seen.repairs(*now).filter(Repairs::is_contested) else { return mirrored };
    if mirrored.refusal.is_some() {
        return mirrored;
    }
    let name = want.target.as_ref().map_or(want.name.as_str(), |target| target.name.as_str());
    let rival = repairs.manager.as_ref().map_or_else(|| "another client".to_owned(), |manager| format!("the field manager \"{manager}\""));
    let message = format!(
        "{rival} keeps changing or deleting the Secret {name}: the operator has repaired it {} times in a row and does so at most once a \
         minute. Find the client ({}) and exclude the Secret there",
        repairs.count,
        Command::ShowFieldManagers(want.mirror_ref())
    );
    let wake = mirrored.wake.into_iter().chain([repairs.quiet_at()]).min();
    Mirrored { refusal: Some(Refusal::new(Reason::Contested, message)), wake, ..mirrored }
}

/// The write that makes the Secret hold this version.
fn write(situation: &Situation<'_>, version: VersionId) -> Result<Mirrored, Step> {
    let Situation { want, seen, .. } = situation;
    let replace = |confirm| Step::ReplaceMirror { version: version.clone(), confirm };
    match &seen.mirror {
        MirrorState::Unwanted | MirrorState::Surplus | MirrorState::Foreign => Ok(Mirrored::default()),
        MirrorState::Absent => Err(Step::CreateMirror { version }),
        MirrorState::Adoptable => Err(Step::AdoptMirror { version }),
        MirrorState::Ours { version: Some(held), intact, .. } if *held == version => {
            // Written in this reconcile and still not as declared: another manager owns fields in a way that a write
            // cannot correct. One write is enough.
            if *intact || seen.journal.mirror_written() { Ok(Mirrored::default()) } else { Err(replace(false)) }
        }
        MirrorState::Ours { version: None, .. } => Err(replace(false)),
        MirrorState::Ours { .. } if pinned_by_id(want) => Err(replace(false)),
        MirrorState::Ours { version: Some(held), written, changed, .. } => {
            follow(situation, version, Write::credible(situation, held, *written, *changed))
        }
    }
}

/// Whether the date of the last write counts. A client that can write the Secret can write that date: it counts only with a
/// version of this object that is not known to be older than the current one.
fn believed(situation: &Situation<'_>, held: &VersionId) -> bool {
    let Situation { want, seen, secret, current, now } = situation;
    let position = |version: &VersionId| seen.status.history.iter().position(|entry| entry.version == *version);
    let older = matches!((position(&current.version), position(held)), (Some(current), Some(held)) if current < held);
    let known = || position(held).is_some() || situation.known(held);
    !older && (known() || explain(want, &seen.status, &secret.labels, held, *now).is_some())
}

/// The last write of the Secret.
struct Write<'a> {
    /// The version that it has since.
    version: &'a VersionId,
    /// When it was written, in whole seconds, by the clock of the API server or, if that is later, of AWS.
    written: Timestamp,
    /// When AWS had changed last, by its clock.
    changed: Option<Timestamp>,
}

impl<'a> Write<'a> {
    /// `None` if the dates were not written by us.
    fn credible(situation: &Situation<'_>, version: &'a VersionId, written: Option<Timestamp>, changed: Option<Timestamp>) -> Option<Self> {
        let in_the_future = |time: &Timestamp| time.duration_since(situation.now) > CONSISTENCY_WINDOW;
        let written = written.filter(|written| !in_the_future(written) && believed(situation, version))?;
        let changed = changed.filter(|changed| !in_the_future(changed));
        Some(Self { version, written: changed.map_or(written, |changed| changed.max(written)), changed })
    }

    /// Whether this state of AWS is younger than the write. The dates of AWS tell that without the clock of the API server.
    fn precedes(&self, situation: &Situation<'_>) -> bool {
        let Some(shown) = situation.secret.last_changed else { return false };
        // The version was current when it was written. It was staged before.
        let staged = situation.is_staged(self.version);
        !staged && self.changed.map_or_else(|| shown.duration_since(self.written) > SignedDuration::from_secs(1), |changed| shown > changed)
    }
}

/// AWS shows another version than the mirror's. AWS may show an old state: only a change that is younger than the mirror
/// is followed at once.
fn follow(situation: &Situation<'_>, version: VersionId, last: Option<Write<'_>>) -> Result<Mirrored, Step> {
    let Some(last) = last else { return Err(Step::ReplaceMirror { version, confirm: true }) };
    let ours = situation.seen.journal.written().is_some_and(|wrote| *wrote.version == version);
    if ours || last.precedes(situation) {
        return Err(Step::ReplaceMirror { version, confirm: false });
    }
    let consistent_at = last.written.saturating_add(CONSISTENCY_WINDOW).unwrap_or(situation.now);
    if situation.now >= consistent_at {
        return Err(Step::ReplaceMirror { version, confirm: true });
    }
    Ok(Mirrored { wake: Some(consistent_at), awaiting_consistency: true, ..Mirrored::default() })
}

/// The version that the mirror should hold, or why there is none. The mirror keeps what it holds then.
fn pinned_or_current(situation: &Situation<'_>) -> Result<VersionId, Refusal> {
    let Situation { want, seen, secret, current, .. } = situation;
    let Some(target) = &want.target else { return Ok(current.version.clone()) };
    match &target.pin {
        Pin::Current => Ok(current.version.clone()),
        Pin::Stage(stage) => match secret.labels.get(stage) {
            Some(version) => Ok(version.clone()),
            None if stage == AWSPREVIOUS && is_only_version(situation) => Ok(current.version.clone()),
            None => Err(not_found(format!(
                "spec.target.versionStage: no version of {} has the label {stage}; choose another, or put it on a version ({})",
                want.secret_name,
                Command::SetLabel { secret: secret.at(want), label: stage }
            ))),
        },
        Pin::Version(version) => {
            let held = matches!(&seen.mirror, MirrorState::Ours { version: Some(held), intact: true, .. } if held == version);
            if seen.journal.missing(version) && !held {
                return Err(not_found(format!(
                    "spec.target.versionId: AWS has no version {version} of {}, or has removed it; choose one of {}, or remove versionId to \
                     follow AWSCURRENT",
                    want.secret_name,
                    Command::History(want.object_ref())
                )));
            }
            if situation.only_pending(version) {
                return Err(not_found(format!(
                    "spec.target.versionId: version {version} of {} has only the label AWSPENDING, so it may not be usable yet. It is \
                     mirrored when it becomes current; or choose one of {}",
                    want.secret_name,
                    Command::History(want.object_ref())
                )));
            }
            Ok(version.clone())
        }
    }
}

/// Whether no version has been replaced yet. The current one is then the oldest that a pod can have, and pods that wait
/// for a previous version would not start before the first rotation.
fn is_only_version(situation: &Situation<'_>) -> bool {
    let Situation { seen, secret, current, .. } = situation;
    seen.status.history.iter().all(|entry| entry.version == current.version)
        && secret.labels.iter().all(|(label, version)| is_of_pending(label) || *version == current.version)
        && situation.mirrored().is_none_or(|held| *held == current.version)
}

fn not_found(message: String) -> Refusal {
    Refusal::new(Reason::VersionNotFound, message)
}

fn pinned_by_id(want: &Desired) -> bool {
    want.target.as_ref().is_some_and(|target| matches!(target.pin, Pin::Version(_)))
}

/// Whether a message may have a command that deletes this owner. Anyone who may write the Secret can write the reference, so
/// the kind is one that is namespaced and makes Secrets, and the name is no option of kubectl.
pub(super) fn is_deletable(kind: &str, owner: &str) -> bool {
    const KINDS: [&str; 6] = ["Certificate", "ExternalSecret", "RotatedSecret", "SealedSecret", "VaultDynamicSecret", "VaultStaticSecret"];
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    KINDS.contains(&kind) && owner.bytes().all(plain) && owner.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// The Secret exists and is not ours.
pub(super) fn not_owned(want: &Desired, seen: &Observation) -> Refusal {
    let name = want.target.as_ref().map_or(want.name.as_str(), |target| target.name.as_str());
    let annotate = Command::AnnotateForAdoption { secret: want.mirror_ref(), by: &want.name };
    let delete = Command::DeleteKubernetesSecret(want.mirror_ref());
    if let Some((kind, owner)) = &seen.claims.controller {
        let orphan = Command::DeleteOrphaning { kind, object: ObjectRef { namespace: &want.namespace, name: owner } };
        let orphan =
            if is_deletable(kind, owner) { format!(" ({orphan}; an ExternalSecret with deletionPolicy Retain)") } else { String::new() };
        return Refusal::new(
            Reason::SecretNotOwned,
            format!(
                "the Secret {name} is controlled by {kind} {owner}, so it is not changed: to let this object adopt it, first delete {kind} {owner} \
                 so that the Secret stays{orphan}, then set spec.target.adoptionPolicy to \
                 IfAnnotated and annotate the Secret ({annotate}); or choose another spec.target.name in a new object; or, if {kind} {owner} does \
                 not create it again, delete it ({delete})"
            ),
        );
    }
    Refusal::new(
        Reason::SecretNotOwned,
        format!(
            "the Secret {name} exists and is not ours, so it is not changed: let the object adopt it (spec.target.adoptionPolicy IfAnnotated, \
             and {annotate}), choose another spec.target.name in a new object, or delete it ({delete}); then {}",
            Command::RefreshByPlugin(want.object_ref())
        ),
    )
}
