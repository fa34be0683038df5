//! Metrics of the change feed.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Label = (&'static str, &'static str);

/// What `rotated_secrets_feed_lists_total` tells apart.
const OUTCOMES: [&str; 4] = ["ok", "failed", "denied", "too_long"];

/// Of the change feed.
#[derive(Default)]
pub(super) struct FeedMetrics {
    pub(super) lists: Family<[Label; 1], Counter>,
    pub(super) changes: Counter,
    objects: Family<[Label; 1], Gauge>,
    /// How many objects rest, covered and not covered by the feed.
    pub(super) census: OnceLock<Box<dyn Fn() -> [usize; 2] + Send + Sync>>,
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
        self.show();
    }

    /// Counts the objects.
    pub(super) fn show(&self) {
        let counts = self.census.get().map(|census| census()).unwrap_or_default();
        for (covered, number) in ["true", "false"].into_iter().zip(counts) {
            self.objects.get_or_create(&[("covered", covered)]).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}
