//! What this process remembers of an object between reconciles, beside the status. Losing it costs a repetition at most.

mod checks;
mod generations;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use self::checks::Checks;
use self::generations::{Generations, MANY};
use crate::api::{Cause, RotatedSecretStatus};
use crate::backoff::{self, Class};
use crate::facts::pace::{Charged, Limited};
use crate::version_id::VersionId;

/// The longest wait until a status is written again. An attempt is one request, and an alert goes by its success.
const LONGEST_WITHOUT_STATUS: SignedDuration = SignedDuration::from_mins(2);

/// After so many attempts to write a status, what stands in the way is logged again: once an hour.
const LOGGED_AGAIN: u32 = 30;

/// How often a status is written again that another writer replaces, after [`FREE_REPLACEMENTS`].
pub(super) const CONTEST_FLOOR: SignedDuration = SignedDuration::from_mins(1);
/// How often that is done at once. A status that was lost or edited is restored without delay.
const FREE_REPLACEMENTS: u32 = 2;

/// What is remembered of each object, by its uid, and of its AWS secret, by region and name. What is known of an object
/// is removed with it. Its deletion may be missed, so the number is limited.
#[derive(Debug, Default)]
pub struct Memory {
    entries: Mutex<Generations<Entry>>,
    /// When targets were asked last.
    pub(super) checks: Checks,
}

#[derive(Debug, Default)]
struct Entry {
    /// Failures that passed by themselves so far and were not reported: how many, and when the first was.
    unreported: Option<(u32, Timestamp)>,
    unwritable: Option<Unwritable>,
    /// A hash of the reason with which a reconcile failed last.
    failure: Option<u64>,
    /// How many attempts to delete the object failed in this process.
    deletions: i32,
    written: Option<Written>,
    /// A hash of the revision whose status this process replaced last.
    superseded: Option<u64>,
    /// A hash of the generation and the defect with which the object could not be read last.
    unreadable: Option<u64>,
    /// Up to when versions are charged.
    charged: Charged,
    /// The version that this process wrote last, and why, until a status has it.
    unreported_version: Option<Box<(VersionId, Cause)>>,
    /// The version that is about to be staged.
    staging: Option<Staging>,
}

/// A version that is about to be staged.
#[derive(Debug)]
struct Staging {
    version: VersionId,
    /// When this process met its record, or last tried to stage it.
    met: Timestamp,
    /// Whether AWS may have it. Not if this process recorded it and has not sent it.
    sent: bool,
}

/// The status could not be written.
#[derive(Debug, Clone, Copy)]
struct Unwritable {
    count: u32,
    /// A hash of the reason.
    reason: u64,
    until: Timestamp,
    generation: Option<i64>,
}

/// An attempt to write a status that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotWritten {
    /// Until then, nothing is done for the object.
    pub(super) until: Timestamp,
    /// How often in a row that was.
    pub(super) count: u32,
    /// The log has a line with this reason from an earlier attempt, within the last hour or so.
    pub(super) logged: bool,
}

/// The status as this process wrote it last.
#[derive(Debug, Clone, Copy)]
struct Written {
    /// What it said, as a hash, so that the memory for each object does not depend on its status.
    said: u64,
    at: Timestamp,
    /// How often in a row another writer replaced it and it was written again.
    replaced: u32,
}

/// Whether a status may be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Yes.
    Write,
    /// Yes. It only takes back what another writer wrote, and that happened before.
    WriteContested,
    /// Not before this time: it only takes back what another writer wrote.
    WaitUntil(Timestamp),
}

impl Memory {
    fn generations(&self) -> MutexGuard<'_, Generations<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the entry of this object, or a new one.
    fn with<T>(&self, uid: &str, change: impl FnOnce(&mut Entry) -> T) -> T {
        change(self.generations().entry(uid, MANY))
    }

    /// Reads or changes the entry of this object, if there is one.
    fn known<T>(&self, uid: &str, change: impl FnOnce(&mut Entry) -> Option<T>) -> Option<T> {
        self.generations().get(uid, MANY).and_then(change)
    }

    /// The checks of all objects are remembered, however many `count` returns.
    pub fn remembers_checks_of(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        self.checks.remembers(count);
    }

    /// The object is gone, or is being deleted.
    pub fn forget(&self, uid: &str) {
        self.generations().remove(uid);
        self.checks.forget(uid);
    }

