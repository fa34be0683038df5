//! HTTP/1 server with limits. Clients that connect and send half a request, or do not read the response, use up neither the
//! file descriptors nor the memory of the process.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pause after an error of the operating system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// The limits of one listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Number of connections. Further ones wait in the queue of the kernel until one ends.
    pub(super) connections: usize,
    /// Time for the headers of a request, and the longest time between two requests of a connection.
    pub(super) header: Duration,
    /// Longest time for which a connection is open. Bounds clients that do not read the response.
    pub(super) lifetime: Duration,
    /// Size of the buffer of a connection in bytes, which also limits the size of the headers.
    pub(super) buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, header: Duration::from_secs(5), lifetime: Duration::from_mins(1), buffer: 16 * 1024 }
    }
}

/// Serves until `stop` resolves and the requests in progress are answered.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, permit) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_buf_size(limits.buffer)
            .serve_connection(TokioIo::new(stream), service);
        let connection = tokio::time::timeout(limits.lifetime, graceful.watch(connection));
        tokio::spawn(async move {
            // A client that disconnects or sends no HTTP is of no interest.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let permit = Arc::clone(connections).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const HALF: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n";
    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    async fn listen(limits: Limits) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "ok" }));
        tokio::spawn(serve(listener, router, limits, std::future::pending()));
        address
    }

    async fn send(address: std::net::SocketAddr, request: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request).await.unwrap();
        client
    }

    async fn answer(mut client: TcpStream) -> String {
        let mut answer = String::new();
        // A reset counts as the end.
        let _ = client.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn a_connection_without_a_whole_request_is_closed() {
        let limits = Limits { header: Duration::from_millis(50), lifetime: HOUR, ..Limits::default() };
        let address = listen(limits).await;
        for request in [&b""[..], HALF] {
            let answer = answer(send(address, request).await).await;
            assert!(!answer.contains("200"), "{answer}");
        }
        // Also one that has sent a whole request and keeps the connection open.
        let answer = answer(send(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn no_connection_is_open_longer_than_its_lifetime() {
        let limits = Limits { header: HOUR, lifetime: Duration::from_millis(50), ..Limits::default() };
        assert_eq!(answer(send(listen(limits).await, HALF).await).await, "");
    }

    #[tokio::test]
    async fn connections_above_the_limit_are_served_when_another_one_ends() {
        let limits = Limits { connections: 2, header: HOUR, lifetime: HOUR, ..Limits::default() };
        let address = listen(limits).await;
        let held = [send(address, HALF).await, send(address, HALF).await];
        let mut waiting = send(address, WHOLE).await;
        let mut first = [0];
        let early = tokio::time::timeout(Duration::from_millis(300), waiting.read(&mut first)).await;
        assert!(early.is_err(), "a third connection is served");
        drop(held);
        let answer = answer(waiting).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn headers_larger_than_the_buffer_are_refused() {
        let address = listen(Limits::default()).await;
        let large = format!("GET / HTTP/1.1\r\nhost: x\r\nlarge: {}\r\n\r\n", "x".repeat(32 * 1024));
        let answer = answer(send(address, large.as_bytes()).await).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}
