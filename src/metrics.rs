//! What the operator counts. Labels come from closed sets of words in the program, never from an object, so that the number of series is bounded and
//! no name of a tenant is told to whoever may read metrics; unless an administrator asks for series of each object.
//!
//! Every name is in docs/metrics.md, and a test holds the two together.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::api::condition::Reason;
use crate::fleet::{FleetStats, One};

type Label = (&'static str, &'static str);
/// A label whose words another closed set has: the SDK's operations.
type Name = (&'static str, String);
/// One value, or none: a time that there is not is no series, where 0 would be 1970.
type Maybe = Family<[Label; 0], Gauge>;

/// From a look that finds nothing to do, to a turn that AWS keeps waiting.
const TURN_SECONDS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// From a near region to a call that was sent three times.
const CALL_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 45.0];

/// All counters; a clone counts on the same.
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
    reconcile_duration: Histogram,
    aws_call_duration: Family<[Name; 1], Histogram, fn() -> Histogram>,
    /// Where the objects are counted, when somebody asks. One page is made at a time: what stands is made anew for each.
    census: OnceLock<Box<dyn Fn() -> FleetStats + Send + Sync>>,
    page: Mutex<()>,
}

/// What happened since the start.
#[derive(Default)]
struct Counts {
    reconciles: Family<[Label; 1], Counter>,
    errors: Family<[Label; 1], Counter>,
    steps: Family<[Label; 2], Counter>,
    rotations: Family<[Label; 3], Counter>,
    mirror_writes: Family<[Label; 1], Counter>,
    drift_repairs: Family<[Label; 1], Counter>,
    aws_calls: Family<[Label; 2], Counter>,
    aws_calls_delayed: Family<[Label; 1], Counter>,
    aws_requests: Family<[Name; 2], Counter>,
    watch_errors: Family<[Label; 1], Counter>,
}

