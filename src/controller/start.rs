//! The check before the start: permissions and the CRD.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Client;
use kube::api::{Api, ListParams};

use super::scope::{Scope, api, ours};
use crate::api::RotatedSecret;
use crate::command::Command;
use crate::kubernetes::stored::Brief;

/// Reason why the operator cannot start, as one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The CRD is not installed.
    #[error("the CustomResourceDefinition rotatedsecrets.rotated-secrets.io is not installed; run: {}", Command::ApplyDefinition)]
    NoDefinition,
    /// The API server denies a request.
    #[error("the API server does not let the operator {what} {place} (HTTP {code}); check the ServiceAccount and its {binding}")]
    Denied {
        /// Verb and kind.
        what: &'static str,
        /// The namespace, or all namespaces.
        place: String,
        /// The kind of binding that would grant the permission.
        binding: &'static str,
        /// HTTP status of the response.
        code: u16,
    },
    /// The API server rejects the label selector.
    #[error("--object-selector: the API server cannot parse it; write for example shard=blue")]
    Selector,
    /// The API server does not respond.
    #[error("the API server does not respond; check KUBECONFIG or the pod's network")]
    Unreachable,
    /// The response does not come from an API server. The content of an object cannot cause this error.
    #[error(
        "the response is not that of a Kubernetes API server; check the server's address in KUBECONFIG, and whether a proxy responds \
         instead"
    )]
    NotKubernetes,
}

impl StartError {
    /// Whether the connection may be the cause, and not the API server.
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Unreachable | Self::NotKubernetes)
    }
}

/// Lists one object of each kind that is watched, so that a missing CRD or permission is reported at the start. Returns
/// the namespaces of `--namespaces` that cannot be watched now, because they or their `RoleBinding` are missing. They do
/// not keep the operator from working in the others.
///
/// # Errors
/// If the operator cannot work with this API server, or in none of its namespaces.
pub async fn check(client: &Client, scope: &Scope) -> Result<Vec<String>, StartError> {
    let (mut unavailable, mut first) = (Vec::new(), None);
    for part in scope.parts() {
        match (check_part(client, scope, part).await, part) {
            (Ok(()), _) => {}
            (Err(denied @ StartError::Denied { .. }), Some(namespace)) => {
                tracing::warn!(namespace, %denied, "a namespace cannot be watched; the operator works in the others and retries");
                unavailable.push(namespace.to_owned());
                first.get_or_insert(denied);
            }
            (Err(error), _) => return Err(error),
        }
    }
    match first {
        Some(denied) if unavailable.len() == scope.parts().len() => Err(denied),
        _ => Ok(unavailable),
    }
}

async fn check_part(client: &Client, scope: &Scope, part: Option<&str>) -> Result<(), StartError> {
    let one = ListParams::default().limit(1);
    let binding = if part.is_none() { "ClusterRoleBinding" } else { "RoleBinding there" };
    let place = part.map_or_else(|| "in all namespaces".to_owned(), |namespace| format!("in namespace {namespace}"));
    let denied = |what, code| StartError::Denied { what, place: place.clone(), binding, code };
    let selected = ListParams { label_selector: scope.selector.clone(), ..one.clone() };
    match code(api::<Brief<RotatedSecret>>(client, part).list(&selected).await)? {
        None => {}
        Some(404) => return Err(StartError::NoDefinition),
        Some(400) if scope.selector.is_some() => return Err(StartError::Selector),
        Some(code) => return Err(denied("list RotatedSecrets", code)),
    }
    if let Some(code) = code(api::<Brief<Secret>>(client, part).list(&one.clone().labels(&ours())).await)? {
        return Err(denied("list Secrets", code));
    }
    // Each reconcile reads the administrator's annotations of the namespace.
    let namespaces = Api::<Brief<Namespace>>::all(client.clone());
    let (found, what, place) = match part {
        Some(namespace) => (code(namespaces.get_opt(namespace).await)?, "get the Namespace", namespace),
        None => (code(namespaces.list(&one).await)?, "list the Namespaces", "of the cluster"),
    };
    found.map_or(Ok(()), |code| Err(StartError::Denied { what, place: place.to_owned(), binding, code }))
}

/// HTTP status of an error response; `None` if the request succeeded.
fn code<T>(answer: Result<T, kube::Error>) -> Result<Option<u16>, StartError> {
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.code)),
        Err(kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)) => Err(StartError::NotKubernetes),
        Err(_) => Err(StartError::Unreachable),
    }
}
