//! The current version: when it became current, and what the schedule counts from.

use jiff::Timestamp;

use super::input::{Input, Need, whole_seconds};
use crate::api::{AWSPREVIOUS, Cause};
use crate::desired::{Pin, Rotation};
use crate::facts::AwsSecret;
use crate::journal::CONSISTENCY_WINDOW;
use crate::value::DeclaredValue;
use crate::version_id::VersionId;

/// The version with the label `AWSCURRENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Its id.
    pub version: VersionId,
    /// When it became current.
    pub changed: Timestamp,
    /// What the schedule counts from. As `changed`, but a change of the declared fields is no rotation and does not
    /// move it.
    pub schedule_base: Timestamp,
    /// Whether its value has the declared fields. Only compared if the status does not know.
    pub matches: Option<bool>,
}

/// Compares the current version with what the status says of it. The status is used first: when a version was created
/// never changes.
pub(super) fn current(input: Input<'_>, secret: &AwsSecret, version: &VersionId) -> Result<Current, Need> {
    let Input { want, status, now, .. } = input;
    // A secret that was lost and created again has the same id for its first version under another ARN.
    let head = status.history.first().filter(|_| status.arn.as_deref() == Some(secret.arn.as_str()));
    let reported = head.filter(|head| head.version == *version).map(|head| head.time);
    let unsure = want.value.is_some() && status.declared.hash.is_none();
    let (changed, matches) = match reported {
        Some(time) if !unsure => (time, None),
        // The next step writes this version to the mirror and reads its creation date.
        None if !unsure && to_be_mirrored(input, version) => (now, None),
        _ => {
            let created = created(input, version)?;
            let matches = match (unsure, input.facts.reads.matches.get(version)) {
                (false, _) => None,
                (true, Some(matches)) => Some(*matches),
                (true, None) => return Err(Need::Version(version.clone())),
            };
            let changed = match (reported, head) {
                (Some(time), _) => time,
                // An older version became current again. That was the last modification of the secret.
                (None, Some(head)) if created <= head.time => secret.last_changed.map_or(created, whole_seconds).max(created),
                _ => created,
            };
            (changed, matches)
        }
    };
    // What was current in between is older than that, however old the version itself is.
    let later = [superseded(input, secret, version), input.journal.restored(version)].into_iter().flatten().max();
    let changed = later.map_or(changed, |later| whole_seconds(later).max(changed));
    let schedule_base = schedule_base(input, secret, version, changed, reported.is_some())?;
    Ok(Current { version: version.clone(), changed, schedule_base, matches })
}

fn created(input: Input<'_>, version: &VersionId) -> Result<Timestamp, Need> {
    let created = input.facts.reads.created.get(version).copied().map(whole_seconds);
    created.ok_or_else(|| Need::Version(version.clone()))
}

/// When a version of ours was created that has no label any more: the current version became current after that.
fn superseded(input: Input<'_>, secret: &AwsSecret, version: &VersionId) -> Option<Timestamp> {
    let mut used = input.journal.used();
    used.extend(input.status.unseen.clone());
    // The status has the current version, so one that was only staged after it was abandoned, and never current.
    let recorded = input.status.newest() == Some(version);
    let unlabelled = used.into_iter().filter(|(used, created)| {
        used != version
            && !(recorded && input.journal.only_staged(used))
            && secret.labels.values().all(|labelled| labelled != used)
            && input.now.duration_since(*created) >= CONSISTENCY_WINDOW
    });
    unlabelled.map(|(_, created)| whole_seconds(created)).max()
}

/// This reconcile wrote the version, and the mirror gets it next. Until then its date decides nothing.
fn to_be_mirrored(input: Input<'_>, version: &VersionId) -> bool {
    let Input { want, facts, journal, .. } = input;
    let wrote = journal.written().is_some_and(|written| written.version == version) && !facts.reads.created.contains_key(version);
    let behind = match &facts.mirror {
        None => true,
        Some(mirror) if mirror.ours => mirror.version.as_ref() != Some(version),
        Some(mirror) => mirror.adoptable && want.target.as_ref().is_some_and(|target| target.adopts),
    };
    wrote && behind && want.target.as_ref().is_some_and(|target| target.pin == Pin::Current)
}

fn schedule_base(input: Input<'_>, secret: &AwsSecret, version: &VersionId, changed: Timestamp, reported: bool) -> Result<Timestamp, Need> {
    let Input { want, status, .. } = input;
    let previous = secret.labelled(AWSPREVIOUS);
    let redeclared = if reported {
        status.history.first().is_some_and(|newest| newest.cause == Cause::SpecChanged)
    } else {
        let hash = want.value.as_ref().map(DeclaredValue::hash).unwrap_or_default();
        previous.is_some_and(|previous| want.ids.is_declaration(version, previous, &hash))
    };
    match (redeclared, status.last_rotation, previous) {
        // The value changed before the declaration did, and no status says so.
        (true, Some(before), Some(previous)) if !reported && !status.recorded(previous) => {
            created(input, previous).map(|at| at.max(before))
        }
        (true, Some(before), _) => Ok(before),
        // The status does not know. The version before has a date of its own.
        (true, None, Some(previous)) => created(input, previous),
        // The version was pending for a while before AWS made it current.
        _ if matches!(want.rotation, Rotation::Lambda(_)) => Ok(secret.rotation.last.map_or(changed, whole_seconds).max(changed)),
        _ => Ok(changed),
    }
}
