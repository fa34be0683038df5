//! `HTTPS_PROXY` and `NO_PROXY`, as kubectl honours them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::operator::{Operator, run_to_end_with};
use crate::stage::Stage;

/// A name that only the proxy can reach. Its top-level domain never resolves (RFC 2606).
const HOST: &str = "kubernetes.example.invalid";

/// A proxy that connects every tunnel to the API server, and what it was asked for.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, asked) = (listener.local_addr()?, Arc::new(Mutex::new(Vec::new())));
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, server, Arc::clone(&noted)));
            }
        });
        Ok(Self { address, asked })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://user:word@{}", self.address)
    }
}

async fn tunnel(mut client: TcpStream, server: SocketAddr, asked: Arc<Mutex<Vec<String>>>) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let line = String::from_utf8(head)?.lines().next().unwrap_or_default().to_owned();
    asked.lock().unwrap().push(line);
    let mut server = TcpStream::connect(server).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The kubeconfig, its cluster changed, and the address of its server.
fn changed(stage: &Stage, name: &str, change: impl FnOnce(&mut Value)) -> Result<(PathBuf, SocketAddr)> {
    let mut kubeconfig: Value = serde_saphyr::from_str(&std::fs::read_to_string(&stage.kubeconfig)?)?;
    let cluster = kubeconfig.pointer_mut("/clusters/0/cluster").context("a cluster")?;
    let server: http::Uri = cluster["server"].as_str().context("a server")?.parse()?;
    change(cluster);
    let path = stage.plane().dir().join(name);
    std::fs::write(&path, kubeconfig.to_string())?;
    Ok((path, server.authority().context("an address")?.as_str().parse()?))
}

fn renamed(cluster: &mut Value) {
    cluster["server"] = json!(format!("https://{HOST}:6443"));
    cluster["tls-server-name"] = json!("127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_reached_through_the_proxy_that_the_environment_or_the_kubeconfig_names() -> Result<()> {
    let stage = Stage::enter("proxy").await?;
    let (kubeconfig, server) = changed(&stage, "renamed.kubeconfig", renamed)?;
    let proxy = Proxy::start(server).await?;
    let operator = Operator::start_through(&stage, &kubeconfig, &[("HTTPS_PROXY", &proxy.url()), ("NO_PROXY", ".svc,10.0.0.0/8")]).await?;
    let asked = proxy.asked();
    ensure!(!asked.is_empty() && asked.iter().all(|line| line.starts_with(&format!("CONNECT {HOST}:6443"))), "{asked:?}");
    stage.create("one", json!({"value": {"generate": {"password": {}}}})).await?;
    stage.ready("one").await?;
    operator.terminate().await?;

    // The kubeconfig comes before the environment, and NO_PROXY is not for it.
    let proxy = Proxy::start(server).await?;
    let (kubeconfig, _) = changed(&stage, "declared.kubeconfig", |cluster| {
        renamed(cluster);
        cluster["proxy-url"] = json!(proxy.url());
    })?;
    let environment = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", HOST), ("no_proxy", "127.0.0.1")];
    let operator = Operator::start_through(&stage, &kubeconfig, &environment).await?;
    ensure!(!proxy.asked().is_empty(), "the proxy of the kubeconfig is used");
    operator.terminate().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_is_reached_through_the_proxy_or_directly_as_no_proxy_says() -> Result<()> {
    let stage = Stage::enter("aws-proxy").await?;
    let nowhere = Proxy::start("127.0.0.1:9".parse()?).await?;
    let url = nowhere.url();
    let operator =
        Operator::start_through(&stage, &stage.kubeconfig, &[("HTTP_PROXY", &url), ("NO_PROXY", "10.0.0.0/8, 127.0.0.0/8")]).await?;
    stage.create("direct", json!({"value": {"generate": {"password": {}}}})).await?;
    stage.ready("direct").await?;
    ensure!(nowhere.asked().is_empty(), "{:?}", nowhere.asked());
    operator.terminate().await?;

    let operator = Operator::start_through(&stage, &stage.kubeconfig, &[("HTTP_PROXY", &url)]).await?;
    let request = format!("POST {}", stage.endpoint());
    until("AWS is asked through the proxy", async || Ok(nowhere.asked().iter().any(|line| line.starts_with(&request)).then_some(())))
        .await?;
    operator.terminate().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_not_used_for_what_no_proxy_lists_and_named_when_it_is_the_cause() -> Result<()> {
    let stage = Stage::enter("no-proxy").await?;
    // Loopback is reached directly, as with kubectl, with and without NO_PROXY.
    let dead = ("HTTPS_PROXY", "http://user:word@127.0.0.1:9");
    for environment in [vec![dead], vec![dead, ("NO_PROXY", "127.0.0.1,localhost")]] {
        let operator = Operator::start_through(&stage, &stage.kubeconfig, &environment).await?;
        operator.terminate().await?;
    }

    let (kubeconfig, server) = changed(&stage, "renamed.kubeconfig", renamed)?;
    let proxy = Proxy::start(server).await?;
    let endpoint = stage.endpoint();
    let args = ["run", "--aws-region", "eu-central-1", "--aws-endpoint-url", &endpoint, "--cluster-id", "x"];
    let listen = ["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"];
    let args = [args.as_slice(), &listen].concat();
    let run = async |environment: &[(&str, &str)]| -> Result<String> {
        let output = run_to_end_with(&kubeconfig, &args, environment).await?;
        ensure!(output.status.code() == Some(1), "it cannot start");
        let said = String::from_utf8(output.stderr)?;
        // kube's client also logs a failed connection, as JSON.
        let sentences: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
        ensure!(sentences.len() == 1, "{said}");
        Ok(sentences.concat())
    };
    let said = run(&[dead]).await?;
    ensure!(said.contains("through the proxy http://127.0.0.1:9 (HTTPS_PROXY") && said.contains(HOST), "{said}");
    ensure!(!said.contains("word"), "{said}");
    let said = run(&[("HTTPS_PROXY", &proxy.url()), ("NO_PROXY", ".example.invalid")]).await?;
    ensure!(said.contains("does not respond") && !said.contains("proxy"), "{said}");
    ensure!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    let said = run(&[("HTTPS_PROXY", "socks5://127.0.0.1:9")]).await?;
    ensure!(said.contains("the proxy socks5://127.0.0.1:9 cannot be used"), "{said}");
    let said = run(&[dead, ("NO_PROXY", "a,,b")]).await?;
    ensure!(said.contains("NO_PROXY cannot be read"), "{said}");
    Ok(())
}
