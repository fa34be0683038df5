//! Flags of the change feed.

use jiff::SignedDuration;

use crate::controller::Scope;
use crate::feed::Feed;
use crate::flags::duration;

/// How changes in AWS are found.
#[derive(Debug, clap::Args)]
pub(super) struct ChangeFeedArgs {
    /// Find changes in AWS by ListSecrets, one call for each region and identity in each --refresh-interval, instead of a
    /// DescribeSecret for each object. Requires secretsmanager:ListSecrets. A list may show a change up to five minutes late.
    /// Without effect with --namespaces, where consents that an administrator withdraws are seen at the resync.
    #[arg(long, env = "ROTATED_SECRETS_CHANGE_FEED")]
    change_feed: bool,
    /// With --change-feed: maximum interval between checks of an unchanged object against AWS.
    #[arg(long, env = "ROTATED_SECRETS_SWEEP_INTERVAL", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(super) sweep_interval: SignedDuration,
}

impl ChangeFeedArgs {
    /// The feed, if it is wanted and possible. `interval`: between two lists.
    pub(super) fn feed(&self, interval: SignedDuration, scope: &Scope) -> Option<Feed> {
        if self.change_feed && !scope.is_cluster() {
            tracing::warn!("--change-feed has no effect with --namespaces");
        }
        (self.change_feed && scope.is_cluster()).then(|| Feed::new(interval))
    }
}
