//! The time limit of each request to the API server: until the last byte of its answer, or until a watch begins. A connection
//! can be lost without a word after the request was sent, and what waits for the answer would wait for ever.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tower::{BoxError, Layer, Service};

use super::watch::LONGEST_PAGE;

/// The API server gives up a request after one minute.
const LONGEST_REQUEST: Duration = Duration::from_secs(90);

/// Gives each request a time limit. The events of a watch have none here: kube opens a watch again that is silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundRequests {
    request: Duration,
    page: Duration,
}

impl Default for BoundRequests {
    fn default() -> Self {
        Self { request: LONGEST_REQUEST, page: LONGEST_REQUEST.max(LONGEST_PAGE) }
    }
}

impl BoundRequests {
    /// The limit of a request, and whether the answer must have ended by then. Otherwise it must have begun.
    fn limit(self, uri: &Uri) -> (Duration, bool) {
        let has = |wanted: fn(&str) -> bool| uri.query().unwrap_or_default().split('&').any(wanted);
        if has(|part| part == "watch=true" || part == "watch=1") {
            (self.request, false)
        } else if has(|part| part.starts_with("limit=")) {
            // The list of a watch, which limits the time of each page itself.
            (self.page, true)
        } else {
            (self.request, true)
        }
    }
}

impl<S> Layer<S> for BoundRequests {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, limits: *self }
    }
}

/// A service whose requests have a time limit.
#[derive(Debug, Clone)]
pub(super) struct Bounded<S> {
    inner: S,
    limits: BoundRequests,
}

impl<S, B, R> Service<Request<B>> for Bounded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<BoundedBody<R>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (limit, whole) = self.limits.limit(request.uri());
        let answer = self.inner.call(request);
        async move {
            let begun = Instant::now();
            let answer = timeout(limit, answer).await.map_err(|_| NoAnswer)?;
            let rest = whole.then(|| Box::pin(sleep(limit.saturating_sub(begun.elapsed()))));
            Ok(answer.map_err(Into::into)?.map(|inner| BoundedBody { inner, rest }))
        }
        .boxed()
    }
}

/// The request had no complete answer within its limit.
#[derive(Debug, thiserror::Error)]
#[error("no complete answer in time")]
struct NoAnswer;

/// The body of an answer, with the rest of the time.
#[derive(Debug)]
pub(super) struct BoundedBody<R> {
    inner: R,
    rest: Option<Pin<Box<Sleep>>>,
}

impl<R> Body for BoundedBody<R>
where
    R: Body<Data = Bytes> + Unpin,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match &mut self.rest {
            Some(rest) => rest.poll_unpin(context).map(|()| Some(Err(NoAnswer.into()))),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};

    use futures::poll;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const AT_ONCE: BoundRequests = BoundRequests { request: Duration::ZERO, page: Duration::ZERO };

    fn request(uri: &str) -> Request<()> {
        Request::builder().uri(uri).body(()).unwrap()
    }

    /// A body that begins and never ends.
    #[derive(Debug)]
    struct Hangs(bool);

    impl Body for Hangs {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if std::mem::replace(&mut self.0, true) { Poll::Pending } else { Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"{"))))) }
        }
    }

    async fn frame(body: &mut BoundedBody<Hangs>) -> Option<Result<Frame<Bytes>, BoxError>> {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    }

    #[test]
    fn watches_must_begin_in_time_and_the_lists_of_watches_have_a_longer_limit() {
        let limits = BoundRequests { request: Duration::from_secs(1), page: Duration::from_secs(2) };
        for (uri, expected) in [
            ("/api/v1/namespaces/shop/secrets/one", (1, true)),
            ("/api/v1/namespaces/shop/secrets?&fieldManager=rotated-secrets", (1, true)),
            ("/api/v1/secrets?&labelSelector=watch%3Dtrue", (1, true)),
            ("/api/v1/secrets?&limit=50&resourceVersion=0", (2, true)),
            ("/api/v1/secrets?&watch=true&timeoutSeconds=290", (1, false)),
            ("/api/v1/secrets?watch=1", (1, false)),
        ] {
            let (limit, whole) = limits.limit(&uri.parse().unwrap());
            assert_eq!((limit.as_secs(), whole), expected, "{uri}");
        }
        let BoundRequests { request, page } = BoundRequests::default();
        assert!(request == LONGEST_REQUEST && page >= LONGEST_PAGE && page >= request);
    }

    #[tokio::test]
    async fn a_request_without_an_answer_fails_and_so_does_a_watch_that_does_not_begin() {
        let silent = AT_ONCE.layer(service_fn(|_: Request<()>| pending::<Result<Response<Hangs>, Infallible>>()));
        assert_eq!(silent.clone().oneshot(request("/api/v1/secrets")).await.unwrap_err().to_string(), NoAnswer.to_string());
        let watch = silent.oneshot(request("/api/v1/secrets?watch=true")).await;
        assert_eq!(watch.unwrap_err().to_string(), NoAnswer.to_string());
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_fails_and_that_of_a_watch_goes_on() {
        let limits = BoundRequests { request: Duration::from_millis(20), page: Duration::from_millis(20) };
        let service = limits.layer(service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Hangs(false))))));
        let mut body = service.clone().oneshot(request("/api/v1/secrets")).await.unwrap().into_body();
        assert!(frame(&mut body).await.unwrap().is_ok(), "what has arrived is passed on");
        assert_eq!(frame(&mut body).await.unwrap().unwrap_err().to_string(), NoAnswer.to_string());
        let mut body = service.oneshot(request("/api/v1/secrets?watch=true")).await.unwrap().into_body();
        assert!(frame(&mut body).await.unwrap().is_ok() && body.rest.is_none());
        assert!(poll!(Box::pin(frame(&mut body))).is_pending());
    }
}
