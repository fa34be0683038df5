//! What this process knows of a version whose record is in the status, and which AWS may have without showing it.

use jiff::Timestamp;

use super::Memory;
use crate::version_id::VersionId;

/// A version that is about to be staged.
#[derive(Debug)]
pub(super) struct Staging {
    version: VersionId,
    /// When this process met its record, or last tried to stage it.
    met: Timestamp,
    /// Whether AWS may have it. Not if this process recorded it and has not sent it.
    sent: bool,
}

impl Memory {
    /// When this process met the record of this version in the status, or last tried to stage the version. `None`: AWS certainly
    /// does not have it.
    pub(in crate::reconcile) fn meets(&self, uid: &str, version: &VersionId, now: Timestamp) -> Option<Timestamp> {
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
    pub(in crate::reconcile) fn announces(&self, uid: &str, version: &VersionId, now: Timestamp) {
        self.with(uid, |entry| entry.staging = Some(Staging { version: version.clone(), met: now, sent: false }));
    }

    /// The version is sent to AWS now.
    pub(in crate::reconcile) fn stages(&self, uid: &str, version: &VersionId, now: Timestamp) {
        self.with(uid, |entry| entry.staging = Some(Staging { version: version.clone(), met: now, sent: true }));
    }

    /// Another replica may have led meanwhile, and may have staged what this one has met.
    pub fn begins_to_lead(&self) {
        self.generations().each(|entry| entry.staging = None);
    }
}
