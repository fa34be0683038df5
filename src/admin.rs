//! The operator's own HTTP port: `/livez`, `/readyz`, `/metrics`. Neither health page asks AWS or the cluster: an outage there is reported
//! in conditions, and restarting the pod would not end it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::metrics::Metrics;

/// Whether the watches have seen every object once. Not before, and for good afterwards.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// The watches are in sync.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether they are.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Listens on `address`, and answers in a task until `stop` resolves and the requests under way are answered.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let listener = TcpListener::bind(address).await?;
    let serving = axum::serve(listener, router(metrics, readiness)).with_graceful_shutdown(stop);
    Ok(tokio::spawn(serving.into_future()))
}

/// The pages.
pub fn router(metrics: Metrics, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state(metrics))
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.is_set() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "the watches are not in sync yet") }
}

async fn render(State(metrics): State<Metrics>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Method, Request};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: Router, method: Method, path: &str) -> (StatusCode, String, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_is_alive_before_it_is_ready() {
        let readiness = Readiness::default();
        let router = router(Metrics::new(), readiness.clone());
        let (status, _, _) = ask(router.clone(), Method::GET, "/livez").await;
        assert_eq!(status, StatusCode::OK);
        let (status, _, body) = ask(router.clone(), Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("not in sync"), "{body}");
        readiness.set();
        let (status, _, _) = ask(router, Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let metrics = Metrics::new();
        metrics.step("Create");
        let router = router(metrics, Readiness::default());
        let (status, kind, body) = ask(router, Method::GET, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(body.contains("rotated_secrets_steps_total{step=\"Create\"} 1"));
    }

    #[tokio::test]
    async fn nothing_else_is_there_and_nothing_can_be_written() {
        let router = router(Metrics::new(), Readiness::default());
        let (status, _, _) = ask(router.clone(), Method::GET, "/").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _, _) = ask(router, Method::POST, "/livez").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn it_answers_until_it_is_told_to_stop() {
        // A port that was free a moment ago: `serve` takes an address, as the operator has one.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let until = async { drop(stopped.await) };
        let serving = serve(address, Metrics::new(), Readiness::default(), until);
        let serving = serving.await.unwrap();
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }
}
