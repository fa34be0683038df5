//! Stalled while AWS or Kubernetes cannot be read. What waits for a person must not look resolved meanwhile.

use crate::api::RotatedSecretStatus;
use crate::api::condition::{ConditionType, Reason, Statement};

/// What is decided by the spec, the flags and the Namespace before AWS is read. A reconcile that failed later found it resolved.
const DECIDED_FIRST: [Reason; 5] =
    [Reason::InvalidSpec, Reason::NameNotAllowed, Reason::RegionNotAllowed, Reason::IdentityNotAllowed, Reason::JobsNotAllowed];

/// The existing Stalled, if a reconcile that could not read leaves open whether its cause is still there. A new generation of the
/// spec may have resolved it.
pub(super) fn kept(before: &RotatedSecretStatus, generation: Option<i64>) -> Option<Statement> {
    let of = ConditionType::Stalled;
    let found =
        before.conditions.iter().find(|c| c.type_ == of.to_string() && c.status == "True" && c.observed_generation == generation)?;
    let reason = Reason::parse(&found.reason).filter(|reason| !DECIDED_FIRST.contains(reason))?;
    Some(Statement { of, holds: true, reason, message: found.message.clone(), kept: true })
}

/// Whether a condition beside Ready and that of the failure is False for this reason. A failed reconcile repeats it.
pub(super) fn persists(before: &RotatedSecretStatus, failed: ConditionType, reason: Reason) -> bool {
    let stated = [ConditionType::Ready, failed].map(|of| of.to_string());
    before.conditions.iter().any(|c| c.status == "False" && c.reason == reason.as_str() && !stated.contains(&c.type_))
}
