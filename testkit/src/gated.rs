//! Kubernetes writes that wait at a gate.

use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Whether this namespace is being deleted.
    pub(crate) ending: (Arc<AtomicBool>, String),
}

impl Gated {
    pub(crate) fn into_client(self) -> Client {
        let namespace = self.client.default_namespace().to_owned();
        Client::new(self, namespace)
    }

    async fn pass(self, request: Request<Body>) -> kube::Result<Response<Body>> {
        if request.method() == Method::GET {
            return self.client.send(request).await;
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
        let (ends, namespace) = &self.ending;
        let created = parts.method == Method::POST && parts.uri.path().contains(&format!("/namespaces/{namespace}/"));
        let answer = if created && ends.load(Ordering::SeqCst) {
            Ok(terminating())
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

/// What the API server answers to the creation of an object in a namespace that it deletes.
fn terminating() -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "forbidden",
        "details": {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
    });
    let answer = Response::builder().status(403).header("content-type", "application/json");
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
