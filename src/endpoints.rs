//! HTTP endpoints of the operator: `/livez`, `/readyz` and `/metrics`. The health endpoints call neither AWS nor the
//! API server: an outage there is reported in conditions, and a restart of the pod would not end it. The endpoints are
//! served by a separate thread, so that they respond even if the threads of the operator are blocked, and with limits, so
//! that clients cannot exhaust the process.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::server::Limits;
use crate::metrics::Metrics;

mod server;

/// Interval of the runtime's heartbeat.
const BEAT: Duration = Duration::from_secs(1);
/// Age of the heartbeat from which the runtime counts as blocked. No task blocks a thread for more than a fraction of
/// this.
const STUCK: Duration = Duration::from_secs(30);

/// Whether the watches have completed their initial list. Once ready, it stays ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Marks the watches as synchronized.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Heartbeat of the operator's runtime.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    epoch: Instant,
    /// Milliseconds since `epoch`.
    last: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { epoch: Instant::now(), last: Arc::default() }
    }
}

impl Heartbeat {
    /// Updates the heartbeat forever. Must run in the monitored runtime.
    pub async fn beat(self) {
        loop {
            self.last.store(self.now(), Ordering::Release);
            tokio::time::sleep(BEAT).await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Time since the last heartbeat.
    fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Acquire)))
    }
}

