//! Metrics of the change feed.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Label, Metrics, count};

/// What `rotated_secrets_feed_lists_total` tells apart.
const OUTCOMES: [&str; 4] = ["ok", "failed", "denied", "too_long"];

/// Of the change feed.
#[derive(Default)]
pub(super) struct FeedMetrics {
    lists: Family<[Label; 1], Counter>,
    changes: Counter,
    objects: Family<[Label; 1], Gauge>,
    /// How many objects rest, covered and not covered by the feed.
    census: OnceLock<Box<dyn Fn() -> [usize; 2] + Send + Sync>>,
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

impl Metrics {
    /// Records a list of the change feed: `ok`, `failed`, `denied` or `too_long`.
    pub(crate) fn feed_list(&self, outcome: &'static str) {
        count(&self.0.feed.lists, [("outcome", outcome)]);
    }

    /// Records the reconciles that a list requested.
    pub(crate) fn feed_changes(&self, number: usize) {
        self.0.feed.changes.inc_by(u64::try_from(number).unwrap_or(u64::MAX));
    }

    /// Sets the function that counts the objects at rest: covered by the change feed, and not. A second call is ignored.
    pub(crate) fn count_feed(&self, census: impl Fn() -> [usize; 2] + Send + Sync + 'static) {
        let _ = self.0.feed.census.set(Box::new(census));
    }
}
