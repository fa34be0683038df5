//! Series that exist from the start. `increase()` does not see the first event of a counter that begins with it, so the
//! first event after a restart would be in no alert and in no panel.

use strum::VariantArray as _;

use super::{Counts, Durations, Label, kubernetes};
use crate::api::Cause;
use crate::api::condition::Reason;
use crate::step::StepKind;

/// What `rotated_secrets_errors_total` counts beside the reasons of conditions: the status itself, and requests.
const OTHER_REASONS: [&str; 3] = ["StatusNotWritten", "StatusContested", "RollbackRefused"];
/// What `rotated_secrets_reconciles_total` tells apart.
const OUTCOMES: [&str; 3] = ["changed", "unchanged", "error"];
/// What `rotated_secrets_mirror_writes_total` tells apart.
const WRITES: [&str; 4] = ["NewVersion", "Previous", "Repair", "Spec"];
/// Strategies without a target. Those with one begin with their first rotation: few objects have them all.
const STRATEGIES: [&str; 3] = ["Generate", "Lambda", "None"];
/// Causes of a version.
const CAUSES: [Cause; 7] =
    [Cause::Created, Cause::Adopted, Cause::External, Cause::RolledBack, Cause::Scheduled, Cause::Requested, Cause::SpecChanged];

impl Durations {
    /// Makes the series of the requests to the API server, at zero.
    pub(super) fn start_at_zero(&self) {
        for [method, _] in kubernetes::all() {
            drop(self.kubernetes_request.get_or_create(&[method]));
        }
    }
}

impl Counts {
    /// Makes the series of closed label sets, at zero.
    pub(super) fn start_at_zero(&self) {
        for reason in Reason::ALL.into_iter().map(Reason::as_str).chain(OTHER_REASONS) {
            drop(self.errors.get_or_create(&[("reason", reason)]));
        }
        for outcome in OUTCOMES {
            drop(self.reconciles.get_or_create(&[("outcome", outcome)]));
        }
        for labels in kubernetes::all() {
            drop(self.kubernetes_requests.get_or_create(&labels));
        }
        for cause in WRITES {
            drop(self.mirror_writes.get_or_create(&[("cause", cause)]));
        }
        for kind in StepKind::VARIANTS.iter().filter(|kind| !kind.reads()) {
            let step: Label = ("step", (*kind).into());
            for outcome in ["ok", "failed"] {
                drop(self.steps.get_or_create(&[step, ("outcome", outcome)]));
            }
            drop(self.drift_repairs.get_or_create(&[step]));
        }
        for strategy in STRATEGIES {
            for (cause, outcome) in CAUSES.iter().flat_map(|cause| ["Succeeded", "Failed"].map(|outcome| (cause, outcome))) {
                drop(self.rotations.get_or_create(&[("strategy", strategy), ("cause", cause.as_str()), ("outcome", outcome)]));
            }
        }
    }
}
