//! A receiver takes the password of a user to its service on request. The service is in this process: a password for each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, mpsc};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::MIRROR_NAMES;
use serde_json::{Value, json};
use testkit::REGION;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::apply_to_mysql::{arrange_target, current, user};
use super::apply_to_postgres::OLD;
use super::{Case, Story};

pub(crate) static STORY: Story =
    Story { arrange: |case| arrange(case).boxed(), check: |case| check(case).boxed(), ..Story::of_target("apply-by-webhook") };

const KEY: &str = "a key that both sides know, of 24 bytes and more";

async fn arrange(case: &Case) -> Result<()> {
    let (receiver, user) = (Receiver::shared()?, user(case));
    receiver.users.lock().unwrap().insert(user.clone(), OLD.to_owned());
    // Only mirrored, and never reconciled: the operator reads its value from AWS.
    let (key, secret) = (format!("{}-key", case.name), format!("keys/{}/{}", case.world.namespace, case.name));
    case.world.emulator.external_writer().create(&secret, KEY, &[].into())?;
    let allowed = json!({"metadata": {"annotations": {MIRROR_NAMES: "keys/*"}}});
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(case.world.admin.clone());
    namespaces.patch(&case.world.namespace, &PatchParams::default(), &Patch::Merge(allowed)).await?;
    case.world.create(&key, json!({"aws": {"secretName": secret, "region": REGION}})).await?;
    let url = format!("https://127.0.0.1:{}/", receiver.port);
    let target = json!({"url": url, "signingKeyRef": {"name": key}, "caBundle": receiver.ca, "checkInterval": "0s"});
    arrange_target(case, &user, json!({"webhook": target})).await
}

async fn check(case: &Case) -> Result<()> {
    let (receiver, user, password) = (Receiver::shared()?, user(case), current(case).await?);
    let users = receiver.users.lock().unwrap();
    ensure!(users.get(&user) == Some(&password), "the service accepts the mirrored password and no other");
    Ok(())
}

type Users = Arc<Mutex<HashMap<String, String>>>;

/// One for all tests of this program, on a thread of its own: each test has a runtime that ends.
struct Receiver {
    port: u16,
    ca: String,
    users: Users,
}

impl Receiver {
    fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Receiver>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))
    }

    fn start() -> Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        let users = Users::default();
        let served = Arc::clone(&users);
        let (listening, port) = mpsc::channel();
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                listening.send(listener.local_addr()?.port())?;
                let acceptor = TlsAcceptor::from(Arc::new(config));
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&served)));
                }
            })
        });
        Ok(Self { port: port.recv().context("the receiver does not listen")?, ca: certificate.pem(), users })
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, users: Users) -> Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut received = Vec::new();
    let body = loop {
        ensure!(stream.read_buf(&mut received).await? > 0, "the operator is gone");
        let text = std::str::from_utf8(&received)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        ensure!(head.contains("webhook-signature: v1,"), "it is signed");
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("a length")?.parse()?;
        if body.len() == length {
            break serde_json::from_str::<Value>(body)?;
        }
    };
    // The service changes before the answer is known: the operator can die in between.
    let answer = json!({"outcome": outcome(&mut users.lock().unwrap(), &body)}).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
    stream.write_all((head + &answer).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// As the example does it.
fn outcome(users: &mut HashMap<String, String>, body: &Value) -> &'static str {
    let accepted = |field: &str| {
        let value = &body[field];
        value["username"].as_str().is_some_and(|user| users.get(user).is_some_and(|password| value["password"] == **password))
    };
    let [pending, current, previous] = ["pending", "current", "previous"].map(accepted);
    let mut set = |field: &str| {
        let (user, password) = (body[field]["username"].as_str(), body[field]["password"].as_str());
        users.extend(user.zip(password).map(|(user, password)| (user.to_owned(), password.to_owned())));
    };
    match body["step"].as_str() {
        Some("apply") if pending => "AlreadyApplied",
        Some("apply") if current || previous => {
            set("pending");
            "Applied"
        }
        Some("verify") if pending => "Verified",
        Some("undo") if current => "NothingToUndo",
        Some("undo") if pending || previous => {
            set("current");
            "Undone"
        }
        Some("check") if current => "Accepted",
        _ => "Refused",
    }
}
