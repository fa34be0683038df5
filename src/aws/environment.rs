//! What every call of the process shares.

use std::sync::Arc;
use std::time::Instant;

use aws_config::SdkConfig;
use jiff::Timestamp;

use super::call::{Calls, Monotonic};

/// The time of the node.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The configuration of the SDK, the rate limits and the clocks.
pub(super) struct Environment {
    pub(super) config: SdkConfig,
    pub(super) calls: Calls,
    /// For what AWS dates: the expiry of sessions.
    pub(super) clock: Clock,
    /// For durations in this process.
    pub(super) monotonic: Monotonic,
}

impl Environment {
    /// The Region of the configuration.
    pub(super) fn region(&self) -> Option<String> {
        self.config.region().map(ToString::to_string)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) fn instant(&self) -> Instant {
        (self.monotonic)()
    }
}
