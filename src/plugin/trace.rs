//! `-v 6`: each request to the API server, as kubectl shows it. Bodies and headers are never shown, because they can hold
//! values and tokens.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tower::{Layer, Service};

use super::output;

/// The level of kubectl from which on requests are shown.
const REQUESTS: u8 = 6;

/// Shows requests if the level asks for it.
#[derive(Debug, Clone)]
pub(super) struct TraceLayer {
    /// The API server, if its requests are shown.
    server: Option<String>,
}

impl TraceLayer {
    pub(super) fn new(level: u8, server: &http::Uri) -> Self {
        Self { server: (level >= REQUESTS).then(|| server.to_string().trim_end_matches('/').to_owned()) }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner, server: self.server.clone() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Trace<S> {
    inner: S,
    server: Option<String>,
}

impl<S, B, R> Service<http::Request<B>> for Trace<S>
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
        let line = self.server.as_ref().map(|server| format!("{} {server}{}", request.method(), request.uri()));
        let began = Instant::now();
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            if let Some(line) = line {
                let status = answer.as_ref().map_or_else(|_| "no response".to_owned(), |response| response.status().to_string());
                output::note(&format!("{line} {status} in {} milliseconds", began.elapsed().as_millis()));
            }
            answer
        }
        .boxed()
    }
}
