//! Token buckets: one for each quota of AWS and Region.
//!
//! AWS's quotas hold for the whole account, which other programs use as well. The operator stays below the published numbers, so that it is
//! throttled only where others use the rest.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use strum::IntoEnumIterator;

/// More Regions than this are not remembered once their buckets are full again. AWS has fewer.
const MAX_REGIONS: usize = 50;

/// Operations that share one quota.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumIter)]
pub(in crate::aws) enum QuotaGroup {
    /// DescribeSecret.
    Describe,
    /// GetSecretValue.
    Read,
    /// ListSecrets.
    List,
    /// PutSecretValue, UpdateSecret, UpdateSecretVersionStage and replication.
    Write,
    /// CreateSecret.
    Create,
    /// DeleteSecret.
    Delete,
    /// RestoreSecret.
    Restore,
    /// `RotateSecret` and `CancelRotateSecret`.
    Rotation,
    /// `TagResource` and `UntagResource`.
    Tags,
    /// The operations on resource policies.
    ResourcePolicy,
    /// SQS. A standard queue has no quota of requests; this one limits a loop.
    Queue,
    /// STS. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    Sts,
}

impl QuotaGroup {
    /// AWS's quota, in requests per second, account and Region.
    fn published(self) -> u32 {
        match self {
            Self::Describe => 40_000,
            Self::Read => 10_000,
            Self::List | Self::Queue => 100,
            Self::Sts => 600,
            Self::Write | Self::Create | Self::Delete | Self::Restore | Self::Rotation | Self::Tags | Self::ResourcePolicy => 50,
        }
    }

    /// Four fifths of AWS's quota as the rate and one fifth as the burst, so that no second has more than the quota.
    pub(super) fn quota(self) -> Quota {
        let part = |fifths: u32| NonZeroU32::new((self.published() / 5).saturating_mul(fifths)).unwrap_or(NonZeroU32::MIN);
        Quota::per_second(part(4)).allow_burst(part(1))
    }
}

/// The buckets of one quota, by Region.
type Buckets<C> = RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The buckets of all quotas and Regions.
pub(in crate::aws) struct RateLimits<C: Clock> {
    clock: C,
    groups: HashMap<QuotaGroup, Buckets<C>>,
}

impl<C: Clock + Clone> RateLimits<C> {
    /// By AWS's published quotas.
    pub(in crate::aws) fn published(clock: C) -> Self {
        Self::new(clock, QuotaGroup::quota)
    }

    /// With these quotas.
    pub(super) fn new(clock: C, quota: impl Fn(QuotaGroup) -> Quota) -> Self {
        let limiter = |group| RateLimiter::new(quota(group), HashMapStateStore::default(), clock.clone());
        let groups = QuotaGroup::iter().map(|group| (group, limiter(group))).collect();
        Self { clock, groups }
    }

    /// The number of Regions with a bucket.
    #[cfg(test)]
    pub(super) fn regions(&self, group: QuotaGroup) -> usize {
        self.groups.get(&group).map_or(0, RateLimiter::len)
    }

    /// Takes a token, if there is one. Otherwise: the time until there can be one.
    pub(super) fn acquire(&self, group: QuotaGroup, region: &str) -> Option<Duration> {
        let limiter = self.groups.get(&group)?;
        if limiter.len() > MAX_REGIONS {
            limiter.retain_recent();
        }
        limiter.check_key(&region.to_owned()).err().map(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    /// Waits, then takes a token; waits again where another call took it.
    pub(super) async fn acquire_after(&self, wait: Duration, group: QuotaGroup, region: &str) {
        let mut next = Some(wait);
        while let Some(wait) = next {
            // tokio's timer instead of the crate's `until_ready`, which runs a thread of its own.
            tokio::time::sleep(wait).await;
            next = self.acquire(group, region);
        }
    }
}
