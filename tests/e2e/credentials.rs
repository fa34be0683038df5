//! What issues the operator's credentials fails, as the SDK reports it: the EKS Pod Identity agent is one of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::operator::Operator;
use crate::stage::Stage;

/// An agent that answers with this status; with credentials if it is 200.
async fn agent(status: Arc<AtomicU16>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/credentials", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                request.push(byte);
            }
            let status = status.load(Ordering::SeqCst);
            let body = if status == 200 {
                json!({
                    "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "not-checked-by-the-emulator", "Token": "token",
                    "AccountId": testkit::emulator::ACCOUNT, "Expiration": "2099-01-01T00:00:00Z",
                })
                .to_string()
            } else {
                String::new()
            };
            let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close", body.len());
            let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
        }
    });
    Ok(url)
}

fn spec() -> Value {
    json!({"value": {"generate": {"password": {}}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_pod_identity_agent_passes_by_itself_and_a_denial_names_the_identity() -> Result<()> {
    let stage = Stage::enter("agent-outage").await?;
    let status = Arc::new(AtomicU16::new(503));
    let agent = agent(Arc::clone(&status)).await?;
    let operator = Operator::start_as(&stage, &[], &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent)]).await?;
    stage.create("outage", spec()).await?;
    stage.refused("outage", "AwsUnavailable").await?;
    let ready = stage.objects().get("outage").await?.status.unwrap_or_default();
    let ready = ready.conditions.into_iter().find(|condition| condition.type_ == "Ready").context("Ready")?;
    ensure!(!ready.message.contains("IRSA or EKS Pod Identity"), "nothing is to be configured: {}", ready.message);

    status.store(403, Ordering::SeqCst);
    stage.create("denied", spec()).await?;
    stage.refused("denied", "IdentityRefused").await?;

    status.store(503, Ordering::SeqCst);
    stage.create("again", spec()).await?;
    stage.refused("again", "AwsUnavailable").await?;
    status.store(200, Ordering::SeqCst);
    stage.ready("again").await?;
    operator.check()
}
