//! Histograms of durations.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// A histogram for each value of one label.
type Histograms<T> = Family<[(&'static str, T); 1], Histogram, fn() -> Histogram>;

/// From a reconcile without changes to a reconcile that waits for AWS.
const TURN_SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// From a workload without pods to the longest timeout of a rollout.
const ROLLOUT_SECONDS: [f64; 9] = [5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 86_400.0];
/// From a request in the same region to a call with three attempts.
const CALL_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 45.0];
/// From a read to a request that waits for an admission webhook.
const REQUEST_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How long things take.
pub(super) struct Durations {
    pub(super) reconcile: Histogram,
    pub(super) aws_call: Histograms<String>,
    pub(super) kubernetes_request: Histograms<&'static str>,
    pub(super) target_gap: Histograms<&'static str>,
    pub(super) rollout: Histogram,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            reconcile: Histogram::new(TURN_SECONDS),
            aws_call: Family::new_with_constructor((|| Histogram::new(CALL_SECONDS)) as fn() -> Histogram),
            kubernetes_request: Family::new_with_constructor((|| Histogram::new(REQUEST_SECONDS)) as fn() -> Histogram),
            target_gap: Family::new_with_constructor((|| Histogram::new(TURN_SECONDS)) as fn() -> Histogram),
            rollout: Histogram::new(ROLLOUT_SECONDS),
        }
    }
}

impl Durations {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit("reconcile_duration", "Duration of a reconcile", Unit::Seconds, self.reconcile.clone());
        registry.register_with_unit(
            "aws_call_duration",
            "Duration of an AWS API call, including retries",
            Unit::Seconds,
            self.aws_call.clone(),
        );
        registry.register_with_unit(
            "kubernetes_request_duration",
            "Time until the API server answers a request",
            Unit::Seconds,
            self.kubernetes_request.clone(),
        );
        registry.register_with_unit(
            "target_gap",
            "Time from the change of a password in its target to the write of the Secret",
            Unit::Seconds,
            self.target_gap.clone(),
        );
        registry.register_with_unit(
            "rollout_duration",
            "Time from a new version in the Secret until every workload is healthy with it",
            Unit::Seconds,
            self.rollout.clone(),
        );
    }
}
