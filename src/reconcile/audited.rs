//! What a reconcile writes to the audit stream, and when. What the status records is written before the status is, so that a
//! crash in between repeats a line and drops none. A change that no status records is written as soon as it is made.

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::api::{Cause, RotatedSecretStatus};
use crate::audit::{Action, Entry, changes};
use crate::compare::{MirrorState, Observation};
use crate::desired::{Desired, Rotation};
use crate::kubernetes::object;
use crate::status::{EventNote, SecretWrite, unrecorded};
use crate::step::Step;
use crate::version_id::VersionId;

impl Reconciler<'_> {
    /// What this reconcile changed, with the field managers of its requests.
    pub(super) async fn entries(&self, before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Vec<Entry> {
        if !self.ctx.audit.is_on() {
            return Vec::new();
        }
        let mut entries = changes(&self.object, before, after);
        for entry in &mut entries {
            if let Some(annotation) = entry.annotation() {
                let asks = |text: &str| entry.is_requested_by(text);
                // A large future, of a rare entry.
                let requester = Box::pin(object::annotator(&self.ctx.client, &self.object, annotation, asks)).await;
                entry.requester = requester;
            }
        }
        entries
    }

    /// Writes entries about this object.
    pub(super) fn audit(&self, entries: &[Entry]) {
        self.ctx.record(&self.object.metadata, entries);
    }

    /// A step was carried out that no status records.
    pub(super) fn audit_step(&self, seen: &Observation, step: &Step) {
        let entry = match step {
            Step::Restore => Entry::of(Action::Restored),
            step if self.corrects(seen, step) => Entry { step: Some(step.kind()), ..Entry::of(Action::Repaired) },
            step if self.secret_write(seen, step) == Some(SecretWrite::Repair) => Entry {
                version: step.version().map(ToString::to_string),
                step: Some(step.kind()),
                // The status keeps the manager of an earlier repair, also if another client deleted the Secret now.
                manager: self.rival.clone(),
                ..Entry::of(Action::Repaired)
            },
            _ => return,
        };
        self.audit(&[Entry { arn: seen.secret.as_ref().map(|secret| secret.arn.clone()), ..entry }]);
    }

    /// A step that makes another version current follows. The next status has only that one, and not the one that is current
    /// and perhaps in the Secret since the last status.
    pub(super) fn audit_passed_over(&self, want: &Desired, seen: &Observation, step: &Step) {
        if self.ctx.audit.is_on() && matches!(step, Step::Put { .. } | Step::Promote { .. } | Step::RestoreCurrent { .. }) {
            self.audit(&self.passed_over(want, seen, matches!(step, Step::RestoreCurrent { .. })));
        }
    }

    fn passed_over(&self, want: &Desired, seen: &Observation, restores: bool) -> Vec<Entry> {
        let before = self.object.status.clone().unwrap_or_default();
        let arn = seen.secret.as_ref().map(|secret| secret.arn.clone());
        let newest = seen.status.newest().map(ToString::to_string);
        let mut entries = Vec::new();
        if let Some((version, cause)) = unrecorded(&before, want, seen, (self.ctx.clock)()) {
            // An ID of this form may follow from a request or a spec that was replaced since.
            let unclear = cause == Cause::External && version.is_derived() && !matches!(want.rotation, Rotation::Lambda(_));
            let action = if unclear { Action::Rotated } else { Action::of_version(cause) };
            let (version, cause) = (Some(version.to_string()), (!unclear).then_some(cause.as_str()));
            entries.push(Entry { version, previous_version: newest, cause, arn: arn.clone(), ..Entry::of(action) });
        }
        let reported = before.mirror.and_then(|mirror| mirror.version_id);
        if let MirrorState::Ours { version: Some(held), .. } = &seen.mirror
            && reported.as_deref() != Some(held.as_str())
            && !restores
        {
            entries.push(Entry { version: Some(held.to_string()), previous_version: reported, arn, ..Entry::of(Action::Mirrored) });
        }
        entries
    }

    /// The target refuses the credential of this version.
    pub(super) fn audit_retired(&self, arn: &str, version: &VersionId) {
        self.audit(&[Entry { arn: Some(arn.to_owned()), version: Some(version.to_string()), ..Entry::of(Action::Retired) }]);
    }

    /// A staged version of a deleted object is abandoned.
    pub(super) fn audit_abandoned(&self, arn: &str, version: &VersionId) {
        self.audit(&[Entry { arn: Some(arn.to_owned()), version: Some(version.to_string()), ..Entry::of(Action::Abandoned) }]);
    }

    /// The AWS secret of a deleted object is scheduled for deletion.
    pub(super) fn audit_deletion(&self, arn: &str) {
        self.audit(&[Entry { arn: Some(arn.to_owned()), ..Entry::of(Action::DeletionScheduled) }]);
    }

    /// A deleted object is about to be released, and AWS shows no secret to delete.
    pub(super) fn audit_absent(&self, arn: &str) {
        let reason = Some(Reason::SecretNotFound.as_str().to_owned());
        self.audit(&[Entry { arn: Some(arn.to_owned()), reason, ..Entry::of(Action::Kept) }]);
    }

    /// A deleted object is about to be released, and this remains.
    pub(super) fn audit_kept(&self, arn: Option<&str>, note: &EventNote) {
        self.audit(&[Entry { arn: arn.map(str::to_owned), reason: Some(note.reason.clone()), ..Entry::of(Action::Kept) }]);
    }
}
