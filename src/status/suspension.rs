//! Since when an object, or its rotation, is suspended.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::condition::Reason;
use crate::api::{RotatedSecret, RotatedSecretStatus};

/// The time to report. `looked`: this reconcile read whether the Namespace suspends the object, which only Ready tells.
pub(super) fn since(
    object: &RotatedSecret,
    before: &RotatedSecretStatus,
    conditions: &[Condition],
    looked: bool,
    now: Timestamp,
) -> Option<Time> {
    let known = before.suspension_time.clone();
    let by_namespace = conditions.iter().any(|c| c.type_ == "Ready" && c.reason == Reason::Suspended.as_str());
    let rotation = object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend);
    let suspended = object.spec.suspend || rotation || by_namespace || (!looked && known.is_some());
    // A time in the future was written by a wrong clock.
    suspended.then(|| known.filter(|known| known.0 <= now).unwrap_or(Time(now)))
}
