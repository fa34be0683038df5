//! Step 11: the password of a user in a real PostgreSQL, set there by the operator.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::PostParams;
use serde_json::{Value, json};
use testbed::postgres::Postgres;
use uuid::Uuid;

use super::aws::{Aws, CURRENT, Version};
use super::kubelet::read;
use super::scenario::{NAMESPACE, PATIENCE, Scenario, object};
use super::screen::{Screen, short};
use super::tools::repository;

const EXAMPLE: &str = "examples/orders-db.yaml";
/// Of the `RotatedSecret` in the example, and of its Secret.
pub(super) const NAME: &str = "orders-db";
/// The Secret that has the present password, as the example names it.
const PRESENT: &str = "orders-password";
const AWS_NAME: &str = "k8s/demo/shop/orders-db";
/// The user and the database in the example.
const USER: &str = "orders";
/// AWS dates versions to the second, and the operator takes one of the second of the mirror's last write for an old state.
const APART: Duration = Duration::from_secs(4);

pub(super) async fn rotate(scenario: &Scenario<'_>, server: &Postgres) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("The password of a database user rotates, in a real PostgreSQL")?;
    let version = blocking(|| server.sql("postgres", "SHOW server_version"))?;
    let first = Uuid::new_v4().to_string();
    blocking(|| {
        server.sql("postgres", &format!("CREATE ROLE {USER} LOGIN"))?;
        server.sql("postgres", &format!("CREATE DATABASE {USER}"))?;
        server.set_password(USER, &first)
    })?;
    let version = version.split_whitespace().next().unwrap_or_default();
    screen
        .say(&format!("PostgreSQL {version} runs on this machine, with TLS and passwords. The present password of its user {USER} is"))?;
    screen.say(&format!("in a Secret, {PRESENT}, which permits one object to read it:"))?;
    let aws = scenario.aws.named(AWS_NAME);
    give_password(scenario, &first).await?;
    apply(scenario, server).await?;

    let mut before = agreed(scenario, &aws).await?;
    ensure!(before.field("password") == Some(first.as_bytes()), "expected that the first value is the present password; it is another one");
    ensure!(accepts(server, &before)?, "expected that the server accepts the password in the Secret; it does not");
    screen.ok(&format!("a login as {USER} with the password in the Secret {NAME}: accepted"))?;
    let mut passwords = vec![first];
    for token in ["first", "second"] {
        tokio::time::sleep(APART).await;
        before = request(scenario, server, &aws, token, before).await?;
        passwords.push(String::from_utf8_lossy(before.field("password").unwrap_or_default()).into_owned());
    }
    check_log(screen, server, &passwords)
}

/// The Secret with the present password, which is not shown, and its consent.
async fn give_password(scenario: &Scenario<'_>, password: &str) -> Result<()> {
    let secret = json!({"metadata": {"name": PRESENT}, "stringData": {"password": password}});
    scenario.secrets().create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    scenario.kubectl(&["annotate", "secret", PRESENT, &format!("rotated-secrets.io/initial-value-for={NAME}")]).await?;
    Ok(())
}

/// The example with the address of this server.
async fn apply(scenario: &Scenario<'_>, server: &Postgres) -> Result<()> {
    let screen = scenario.screen;
    let port = server.port();
    screen.say("An administrator allows the address, since it is no Service of the namespace:")?;
    scenario.kubectl(&["annotate", "namespace", NAMESPACE, &format!("rotated-secrets.io/allowed-hosts=127.0.0.1:{port}")]).await?;
    screen.say(&format!("{EXAMPLE}, with this server and its CA, is applied with kubectl:"))?;
    let example = fs::read_to_string(repository().join(EXAMPLE)).with_context(|| format!("cannot read {EXAMPLE}"))?;
    let manifest = here(screen, &example, port, &server.ca())?;
    scenario.kubectl_with(&["apply", "-f", "-"], Some(&manifest)).await?;
    scenario.kubectl(&["wait", "--for=condition=Ready", "rsec/orders-db", "--timeout=60s"]).await?;
    Ok(())
}

