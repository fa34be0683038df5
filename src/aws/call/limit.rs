//! Rate limits: a token bucket for each quota of AWS and place, which is an account and a Region.
//!
//! AWS's quotas hold for the whole account, which other programs use as well. The operator stays below the published numbers, and its rate
//! follows what AWS throttles (docs/design/0029-rate-limits.md).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strum::IntoEnumIterator;

use super::bucket::{Bucket, Ceiling};

/// More places than this are not remembered once their buckets are like new ones again.
const MAX_PLACES: usize = 50;

/// Operations that share one quota.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::EnumIter, strum::IntoStaticStr)]
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
    pub(super) fn published(self) -> f64 {
        match self {
            Self::Describe => 40_000.0,
            Self::Read => 10_000.0,
            Self::List | Self::Queue => 100.0,
            Self::Sts => 600.0,
            Self::Write | Self::Create | Self::Delete | Self::Restore | Self::Rotation | Self::Tags | Self::ResourcePolicy => 50.0,
        }
    }

    /// The rate and the burst together are AWS's quota, so that no second has more than the quota.
    pub(super) fn ceiling(self) -> Ceiling {
        Ceiling { rate: self.published() * 0.94, burst: self.published() * 0.06 }
    }
}

/// The buckets of all quotas and places.
pub(in crate::aws) struct RateLimits {
    ceiling: fn(QuotaGroup) -> Ceiling,
    buckets: Mutex<HashMap<QuotaGroup, HashMap<String, Bucket>>>,
}

impl RateLimits {
    /// By AWS's published quotas.
    pub(in crate::aws) fn published() -> Self {
        Self::new(QuotaGroup::ceiling)
    }

    /// With these quotas.
    pub(super) fn new(ceiling: fn(QuotaGroup) -> Ceiling) -> Self {
        Self { ceiling, buckets: Mutex::default() }
    }

    /// The number of places with a bucket.
    #[cfg(test)]
    pub(super) fn places(&self, group: QuotaGroup) -> usize {
        self.buckets().get(&group).map_or(0, HashMap::len)
    }

    /// Takes a token, if there is one. Otherwise: the time until there can be one.
    pub(in crate::aws) fn acquire(&self, group: QuotaGroup, place: &str, now: Instant) -> Option<Duration> {
        self.with(group, place, now, |bucket| bucket.take(now))
    }

    /// Takes a token for a request that does not wait: a retry of the SDK.
    pub(in crate::aws) fn charge(&self, group: QuotaGroup, place: &str, now: Instant) {
        self.with(group, place, now, |bucket| bucket.charge(now));
    }

    /// AWS has throttled a request.
    pub(in crate::aws) fn throttled(&self, group: QuotaGroup, place: &str, now: Instant) {
        self.with(group, place, now, |bucket| bucket.throttled(now));
    }

    /// The lowest rate of each quota among the places, as a share of the highest one.
    pub(super) fn lowest(&self, now: Instant) -> Vec<(&'static str, f64)> {
        let buckets = self.buckets();
        let lowest = |group| {
            let places = buckets.get(&group).into_iter().flat_map(HashMap::values);
            (group.into(), places.map(|bucket| bucket.ratio(now)).fold(1.0, f64::min))
        };
        QuotaGroup::iter().map(lowest).collect()
    }

    fn with<T>(&self, group: QuotaGroup, place: &str, now: Instant, act: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut buckets = self.buckets();
        let places = buckets.entry(group).or_default();
        if places.len() > MAX_PLACES {
            places.retain(|_, bucket| !bucket.is_new(now));
        }
        if let Some(bucket) = places.get_mut(place) {
            return act(bucket);
        }
        act(places.entry(place.to_owned()).or_insert_with(|| Bucket::new((self.ceiling)(group), now)))
    }

    /// The data is complete after every change, so a poisoned lock is used as it is.
    fn buckets(&self) -> MutexGuard<'_, HashMap<QuotaGroup, HashMap<String, Bucket>>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
