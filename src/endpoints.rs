//! The operator's own HTTP port: `/livez`, `/readyz`, `/metrics`. Neither health page asks AWS or the cluster: an outage there is reported
//! in conditions, and restarting the pod would not end it. The pages have a thread of their own, so that they answer also when the
//! operator's threads do not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use crate::metrics::Metrics;

/// How often the operator's runtime says that it moves.
const BEAT: Duration = Duration::from_secs(1);
/// A runtime that has not moved for so long is stuck: nothing in it may hold a thread for a fraction of this.
const STUCK: Duration = Duration::from_secs(30);

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

/// Whether the operator's runtime moves.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    epoch: Instant,
    /// Milliseconds after the epoch.
    last: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { epoch: Instant::now(), last: Arc::default() }
    }
}

impl Heartbeat {
    /// Beats for ever, in the runtime that it is about.
    pub async fn beat(self) {
        loop {
            self.last.store(self.now(), Ordering::Release);
            tokio::time::sleep(BEAT).await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long ago the last beat was.
    fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Acquire)))
    }
}

/// What the pages tell of.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// `/metrics`
    pub metrics: Metrics,
    /// `/readyz`
    pub readiness: Readiness,
    /// `/livez`
    pub pulse: Heartbeat,
}

/// Listens on `address`, and answers in a thread of its own until `stop` resolves and the requests under way are answered; then what is given
/// resolves.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(address: SocketAddr, pages: Endpoints, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<oneshot::Receiver<()>> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, ending) = oneshot::channel();
    std::thread::Builder::new().name("pages".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router(pages)).with_graceful_shutdown(stop).await
        });
        if served.is_err() {
            tracing::error!("the pages are not served any more");
        }
        let _ = ended.send(());
    })?;
    Ok(ending)
}

/// The pages.
pub fn router(pages: Endpoints) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/metrics", get(render)).with_state(pages)
}

async fn livez(State(pages): State<Endpoints>) -> (StatusCode, String) {
    let age = pages.pulse.age();
    if age < STUCK {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("the runtime has not moved for {} s", age.as_secs()))
    }
}

async fn readyz(State(pages): State<Endpoints>) -> (StatusCode, &'static str) {
    if pages.readiness.is_set() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "the watches are not in sync yet") }
}

async fn render(State(pages): State<Endpoints>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match pages.metrics.render() {
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

    fn pages() -> Endpoints {
        Endpoints { metrics: Metrics::new(), readiness: Readiness::default(), pulse: Heartbeat::default() }
    }

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
        let pages = pages();
        let readiness = pages.readiness.clone();
        let router = router(pages);
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
        let pages = pages();
        pages.metrics.step("Create", "ok");
        let router = router(pages);
        let (status, kind, body) = ask(router, Method::GET, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(body.contains("rotated_secrets_steps_total{step=\"Create\",outcome=\"ok\"} 1"));
    }

    #[tokio::test]
    async fn nothing_else_is_there_and_nothing_can_be_written() {
        let router = router(pages());
        let (status, _, _) = ask(router.clone(), Method::GET, "/").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _, _) = ask(router, Method::POST, "/livez").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn it_answers_until_it_is_told_to_stop() {
        // A port that was free a moment ago: `serve` takes an address, as the operator has one.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let until = async { drop(stopped.await) };
        let serving = serve(address, pages(), until).unwrap();
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        stop.send(()).unwrap();
        serving.await.unwrap();
    }

    #[test]
    fn a_runtime_that_is_stuck_is_told_by_a_thread_that_is_not() {
        let pulse = Heartbeat { epoch: Instant::now().checked_sub(2 * STUCK).unwrap(), last: Arc::default() };
        let pages = Endpoints { pulse: pulse.clone(), ..pages() };
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let _serving = serve(address, pages, std::future::pending()).unwrap();
        let livez = || {
            use std::io::{Read as _, Write as _};
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer
        };
        // No runtime beats: this thread, where it would, is busy.
        let answer = livez();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("has not moved for 6"), "{answer}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(pulse.beat());
            tokio::task::yield_now().await;
        });
        let answer = livez();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
