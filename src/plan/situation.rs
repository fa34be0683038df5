//! What every rule sees once the AWS secret is ours, or only mirrored, and has a value.

use jiff::Timestamp;

use crate::api::{AWSPENDING, Cause, STAGED_LABEL};
use crate::compare::{Current, MirrorState, Observation, Pending, SecretState};
use crate::desired::{Desired, Pin, Rotation, Strategy};
use crate::journal::CONSISTENCY_WINDOW;
use crate::version_id::VersionId;

/// The arguments of every rule.
#[derive(Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) want: &'a Desired,
    pub(super) seen: &'a Observation,
    pub(super) secret: &'a SecretState,
    pub(super) current: &'a Current,
    pub(super) now: Timestamp,
}

impl Situation<'_> {
    /// Whether AWS has, or is known to have had, a version of this id.
    pub(super) fn known(&self, version: &VersionId) -> bool {
        *version == self.current.version
            || self.secret.pending.version() == Some(version)
            || self.secret.labels.values().any(|labelled| labelled == version)
            || self.seen.used().contains_key(version)
            || self.seen.status.staging.abandoned(version).is_some()
    }

    /// Whether the status records this version with the declared target, and with the version that it follows.
    pub(super) fn announced(&self, version: &VersionId) -> bool {
        let target = self.want.strategy.as_ref().map(Strategy::record);
        let recorded = self.seen.status.staging.announced.as_ref();
        let recorded = recorded.filter(|recorded| recorded.version == *version && recorded.target == target);
        let follows = |from: &Option<VersionId>| from.as_ref().is_none_or(|from| *from == self.current.version);
        recorded.is_some_and(|recorded| self.is_staged(version) || follows(&recorded.from))
    }

    /// Whether this version restores the value from before a rollout that failed.
    pub(super) fn is_recovery(&self, version: &VersionId) -> bool {
        let before = self.secret.previous().into_iter().chain(self.seen.status.history.iter().map(|entry| &entry.version));
        before.into_iter().any(|failed| self.want.ids.recovery(failed) == *version)
    }

    /// Whether a person requested this version because the credential before it must not be used any longer.
    pub(super) fn is_emergency(&self, version: &VersionId) -> bool {
        self.want.is_emergency(self.seen.status.requests.rotate.as_deref(), version)
    }

    /// Whether the Secret is pinned to the current version, and the target refuses that once it has another one.
    pub(super) fn pinned_to_current(&self) -> bool {
        let pin = self.want.target.as_ref().map(|target| &target.pin);
        pin == Some(&Pin::Version(self.current.version.clone())) && self.want.strategy.as_ref().is_some_and(Strategy::replaces)
    }

    /// Whether a version for this cause may have another credential than the current one. A change of the declaration keeps a
    /// generated password.
    pub(super) fn changes_credential(&self, cause: Cause) -> bool {
        let by_password = self.want.strategy.as_ref().is_some_and(Strategy::needs_credential);
        cause != Cause::SpecChanged || !by_password || self.seen.status.declared.fixed.iter().any(|field| field == "password")
    }

    /// Whether the current version was written for this declaration.
    pub(super) fn has_declared(&self, hash: &str) -> bool {
        self.secret.written_for(self.want, hash)
    }

    /// Whether a version has no label but that of a version on its way, and is not known to have been current: its value may
    /// not be usable yet.
    pub(super) fn only_pending(&self, version: &VersionId) -> bool {
        self.labelled(version, true) && !self.was_current(version)
    }

    /// Whether a version is known to have been current, or has a label that only such a version gets.
    pub(super) fn was_current(&self, version: &VersionId) -> bool {
        self.labelled(version, false) || self.seen.status.recorded(version) || *version == self.want.ids.creation()
    }

    fn labelled(&self, version: &VersionId, pending: bool) -> bool {
        self.secret.labels.iter().any(|(label, on)| on == version && is_of_pending(label) == pending)
    }

    /// Until when no version is made, because the read is older than a write of ours or than the status.
    pub(super) fn stale_until(&self) -> Option<Timestamp> {
        let visible = self.invisible().and_then(|created| created.saturating_add(CONSISTENCY_WINDOW).ok());
        visible.max(self.secret.outdated)
    }

    /// Whether this version is staged: it is not current yet, so what asked for it is not done.
    pub(super) fn is_staged(&self, version: &VersionId) -> bool {
        matches!(&self.secret.pending, Pending::Ours(staged, _) | Pending::Overtaken(staged, _) if staged == version)
    }

    /// When a version was created that AWS has and that is too young for the absence of its label to mean anything.
    fn invisible(&self) -> Option<Timestamp> {
        let shown = |version: &VersionId| {
            *version == self.current.version || self.secret.previous() == Some(version) || self.secret.pending.version() == Some(version)
        };
        let young = |created: Timestamp| self.now.duration_since(created) < CONSISTENCY_WINDOW;
        self.seen.used().into_iter().filter(|(version, created)| !shown(version) && young(*created)).map(|(_, created)| created).max()
    }

    /// AWS rotates, and the current version is not in the history: it is recorded before another one follows, since the
    /// staging labels remember only two.
    pub(super) fn unrecorded(&self) -> bool {
        matches!(self.want.rotation, Rotation::Lambda(_)) && self.seen.status.newest() != Some(&self.current.version)
    }

    /// The version that the mirror holds.
    pub(super) fn mirrored(&self) -> Option<&VersionId> {
        match &self.seen.mirror {
            MirrorState::Ours { version, .. } => version.as_ref(),
            _ => None,
        }
    }
}

/// Whether this is a label of a version on its way to become current.
pub(super) fn is_of_pending(label: &str) -> bool {
    [AWSPENDING, STAGED_LABEL].contains(&label)
}
