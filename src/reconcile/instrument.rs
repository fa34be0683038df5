//! What a step and a turn are to those who count and read logs.

use super::Work;
use crate::api::{Cause, HistoryEntry};
use crate::desired::Desired;
use crate::plan::Step;

impl Work<'_> {
    /// A step was carried out (`ok`), or was not.
    pub(super) fn account(&self, want: &Desired, step: &Step, ok: bool) {
        let metrics = &self.ctx.metrics;
        metrics.step(step.kind(), if ok { "ok" } else { "failed" });
        if !ok {
            match step {
                Step::Create { .. } => metrics.rotation(want.strategy(), Cause::Created.as_str(), "Failed"),
                Step::RollBack { .. } => metrics.rotation(want.strategy(), Cause::RolledBack.as_str(), "Failed"),
                Step::Write { cause, .. } => metrics.rotation(want.strategy(), cause.as_str(), "Failed"),
                _ => {}
            }
            return;
        }
        let status = self.object.status.as_ref();
        // What was declared when the status was written is declared still: then somebody else has changed something.
        let declared_before = status.and_then(|status| status.observed_generation) == self.object.metadata.generation;
        match step {
            Step::CreateMirror { version } | Step::ReplaceMirror { version, .. } | Step::AdoptMirror { version } => {
                let held = status.and_then(|status| status.mirror.as_ref()).and_then(|mirror| mirror.version_id.as_deref());
                if held != Some(version.as_str()) {
                    metrics.mirror_write("NewVersion");
                } else if declared_before {
                    metrics.mirror_write("Repair");
                    metrics.drift_repair(step.kind());
                } else {
                    metrics.mirror_write("Spec");
                }
            }
            step if declares(step) && declared_before => metrics.drift_repair(step.kind()),
            _ => {}
        }
    }

    /// A version became current, and the status says so.
    pub(super) fn news(&self, want: Option<&Desired>, entry: &HistoryEntry) {
        self.ctx.metrics.rotation(want.map_or("None", Desired::strategy), entry.cause.as_str(), "Succeeded");
        tracing::info!(version = entry.version_id, cause = entry.cause.as_str(), "version is current");
    }
}

/// Whether a step makes the AWS secret's settings as declared.
fn declares(step: &Step) -> bool {
    step.keeps_a_setting()
}

/// The version that a step is about; empty where it is about none.
pub(super) fn version_of(step: &Step) -> &str {
    match step {
        Step::RotateNow { version }
        | Step::Create { version }
        | Step::Write { version, .. }
        | Step::RollBack { version, .. }
        | Step::RestoreCurrent { to: version, .. }
        | Step::MoveLabel { to: Some(version), .. }
        | Step::CreateMirror { version }
        | Step::AdoptMirror { version }
        | Step::ReplaceMirror { version, .. } => version.as_str(),
        _ => "",
    }
}
