//! How a reconcile ended.

use std::time::Duration;

use jiff::SignedDuration;

/// How a reconcile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileResult {
    /// When to reconcile again; `None`: when something changes.
    pub again: Option<Duration>,
    /// Whether anything was written.
    pub changed: bool,
    /// Whether it ended in a failure.
    pub failed: bool,
}

/// A shorter wait would spin while caches catch up.
pub(super) fn at_least_a_second(wait: SignedDuration) -> Duration {
    Duration::try_from(wait.max(SignedDuration::from_secs(1))).unwrap_or(Duration::from_secs(1))
}
