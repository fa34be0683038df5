//! Where the process begins and ends: flags, refusals to start, signals, health, logs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use testkit::emulator::{Moment, WriteBarrier};
use testkit::process::free_ports;
use testkit::until;

use crate::gate::Gate;
use crate::operator::{Operator, run_to_end};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn help_explains_every_flag_and_names_its_variable() -> Result<()> {
    let help = run_to_end("/nonexistent".as_ref(), &["run", "--help"]).await?;
    ensure!(help.status.success(), "--help is no failure");
    let help = String::from_utf8(help.stdout)?;
    let options = help.split("Options:").nth(1).context("options")?;
    let mut flags = Vec::new();
    for block in options.split("\n      --").skip(1) {
        let (flag, text) = block.split_once('\n').context("a flag and its text")?;
        let name = flag.split(' ').next().unwrap_or_default();
        let variable = text.split("[env: ").nth(1).and_then(|rest| rest.split('=').next());
        ensure!(variable.is_some_and(|variable| variable.contains('_')), "--{name} names its variable: {text}");
        let prose: String = text.split('[').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(prose.len() > 10 && prose.contains(' '), "--{name} is explained: {prose}");
        flags.push(name.to_owned());
    }
    let expected = [
        "aws-region",
        "allowed-regions",
        "aws-endpoint-url",
        "name-prefix",
        "cluster-id",
        "minimum-rotation-interval",
        "minimum-request-interval",
        "development",
        "refresh-interval",
        "concurrency",
        "health-address",
        "metrics-address",
        "log-format",
        "audit-log",
        "log",
    ];
    for flag in expected {
        ensure!(flags.iter().any(|found| found == flag), "--{flag} is in the help: {flags:?}");
    }
    Ok(())
}

/// The one sentence on standard error, and the exit code.
async fn refusal(kubeconfig: &std::path::Path, flags: &[&str]) -> Result<(String, i32)> {
    let [health, metrics] = free_ports()?.map(|port| format!("127.0.0.1:{port}"));
    let mut args = vec!["run", "--health-address", &health, "--metrics-address", &metrics];
    args.extend(flags);
    let output = run_to_end(kubeconfig, &args).await?;
    ensure!(output.stdout.is_empty(), "nothing on standard output");
    let said = String::from_utf8(output.stderr)?;
    Ok((said, output.status.code().context("an exit code")?))
}

const FINE: [&str; 4] = ["--aws-region", "eu-central-1", "--aws-endpoint-url", "http://127.0.0.1:9"];

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_start_says_in_one_sentence_why_and_what_to_do() -> Result<()> {
    let stage = Stage::enter("edges").await?;
    let account = &stage.kubeconfig;

    let (said, code) = refusal(account, &[&FINE[..], &["--minimum-rotation-interval", "9m"]].concat()).await?;
    ensure!(code == 1 && said.lines().count() == 1 && said.contains("10m") && said.contains("--development"), "{code}: {said}");

    for url in ["http://secretsmanager.example.com", "ftp://127.0.0.1", "nonsense"] {
        let (said, code) = refusal(account, &["--aws-region", "eu-central-1", "--aws-endpoint-url", url]).await?;
        ensure!(code == 2 && said.lines().next().is_some_and(|line| line.contains("https, or http on loopback")), "{code}: {said}");
    }

    let nobody = stage.plane().dir().join("nobody.kubeconfig");
    let [port] = free_ports()?;
    let elsewhere = rewrite(&std::fs::read_to_string(account)?, |cluster| cluster["server"] = json!(format!("https://127.0.0.1:{port}")))?;
    std::fs::write(&nobody, elsewhere)?;
    let (said, code) = refusal(&nobody, &FINE).await?;
    // kube's client also logs a failed connection, as JSON.
    let sentences: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    ensure!(code == 1 && sentences.len() == 1, "{code}: {said}");
    ensure!(sentences[0].contains("does not respond") && sentences[0].contains("KUBECONFIG"), "{code}: {said}");

    // A service account without any right.
    let unknown = stage.plane().service_account_kubeconfig(&stage.namespace, "default").await;
    let denied = match unknown {
        Ok(kubeconfig) => kubeconfig,
        Err(_) => stage.plane().service_account_kubeconfig("default", "default").await?,
    };
    let (said, code) = refusal(&denied, &FINE).await?;
    ensure!(code == 1 && said.lines().count() == 1 && said.contains("403") && said.contains("ClusterRoleBinding"), "{code}: {said}");

    let (said, code) = refusal("/nonexistent/kubeconfig".as_ref(), &FINE).await?;
    ensure!(code == 1 && said.lines().count() == 1 && said.contains("KUBECONFIG"), "{code}: {said}");

    let definitions: Api<CustomResourceDefinition> = Api::all(stage.plane().admin());
    let name = "rotatedsecrets.rotated-secrets.io";
    definitions.delete(name, &DeleteParams::default()).await?;
    until("the definition is gone", async || Ok(definitions.get_opt(name).await?.is_none().then_some(()))).await?;
    let missing = refusal(account, &FINE).await;
    stage.plane().apply_yaml(include_str!("../../crds/rotatedsecrets.yaml")).await?;
    let (said, code) = missing?;
    ensure!(code == 1 && said.lines().count() == 1 && said.contains("kubectl apply -f crds/"), "{code}: {said}");
    Ok(())
}