    /// Up to when versions of an AWS secret are charged. The secret counts, not the object: an object that is created again
    /// has another uid, and the same versions.
    pub(super) fn charged(&self, secret: &str) -> Charged {
        self.known(secret, |entry| Some(entry.charged)).unwrap_or_default()
    }

    /// A version was created.
    pub(super) fn charge(&self, secret: &str, limited: Limited, interval: SignedDuration, now: Timestamp) {
        self.with(secret, |entry| entry.charged.add(limited, interval, now));
    }

    /// This process wrote a version, or found that it `exists`. That one may be older than another one that was written.
    pub(super) fn puts(&self, uid: &str, version: &VersionId, cause: Cause, exists: bool) {
        self.with(uid, |entry| match entry.unreported_version {
            Some(_) if exists => {}
            _ => entry.unreported_version = Some(Box::new((version.clone(), cause))),
        });
    }

    /// The version that this process wrote, and why, if no status has it.
    pub(super) fn unreported_version(&self, uid: &str) -> Option<(VersionId, Cause)> {
        self.known(uid, |entry| entry.unreported_version.as_deref().cloned())
    }

    /// When this process met the record of this version in the status, or last tried to stage the version. `None`: AWS certainly
    /// does not have it.
    pub(super) fn meets(&self, uid: &str, version: &VersionId, now: Timestamp) -> Option<Timestamp> {
        self.with(uid, |entry| match &entry.staging {
            Some(known) if known.version == *version && !known.sent => None,
            // A time in the future was taken from a wrong clock.
            Some(known) if known.version == *version && known.met <= now => Some(known.met),
            _ => {
                entry.staging = Some(Staging { version: version.clone(), met: now, sent: true });
                Some(now)
            }
        })
    }

    /// This process recorded the version, which no status had before.
    pub(super) fn announces(&self, uid: &str, version: &VersionId, now: Timestamp) {
        self.with(uid, |entry| entry.staging = Some(Staging { version: version.clone(), met: now, sent: false }));
    }

    /// The version is sent to AWS now.
    pub(super) fn stages(&self, uid: &str, version: &VersionId, now: Timestamp) {
        self.with(uid, |entry| entry.staging = Some(Staging { version: version.clone(), met: now, sent: true }));
    }

    /// Another replica may have led meanwhile, and may have staged what this one has met.
    pub fn begins_to_lead(&self) {
        self.generations().each(|entry| entry.staging = None);
    }

    /// Failures that were not reported.
    pub(super) fn unreported(&self, uid: &str, now: Timestamp) -> Option<(u32, Timestamp)> {
        self.known(uid, |entry| entry.unreported.filter(|(_, since)| *since <= now))
    }

    /// One more failure is not reported.
    pub(super) fn keep_quiet(&self, uid: &str, now: Timestamp) {
        self.with(uid, |entry| {
            let (count, since) = entry.unreported.unwrap_or((0, now));
            entry.unreported = Some((count.saturating_add(1), since));
        });
    }

    /// A reconcile succeeded, or its failure is reported.
    pub(super) fn reported(&self, uid: &str) {
        self.known(uid, |entry| entry.unreported.take());
    }

    /// Until when nothing is done for the object, because its status could not be written. No longer after a clock was set back.
    pub(super) fn unwritable(&self, uid: &str, generation: Option<i64>, now: Timestamp) -> Option<Timestamp> {
        let Unwritable { until, generation: of, .. } = self.known(uid, |entry| entry.unwritable)?;
        (until > now && until.duration_since(now) <= LONGEST_WITHOUT_STATUS && of == generation).then_some(until)
    }

    /// The status could not be written for this reason.
    pub(super) fn cannot_write(&self, uid: &str, generation: Option<i64>, seed: u128, reason: &str, now: Timestamp) -> NotWritten {
        self.with(uid, |entry| {
            let reason = hash(reason);
            let before = entry.unwritable;
            let count = before.map_or(0, |before| before.count).saturating_add(1);
            // The clock shows whole seconds.
            let delay = SignedDuration::from_secs(backoff::delay(Class::Retry, count, seed).as_secs().max(1)).min(LONGEST_WITHOUT_STATUS);
            let until = now.saturating_add(delay).unwrap_or(now);
            entry.unwritable = Some(Unwritable { count, reason, until, generation });
            let known = before.is_some_and(|before| before.reason == reason);
            NotWritten { until, count, logged: known && !count.is_multiple_of(LOGGED_AGAIN) }
        })
    }

