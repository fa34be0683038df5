//! The history of versions, and why each one became current.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{Abandonment, Cause, HistoryEntry, Outcome, RotatedSecretStatus};
use crate::compare::{Current, Observation, SecretState, explain, slot_of};
use crate::desired::{Desired, RollbackRequest, RollbackTo, Rotation};
use crate::journal::CONSISTENCY_WINDOW;
use crate::schedule::Clock;
use crate::version_id::VersionId;

/// How many versions the history keeps.
const MAX_ENTRIES: usize = 10;
/// How many of them may be abandoned ones. Attempts that fail for days must not remove the versions that were current.
const MAX_ABANDONED: usize = 5;

/// Puts the version of an adopted secret at the head of the history.
pub(super) fn adopt(after: &mut RotatedSecretStatus, before: &RotatedSecretStatus, current: &Current) {
    insert(after, before, entry(&current.version, Cause::Adopted, current.changed));
}

/// The same for a version that does not become current.
pub(super) fn abandon(
    after: &mut RotatedSecretStatus,
    before: &RotatedSecretStatus,
    version: &VersionId,
    cause: Cause,
    why: Abandonment,
    now: Timestamp,
) {
    let (outcome, reason) = (Outcome::Abandoned, Some(why.as_str().to_owned()));
    let due_time = due_time(before, version, cause, now);
    insert(after, before, HistoryEntry { outcome, reason, due_time, ..entry(version, cause, now) });
}

fn entry(version: &VersionId, cause: Cause, time: Timestamp) -> HistoryEntry {
    HistoryEntry {
        version_id: version.to_string(),
        time: Time(time),
        cause,
        outcome: Outcome::Succeeded,
        reason: None,
        copy_of: None,
        due_time: None,
        failed_attempts: None,
    }
}

/// What the status before says is part of the entry, because nothing says it afterwards.
fn insert(after: &mut RotatedSecretStatus, before: &RotatedSecretStatus, entry: HistoryEntry) {
    let failed_attempts = before.failures.as_ref().map(|failures| failures.count).filter(|count| *count > 0);
    after.history.insert(0, HistoryEntry { failed_attempts, ..entry });
    trim(&mut after.history);
}

/// The last attempt of a due time stays: without it, that due time and those before it would be due again.
fn trim(history: &mut Vec<HistoryEntry>) {
    let (mut abandoned, mut scheduled) = (0_usize, false);
    history.retain(|entry| {
        if entry.outcome != Outcome::Abandoned {
            return true;
        }
        abandoned = abandoned.saturating_add(1);
        let last_of_schedule = entry.cause == Cause::Scheduled && !scheduled;
        scheduled = scheduled || last_of_schedule;
        last_of_schedule || abandoned <= MAX_ABANDONED
    });
    history.truncate(MAX_ENTRIES);
}

/// Versions that this reconcile was to stage, and that AWS had already, without a label: they were given up before, and no
/// status says so. A label that AWS does not show yet would be one of a version that is not that old.
pub(super) fn note_existing(
    after: &mut RotatedSecretStatus,
    before: &RotatedSecretStatus,
    seen: &Observation,
    secret: &SecretState,
    now: Timestamp,
) {
    for (version, cause, created) in seen.journal.existed() {
        let labelled = secret.labels.values().any(|shown| shown == version);
        let noted = after.history.iter().any(|entry| entry.version_id == version.as_str());
        if !labelled && !noted && now.duration_since(created) >= CONSISTENCY_WINDOW {
            abandon(after, before, version, cause, Abandonment::AlreadyExists, now);
        }
    }
}

/// When a scheduled rotation was due. While its version was staged, the next rotation was that of a later due time.
/// `latest`: a later time is that of another rotation. A time before 1970 was not written by this program.
fn due_time(before: &RotatedSecretStatus, version: &VersionId, cause: Cause, latest: Timestamp) -> Option<Time> {
    let staged = before.staged.as_ref().filter(|staged| staged.version_id == version.as_str());
    let due = staged.map_or(&before.next_rotation_time, |staged| &staged.due_time);
    due.clone().filter(|due| cause == Cause::Scheduled && (Timestamp::UNIX_EPOCH..=latest).contains(&due.0))
}

/// The same for a version whose ID tells it. The status may be that of an earlier rotation.
fn due_time_of(
    before: &RotatedSecretStatus,
    want: &Desired,
    seen: &Observation,
    version: &VersionId,
    cause: Cause,
    latest: Timestamp,
    now: Timestamp,
) -> Option<Time> {
    let told = due_time(before, version, cause, latest);
    let staged = before.staged.as_ref().is_some_and(|staged| staged.version_id == version.as_str());
    // The IDs of these tell no due time.
    if staged || matches!(want.rotation, Rotation::Lambda(_)) || *version == want.ids.first() {
        return told;
    }
    let Some(slot) = slot_of(want, &seen.status, version, now) else {
        return told.filter(|told| *version == want.ids.slot(told.0));
    };
    let clock = clock_of(want, seen)?;
    let planned = |now: Timestamp| clock.appointment(slot, now).map(|planned| planned.at);
    // It may have been announced for a later window, or for the end of an excluded period.
    let announced = told.filter(|told| planned(told.0) == Some(told.0));
    announced.or_else(|| planned(slot).map(Time)).filter(|due| cause == Cause::Scheduled && due.0 <= latest)
}

/// The clock of the schedule, with the days that the Namespace excludes.
fn clock_of(want: &Desired, seen: &Observation) -> Option<Clock> {
    let Rotation::Scheduled { clock, .. } = &want.rotation else { return None };
    Some(clock.clone().excluding(seen.access.excluded.as_deref().unwrap_or_default()))
}

