//! Stands between the strategy and a MySQL or MariaDB server, with TLS on both sides because MySQL wants it, reads the packets
//! of the client, and breaks the connection at one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use rotated_secrets::strategy::Tls;
use rotated_secrets::strategy::mysql::Server;
use testkit::mysql::MySql;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::proxy::Break;
use super::stand::by_address;

/// Counts the packets of all connections.
pub(super) struct Proxy {
    port: u16,
    certificate: String,
    seen: Arc<AtomicUsize>,
}

struct Sides {
    server: u16,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Proxy {
    /// In front of this server; breaks at the packet of this number, counted from 0.
    pub(super) async fn start(mysql: &MySql, at: Option<(usize, Break)>) -> Result<Self> {
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let acceptor = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(mysql.ca().as_bytes())?)?;
        let connector = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let sides = Arc::new(Sides {
            server: mysql.port(),
            acceptor: TlsAcceptor::from(Arc::new(acceptor)),
            connector: TlsConnector::from(Arc::new(connector)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self { port: listener.local_addr()?.port(), certificate: own.pem(), seen: Arc::default() };
        let seen = Arc::clone(&proxy.seen);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, sides) = (Arc::clone(&seen), Arc::clone(&sides));
                tokio::spawn(async move { sides.meet(client, &seen, at).await });
            }
        });
        Ok(proxy)
    }

    /// The server as the strategy reaches it through this.
    pub(super) fn through(&self, server: &Server) -> Server {
        let mut changed = server.clone();
        by_address(&mut changed.endpoint);
        changed.endpoint.port = self.port;
        changed.endpoint.tls = Tls::Verify { names: true, ca: Some(self.certificate.clone()) };
        changed
    }

    /// How many packets the client has sent inside TLS, apart from the one that ends a session.
    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// One packet, with its header.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet).await?;
    let length = usize::from(packet[0]) | usize::from(packet[1]) << 8 | usize::from(packet[2]) << 16;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

impl Sides {
    async fn meet(&self, mut client: TcpStream, seen: &AtomicUsize, at: Option<(usize, Break)>) -> Result<()> {
        let mut server = TcpStream::connect(("127.0.0.1", self.server)).await?;
        client.write_all(&packet(&mut server).await?).await?;
        let request = packet(&mut client).await?;
        ensure!(request.len() == 36, "it asks for TLS");
        server.write_all(&request).await?;
        let client = self.acceptor.accept(client).await?;
        let server = self.connector.connect(ServerName::try_from("localhost")?, server).await.context("TLS with the server")?;
        forward(client, server, seen, at).await
    }
}

async fn forward<C, S>(client: C, mut server: S, seen: &AtomicUsize, at: Option<(usize, Break)>) -> Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (sender, mut packets) = tokio::sync::mpsc::channel(16);
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(async move {
        while let Ok(packet) = packet(&mut from_client).await {
            if sender.send(packet).await.is_err() {
                break;
            }
        }
    });
    let mut buffer = vec![0; 65_536];
    loop {
        tokio::select! {
            read = server.read(&mut buffer) => match read? {
                0 => return Ok(()),
                read => {
                    to_client.write_all(&buffer[..read]).await?;
                    to_client.flush().await?;
                }
            },
            packet = packets.recv() => {
                let Some(packet) = packet else { return Ok(()) };
                let ends = packet.get(3..5) == Some(&[0, 1]);
                let number = if ends { None } else { Some(seen.fetch_add(1, Ordering::SeqCst)) };
                let here = at.filter(|(at, _)| Some(*at) == number).map(|(_, kind)| kind);
                if here == Some(Break::Late) {
                    while server.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                }
                if here != Some(Break::Before) {
                    server.write_all(&packet).await?;
                    server.flush().await?;
                }
                if let Some(kind) = here {
                    if kind == Break::After {
                        let _ = server.read(&mut buffer).await?;
                    }
                    return Ok(());
                }
            }
        }
    }
}
