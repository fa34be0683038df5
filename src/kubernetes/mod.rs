//! Kubernetes: the mirrored Secret, the object's finalizer and status, Events, the Lease, and what an administrator says on the Namespace. No decisions.

pub mod events;
pub(crate) mod managed_fields;
pub mod mirror;
pub mod namespace;
pub mod object;
pub mod service_account;
pub mod stored;
pub mod watch;

use http::StatusCode;

use crate::api::condition::{ConditionType, Reason};
use crate::backoff::Class;
use crate::failure::Failure;

/// An answer of the API server that is no success, as far as it may be told. Its text is not looked at: the server quotes what it was sent.
pub(crate) fn refused(of: ConditionType, what: &'static str, status: StatusCode) -> Failure {
    let (class, reason, advice) = match status {
        StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
            (Class::Conflict, Reason::Progressing, "it changed meanwhile; the operator looks again")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            Class::Denied,
            Reason::AccessDenied,
            "check the operator's Role and RoleBinding, and whether the namespace is being deleted or has a quota",
        ),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
            (Class::Invalid, Reason::WriteRefused, "compare spec.target with what the API server and its admission policies accept")
        }
        _ => (Class::Retry, Reason::Progressing, "the operator tries again by itself"),
    };
    Failure { of, class, reason, message: format!("{what}: the API server answered {}: {advice}", status.as_u16()) }
}

/// The same for an error of the client.
pub(crate) fn failed(of: ConditionType, what: &'static str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => refused(of, what, StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)),
        _ => Failure {
            of,
            class: Class::Retry,
            reason: Reason::Progressing,
            message: format!("{what}: the API server did not answer: the operator tries again by itself"),
        },
    }
}
