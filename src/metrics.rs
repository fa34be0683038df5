//! Metrics of the operator. Label values come from closed sets in the program, so that the number of series is bounded and
//! names of tenants are not disclosed to readers of metrics. The exceptions: names of namespaces that have a problem, at
//! most a thousand, and series per object, which are exported only if an administrator enables them.
//!
//! Every metric is listed in docs/metrics.md; a test compares the two.

mod durations;
mod feed;
mod kubernetes;
mod process;
mod rates;
mod repairs;
mod standing;
mod zero;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use self::durations::Durations;
use self::feed::FeedMetrics;
use self::rates::Rates;
use self::repairs::Repairs;
use self::standing::Standing;
use crate::fleet::FleetStats;

type Label = (&'static str, &'static str);
/// A label whose values are the operations of the AWS SDK, also a closed set.
type Name = (&'static str, String);

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
    /// Without the prefix.
    process: Registry,
    counts: Counts,
    standing: Standing,
    durations: Durations,
    feed: FeedMetrics,
    rates: Rates,
    /// Counts the objects at scrape time. Scrapes are rendered one at a time: each recalculates the gauges.
    census: OnceLock<Box<dyn Fn() -> FleetStats + Send + Sync>>,
    /// The longest wait for a reconcile, at scrape time.
    longest_wait: OnceLock<Box<dyn Fn() -> Duration + Send + Sync>>,
    /// Until when a replica holds the Lease. `None`: there is no election.
    led_until: Mutex<Option<Instant>>,
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
    namespace_repairs: Repairs,
    requests_delayed: Counter,
    secrets_kept: Counter,
    secrets_retained: Counter,
    aws_calls: Family<[Label; 2], Counter>,
    aws_calls_delayed: Family<[Label; 1], Counter>,
    aws_calls_failed_fast: Family<[Label; 1], Counter>,
    aws_requests: Family<[Name; 2], Counter>,
    kubernetes_requests: Family<[Label; 2], Counter>,
    watch_errors: Family<[Label; 1], Counter>,
    events_not_published: Counter,
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
        let feed = FeedMetrics::default();
        let rates = Rates::default();
        counts.start_at_zero();
        durations.start_at_zero();
        counts.register(&mut registry);
        standing.register(&mut registry);
        durations.register(&mut registry);
        feed.register(&mut registry);
        rates.register(&mut registry);
        registry.register("build", "Version of the operator", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let process = process::registry();
        let (census, longest_wait, led_until, page) = (OnceLock::new(), OnceLock::new(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { registry, process, counts, standing, durations, feed, rates, census, longest_wait, led_until, page }))
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

    /// Records the repair of a Secret of this namespace.
    pub fn mirror_repair(&self, namespace: &str) {
        self.0.counts.namespace_repairs.count(namespace);
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

    /// Records a request to the API server: its method, the code of its answer, and the time until the answer began or
    /// the request ended without one. `None`: there was no answer.
    pub(crate) fn kubernetes_request(&self, method: &str, code: Option<u16>, took: Duration) {
        let labels = kubernetes::labels(method, code);
        count(&self.0.counts.kubernetes_requests, labels);
        self.0.durations.kubernetes_request.get_or_create(&[labels[0]]).observe(took.as_secs_f64());
    }

    /// Records a list of the change feed: `ok`, `failed`, `denied` or `too_long`.
    pub(crate) fn feed_list(&self, outcome: &'static str) {
        count(&self.0.feed.lists, [("outcome", outcome)]);
    }

    /// Records the reconciles that a list requested.
    pub(crate) fn feed_changes(&self, number: usize) {
        self.0.feed.changes.inc_by(u64::try_from(number).unwrap_or(u64::MAX));
    }

    /// Records a message of an event queue, and how old it was.
    pub(crate) fn feed_message(&self, outcome: &'static str, age: Option<Duration>) {
        count(&self.0.feed.messages, [("outcome", outcome)]);
        if let Some(age) = age {
            self.0.feed.message_age.observe(age.as_secs_f64());
        }
    }

    /// Records a call to receive from an event queue: `ok`, `failed` or `denied`.
    pub(crate) fn feed_receive(&self, outcome: &'static str) {
        count(&self.0.feed.receives, [("outcome", outcome)]);
    }

    /// Sets the function that says for how long an event queue cannot be read. A second call is ignored.
    pub(crate) fn measure_unreadable_queue(&self, unreadable: impl Fn() -> Duration + Send + Sync + 'static) {
        let _ = self.0.feed.unreadable_for.set(Box::new(unreadable));
    }

    /// Sets the function that counts the objects at rest: covered by the change feed, and not. A second call is ignored.
    pub(crate) fn count_feed(&self, census: impl Fn() -> [usize; 2] + Send + Sync + 'static) {
        let _ = self.0.feed.census.set(Box::new(census));
    }

    /// Sets the function that tells the lowest rate of each AWS quota as a share of the highest one. A second call is ignored.
    pub(crate) fn show_rates(&self, lowest: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static) {
        let _ = self.0.rates.lowest.set(Box::new(lowest));
    }

    /// Records an interrupted watch and its phase.
    pub fn watch_error(&self, phase: &'static str) {
        count(&self.0.counts.watch_errors, [("phase", phase)]);
    }

    /// Records whether this replica is the leader.
    pub fn leads(&self, leads: bool) {
        self.0.standing.leader.set(i64::from(leads));
    }

    /// Records until when a replica holds the Lease, or held it, as this one sees it. `None`: nobody holds it now.
    pub(crate) fn led_until(&self, until: Option<Instant>) {
        let now = Instant::now();
        let mut led = self.0.led_until.lock().unwrap_or_else(PoisonError::into_inner);
        *led = Some(until.unwrap_or_else(|| led.map_or(now, |earlier| earlier.min(now))));
    }

    /// For how long this replica has known no leader.
    fn leaderless(&self) -> Duration {
        let led = *self.0.led_until.lock().unwrap_or_else(PoisonError::into_inner);
        led.map_or(Duration::ZERO, |until| Instant::now().saturating_duration_since(until))
    }

    /// Records an Event that the API server did not accept.
    pub(crate) fn event_not_published(&self) {
        self.0.counts.events_not_published.inc();
    }

    /// Sets the function that counts the objects. A second call is ignored.
    pub fn count_objects(&self, census: impl Fn() -> FleetStats + Send + Sync + 'static) {
        let _ = self.0.census.set(Box::new(census));
    }

    /// Sets the function that says how long an object has been waiting for a reconcile, of the one that has waited longest. A
    /// second call is ignored.
    pub fn measure_longest_wait(&self, longest: impl Fn() -> Duration + Send + Sync + 'static) {
        let _ = self.0.longest_wait.set(Box::new(longest));
    }

    /// Renders all metrics as `OpenMetrics` text.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let _page = self.0.page.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.feed.show();
        self.0.rates.show();
        if let Some(census) = self.0.census.get() {
            self.0.standing.show(&census());
        }
        if let Some(longest) = self.0.longest_wait.get() {
            self.0.standing.waiting_max.set(i64::try_from(longest().as_secs()).unwrap_or(i64::MAX));
        }
        self.0.standing.leaderless.set(i64::try_from(self.leaderless().as_secs()).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode_registry(&mut text, &self.0.registry)?;
        encode_registry(&mut text, &self.0.process)?;
        encode_eof(&mut text)?;
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
            "namespace_mirror_repairs",
            "Repairs of Secrets of a namespace that another client edited or deleted",
            self.namespace_repairs.counters.clone(),
        );
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
        registry.register("kubernetes_requests", "Requests to the API server by method and code", self.kubernetes_requests.clone());
        registry.register("watch_errors", "Interrupted watches of the API server", self.watch_errors.clone());
        registry.register("events_not_published", "Events that the API server did not accept", self.events_not_published.clone());
    }
}

fn count<const N: usize>(family: &Family<[Label; N], Counter>, labels: [Label; N]) {
    family.get_or_create(&labels).inc();
}

#[cfg(test)]
mod tests;
