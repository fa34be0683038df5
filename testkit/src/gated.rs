//! Kubernetes writes that wait at a gate.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use emulator::{Moment, WriteBarrier};
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::Service;

/// Takes every Kubernetes write past a gate, and notes which versions were mirrored.
#[derive(Clone)]
pub(crate) struct Gated {
    pub(crate) client: Client,
    pub(crate) gate: Arc<dyn WriteBarrier>,
    pub(crate) mirrored: Arc<Mutex<Vec<String>>>,
    pub(crate) refusals: Refusals,
    /// Where `refusals` apply.
    pub(crate) namespace: String,
}

/// Writes that the API server refuses while a test wants it.
#[derive(Clone, Default)]
pub struct Refusal {
    on: Arc<AtomicBool>,
    met: Arc<AtomicUsize>,
}

impl Refusal {
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// How many writes were refused.
    pub fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }

    fn meets(&self, write: bool) -> bool {
        let meets = write && self.on.load(Ordering::SeqCst);
        self.met.fetch_add(usize::from(meets), Ordering::SeqCst);
        meets
    }
}

/// What the API server may refuse in one namespace.
#[derive(Clone, Default)]
pub struct Refusals {
    /// New objects, because the namespace is being deleted.
    pub ending: Refusal,
    /// New objects, because of a quota.
    pub quota: Refusal,
    /// The status of every object.
    pub status: Refusal,
    /// Every write of a Secret, because the operator has no permission.
    pub secrets: Refusal,
    /// Every write of a Secret, because an admission policy does not accept it.
    pub policy: Refusal,
    /// Every request, because the operator has no permission.
    pub permissions: Refusal,
    /// Every request: the API server does not work.
    pub everything: Refusal,
}

impl Refusals {
    /// The cause of the refusal.
    fn of(&self, created: bool, effect: &str) -> Option<&'static str> {
        let causes = [
            (self.ending.meets(created), "NamespaceTerminating"),
            (self.quota.meets(created), "Quota"),
            (self.status.meets(effect.ends_with("/status")), "Forbidden"),
            (self.secrets.meets(effect.ends_with(" secrets")), "Forbidden"),
        ];
        causes.into_iter().find_map(|(meets, cause)| meets.then_some(cause))
    }
}

impl Gated {
    pub(crate) fn into_client(self) -> Client {
        let namespace = self.client.default_namespace().to_owned();
        Client::new(self, namespace)
    }

    async fn pass(self, request: Request<Body>) -> kube::Result<Response<Body>> {
        if self.refusals.everything.meets(true) {
            return Ok(answer(
                503,
                &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "ServiceUnavailable",
                "code": 503, "message": "unavailable"}),
            ));
        }
        if self.refusals.permissions.meets(true) {
            return Ok(refused("Forbidden"));
        }
        if request.method() == Method::GET {
            let namespace = request.uri().path() == format!("/api/v1/namespaces/{}", self.namespace);
            let answer = self.client.send(request).await?;
            return if namespace && self.refusals.ending.on.load(Ordering::SeqCst) { ending(answer).await } else { Ok(answer) };
        }
        let effect = effect(&request);
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.expect("a request's own body");
        if effect.ends_with(" secrets") {
            let sent: Value = serde_json::from_slice(&body).expect("JSON");
            if let Some(version) = sent.pointer("/metadata/annotations/rotated-secrets.io~1version-id").and_then(Value::as_str) {
                self.mirrored.lock().unwrap().push(version.to_owned());
            }
        }
        self.gate.pass(&effect, Moment::Before).await;
        let created = parts.method == Method::POST && parts.uri.path().contains(&format!("/namespaces/{}/", self.namespace));
        let answer = if let Some(cause) = self.refusals.of(created, &effect) {
            Ok(refused(cause))
        } else if self.refusals.policy.meets(effect.ends_with(" secrets")) {
            let body =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422, "message": "no"});
            Ok(answer(422, &body))
        } else {
            self.client.send(Request::from_parts(parts, Body::from(body.to_vec()))).await
        };
        self.gate.pass(&effect, Moment::After).await;
        answer
    }
}

impl Service<Request<Body>> for Gated {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = BoxFuture<'static, kube::Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<kube::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().pass(request))
    }
}

/// The Namespace, as it is while it is being deleted.
async fn ending(answer: Response<Body>) -> kube::Result<Response<Body>> {
    let (mut parts, body) = answer.into_parts();
    let body = body.collect_bytes().await?;
    let mut namespace: Value = serde_json::from_slice(&body).map_err(kube::Error::SerdeError)?;
    namespace["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    namespace["status"]["phase"] = json!("Terminating");
    parts.headers.remove("content-length");
    Ok(Response::from_parts(parts, Body::from(namespace.to_string().into_bytes())))
}

/// What the API server answers to a write that it refuses, for example because it deletes the namespace.
fn refused(cause: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "forbidden",
        "details": {"causes": [{"reason": cause, "field": "metadata.namespace"}]},
    });
    answer(403, &status)
}

fn answer(code: u16, status: &Value) -> Response<Body> {
    let answer = Response::builder().status(code).header("content-type", "application/json");
    answer.body(Body::from(status.to_string().into_bytes())).expect("an answer")
}

/// `PUT rotatedsecrets/status`, `POST secrets`, ...
fn effect(request: &Request<Body>) -> String {
    let parts: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let after = parts.iter().position(|part| *part == "namespaces").map_or(0, |at| at + 2);
    let resource = parts.get(after).copied().unwrap_or("?");
    match parts.get(after + 2) {
        Some(subresource) => format!("{} {resource}/{subresource}", request.method()),
        None => format!("{} {resource}", request.method()),
    }
}
