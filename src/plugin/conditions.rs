//! The conditions in the status of an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use crate::api::condition::{ConditionType, Reason};
use crate::api::{RotatedSecret, SUSPEND_MESSAGE};
use crate::text;

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

/// Why workloads will not run with the version that the Secret holds until a user acts.
pub(super) fn not_rolled_out(object: &RotatedSecret) -> Option<String> {
    let rolled_out = condition(object, ConditionType::RolledOut).filter(|rolled_out| rolled_out.status == "False" && !lags(object))?;
    Reason::parse(&rolled_out.reason).is_some_and(Reason::requires_user_action).then(|| rolled_out.message.clone())
}

/// Bytes of a reason that are shown.
const LONGEST_REASON: usize = 512;

/// Why a person suspended the object or its rotation; anyone who may change the object can have written it.
pub(super) fn reason_of_suspension(object: &RotatedSecret) -> Option<String> {
    object.annotations().get(SUSPEND_MESSAGE).map(|reason| text::bounded(reason, LONGEST_REASON))
}

/// What the operator says of a suspension by the Namespace. `None`: the Namespace does not suspend the object.
pub(super) fn suspended_by_namespace(object: &RotatedSecret) -> Option<&str> {
    let ready = condition(object, ConditionType::Ready).filter(|ready| ready.reason == Reason::Suspended.as_str())?;
    (!object.spec.suspend && !lags(object)).then_some(ready.message.as_str())
}
