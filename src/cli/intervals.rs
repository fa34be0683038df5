//! Flags that say how soon changes in AWS are found, how long a deletion may take, and how old a value may become.

use jiff::SignedDuration;

use crate::controller::Scope;
use crate::feed::{EventIndex, Feed};
use crate::flags::{duration, queue_url};

/// Intervals and timeouts.
#[derive(Debug, clap::Args)]
pub(super) struct IntervalArgs {
    /// Maximum interval between checks of an unchanged object against AWS (resync period).
    #[arg(long, env = "ROTATED_SECRETS_REFRESH_INTERVAL", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(super) refresh_interval: SignedDuration,
    /// Find changes in AWS by ListSecrets, one call for each region and identity in each --refresh-interval, instead of a
    /// DescribeSecret for each object. Requires secretsmanager:ListSecrets. A list may show a change up to five minutes late.
    /// Without effect with --namespaces, where consents that an administrator withdraws are seen at the resync.
    #[arg(long, env = "ROTATED_SECRETS_CHANGE_FEED")]
    change_feed: bool,
    /// With --change-feed: maximum interval between checks of an unchanged object against AWS.
    #[arg(long, env = "ROTATED_SECRETS_SWEEP_INTERVAL", value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(super) sweep_interval: SignedDuration,
    /// URL of an SQS queue with the EventBridge events of changed AWSCURRENT labels (docs/iam/event-queue.tf). A change in AWS is
    /// then found when its event arrives. Events can be lost, so the periodic checks remain. Requires sqs:ReceiveMessage and
    /// sqs:DeleteMessage. Use one queue for each region, and no queue of another operator.
    #[arg(long = "event-queue-url", env = "ROTATED_SECRETS_EVENT_QUEUE_URL", value_name = "URL,...", value_delimiter = ',', value_parser = queue_url)]
    pub(super) event_queues: Vec<String>,
    /// Time after which an object whose deletion does not succeed is released. Its AWS secret is then kept, and an Event and
    /// the log name it.
    #[arg(long, env = "ROTATED_SECRETS_DELETION_TIMEOUT", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(super) deletion_timeout: SignedDuration,
    /// Maximum age of a credential. Objects whose value is older are counted in the metrics, also if they are suspended or
    /// declare no rotation. They keep working. Longer than the longest schedule and its window. Default: none.
    #[arg(long, env = "ROTATED_SECRETS_MAX_CREDENTIAL_AGE_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    max_credential_age_days: Option<u16>,
}

impl IntervalArgs {
    /// The maximum age of a credential.
    pub(super) fn max_age(&self) -> Option<SignedDuration> {
        self.max_credential_age_days.map(|days| SignedDuration::from_hours(24_i64.saturating_mul(days.into())))
    }

    /// The feed, if it is wanted and possible.
    pub(super) fn feed(&self, scope: &Scope) -> Option<Feed> {
        if self.change_feed && !scope.is_cluster() {
            tracing::warn!("--change-feed has no effect with --namespaces");
        }
        (self.change_feed && scope.is_cluster()).then(|| Feed::new(self.refresh_interval))
    }

    /// What events are compared with, if there is a queue.
    pub(super) fn event_index(&self) -> Option<EventIndex> {
        (!self.event_queues.is_empty()).then(EventIndex::default)
    }
}
