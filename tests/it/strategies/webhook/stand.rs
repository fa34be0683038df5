//! Values of a test, and receivers.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use jiff::Timestamp;
use rotated_secrets::plaintext::Plaintext;
use rotated_secrets::strategy::webhook::{ObjectName, Proof, Receiver, SigningKey, Webhook};
use rotated_secrets::strategy::{Endpoint, Tls};
use rotated_secrets::value::Payload;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

use super::super::stand::endpoint;

/// Passwords, each a word that occurs nowhere else.
pub(super) const OLD: &str = "canaryOld'7fK2$x9";
pub(super) const NEW: &str = "canaryNew\"4mQ8\\z1";
pub(super) const THIRD: &str = "canaryThird-0pW3:v6";

pub(super) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(super) const VERSION: &str = "6f1b2c1e-0000-5000-8000-000000000001";

pub(super) fn value(password: &str) -> Payload {
    of("orders", password)
}

pub(super) fn of(user: &str, password: &str) -> Payload {
    Payload::Text(Plaintext::from(json!({"username": user, "password": password}).to_string()))
}

pub(super) fn key(text: &str) -> SigningKey {
    SigningKey::parse(&Plaintext::from(text.to_owned())).ok().unwrap()
}

pub(super) fn webhook<'a>(receiver: &'a Receiver, key: &'a SigningKey) -> Webhook<'a> {
    let object = ObjectName { namespace: "shop", name: "orders", uid: "0b8f1c5e" };
    Webhook { receiver, object, proof: Proof::Signature(key), now: Timestamp::now() }
}

/// A receiver of TLS connections on this machine, verified.
pub(super) fn receiver(port: u16, ca: String) -> Receiver {
    Receiver { endpoint: endpoint(port, ca), path: "/rotate?of=orders".to_owned() }
}

pub(super) type Connection = TlsStream<TcpStream>;

/// What was heard, one text for each connection.
pub(super) type Heard = Arc<Mutex<Vec<String>>>;

/// A receiver that behaves like this with each connection.
pub(super) async fn behaving<F>(behave: impl Fn(Connection) -> F + Send + 'static) -> Result<Receiver>
where
    F: Future<Output = ()> + Send + 'static,
{
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let receiver = receiver(listener.local_addr()?.port(), certificate.pem());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(behave(stream));
            }
        }
    });
    Ok(receiver)
}

/// A receiver that hears a request and sends these bytes.
pub(super) async fn saying(bytes: Vec<u8>) -> Result<(Receiver, Heard)> {
    let heard = Heard::default();
    let hearing = Arc::clone(&heard);
    let receiver = behaving(move |mut stream| {
        let (bytes, heard) = (bytes.clone(), Arc::clone(&hearing));
        async move {
            let request = request(&mut stream).await;
            heard.lock().unwrap().push(request);
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    })
    .await?;
    Ok((receiver, heard))
}

/// The request: its head, and as many bytes as it announces.
pub(super) async fn request(stream: &mut Connection) -> String {
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        let text = String::from_utf8_lossy(&heard).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|length| length.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => heard.extend_from_slice(&buffer[..read]),
            _ => return text,
        }
    }
}

/// The same receiver, reached in another way.
pub(super) fn reached(receiver: &Receiver, change: impl FnOnce(&mut Endpoint)) -> Receiver {
    let mut changed = receiver.clone();
    change(&mut changed.endpoint);
    changed
}

pub(super) fn without_tls(receiver: &Receiver) -> Receiver {
    reached(receiver, |endpoint| endpoint.tls = Tls::Disable)
}

/// A response with the status 200.
pub(super) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
