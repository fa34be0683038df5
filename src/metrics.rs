//! What the operator counts. Labels come from closed sets of words in the program (`&'static str`), never from an object, so that the number
//! of series is bounded and no name of a tenant is told to whoever may read metrics.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type Label = (&'static str, &'static str);

/// From a look that finds nothing to do, to a turn that AWS keeps waiting.
const TURN_SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// All counters; a clone counts on the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    reconciles: Family<[Label; 1], Counter>,
    errors: Family<[Label; 1], Counter>,
    steps: Family<[Label; 1], Counter>,
    aws_calls: Family<[Label; 2], Counter>,
    rotations: Family<[Label; 2], Counter>,
    reconcile_duration: Histogram,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rotated_secrets");
        let reconciles = Family::default();
        let errors = Family::default();
        let steps = Family::default();
        let aws_calls = Family::default();
        let rotations = Family::default();
        let reconcile_duration = Histogram::new(TURN_SECONDS);
        registry.register("reconciles", "Looks at an object", reconciles.clone());
        registry.register("errors", "Failed looks by reason", errors.clone());
        registry.register("steps", "Changes made, by kind", steps.clone());
        registry.register("aws_calls", "Calls of AWS", aws_calls.clone());
        registry.register("rotations", "New versions by cause", rotations.clone());
        let leader = Gauge::default();
        registry.register("leader", "Whether this replica acts: 1 or 0", leader.clone());
        registry.register_with_unit("reconcile_duration", "How long a look at an object took", Unit::Seconds, reconcile_duration.clone());
        Self(Arc::new(Inner { registry, reconciles, errors, steps, aws_calls, rotations, reconcile_duration, leader }))
    }

    /// A look at an object has ended: `changed`, `unchanged` or `error`.
    pub fn reconcile(&self, outcome: &'static str, took: Duration) {
        count(&self.0.reconciles, [("outcome", outcome)]);
        self.0.reconcile_duration.observe(took.as_secs_f64());
    }

    /// A look failed for a reason, the same that the condition names.
    pub fn failure(&self, reason: &'static str) {
        count(&self.0.errors, [("reason", reason)]);
    }

    /// A step of the plan was carried out.
    pub fn step(&self, step: &'static str) {
        count(&self.0.steps, [("step", step)]);
    }

    /// AWS has answered, or not.
    pub fn aws_call(&self, operation: &'static str, outcome: &'static str) {
        let labels = [("operation", operation), ("outcome", outcome)];
        count(&self.0.aws_calls, labels);
    }

    /// A rotation has come to its end.
    pub fn rotation(&self, cause: &'static str, outcome: &'static str) {
        let labels = [("cause", cause), ("outcome", outcome)];
        count(&self.0.rotations, labels);
    }

    /// This replica acts from now on, or does not.
    pub fn leads(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// All of it as `OpenMetrics` text.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

fn count<const N: usize>(family: &Family<[Label; N], Counter>, labels: [Label; N]) {
    family.get_or_create(&labels).inc();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_counts_under_its_documented_name() {
        let metrics = Metrics::new();
        let clone = metrics.clone();
        clone.reconcile("changed", Duration::from_millis(20));
        clone.reconcile("changed", Duration::from_secs(100));
        clone.failure("AccessDenied");
        clone.step("Stage");
        clone.aws_call("DescribeSecret", "ok");
        clone.rotation("Scheduled", "Succeeded");
        let text = metrics.render().unwrap();
        for line in [
            "rotated_secrets_reconciles_total{outcome=\"changed\"} 2",
            "rotated_secrets_errors_total{reason=\"AccessDenied\"} 1",
            "rotated_secrets_steps_total{step=\"Stage\"} 1",
            "rotated_secrets_aws_calls_total{operation=\"DescribeSecret\",outcome=\"ok\"} 1",
            "rotated_secrets_rotations_total{cause=\"Scheduled\",outcome=\"Succeeded\"} 1",
            "rotated_secrets_reconcile_duration_seconds_bucket{le=\"0.01\"} 0",
            "rotated_secrets_reconcile_duration_seconds_bucket{le=\"0.05\"} 1",
            "rotated_secrets_reconcile_duration_seconds_bucket{le=\"+Inf\"} 2",
            "rotated_secrets_reconcile_duration_seconds_count 2",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
