//! The conditions in the status of an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::RotatedSecret;
use crate::api::condition::{ConditionType, Reason};

/// The condition of this type.
pub(super) fn condition(object: &RotatedSecret, of: ConditionType) -> Option<&Condition> {
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == of.to_string())
}

/// Whether the condition is True.
pub(super) fn holds(object: &RotatedSecret, of: ConditionType) -> bool {
    condition(object, of).is_some_and(|condition| condition.status == "True")
}

/// Whether the status is that of an older generation of the spec.
pub(super) fn lags(object: &RotatedSecret) -> bool {
    object.status.as_ref().and_then(|status| status.observed_generation) != object.metadata.generation
}

/// What the operator says of a suspension by the Namespace. `None`: the Namespace does not suspend the object.
pub(super) fn suspended_by_namespace(object: &RotatedSecret) -> Option<&str> {
    let ready = condition(object, ConditionType::Ready).filter(|ready| ready.reason == Reason::Suspended.as_str())?;
    (!object.spec.suspend && !lags(object)).then_some(ready.message.as_str())
}
