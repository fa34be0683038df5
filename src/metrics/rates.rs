//! The rates that the operator allows itself towards AWS.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Label = (&'static str, &'static str);
type Lowest = Box<dyn Fn() -> Vec<(&'static str, f64)> + Send + Sync>;

/// By quota.
#[derive(Default)]
pub(super) struct Rates {
    ratios: Family<[Label; 1], Gauge<f64, AtomicU64>>,
    /// The lowest rate of each quota as a share of the highest one.
    pub(super) lowest: OnceLock<Lowest>,
}

impl Rates {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "aws_rate_limit_ratio",
            "The operator's own rate limit as a share of its highest value, which throttling reduces, where it is lowest",
            self.ratios.clone(),
        );
    }

    /// Asks for the rates of this moment.
    pub(super) fn show(&self) {
        for (quota, ratio) in self.lowest.get().map(|lowest| lowest()).unwrap_or_default() {
            self.ratios.get_or_create(&[("quota", quota)]).set(ratio);
        }
    }
}
