//! A connection to the server, with TLS as PostgreSQL begins it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::strategy::dial::{Stream, dial};
use crate::strategy::endpoint::Endpoint;
use crate::strategy::tls::{self, Certificate, Tls};
use crate::strategy::{Problem, Refused, Unknown};

/// A connection before the login.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// The server was verified, so it may see a password.
    pub(super) verified: bool,
    /// What binds the login to the TLS connection.
    pub(super) binding: Option<Vec<u8>>,
    /// The server's certificate; `None`: the connection is not encrypted.
    pub(super) certificate: Option<Certificate>,
}

/// Connects. The caller bounds the time.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<Connection, Problem> {
    // Before a connection is made: a certificate that cannot be read is the spec's mistake, not the server's.
    let connector = match &endpoint.tls {
        Tls::Disable => None,
        Tls::Verify { names, ca } => Some(tls::connector(*names, ca.as_deref())?),
    };
    let mut stream = dial(endpoint).await?;
    let Some(connector) = connector else {
        return Ok(Connection { stream: Box::new(stream), verified: false, binding: None, certificate: None });
    };
    let mut request = bytes::BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(|_| Unknown::ConnectionLost)?;
    // Exactly one byte: what follows belongs to TLS.
    match stream.read_u8().await.map_err(|_| Unknown::ConnectionLost)? {
        b'S' => {}
        b'N' => return Err(Refused::TlsNotOffered.into()),
        _ => return Err(Unknown::ProtocolViolation.into()),
    }
    let stream = tls::encrypt(&connector, &endpoint.host, stream).await?;
    let (binding, certificate) = (tls::end_point(&stream), tls::certificate(&stream));
    Ok(Connection { stream: Box::new(stream), verified: true, binding, certificate })
}