    /// A reconcile failed for this reason. Returns whether that was logged already, and is not in the status because that
    /// cannot be written.
    pub(super) fn fails_again(&self, uid: &str, reason: &str) -> bool {
        self.with(uid, |entry| {
            let reason = Some(hash(reason));
            let known = std::mem::replace(&mut entry.failure, reason) == reason;
            let attempt = |unwritable: Unwritable| unwritable.count.saturating_add(1);
            known && entry.unwritable.is_some_and(|unwritable| !attempt(unwritable).is_multiple_of(LOGGED_AGAIN))
        })
    }

    /// A reconcile did not fail.
    pub(super) fn failed_no_more(&self, uid: &str) {
        let _: Option<u64> = self.known(uid, |entry| entry.failure.take());
    }

    /// An attempt to delete the object failed. Returns how many that were in this process.
    pub(super) fn deletion_fails(&self, uid: &str) -> i32 {
        self.with(uid, |entry| {
            entry.deletions = entry.deletions.saturating_add(1);
            entry.deletions
        })
    }

    /// Whether the status of this object could not be written at the last attempt. It is asked of objects that exist: the deletion
    /// of one can be missed.
    pub fn is_unwritable(&self, uid: &str) -> bool {
        self.generations().find(uid).is_some_and(|entry| entry.unwritable.is_some())
    }

    /// The status is what is to be written. Returns whether the last attempt to write one had failed.
    pub(super) fn is_as_written(&self, uid: &str) -> bool {
        self.known(uid, |entry| entry.unwritable.take()).is_some()
    }

    /// Whether `after` may be written in place of `before`.
    pub(super) fn permit(&self, uid: &str, before: &RotatedSecretStatus, after: &RotatedSecretStatus, now: Timestamp) -> Permit {
        let contested = self.known(uid, |entry| {
            let written = entry.written.as_mut()?;
            if said(before) == written.said || said(after) != written.said {
                written.replaced = 0;
                return None;
            }
            let floor = written.at.saturating_add(CONTEST_FLOOR).unwrap_or(now);
            if written.replaced >= FREE_REPLACEMENTS && floor > now && written.at <= now {
                return Some(Permit::WaitUntil(floor));
            }
            written.replaced = written.replaced.saturating_add(1);
            (written.replaced > FREE_REPLACEMENTS).then_some(Permit::WriteContested)
        });
        contested.unwrap_or(Permit::Write)
    }

    /// The status was written. Returns whether the attempt before had failed.
    pub(super) fn wrote(&self, uid: &str, status: &RotatedSecretStatus, now: Timestamp) -> bool {
        self.with(uid, |entry| {
            let replaced = entry.written.map_or(0, |written| written.replaced);
            let has = |version: &VersionId| status.history.iter().any(|entry| entry.version_id == version.as_str());
            entry.unreported_version.take_if(|version| has(&version.0));
            entry.written = Some(Written { said: said(status), at: now, replaced });
            entry.unwritable.take().is_some()
        })
    }

    /// The object cannot be read, in this generation and for this reason. Returns whether that is new to this process.
    pub fn cannot_read(&self, uid: &str, generation: Option<i64>, defect: &str) -> bool {
        let now = Some(hash(&format!("{generation:?} {defect}")));
        self.with(uid, |entry| std::mem::replace(&mut entry.unreadable, now) != now)
    }

    /// The status of this revision was replaced.
    pub(super) fn supersedes(&self, uid: &str, revision: &str) {
        self.with(uid, |entry| entry.superseded = Some(hash(revision)));
    }

    /// Whether this revision is the one whose status this process replaced last.
    pub(super) fn superseded(&self, uid: &str, revision: &str) -> bool {
        self.known(uid, |entry| entry.superseded).is_some_and(|last| last == hash(revision))
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A hash of what the status says, without when it was said.
fn said(status: &RotatedSecretStatus) -> u64 {
    let mut timeless = RotatedSecretStatus { failures: None, suspension_time: None, ..status.clone() };
    for condition in &mut timeless.conditions {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    let mut hasher = DefaultHasher::new();
    // It can be serialized, since it was received or will be sent as JSON.
    serde_json::to_string(&timeless).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
