//! Metrics of the operator. Label values come from closed sets in the program, never from objects, so that the number
//! of series is bounded and names of tenants are not disclosed to readers of metrics. Series per object are exported
//! only if an administrator enables them.
//!
//! Every metric is listed in docs/metrics.md; a test compares the two.

mod durations;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::durations::Durations;
use crate::api::condition::Reason;
use crate::fleet::{FleetStats, One};

type Label = (&'static str, &'static str);
/// A label whose values are the operations of the AWS SDK, also a closed set.
type Name = (&'static str, String);
/// A gauge that may have no series: an unknown time is not exported, because 0 would mean 1970.
type Maybe = Family<[Label; 0], Gauge>;

/// All metrics. Clones share the same values.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

struct Inner {
    registry: Registry,
    counts: Counts,
    standing: Standing,
    durations: Durations,
    /// Counts the objects at scrape time. Scrapes are rendered one at a time: each recalculates the gauges.
    census: OnceLock<Box<dyn Fn() -> FleetStats + Send + Sync>>,
    page: Mutex<()>,
}

/// Counters since the start of the process.
#[derive(Default)]
struct Counts {
    reconciles: Family<[Label; 1], Counter>,
    errors: Family<[Label; 1], Counter>,
    steps: Family<[Label; 2], Counter>,
    rotations: Family<[Label; 3], Counter>,
    mirror_writes: Family<[Label; 1], Counter>,
    drift_repairs: Family<[Label; 1], Counter>,
    requests_delayed: Counter,
    secrets_kept: Counter,
    secrets_retained: Counter,
    aws_calls: Family<[Label; 2], Counter>,
    aws_calls_delayed: Family<[Label; 1], Counter>,
    aws_calls_failed_fast: Family<[Label; 1], Counter>,
    aws_requests: Family<[Name; 2], Counter>,
    watch_errors: Family<[Label; 1], Counter>,
}

/// Gauges of the current state.
#[derive(Default)]
struct Standing {
    leader: Gauge,
    in_progress: Gauge,
    waiting: Gauge,
    unsynchronized: Gauge,
    objects: Family<[Label; 2], Gauge>,
    overdue: Gauge,
    failing: Gauge,
    stalled: Gauge,
    suspended: Gauge,
    out_of_step: Gauge,
    not_rolled_out: Family<[Label; 1], Gauge>,
    rollout_waiting_max: Gauge,
    unreadable: Family<[Label; 1], Gauge>,
    overdue_max: Gauge,
    oldest_version: Maybe,
    next_rotation: Maybe,
    object_ready: Family<[Name; 2], Gauge>,
    object_failures: Family<[Name; 2], Gauge>,
    object_overdue: Family<[Name; 2], Gauge>,
    object_version: Family<[Name; 2], Gauge>,
    object_next: Family<[Name; 2], Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics with all values at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rotated_secrets");
        let counts = Counts::default();
        let standing = Standing::default();
        let durations = Durations::default();
        // Initialize the counter, because increase() does not see the first event of a counter that starts with it. An
        // alert depends on this.
        for reason in Reason::ALL {
            drop(counts.errors.get_or_create(&[("reason", reason.as_str())]));
        }
        counts.register(&mut registry);
        standing.register(&mut registry);
        durations.register(&mut registry);
        registry.register("build", "Version of the operator", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let inner = Inner { registry, counts, standing, durations, census: OnceLock::new(), page: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// Records the start of a reconcile.
    pub fn reconcile_begins(&self) -> UnderWay {
        self.0.standing.in_progress.inc();
        UnderWay(self.0.standing.in_progress.clone())
    }

    /// Records the number of objects that wait for a permit.
    pub(crate) fn reconciles_waiting(&self, number: usize) {
        self.0.standing.waiting.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Adds to the number of watched scopes whose initial list is not complete.
    pub(crate) fn unsynchronized(&self, by: i64) {
        self.0.standing.unsynchronized.inc_by(by);
    }

    /// Records the end of a reconcile: `changed`, `unchanged` or `error`.
    pub fn reconcile(&self, outcome: &'static str, took: Duration) {
        count(&self.0.counts.reconciles, [("outcome", outcome)]);
        self.0.durations.reconcile.observe(took.as_secs_f64());
    }

    /// Records a failed reconcile with the reason of its condition.
    pub fn failure(&self, reason: &'static str) {
        count(&self.0.counts.errors, [("reason", reason)]);
    }

    /// Records a step of the plan: `ok` or `failed`.
    pub fn step(&self, step: &'static str, outcome: &'static str) {
        count(&self.0.counts.steps, [("step", step), ("outcome", outcome)]);
    }

    /// Records the outcome of an AWS call: `ok`, or the reason of the failure.
    pub fn aws_call(&self, operation: &'static str, outcome: &'static str) {
        count(&self.0.counts.aws_calls, [("operation", operation), ("outcome", outcome)]);
    }

    /// Counts an AWS call that waits because the operator limits its own request rate.
    pub(crate) fn aws_call_delayed(&self, operation: &'static str) {
        count(&self.0.counts.aws_calls_delayed, [("operation", operation)]);
    }

    /// Counts an AWS call that is not sent because its endpoint does not answer.
    pub(crate) fn aws_call_failed_fast(&self, operation: &'static str) {
        count(&self.0.counts.aws_calls_failed_fast, [("operation", operation)]);
    }

    /// Records the duration of an AWS call, including all its requests.
    pub(crate) fn aws_call_took(&self, operation: &str, took: Duration) {
        let labels = [("operation", operation.to_owned())];
        self.0.durations.aws_call.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Records for how long the password in the Secret was not the one in the target.
    pub(crate) fn target_gap(&self, strategy: &'static str, took: Duration) {
        self.0.durations.target_gap.get_or_create(&[("strategy", strategy)]).observe(took.as_secs_f64());
    }

    /// Records a rollout that was completed.
    pub(crate) fn rolled_out(&self, took: Duration) {
        self.0.durations.rollout.observe(took.as_secs_f64());
    }

    /// Records a request to AWS: `ok`, `throttled`, `refused` or `unanswered`.
    pub(crate) fn aws_request(&self, operation: &str, outcome: &'static str) {
        let labels = [("operation", operation.to_owned()), ("outcome", outcome.to_owned())];
        self.0.counts.aws_requests.get_or_create(&labels).inc();
    }

    /// Records a version that became current (`Succeeded`) or could not be written (`Failed`).
    pub fn rotation(&self, strategy: &'static str, cause: &'static str, outcome: &'static str) {
        count(&self.0.counts.rotations, [("strategy", strategy), ("cause", cause), ("outcome", outcome)]);
    }

    /// Records a write of a mirrored Secret: for a `NewVersion`, as a `Repair`, or because the `Spec` changed.
    pub fn mirror_write(&self, cause: &'static str) {
        count(&self.0.counts.mirror_writes, [("cause", cause)]);
    }

    /// Records the step that corrected drift.
    pub fn drift_repair(&self, step: &'static str) {
        count(&self.0.counts.drift_repairs, [("step", step)]);
    }

    /// Records a rotate or rollback request that has to wait.
    pub(crate) fn request_delayed(&self) {
        self.0.counts.requests_delayed.inc();
    }

    /// Records an object that was released although its AWS secret could not be deleted.
    pub fn secret_kept(&self) {
        self.0.counts.secrets_kept.inc();
    }

    /// Records an object that is gone and left its AWS secret, as declared.
    pub fn secret_retained(&self) {
        self.0.counts.secrets_retained.inc();
    }

    /// Records an interrupted watch and its phase.
    pub fn watch_error(&self, phase: &'static str) {
        count(&self.0.counts.watch_errors, [("phase", phase)]);
    }

    /// Records whether this replica is the leader.
    pub fn leads(&self, leads: bool) {
        self.0.standing.leader.set(i64::from(leads));
    }

    /// Sets the function that counts the objects. A second call is ignored.
    pub fn count_objects(&self, census: impl Fn() -> FleetStats + Send + Sync + 'static) {
        let _ = self.0.census.set(Box::new(census));
    }

    /// Renders all metrics as `OpenMetrics` text.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let _page = self.0.page.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(census) = self.0.census.get() {
            self.0.standing.show(&census());
        }
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

/// A reconcile in progress. It ends when this is dropped.
#[must_use]
pub struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Counts {
    fn register(&self, registry: &mut Registry) {
        registry.register("reconciles", "Reconciliations by outcome", self.reconciles.clone());
        registry.register("errors", "Failed reconciliations by reason", self.errors.clone());
        registry.register("steps", "Steps of the plan by kind and outcome", self.steps.clone());
        registry.register("rotations", "New versions and failed attempts", self.rotations.clone());
        registry.register("mirror_writes", "Writes of mirrored Secrets", self.mirror_writes.clone());
        registry.register("drift_repairs", "Corrections of drift by step", self.drift_repairs.clone());
        registry.register(
            "requests_delayed",
            "Requests that wait, because requests create versions too quickly",
            self.requests_delayed.clone(),
        );
        registry.register("aws_secrets_kept", "Deleted objects whose AWS secret could not be deleted", self.secrets_kept.clone());
        registry.register("aws_secrets_retained", "Deleted objects whose AWS secret stays as declared", self.secrets_retained.clone());
        registry.register("aws_calls", "AWS API calls by operation and outcome, after retries", self.aws_calls.clone());
        registry.register(
            "aws_calls_delayed",
            "AWS API calls that waited for the operator's own rate limit",
            self.aws_calls_delayed.clone(),
        );
        registry.register(
            "aws_calls_failed_fast",
            "AWS API calls that were not sent because the endpoint does not answer",
            self.aws_calls_failed_fast.clone(),
        );
        registry.register("aws_requests", "HTTP requests to AWS, including retries", self.aws_requests.clone());
        registry.register("watch_errors", "Interrupted watches of the API server", self.watch_errors.clone());
    }
}

impl Standing {
    fn register(&self, registry: &mut Registry) {
        registry.register("leader", "Whether this replica is the leader: 1 or 0", self.leader.clone());
        registry.register("reconciles_in_progress", "Reconciliations in progress", self.in_progress.clone());
        registry.register("reconciles_waiting", "Objects that wait for a reconcile", self.waiting.clone());
        registry.register(
            "scopes_unsynchronized",
            "Namespaces of --namespaces whose objects could not be listed yet; without --namespaces, the cluster counts as one",
            self.unsynchronized.clone(),
        );
        registry.register("objects", "Objects by status and reason of the condition Ready", self.objects.clone());
        registry.register("objects_overdue", "Objects whose rotation is overdue", self.overdue.clone());
        registry.register("objects_failing", "Objects whose last reconcile failed", self.failing.clone());
        registry.register("objects_stalled", "Objects that require user action (condition Stalled)", self.stalled.clone());
        registry.register("objects_suspended", "Objects that are suspended, or whose rotation is suspended", self.suspended.clone());
        registry.register("objects_out_of_step", "Objects whose Secret does not hold the current version", self.out_of_step.clone());
        registry.register("objects_not_rolled_out", "Objects whose condition RolledOut is False, by reason", self.not_rolled_out.clone());
        registry.register_with_unit(
            "rollout_waiting_max",
            "Time since the start of the longest rollout in progress",
            Unit::Seconds,
            self.rollout_waiting_max.clone(),
        );
        registry.register("unreadable_objects", "Objects that the operator cannot read and does not reconcile", self.unreadable.clone());
        let seconds = |registry: &mut Registry, name: &str, help: &str, gauge: &Maybe| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        registry.register_with_unit(
            "overdue_max",
            "Time by which the most overdue rotation is overdue",
            Unit::Seconds,
            self.overdue_max.clone(),
        );
        seconds(registry, "oldest_version_timestamp", "Creation time of the oldest current value that rotates", &self.oldest_version);
        seconds(registry, "next_rotation_timestamp", "Time of the next rotation", &self.next_rotation);
        registry.register("object_ready", "Whether the object is Ready: 1 or 0", self.object_ready.clone());
        registry.register("object_failures", "Consecutive failed reconciliations", self.object_failures.clone());
        let each = |registry: &mut Registry, name: &str, help: &str, gauge: &Family<[Name; 2], Gauge>| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        each(registry, "object_overdue", "Time by which the object's rotation is overdue", &self.object_overdue);
        each(registry, "object_version_timestamp", "Creation time of the object's current value", &self.object_version);
        each(registry, "object_next_rotation_timestamp", "Time of the object's next rotation", &self.object_next);
    }

    fn show(&self, census: &FleetStats) {
        self.objects.clear();
        for ((ready, reason), number) in &census.ready {
            self.objects.get_or_create(&[("ready", *ready), ("reason", *reason)]).set(*number);
        }
        self.overdue.set(census.overdue);
        self.failing.set(census.failing);
        self.stalled.set(census.stalled);
        self.suspended.set(census.suspended);
        self.out_of_step.set(census.out_of_step);
        self.not_rolled_out.clear();
        // Alerts and panels find these reasons also when no object has them.
        let usual = [Reason::Waiting, Reason::RolloutFailed, Reason::RolloutRolledBack, Reason::RetirementFailed];
        for (reason, number) in usual.iter().map(|reason| (reason.as_str(), &0)).chain(census.not_rolled_out.iter().map(|(r, n)| (*r, n))) {
            self.not_rolled_out.get_or_create(&[("reason", reason)]).set(*number);
        }
        self.rollout_waiting_max.set(census.rollout_waiting_max.as_secs());
        self.unreadable.get_or_create(&[("kind", "RotatedSecret")]).set(census.unreadable);
        self.overdue_max.set(census.overdue_max.as_secs());
        let maybe = |gauge: &Maybe, time: Option<Timestamp>| {
            gauge.clear();
            if let Some(time) = time {
                gauge.get_or_create(&[]).set(time.as_second());
            }
        };
        maybe(&self.oldest_version, census.oldest_version);
        maybe(&self.next_rotation, census.next_rotation);
        for family in [&self.object_ready, &self.object_failures, &self.object_overdue, &self.object_version, &self.object_next] {
            family.clear();
        }
        for one in &census.each {
            self.show_one(one);
        }
    }

    fn show_one(&self, one: &One) {
        let labels = [("object_namespace", one.namespace.clone()), ("object_name", one.name.clone())];
        let set = |family: &Family<[Name; 2], Gauge>, value: i64| {
            family.get_or_create(&labels).set(value);
        };
        set(&self.object_ready, i64::from(one.ready));
        set(&self.object_failures, one.failures);
        set(&self.object_overdue, one.overdue.as_secs());
        if let Some(since) = one.version_since {
            set(&self.object_version, since.as_second());
        }
        if let Some(next) = one.next_rotation {
            set(&self.object_next, next.as_second());
        }
    }
}

fn count<const N: usize>(family: &Family<[Label; N], Counter>, labels: [Label; N]) {
    family.get_or_create(&labels).inc();
}

#[cfg(test)]
mod tests;
