//! Kubernetes writes that wait at a gate.

use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::Value;
use testbed::gate::{Gate, Moment};
use tower::{Layer, Service};

/// Takes every Kubernetes write past a gate, and notes which versions were mirrored.
#[derive(Clone)]
pub(crate) struct Gated {
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) mirrored: Arc<Mutex<Vec<String>>>,
}

impl<S> Layer<S> for Gated {
    type Service = GatedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatedService { inner: Arc::new(tokio::sync::Mutex::new(inner)), gated: self.clone() }
    }
}

/// kube's stack below cannot be cloned, and a request waits at the gate before it goes there: hence the lock.
pub(crate) struct GatedService<S> {
    inner: Arc<tokio::sync::Mutex<S>>,
    gated: Gated,
}

impl<S, B> Service<Request<Body>> for GatedService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        let gated = self.gated.clone();
        Box::pin(async move {
            if request.method() == Method::GET {
                return forward(&inner, request).await;
            }
            let effect = effect(&request);
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.expect("a request's own body");
            if effect.ends_with(" secrets") {
                let sent: Value = serde_json::from_slice(&body).expect("JSON");
                if let Some(version) = sent.pointer("/metadata/annotations/rotated-secrets.io~1version-id").and_then(Value::as_str) {
                    gated.mirrored.lock().unwrap().push(version.to_owned());
                }
            }
            gated.gate.pass(&effect, Moment::Before).await;
            let answer = forward(&inner, Request::from_parts(parts, Body::from(body.to_vec()))).await;
            gated.gate.pass(&effect, Moment::After).await;
            answer
        })
    }
}

async fn forward<S: Service<Request<Body>>>(inner: &tokio::sync::Mutex<S>, request: Request<Body>) -> Result<S::Response, S::Error> {
    let answer = {
        let mut inner = inner.lock().await;
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
        inner.call(request)
    };
    answer.await
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
