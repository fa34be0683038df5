//! One request and its response, over one connection. No redirection is followed and no proxy is used.

use std::pin::pin;

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;

use crate::strategy::dial::dial;
use crate::strategy::tls::{self, Tls};
use crate::strategy::{Endpoint, Problem, Refused, Unknown};

/// The headers of a response. The least that hyper permits.
const LARGEST_HEAD: usize = 8 * 1024;
/// The body of a response: an outcome and a word.
const LARGEST_BODY: usize = 4 * 1024;
/// All that a receiver may send, interim responses among it.
const LARGEST_RESPONSE: u64 = 64 * 1024;

/// Sends the request and reads the response. The caller bounds the time.
pub(super) async fn exchange(endpoint: &Endpoint, request: Request<Body>) -> Result<(StatusCode, Vec<u8>), Problem> {
    let Tls::Verify { names, ca } = &endpoint.tls else { return Err(Refused::WeakAuthentication.into()) };
    let connector = tls::connector(*names, ca.as_deref())?;
    let connecting = async { tls::encrypt(&connector, &endpoint.host, dial(endpoint).await?).await };
    let stream = tokio::time::timeout(endpoint.limits.connect, connecting).await.map_err(|_| Unknown::Timeout)??;
    let (from_receiver, to_receiver) = tokio::io::split(stream);
    let bounded = tokio::io::join(from_receiver.take(LARGEST_RESPONSE), to_receiver);
    let mut client = http1::Builder::new();
    client.max_buf_size(LARGEST_HEAD);
    let (mut sender, connection) = client.handshake(TokioIo::new(bounded)).await.map_err(|error| problem(&error))?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| problem(&error))?;
        let (head, body) = response.into_parts();
        let body = to_bytes(Body::new(body), LARGEST_BODY).await.map_err(|error| of_body(&error))?;
        Ok((head.status, body.to_vec()))
    });
    let exchanged = async {
        tokio::select! {
            answer = &mut answer => answer,
            // The receiver has closed the connection. What it sent before is still there.
            _ = connection => answer.await,
        }
    };
    tokio::time::timeout(endpoint.limits.statement, exchanged).await.map_err(|_| Unknown::Timeout)?
}

fn problem(error: &hyper::Error) -> Problem {
    if error.is_parse() || error.is_user() { Unknown::ProtocolViolation.into() } else { Unknown::ConnectionLost.into() }
}

/// Too long, or cut.
fn of_body(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return problem(error);
        }
        cause = error.source();
    }
    Unknown::ProtocolViolation.into()
}
