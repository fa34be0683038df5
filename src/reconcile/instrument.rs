//! Metrics and log lines of steps and versions.

use super::reconciler::Reconciler;
use crate::api::{Cause, HistoryEntry};
use crate::compare::Observation;
use crate::desired::Desired;
use crate::journal::Effect;
use crate::step::Step;

impl Reconciler<'_> {
    /// Counts a step. `effect`: what it did; `None`: it failed.
    pub(super) fn record_metrics(&self, want: &Desired, seen: &Observation, step: &Step, effect: Option<&Effect>) {
        let metrics = &self.ctx.metrics;
        match effect {
            Some(Effect::Absent | Effect::Unfit(_) | Effect::GoesOn(_)) => {}
            Some(_) => {
                metrics.step(step.kind(), "ok");
                self.record_drift(seen, step);
            }
            None => {
                metrics.step(step.kind(), "failed");
                let cause = match step {
                    Step::Create { .. } => Some(Cause::Created),
                    Step::Put { cause, .. } => Some(*cause),
                    _ => None,
                };
                if let Some(cause) = cause {
                    metrics.rotation(want.strategy(), cause.as_str(), "Failed");
                }
            }
        }
    }

    fn record_drift(&self, seen: &Observation, step: &Step) {
        let metrics = &self.ctx.metrics;
        let status = self.object.status.as_ref();
        // The declaration is the one that the status speaks of: then an external change is corrected.
        let declared_before = status.and_then(|status| status.observed_generation) == self.object.metadata.generation;
        if step.writes_mirror() {
            let held = status.and_then(|status| status.mirror.as_ref()).and_then(|mirror| mirror.version_id.as_deref());
            if held != step.version().map(crate::version_id::VersionId::as_str) {
                metrics.mirror_write("NewVersion");
            } else if declared_before && seen.status.mirror.previous != seen.extras.wanted_previous {
                metrics.mirror_write("Previous");
            } else if declared_before {
                metrics.mirror_write("Repair");
                metrics.drift_repair(step.kind());
            } else {
                metrics.mirror_write("Spec");
            }
        } else if step.is_setting() && !matches!(step, Step::MoveLabel { .. } | Step::Settle { .. }) && declared_before {
            metrics.drift_repair(step.kind());
        }
    }

    /// A version became current, and the status says so.
    pub(super) fn record_version(&self, want: Option<&Desired>, entry: &HistoryEntry) {
        self.ctx.metrics.rotation(want.map_or("None", Desired::strategy), entry.cause.as_str(), "Succeeded");
        let what = match entry.cause {
            Cause::Created => "created",
            Cause::Adopted => "adopted",
            Cause::External => "changed externally",
            Cause::RolledBack => "rolled back",
            Cause::Scheduled | Cause::Requested | Cause::SpecChanged => "rotated",
        };
        tracing::info!(version = entry.version_id, cause = entry.cause.as_str(), "{what}");
    }
}
