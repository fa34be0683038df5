//! Counts the requests of a client to the API server, and measures their time.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// Counts each request with its method and the code of its answer.
#[derive(Debug, Clone)]
pub(super) struct CountRequests(pub(super) Metrics);

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S, B, R> Service<http::Request<B>> for Counted<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut unanswered = Unanswered { method: request.method().clone(), sent: Instant::now(), metrics: Some(self.metrics.clone()) };
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            if let Ok(response) = &answer {
                unanswered.has_answer(response.status().as_u16());
            }
            answer
        }
        .boxed()
    }
}

/// A request that has no answer yet. When this is dropped, it has none at all: the connection failed, or the caller stopped
/// waiting.
struct Unanswered {
    method: Method,
    sent: Instant,
    metrics: Option<Metrics>,
}

impl Unanswered {
    fn has_answer(&mut self, code: u16) {
        if let Some(metrics) = self.metrics.take() {
            metrics.kubernetes_request(self.method.as_str(), Some(code), self.sent.elapsed());
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(metrics) = self.metrics.take() {
            metrics.kubernetes_request(self.method.as_str(), None, self.sent.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};

    use http::{Request, Response};
    use tower::ServiceExt as _;
    use tower::service_fn;

    use super::*;

    fn request(method: Method) -> Request<()> {
        Request::builder().method(method).body(()).unwrap()
    }

    fn count(metrics: &Metrics, method: &str, code: &str) -> u64 {
        of(metrics, &format!("rotated_secrets_kubernetes_requests_total{{method=\"{method}\",code=\"{code}\"}} "))
    }

    fn measured(metrics: &Metrics, method: &str) -> u64 {
        of(metrics, &format!("rotated_secrets_kubernetes_request_duration_seconds_count{{method=\"{method}\"}} "))
    }

    fn of(metrics: &Metrics, series: &str) -> u64 {
        let page = metrics.render().unwrap();
        page.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |value| value.parse().unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_counted_with_its_code_and_is_passed_on() {
        let metrics = Metrics::new();
        let answer = |request: Request<()>| {
            let code = if request.method() == Method::GET { 200 } else { 409 };
            ready(Ok::<_, Infallible>(Response::builder().status(code).body(()).unwrap()))
        };
        let service = CountRequests(metrics.clone()).layer(service_fn(answer));
        for (method, code) in [(Method::GET, 200), (Method::GET, 200), (Method::PUT, 409)] {
            assert_eq!(service.clone().oneshot(request(method)).await.unwrap().status(), code);
        }
        let counts = [("GET", "200"), ("PUT", "409"), ("PUT", "200"), ("GET", "error")].map(|(m, code)| count(&metrics, m, code));
        assert_eq!(counts, [2, 1, 0, 0]);
        assert_eq!(["GET", "PUT", "POST"].map(|method| measured(&metrics, method)), [2, 1, 0]);
    }

    #[tokio::test]
    async fn a_request_that_fails_or_is_given_up_is_counted_once_as_an_error() {
        let metrics = Metrics::new();
        let layer = CountRequests(metrics.clone());
        let failing = layer.layer(service_fn(|_| ready(Err::<Response<()>, _>("refused"))));
        assert!(failing.oneshot(request(Method::POST)).await.is_err());
        let hanging = layer.layer(service_fn(|_| pending::<Result<Response<()>, Infallible>>()));
        let mut waits = hanging.oneshot(request(Method::PATCH)).boxed();
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(count(&metrics, "PATCH", "error"), 0, "it may still be answered");
        drop(waits);
        assert_eq!((count(&metrics, "POST", "error"), count(&metrics, "PATCH", "error")), (1, 1));
        assert_eq!(["POST", "PATCH"].map(|method| measured(&metrics, method)), [1, 1]);
    }
}