fn rewrite(kubeconfig: &str, change: impl FnOnce(&mut Value)) -> Result<String> {
    let mut kubeconfig: Value = serde_json::from_str(kubeconfig)?;
    change(&mut kubeconfig["clusters"][0]["cluster"]);
    Ok(kubeconfig.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_the_write_under_way_and_ends_with_success() -> Result<()> {
    let stage = Stage::enter("sigterm").await?;
    for (name, moment) in [("before", Moment::Before), ("after", Moment::After)] {
        let operator = Operator::start(&stage).await?;
        let gate = Gate::at("CreateSecret", moment);
        stage.emulator.set_write_barrier(Some(Arc::clone(&gate) as Arc<dyn WriteBarrier>));
        stage.create(name, json!({"value": {"generate": {"password": {}}}})).await?;
        gate.hangs().await?;
        operator.ask_to_stop()?;
        until("the operator has seen the signal", async || Ok(operator.output()?.contains("stopping: ").then_some(()))).await?;
        gate.open();
        let status = operator.stopped().await?;
        let output = operator.output()?;
        ensure!(status.code() == Some(0), "{status} with {output}");
        // Within the time that the kubelet gives it.
        ensure!(!output.contains("did not end in time"), "{output}");
        stage.emulator.set_write_barrier(None);
        let agreed = stage.agreed(name).await?.context("the reconcile in progress was finished: AWS, Secret and status agree")?;
        ensure!(agreed.is_ready() && agreed.aws.versions.len() == 1, "Ready with one version");
    }
    let idle = Operator::start(&stage).await?;
    ensure!(idle.terminate().await?.code() == Some(0), "an idle one stops, too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_served_and_every_line_of_the_log_is_json() -> Result<()> {
    let stage = Stage::enter("health").await?;
    let operator = Operator::launch(&stage, &[]).await?;
    ensure!(operator.get("/livez").await? == (200, "ok".to_owned()), "alive");
    ensure!(operator.limit("Max core file size")? == ("0".to_owned(), "0".to_owned()), "no core dump");
    until("ready", async || {
        let (status, body) = operator.get("/readyz").await?;
        ensure!(status == 200 && body == "ok" || status == 503 && !body.is_empty(), "{status}: {body}");
        Ok((status == 200).then_some(()))
    })
    .await?;
    stage.create("one", json!({"value": {"generate": {"password": {}}}})).await?;
    stage.ready("one").await?;
    let (status, metrics) = operator.get("/metrics").await?;
    ensure!(status == 200 && metrics.contains("rotated_secrets_steps_total{step=\"Create\",outcome=\"ok\"} 1"), "{metrics}");

    // An API server that falls silent makes the operator neither dead nor unready, and nothing is lost.
    stage.plane().pause_apiserver()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let health = (operator.get("/livez").await, operator.get("/readyz").await);
    stage.plane().resume_apiserver()?;
    ensure!(health.0?.0 == 200 && health.1?.0 == 200, "health does not depend on the API server");
    ensure!(stage.rotate("one", "after").await?.aws.versions.len() == 2, "it goes on");

    operator.terminate().await?;
    let output = operator.standard_error()?;
    ensure!(output.lines().count() > 5 && !operator.audited()?.is_empty(), "{output}");
    for line in output.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| format!("a line that is no JSON: {line}"))?;
        ensure!(["timestamp", "level", "target"].iter().all(|key| line[key].is_string()), "{line}");
    }
    Ok(())
}
