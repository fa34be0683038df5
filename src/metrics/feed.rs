//! Metrics of the change feed.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type Label = (&'static str, &'static str);

/// What `rotated_secrets_feed_lists_total` tells apart.
const OUTCOMES: [&str; 4] = ["ok", "failed", "denied", "too_long"];

/// What `rotated_secrets_feed_messages_total` tells apart.
const MESSAGES: [&str; 6] = ["requested", "in_progress", "echo", "unknown", "other", "invalid"];
/// What `rotated_secrets_feed_receives_total` tells apart.
const RECEIVES: [&str; 3] = ["ok", "failed", "denied"];
/// From an event that was delivered at once to one of yesterday.
const AGE_SECONDS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 86_400.0];

/// Of the change feed.
pub(super) struct FeedMetrics {
    pub(super) lists: Family<[Label; 1], Counter>,
    pub(super) changes: Counter,
    objects: Family<[Label; 1], Gauge>,
    /// How many objects rest, covered and not covered by the feed.
    pub(super) census: OnceLock<Box<dyn Fn() -> [usize; 2] + Send + Sync>>,
    pub(super) messages: Family<[Label; 1], Counter>,
    pub(super) message_age: Histogram,
    pub(super) receives: Family<[Label; 1], Counter>,
    unreadable: Gauge,
    /// For how long an event queue cannot be read.
    pub(super) unreadable_for: OnceLock<Box<dyn Fn() -> Duration + Send + Sync>>,
}

impl Default for FeedMetrics {
    fn default() -> Self {
        Self {
            lists: Family::default(),
            changes: Counter::default(),
            objects: Family::default(),
            census: OnceLock::new(),
            messages: Family::default(),
            message_age: Histogram::new(AGE_SECONDS),
            receives: Family::default(),
            unreadable: Gauge::default(),
            unreadable_for: OnceLock::new(),
        }
    }
}

impl FeedMetrics {
    /// Registers the metrics, at zero.
    pub(super) fn register(&self, registry: &mut Registry) {
        for outcome in OUTCOMES {
            drop(self.lists.get_or_create(&[("outcome", outcome)]));
        }
        registry.register("feed_lists", "Lists of the change feed by outcome", self.lists.clone());
        registry.register("feed_changes", "Reconciles that the change feed requested for a change in AWS", self.changes.clone());
        registry.register("feed_objects", "Objects at rest, by whether the change feed covers them", self.objects.clone());
        for outcome in MESSAGES {
            drop(self.messages.get_or_create(&[("outcome", outcome)]));
        }
        for outcome in RECEIVES {
            drop(self.receives.get_or_create(&[("outcome", outcome)]));
        }
        registry.register("feed_messages", "Messages of the event queues by outcome", self.messages.clone());
        registry.register("feed_receives", "Calls to receive from the event queues by outcome", self.receives.clone());
        registry.register_with_unit(
            "feed_message_age",
            "Time from the arrival of a message in the event queue until it was received",
            Unit::Seconds,
            self.message_age.clone(),
        );
        registry.register_with_unit(
            "feed_queue_unreadable",
            "For how long an event queue cannot be read, of the one for which this is longest",
            Unit::Seconds,
            self.unreadable.clone(),
        );
        self.show();
    }

    /// Counts the objects.
    pub(super) fn show(&self) {
        let unreadable = self.unreadable_for.get().map(|unreadable| unreadable()).unwrap_or_default();
        self.unreadable.set(i64::try_from(unreadable.as_secs()).unwrap_or(i64::MAX));
        let counts = self.census.get().map(|census| census()).unwrap_or_default();
        for (covered, number) in ["true", "false"].into_iter().zip(counts) {
            self.objects.get_or_create(&[("covered", covered)]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}
