//! What a reconcile writes to the audit stream, and when. What the status records is written before the status is, so that a
//! crash in between repeats a line and drops none. A change that no status records is written as soon as it is made.

use super::reconciler::Reconciler;
use crate::api::RotatedSecretStatus;
use crate::audit::{Action, Entry, changes};
use crate::compare::Observation;
use crate::kubernetes::object;
use crate::status::EventNote;
use crate::step::{Step, StepKind};
use crate::version_id::VersionId;

impl Reconciler<'_> {
    /// What this reconcile changed, with the field managers of its requests.
    pub(super) async fn entries(&self, before: &RotatedSecretStatus, after: &RotatedSecretStatus, steps: &[StepKind]) -> Vec<Entry> {
        if !self.ctx.audit.is_on() {
            return Vec::new();
        }
        let mut entries = changes(&self.object, before, after, steps);
        for entry in &mut entries {
            if let Some(annotation) = entry.annotation() {
                // A large future, of a rare entry.
                entry.requester = Box::pin(object::annotator(&self.ctx.client, &self.object, annotation)).await;
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
            step if self.corrects(step) => Entry { step: Some(step.kind()), ..Entry::of(Action::Repaired) },
            _ => return,
        };
        self.audit(&[Entry { arn: seen.secret.as_ref().map(|secret| secret.arn.clone()), ..entry }]);
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

    /// A deleted object is about to be released, and this remains.
    pub(super) fn audit_kept(&self, arn: Option<&str>, note: &EventNote) {
        self.audit(&[Entry { arn: arn.map(str::to_owned), reason: Some(note.reason.clone()), ..Entry::of(Action::Kept) }]);
    }
}
