//! Adapters for Kubernetes: the mirrored Secret, the object's finalizer and status, Events, Jobs, Services, ServiceAccounts, the
//! annotations of the Namespace, and watches. They decide nothing.

mod bounded;
mod compressed;
pub mod connection;
pub mod initial;
pub mod job;
pub mod known;
pub(crate) mod managed_fields;
pub mod mirror;
pub mod namespace;
pub mod object;
pub mod own_writes;
pub mod packed;
pub mod publisher;
mod requests;
pub mod service;
pub mod service_account;
pub mod stored;
pub mod watch;
pub mod workload;

use http::StatusCode;

use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::command::ObjectRef;
use crate::desired::is_subdomain;
use crate::failure::Failure;

/// The failure for an error response of the API server. Its text is not used, because the server quotes what it was
/// sent.
pub(crate) fn refused(what: &'static str, status: StatusCode) -> Failure {
    let (class, reason, advice) = match status {
        StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
            (Class::Conflict, Reason::Progressing, "it changed meanwhile; the operator reads it again")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            Class::Denied,
            Reason::AccessDenied,
            "check the operator's Role and RoleBinding, and whether the namespace is being deleted or has a quota",
        ),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
            (Class::Invalid, Reason::WriteRefused, "compare spec.target with what the API server and its admission policies accept")
        }
        _ => (Class::Retry, Reason::Progressing, "the operator retries automatically"),
    };
    Failure { class, reason, message: format!("{what}: the API server responded with {}: {advice}", status.as_u16()), request_id: None }
}

/// The failure for an error of the client.
pub(crate) fn failed(what: &'static str, error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => refused(what, StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)),
        _ => Failure {
            class: Class::Retry,
            reason: Reason::Progressing,
            message: format!("{what}: the API server did not respond: the operator retries automatically"),
            request_id: None,
        },
    }
}

/// The ServiceAccount that RBAC has refused, by the message of the API server: `User "system:serviceaccount:a:b" cannot ...`.
pub(crate) fn refused_account(message: &str) -> Option<ObjectRef<'_>> {
    let (_, rest) = message.split_once("User \"system:serviceaccount:")?;
    let (namespace, name) = rest.split_once('"')?.0.split_once(':')?;
    (is_subdomain(namespace) && is_subdomain(name)).then_some(ObjectRef { namespace, name })
}
