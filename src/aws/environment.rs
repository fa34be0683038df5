//! What every call of the process shares.

use aws_config::SdkConfig;
use jiff::Timestamp;

use super::call::{Calls, Clock};

/// The configuration of the SDK, the rate limits and the clock.
pub(super) struct Environment {
    pub(super) config: SdkConfig,
    pub(super) calls: Calls,
    pub(super) clock: Clock,
}

impl Environment {
    /// The Region of the configuration.
    pub(super) fn region(&self) -> Option<String> {
        self.config.region().map(ToString::to_string)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
