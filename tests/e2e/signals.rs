//! SIGTERM while the operator starts: it ends at once, with success, whatever it waits for. The API server is one of the test, so that it can
//! be silent at each point.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testkit::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Whether the server answers a request, by its path and query.
type Answers = fn(&str) -> bool;

/// A server that answers some requests with an empty list, and the others never.
struct Server {
    url: String,
    /// The requests that wait for an answer.
    waiting: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Answers) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (url, waiting) = (format!("http://{}", listener.local_addr()?), Arc::<Mutex<Vec<String>>>::default());
        let asked = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers, Arc::clone(&asked)));
            }
        });
        Ok(Self { url, waiting })
    }

    async fn waits(&self, what: &str) -> Result<()> {
        until(&format!("a request waits: {what}"), async || {
            Ok(self.waiting.lock().unwrap().iter().any(|request| request.contains(what)).then_some(()))
        })
        .await
    }
}

async fn serve(mut stream: TcpStream, answers: Answers, waiting: Arc<Mutex<Vec<String>>>) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let line = String::from_utf8(head)?.lines().next().unwrap_or_default().to_owned();
    let target = line.split(' ').nth(1).context("a target")?.to_owned();
    if !answers(&target) {
        waiting.lock().unwrap().push(target);
        // Until the client gives up.
        stream.read_u8().await?;
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}).to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close", list.len());
    stream.write_all(format!("{head}\r\n\r\n{list}").as_bytes()).await?;
    Ok(())
}

/// The operator against this API server.
struct Starting {
    child: Child,
    dir: tempfile::TempDir,
}

impl Starting {
    fn begin(server: &Server, flags: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let kubeconfig = dir.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server.url}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        });
        std::fs::write(&kubeconfig, config.to_string())?;
        let log = std::fs::File::create(Self::log_of(&dir))?;
        let child = Command::new(env!("CARGO_BIN_EXE_rotated-secrets"))
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .envs(environment.iter().copied())
            .args(["run", "--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--cluster-id", "test"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, dir })
    }

    fn log_of(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("log")
    }

    async fn ends_at_once(mut self) -> Result<()> {
        let id = self.child.id().context("it runs")?;
        kill_process(Pid::from_raw(id.try_into()?).context("a process")?, Signal::TERM)?;
        let status = self.child.wait().await?;
        let log = std::fs::read_to_string(Self::log_of(&self.dir))?;
        ensure!(status.code() == Some(0), "{status}: {log}");
        ensure!(!log.contains("did not end in time"), "it waited for what had not begun: {log}");
        Ok(())
    }
}

const REGION: [&str; 2] = ["--aws-region", "eu-central-1"];

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_an_operator_that_waits_for_the_api_server() -> Result<()> {
    let silent = Server::start(|_| false).await?;
    let operator = Starting::begin(&silent, &REGION, &[])?;
    silent.waits("/rotatedsecrets").await?;
    operator.ends_at_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_an_operator_whose_caches_are_not_ready() -> Result<()> {
    // The check before the start lists one object of each kind.
    let server = Server::start(|target| target.contains("limit=1")).await?;
    let operator = Starting::begin(&server, &REGION, &[])?;
    server.waits("/rotatedsecrets?&limit=50").await?;
    operator.ends_at_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_an_operator_that_waits_for_the_lease() -> Result<()> {
    let server = Server::start(|target| target.contains("limit=")).await?;
    let operator = Starting::begin(&server, &[&REGION[..], &["--leader-elect", "--lease-namespace", "default"]].concat(), &[])?;
    server.waits("/leases/").await?;
    operator.ends_at_once().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_an_operator_that_waits_for_the_instance_metadata_service() -> Result<()> {
    let (server, metadata) = (Server::start(|_| true).await?, Server::start(|_| false).await?);
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url.as_str())];
    let operator = Starting::begin(&server, &["--allow-instance-identity"], &environment)?;
    metadata.waits("/latest/api/token").await?;
    operator.ends_at_once().await
}
