//! A connection to the server: name, address, TLS.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{Addresses, Server};
use super::tls::{self, Certificate, Tls};
use crate::strategy::{Problem, Refused, Unknown};

/// What a session runs on.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection before the login.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// The server was verified, so it may see a password.
    pub(super) verified: bool,
    /// What binds the login to the TLS connection.
    pub(super) end_point: Option<Vec<u8>>,
    /// The server's certificate; `None`: the connection is not encrypted.
    pub(super) certificate: Option<Certificate>,
}

/// Connects. The caller bounds the time.
pub(super) async fn connect(server: &Server) -> Result<Connection, Problem> {
    // Before a connection is made: a certificate that cannot be read is the spec's mistake, not the server's.
    let connector = match &server.tls {
        Tls::Disable => None,
        Tls::Verify { names, ca } => Some(tls::connector(*names, ca.as_deref())?),
    };
    let mut stream = dial(server).await?;
    let Some(connector) = connector else {
        return Ok(Connection { stream: Box::new(stream), verified: false, end_point: None, certificate: None });
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
    let stream = tls::encrypt(&connector, &server.host, stream).await?;
    let (end_point, certificate) = (tls::end_point(&stream), tls::certificate(&stream));
    Ok(Connection { stream: Box::new(stream), verified: true, end_point, certificate })
}

/// The name is resolved once, and each address is checked and then used as it is.
async fn dial(server: &Server) -> Result<TcpStream, Problem> {
    server.tried.note(None);
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((server.address.as_str(), server.port)).await.map_err(|_| Unknown::NameNotResolved)?.collect();
    let allowed: Vec<&SocketAddr> = found.iter().filter(|address| is_allowed(address.ip(), server.addresses)).collect();
    if allowed.is_empty() {
        return Err(if found.is_empty() { Unknown::NameNotResolved.into() } else { Refused::AddressRefused.into() });
    }
    for address in allowed {
        server.tried.note(Some(address.ip().to_canonical()));
        if let Ok(stream) = TcpStream::connect(address).await {
            // Small messages that wait for an answer.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
    }
    Err(Unknown::Unreachable.into())
}

/// Addresses of the neighbourhood are refused always, the metadata service among them.
fn is_allowed(address: IpAddr, addresses: Addresses) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return addresses == Addresses::Local;
    }
    match address {
        IpAddr::V4(v4) => !(v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast()),
        IpAddr::V6(v6) => {
            // The metadata service of AWS and EKS Pod Identity over IPv6.
            let metadata = [0x254, 0x23].map(|last| Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, last)).contains(&v6);
            !(v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast() || metadata)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_neighbourhood_are_refused_in_every_notation() {
        let local = ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"];
        let refused = [
            "0.0.0.0",
            "169.254.169.254",
            "169.254.170.23",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "::ffff:169.254.169.254",
            "ff02::1",
        ];
        for address in refused.into_iter().chain(local) {
            assert!(!is_allowed(address.parse().unwrap(), Addresses::Remote), "{address}");
        }
        for address in refused {
            assert!(!is_allowed(address.parse().unwrap(), Addresses::Local), "{address}");
        }
        for address in local {
            assert!(is_allowed(address.parse().unwrap(), Addresses::Local), "{address}");
        }
        for address in ["10.0.0.7", "192.168.1.1", "172.16.0.1", "203.0.113.9", "fd12::1", "2001:db8::1", "100.64.0.1"] {
            assert!(is_allowed(address.parse().unwrap(), Addresses::Remote), "{address}");
        }
    }
}