/// Shows the example with the line of the host replaced.
fn here(screen: &Screen, example: &str, port: u16, ca: &str) -> Result<String> {
    let is_host = |line: &&str| line.trim_start().starts_with("host:");
    ensure!(example.lines().filter(is_host).count() == 1, "expected that {EXAMPLE} has one line `host:`; it has another number");
    let mut manifest = String::new();
    for line in example.lines().filter(|line| !line.starts_with('#')) {
        if !is_host(&line) {
            screen.output(line)?;
            manifest.push_str(line);
            manifest.push('\n');
            continue;
        }
        let indent = " ".repeat(line.len() - line.trim_start().len());
        screen.removed(line)?;
        for new in [format!("{indent}host: 127.0.0.1"), format!("{indent}port: {port}")] {
            screen.added(&new)?;
            manifest.push_str(&new);
            manifest.push('\n');
        }
        screen.added(&format!("{indent}tls: {{caBundle: ...}}"))?;
        writeln!(manifest, "{indent}tls: {}", json!({"caBundle": ca}))?;
    }
    Ok(manifest)
}

/// Requests a rotation; afterwards the server accepts the new password only. Gives the new value.
async fn request(scenario: &Scenario<'_>, server: &Postgres, aws: &Aws<'_>, token: &str, before: Version) -> Result<Version> {
    let screen = scenario.screen;
    scenario.kubectl(&["annotate", "--overwrite", "rsec", NAME, &format!("rotated-secrets.io/rotate={token}")]).await?;
    let expected = "the new password is in AWS and in Kubernetes, and the request is acknowledged";
    scenario
        .until(expected, PATIENCE, async || {
            let status = object(&scenario.client, NAME).await?;
            let handled = status.as_ref().and_then(|object| object.pointer("/status/requests/rotate")).and_then(Value::as_str);
            Ok((handled == Some(token) && mirrored(scenario).await?.id != before.id).then_some(()))
        })
        .await?;
    let after = agreed(scenario, aws).await?;
    ensure!(after.field("password") != before.field("password"), "expected another password; it is the same");
    ensure!(accepts(server, &after)?, "expected that the server accepts the new password in the Secret; it does not");
    screen.ok(&format!("version {}: a login with the new password in the Secret: accepted", short(&after.id)))?;
    ensure!(!accepts(server, &before)?, "expected that the server refuses the old password; it accepts it");
    screen.ok(&format!("version {}: a login with the old password: refused (password authentication failed)", short(&before.id)))?;
    Ok(after)
}

async fn mirrored(scenario: &Scenario<'_>) -> Result<Version> {
    Ok(read(&scenario.secrets().get(NAME).await?))
}

/// What the Secret holds, which is what AWS has as the current version.
async fn agreed(scenario: &Scenario<'_>, aws: &Aws<'_>) -> Result<Version> {
    scenario
        .until("the Secret holds the current version", PATIENCE, async || {
            let mirrored = mirrored(scenario).await?;
            let labels = aws.labels().await?;
            let current = labels.get(CURRENT).context("no version is current")?;
            let agree = *current == mirrored.id && !labels.contains_key("AWSPENDING") && aws.version(current).await? == mirrored;
            Ok(agree.then_some(mirrored))
        })
        .await
}

/// Whether psql logs in with this value.
fn accepts(server: &Postgres, value: &Version) -> Result<bool> {
    let password = value.field("password").context("expected a password; there is none")?;
    blocking(|| server.accepts(USER, &String::from_utf8_lossy(password)))
}

/// The server logs every statement.
fn check_log(screen: &Screen, server: &Postgres, passwords: &[String]) -> Result<()> {
    let log = blocking(|| server.log())?;
    let changes = log.matches("ALTER ROLE SESSION_USER PASSWORD 'SCRAM-SHA-256$").count();
    ensure!(changes == 2, "expected two statements that change the password in the server's log; there are {changes}");
    ensure!(!passwords.iter().any(|password| log.contains(password)), "expected that no password stands in the server's log; one does");
    screen.ok("the server's log has both statements, with SCRAM-SHA-256 verifiers; none of the passwords stands in it")
}

/// What waits for a program or a server of this machine.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