/// State behind the endpoints.
#[derive(Debug, Clone)]
pub struct Endpoints {
    pub metrics: Metrics,
    pub readiness: Readiness,
    pub pulse: Heartbeat,
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: cannot listen on {address}; check whether another process uses the port")]
pub struct Unavailable {
    flag: &'static str,
    address: SocketAddr,
}

/// Listens on both addresses and serves the endpoints in a separate thread until `stop` resolves and the open requests are
/// answered. The returned receiver resolves then. The health endpoints have a listener of their own, so that clients of the
/// metrics cannot use up their connections.
///
/// # Errors
/// If an address cannot be bound.
pub fn serve(
    health: SocketAddr,
    metrics: SocketAddr,
    pages: Endpoints,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<oneshot::Receiver<()>, Unavailable> {
    let (flag, address) = ("--health-address", health);
    let health = bind(address).map_err(|_| Unavailable { flag, address })?;
    let (flag, address) = ("--metrics-address", metrics);
    let metrics = bind(address).map_err(|_| Unavailable { flag, address })?;
    let unavailable = |_| Unavailable { flag, address };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
    let (ended, ending) = oneshot::channel();
    let serving = move || {
        let served: io::Result<()> = runtime.block_on(async {
            let (health, metrics) = (TcpListener::from_std(health)?, TcpListener::from_std(metrics)?);
            let stop = stop.shared();
            tokio::join!(
                server::serve(health, health_router(pages.clone()), Limits::default(), stop.clone()),
                server::serve(metrics, metrics_router(pages), Limits::default(), stop),
            );
            Ok(())
        });
        if served.is_err() {
            tracing::error!("the HTTP endpoints have stopped");
        }
        let _ = ended.send(());
    };
    std::thread::Builder::new().name("pages".to_owned()).spawn(serving).map_err(unavailable)?;
    Ok(ending)
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address).or_else(|error| match without_ipv6(address, &error) {
        Some(address) => std::net::TcpListener::bind(address),
        None => Err(error),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Every IPv4 address instead of every address, if the kernel has no IPv6. `[::]` covers both where it has.
fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let taken = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    let every = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    (every && !taken).then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

fn health_router(pages: Endpoints) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(pages)
}

fn metrics_router(pages: Endpoints) -> Router {
    Router::new().route("/metrics", get(render)).with_state(pages)
}

async fn livez(State(pages): State<Endpoints>) -> (StatusCode, String) {
    let age = pages.pulse.age();
    if age < STUCK {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("the runtime has not responded for {} s", age.as_secs()))
    }
}

async fn readyz(State(pages): State<Endpoints>) -> (StatusCode, &'static str) {
    if pages.readiness.is_set() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the watches are not synchronized yet")
    }
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
        let router = health_router(pages);
        let (status, _, _) = ask(router.clone(), Method::GET, "/livez").await;
        assert_eq!(status, StatusCode::OK);
        let (status, _, body) = ask(router.clone(), Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("not synchronized"), "{body}");
        readiness.set();
        let (status, _, _) = ask(router, Method::GET, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let pages = pages();
        pages.metrics.step("Create", "ok");
        let router = metrics_router(pages);
        let (status, kind, body) = ask(router, Method::GET, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(body.contains("rotated_secrets_steps_total{step=\"Create\",outcome=\"ok\"} 1"));
    }

    #[tokio::test]
    async fn nothing_else_is_there_and_nothing_can_be_written() {
        let (health, metrics) = (health_router(pages()), metrics_router(pages()));
        for (router, path) in [(&health, "/"), (&health, "/metrics"), (&metrics, "/"), (&metrics, "/livez"), (&metrics, "/readyz")] {
            let (status, _, _) = ask(router.clone(), Method::GET, path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
        for (router, path) in [(health, "/livez"), (metrics, "/metrics")] {
            let (status, _, _) = ask(router, Method::POST, path).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }

    /// Ports that were free a moment ago, because `serve` takes addresses.
    fn free() -> [SocketAddr; 2] {
        let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        free.map(|free| free.local_addr().unwrap())
    }

    const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn it_answers_until_it_is_told_to_stop() {
        let [health, metrics] = free();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let until = async { drop(stopped.await) };
        let serving = serve(health, metrics, pages(), until).unwrap();
        let mut client = tokio::net::TcpStream::connect(health).await.unwrap();
        client.write_all(LIVEZ).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        stop.send(()).unwrap();
        serving.await.unwrap();
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_its_flag() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (taken_at, [free, _]) = (taken.local_addr().unwrap(), free());
        for (health, metrics, flag) in [(taken_at, free, "--health-address"), (free, taken_at, "--metrics-address")] {
            let error = serve(health, metrics, pages(), std::future::pending()).unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains(&taken_at.to_string()), "{error}");
        }
    }

    #[test]
    fn every_address_means_every_ipv4_address_where_the_kernel_has_no_ipv6() {
        let errors = [(io::ErrorKind::Unsupported, true), (io::ErrorKind::AddrNotAvailable, true), (io::ErrorKind::AddrInUse, false)];
        for (kind, falls_back) in errors {
            for (address, expected) in [("[::]:8081", falls_back.then_some("0.0.0.0:8081")), ("[::1]:8081", None), ("0.0.0.0:8081", None)] {
                let found = without_ipv6(address.parse().unwrap(), &kind.into());
                assert_eq!(found.map(|found| found.to_string()).as_deref(), expected, "{address} {kind}");
            }
        }
    }

    #[tokio::test]
    async fn the_default_address_takes_ipv4_and_ipv6() {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let every = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let (health, metrics) = (every(free()), every(free()));
        let _serving = serve(health, metrics, pages(), std::future::pending()).unwrap();
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        // A machine without IPv6 has no such address.
        addresses.extend(std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok().then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        for address in addresses {
            let mut client = tokio::net::TcpStream::connect((address, health.port())).await.unwrap();
            client.write_all(LIVEZ).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{address}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_probe_is_answered_while_the_connections_of_the_metrics_are_used_up() {
        let [health, metrics] = free();
        let _serving = serve(health, metrics, pages(), std::future::pending()).unwrap();
        let mut held = Vec::new();
        for _ in 0..2 * Limits::default().connections {
            let mut client = tokio::net::TcpStream::connect(metrics).await.unwrap();
            client.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n").await.unwrap();
            held.push(client);
        }
        let mut client = tokio::net::TcpStream::connect(health).await.unwrap();
        client.write_all(LIVEZ).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[test]
    fn a_runtime_that_is_stuck_is_told_by_a_thread_that_is_not() {
        let pulse = Heartbeat { epoch: Instant::now().checked_sub(2 * STUCK).unwrap(), last: Arc::default() };
        let pages = Endpoints { pulse: pulse.clone(), ..pages() };
        let [address, metrics] = free();
        let _serving = serve(address, metrics, pages, std::future::pending()).unwrap();
        let livez = || {
            use std::io::{Read as _, Write as _};
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(LIVEZ).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer
        };
        // The heartbeat is not updated, because the test does not run `beat`.
        let answer = livez();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("has not responded for 6"), "{answer}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(pulse.beat());
            tokio::task::yield_now().await;
        });
        let answer = livez();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