/// What is at this moment.
#[derive(Default)]
struct Standing {
    leader: Gauge,
    in_progress: Gauge,
    objects: Family<[Label; 2], Gauge>,
    overdue: Gauge,
    failing: Gauge,
    stalled: Gauge,
    suspended: Gauge,
    out_of_step: Gauge,
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
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rotated_secrets");
        let counts = Counts::default();
        let standing = Standing::default();
        let reconcile_duration = Histogram::new(TURN_SECONDS);
        let aws_call_duration = Family::new_with_constructor((|| Histogram::new(CALL_SECONDS)) as fn() -> Histogram);
        // A counter that begins at its first event hides that event from increase(). Alerts ask for this one.
        for reason in Reason::ALL {
            drop(counts.errors.get_or_create(&[("reason", reason.as_str())]));
        }
        counts.register(&mut registry);
        standing.register(&mut registry);
        registry.register_with_unit("reconcile_duration", "How long a look at an object took", Unit::Seconds, reconcile_duration.clone());
        registry.register_with_unit(
            "aws_call_duration",
            "How long a call of AWS took, with all its requests",
            Unit::Seconds,
            aws_call_duration.clone(),
        );
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let inner =
            Inner { registry, counts, standing, reconcile_duration, aws_call_duration, census: OnceLock::new(), page: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// A look at an object has begun.
    pub fn reconcile_begins(&self) -> UnderWay {
        self.0.standing.in_progress.inc();
        UnderWay(self.0.standing.in_progress.clone())
    }

    /// A look at an object has ended: `changed`, `unchanged` or `error`.
    pub fn reconcile(&self, outcome: &'static str, took: Duration) {
        count(&self.0.counts.reconciles, [("outcome", outcome)]);
        self.0.reconcile_duration.observe(took.as_secs_f64());
    }

    /// A look failed for a reason, the same that the condition names.
    pub fn failure(&self, reason: &'static str) {
        count(&self.0.counts.errors, [("reason", reason)]);
    }

    /// A step of the plan was carried out (`ok`) or was not (`failed`).
    pub fn step(&self, step: &'static str, outcome: &'static str) {
        count(&self.0.counts.steps, [("step", step), ("outcome", outcome)]);
    }

    /// A call of AWS has ended: `ok`, or the reason why not.
    pub fn aws_call(&self, operation: &'static str, outcome: &'static str) {
        count(&self.0.counts.aws_calls, [("operation", operation), ("outcome", outcome)]);
    }

    /// An AWS call waits because the operator limits its own request rate.
    pub(crate) fn aws_call_delayed(&self, operation: &'static str) {
        count(&self.0.counts.aws_calls_delayed, [("operation", operation)]);
    }

    /// A call of AWS has ended, after one request or several.
    pub(crate) fn aws_call_took(&self, operation: &str, took: Duration) {
        let labels = [("operation", operation.to_owned())];
        self.0.aws_call_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A request to AWS has ended: `ok`, `throttled`, `refused` or `unanswered`.
    pub(crate) fn aws_request(&self, operation: &str, outcome: &'static str) {
        let labels = [("operation", operation.to_owned()), ("outcome", outcome.to_owned())];
        self.0.counts.aws_requests.get_or_create(&labels).inc();
    }

    /// A version became current (`Succeeded`), or the attempt to write it failed (`Failed`).
    pub fn rotation(&self, strategy: &'static str, cause: &'static str, outcome: &'static str) {
        count(&self.0.counts.rotations, [("strategy", strategy), ("cause", cause), ("outcome", outcome)]);
    }

    /// The mirrored Secret was written: for a `NewVersion`, as a `Repair`, or since the `Spec` changed.
    pub fn mirror_write(&self, cause: &'static str) {
        count(&self.0.counts.mirror_writes, [("cause", cause)]);
    }

    /// What somebody changed outside was put right, by this step.
    pub fn drift_repair(&self, step: &'static str) {
        count(&self.0.counts.drift_repairs, [("step", step)]);
    }

    /// A watch was interrupted, in this phase.
    pub fn watch_error(&self, phase: &'static str) {
        count(&self.0.counts.watch_errors, [("phase", phase)]);
    }

    /// This replica acts from now on, or does not.
    pub fn leads(&self, leads: bool) {
        self.0.standing.leader.set(i64::from(leads));
    }

    /// How the objects are counted. Once; a second way is ignored.
    pub fn count_objects(&self, census: impl Fn() -> FleetStats + Send + Sync + 'static) {
        let _ = self.0.census.set(Box::new(census));
    }

    /// All of it as `OpenMetrics` text.
    ///
    /// # Errors
    /// Never: a string takes all.
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

/// A look at an object, until it is dropped.
#[must_use]
pub struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Counts {
    fn register(&self, registry: &mut Registry) {
        registry.register("reconciles", "Looks at an object", self.reconciles.clone());
        registry.register("errors", "Failed looks by reason", self.errors.clone());
        registry.register("steps", "Changes that were made, or failed, by kind", self.steps.clone());
        registry.register("rotations", "New versions, and failed attempts at one", self.rotations.clone());
        registry.register("mirror_writes", "Writes of mirrored Secrets", self.mirror_writes.clone());
        registry.register("drift_repairs", "Changes by others that were put right", self.drift_repairs.clone());
        registry.register("aws_calls", "Calls of AWS", self.aws_calls.clone());
        registry.register("aws_calls_delayed", "AWS calls that waited for the operator's own rate limit", self.aws_calls_delayed.clone());
        registry.register("aws_requests", "Requests to AWS: a call is sent again when it fails", self.aws_requests.clone());
        registry.register("watch_errors", "Interruptions of watches", self.watch_errors.clone());
    }
}

impl Standing {
    fn register(&self, registry: &mut Registry) {
        registry.register("leader", "Whether this replica acts: 1 or 0", self.leader.clone());
        registry.register("reconciles_in_progress", "Looks at an object that are under way", self.in_progress.clone());
        registry.register("objects", "Objects by their condition Ready", self.objects.clone());
        registry.register("objects_overdue", "Objects whose rotation is due and did not happen", self.overdue.clone());
        registry.register("objects_failing", "Objects whose last look failed", self.failing.clone());
        registry.register("objects_stalled", "Objects that wait for a person", self.stalled.clone());
        registry.register("objects_suspended", "Objects that a person suspended, or their rotation", self.suspended.clone());
        registry.register("objects_out_of_step", "Objects whose Secret does not hold the current version", self.out_of_step.clone());
        registry.register("unreadable_objects", "Objects that cannot be read, and for which nothing is done", self.unreadable.clone());
        let seconds = |registry: &mut Registry, name: &str, help: &str, gauge: &Maybe| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        registry.register_with_unit("overdue_max", "How long the most overdue rotation is due", Unit::Seconds, self.overdue_max.clone());
        seconds(registry, "oldest_version_timestamp", "Since when the oldest value that rotates is in use", &self.oldest_version);
        seconds(registry, "next_rotation_timestamp", "When the next rotation will happen", &self.next_rotation);
        registry.register("object_ready", "Whether the object is Ready: 1 or 0", self.object_ready.clone());
        registry.register("object_failures", "Failed looks in a row", self.object_failures.clone());
        let each = |registry: &mut Registry, name: &str, help: &str, gauge: &Family<[Name; 2], Gauge>| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        each(registry, "object_overdue", "How long the object's rotation is due", &self.object_overdue);
        each(registry, "object_version_timestamp", "Since when the object's value is in use", &self.object_version);
        each(registry, "object_next_rotation_timestamp", "When the object will be rotated next", &self.object_next);
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