/// The due time that a version takes with it while it is staged.
pub(super) fn staged_due_time(before: &RotatedSecretStatus, version: &VersionId, now: Timestamp) -> Option<Time> {
    due_time(before, version, Cause::Scheduled, now)
}

fn head(status: &RotatedSecretStatus) -> Option<&HistoryEntry> {
    status.history.iter().find(|entry| entry.outcome != Outcome::Abandoned)
}

/// Records the current version, and what follows from it.
pub(super) fn record(
    after: &mut RotatedSecretStatus,
    before: &RotatedSecretStatus,
    want: &Desired,
    seen: &Observation,
    secret: &SecretState,
    current: &Current,
    now: Timestamp,
) {
    after.last_rotation_time = Some(Time(current.schedule_base));
    let head = after.history.iter_mut().find(|entry| entry.outcome != Outcome::Abandoned);
    if let Some(head) = head.filter(|head| head.version_id == current.version.as_str()) {
        head.time = Time(current.changed);
        return;
    }
    let cause = cause(before, want, seen, secret, current, now);
    if cause == Cause::Scheduled {
        after.missed_rotations = missed(want, seen, current, now);
    }
    let copy = if cause == Cause::RolledBack { copy_of(want, seen, current) } else { None };
    // AWS may rotate before the date that it reports. The operator does not, but the clock of AWS may be slower than its own.
    let latest = if matches!(want.rotation, Rotation::Lambda(_)) { current.changed } else { current.changed.max(now) };
    let due_time = due_time_of(before, want, seen, &current.version, cause, latest, now);
    insert(after, before, HistoryEntry { copy_of: copy, due_time, ..entry(&current.version, cause, current.changed) });
}

/// Why the version is current that AWS shows, if the history does not have it yet.
pub fn unrecorded<'a>(
    before: &RotatedSecretStatus,
    want: &Desired,
    seen: &'a Observation,
    now: Timestamp,
) -> Option<(&'a VersionId, Cause)> {
    let secret = seen.secret.as_ref()?;
    let current = secret.current.as_ref().filter(|current| seen.status.newest() != Some(&current.version))?;
    Some((&current.version, cause(before, want, seen, secret, current, now)))
}

/// The version whose value the current one has again: as this reconcile wrote it, or as the request names it.
fn copy_of(want: &Desired, seen: &Observation, current: &Current) -> Option<String> {
    if let Some(of) = seen.journal.written().filter(|written| *written.version == current.version).and_then(|written| written.copy_of) {
        return Some(of.to_string());
    }
    match want.rollback_request.as_ref() {
        Some(RollbackRequest { token, to: Some(RollbackTo::Version(to)) }) if want.ids.rollback(token) == current.version => {
            Some(to.to_string())
        }
        _ => None,
    }
}

/// Why the current version is current.
fn cause(
    before: &RotatedSecretStatus,
    want: &Desired,
    seen: &Observation,
    secret: &SecretState,
    current: &Current,
    now: Timestamp,
) -> Cause {
    let same_secret = before.aws.as_ref().and_then(|aws| aws.arn.as_ref()).is_none_or(|arn| *arn == secret.arn);
    if seen.status.recorded(&current.version) && same_secret {
        return Cause::RolledBack;
    }
    if let Some(cause) = explain(want, &seen.status, &secret.labels, &current.version, now) {
        return cause;
    }
    // What asked for it is gone, and the status could not be written since then.
    if let Some(cause) = seen.journal.unreported_cause(&current.version) {
        return cause;
    }
    // What asked for it may be gone. Staged versions without a cause count as requested.
    let abandoned = |id: &str| before.history.iter().any(|entry| entry.version_id == id && entry.outcome == Outcome::Abandoned);
    let staged = before.staged.as_ref().map(|staged| staged.version_id.as_str()).filter(|id| !abandoned(id));
    let staged = staged == Some(current.version.as_str());
    match &want.rotation {
        Rotation::Lambda(_) => by_function(before, secret, current),
        _ if staged && current.version.is_derived() => Cause::Requested,
        // The status was lost, and with it what the due times count from. An id that follows from a cause is ours, and
        // no other cause is left.
        Rotation::Scheduled { .. } if seen.status.counted_from().is_none() && current.version.is_derived() => Cause::Scheduled,
        _ => Cause::External,
    }
}

/// AWS says when it last rotated, not to which version: one that is older than that date, or that was pending, is what
/// it rotated to.
fn by_function(before: &RotatedSecretStatus, secret: &SecretState, current: &Current) -> Cause {
    let pending = before.aws.as_ref().and_then(|aws| aws.pending_version_id.as_deref()) == Some(current.version.as_str());
    let rotated = pending || secret.rotation.last.is_some_and(|last| last >= current.changed);
    if rotated { Cause::Scheduled } else { Cause::External }
}

/// How many windows passed before the version was made. 0 for a version that has no slot, such as the first one, or whose
/// slot is not known.
fn missed(want: &Desired, seen: &Observation, current: &Current, now: Timestamp) -> i32 {
    let slot = slot_of(want, &seen.status, &current.version, now).filter(|slot| *slot <= current.changed);
    let (Some(slot), Some(clock)) = (slot, clock_of(want, seen)) else { return 0 };
    i32::try_from(clock.missed(slot, current.changed)).unwrap_or(i32::MAX)
}

/// The version that became current in this reconcile, if one did.
pub fn recorded<'a>(before: &RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Option<&'a HistoryEntry> {
    head(after).filter(|new| head(before).is_none_or(|old| old.version_id != new.version_id))
}

/// The version that this reconcile decided to abandon.
pub fn abandoned<'a>(before: &RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Option<&'a HistoryEntry> {
    let new = after.history.first().filter(|entry| entry.outcome == Outcome::Abandoned)?;
    before.history.iter().all(|old| old.version_id != new.version_id).then_some(new)
}
