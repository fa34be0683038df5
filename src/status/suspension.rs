//! Since when an object, or its rotation, is suspended.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{RotatedSecret, RotatedSecretStatus};

/// The time to report. `by_namespace`: whether the Namespace suspends the object; `None`: this reconcile did not read it.
pub(super) fn since(object: &RotatedSecret, before: &RotatedSecretStatus, by_namespace: Option<bool>, now: Timestamp) -> Option<Time> {
    let known = before.suspension_time.clone();
    let rotation = object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend);
    let suspended = object.spec.suspend || rotation || by_namespace.unwrap_or(known.is_some());
    // A time in the future was written by a wrong clock.
    suspended.then(|| known.filter(|known| known.0 <= now).unwrap_or(Time(now)))
}
