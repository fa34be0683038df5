//! What this process remembers of an object between reconciles, beside the status. Losing it costs a repetition at most.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::api::RotatedSecretStatus;
use crate::backoff::{self, Class};
use crate::facts::pace;

/// After how many objects those that were not reconciled for [`FORGET`] are removed.
const MANY: usize = 1024;
/// How long an object is remembered.
const FORGET: SignedDuration = SignedDuration::from_hours(2);
/// How often a status is written again that another writer replaces, after [`FREE_REPLACEMENTS`].
pub(super) const CONTEST_FLOOR: SignedDuration = SignedDuration::from_mins(1);
/// How often that is done at once. A status that was lost or edited is restored without delay.
const FREE_REPLACEMENTS: u32 = 2;

/// What is remembered of each object, by its uid, and of its AWS secret, by region and name.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    used: Timestamp,
    /// Failures that passed by themselves so far and were not reported: how many, and when the first was.
    unreported: Option<(u32, Timestamp)>,
    unwritable: Option<Unwritable>,
    written: Option<Written>,
    /// Up to when requests that created versions are charged ([`pace`]).
    charged: Option<Timestamp>,
}

/// The status could not be written.
#[derive(Debug, Clone, Copy)]
struct Unwritable {
    count: u32,
    until: Timestamp,
    generation: Option<i64>,
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
    fn with<T>(&self, uid: &str, now: Timestamp, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MANY && !entries.contains_key(uid) {
            entries.retain(|_, entry| now.duration_since(entry.used) < FORGET);
        }
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.used = now;
        change(entry)
    }

    /// The object is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Up to when requests for an AWS secret are charged. The secret counts, not the object: an object that is created again
    /// has another uid, and the same versions.
    pub(super) fn charged(&self, secret: &str) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(secret).and_then(|entry| entry.charged)
    }

    /// A request created a version.
    pub(super) fn charge(&self, secret: &str, interval: SignedDuration, now: Timestamp) {
        self.with(secret, now, |entry| {
            // A clock that was wrong before is not believed.
            let earlier = entry.charged.filter(|charged| pace::credible(*charged, now, interval));
            entry.charged = Some(pace::charge(earlier, now, interval));
        });
    }

    /// Failures that were not reported.
    pub(super) fn unreported(&self, uid: &str, now: Timestamp) -> Option<(u32, Timestamp)> {
        self.with(uid, now, |entry| entry.unreported.filter(|(_, since)| *since <= now))
    }

    /// One more failure is not reported.
    pub(super) fn keep_quiet(&self, uid: &str, now: Timestamp) {
        self.with(uid, now, |entry| {
            let (count, since) = entry.unreported.unwrap_or((0, now));
            entry.unreported = Some((count.saturating_add(1), since));
        });
    }

    /// A reconcile succeeded, or its failure is reported.
    pub(super) fn reported(&self, uid: &str, now: Timestamp) {
        self.with(uid, now, |entry| entry.unreported = None);
    }

    /// Until when nothing is done for the object, because its status could not be written.
    pub(super) fn unwritable(&self, uid: &str, generation: Option<i64>, now: Timestamp) -> Option<Timestamp> {
        let found = self.with(uid, now, |entry| entry.unwritable)?;
        (found.until > now && found.generation == generation).then_some(found.until)
    }

    /// The status could not be written. Returns until when nothing is done for the object.
    pub(super) fn cannot_write(&self, uid: &str, generation: Option<i64>, seed: u128, now: Timestamp) -> Timestamp {
        self.with(uid, now, |entry| {
            let count = entry.unwritable.map_or(0, |before| before.count).saturating_add(1);
            // The clock shows whole seconds.
            let delay = SignedDuration::from_secs(backoff::delay(Class::Retry, count, seed).as_secs().max(1));
            let until = now.saturating_add(delay).unwrap_or(now);
            entry.unwritable = Some(Unwritable { count, until, generation });
            until
        })
    }

    /// Whether `after` may be written in place of `before`.
    pub(super) fn permit(&self, uid: &str, before: &RotatedSecretStatus, after: &RotatedSecretStatus, now: Timestamp) -> Permit {
        self.with(uid, now, |entry| {
            let Some(written) = &mut entry.written else { return Permit::Write };
            if said(before) == written.said || said(after) != written.said {
                written.replaced = 0;
                return Permit::Write;
            }
            let floor = written.at.saturating_add(CONTEST_FLOOR).unwrap_or(now);
            if written.replaced >= FREE_REPLACEMENTS && floor > now && written.at <= now {
                return Permit::WaitUntil(floor);
            }
            written.replaced = written.replaced.saturating_add(1);
            if written.replaced > FREE_REPLACEMENTS { Permit::WriteContested } else { Permit::Write }
        })
    }

    /// The status was written.
    pub(super) fn wrote(&self, uid: &str, status: &RotatedSecretStatus, now: Timestamp) {
        self.with(uid, now, |entry| {
            entry.unwritable = None;
            let replaced = entry.written.map_or(0, |written| written.replaced);
            entry.written = Some(Written { said: said(status), at: now, replaced });
        });
    }
}

/// A hash of what the status says, without when it was said.
fn said(status: &RotatedSecretStatus) -> u64 {
    let mut timeless = RotatedSecretStatus { failures: None, ..status.clone() };
    for condition in &mut timeless.conditions {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    let mut hasher = DefaultHasher::new();
    // It can be serialized, since it was received or will be sent as JSON.
    serde_json::to_string(&timeless).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}
