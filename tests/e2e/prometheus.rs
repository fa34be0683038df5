//! A real Prometheus that scrapes two releases.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use kube::api::PostParams;
use rotated_secrets::api::RotatedSecret;
use serde_json::{Value, json};
use testkit::process::{ProcessGroup, free_ports};
use testkit::promtool::Program;
use testkit::{chart, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::operator::Operator;
use crate::stage::Stage;

const DASHBOARD: &str = include_str!("../../charts/rotated-secrets/files/dashboard.json");

const ALERTS: &str = include_str!("../../charts/rotated-secrets/files/alerts.yaml");

/// How many evaluations an alert waits here: there is one in each second. In this time, an operator on a slow machine answers one of three scrapes.
const WAIT: u32 = 10;

/// Prometheus.
struct Server {
    group: ProcessGroup,
    address: SocketAddr,
}

impl Server {
    /// Starts it with this configuration, and waits until it is ready.
    async fn start(configuration: &Value) -> Result<Self> {
        loop {
            // Another process may take its port in between.
            match Self::start_once(configuration).await {
                Err(error) if format!("{error:#}").contains("address already in use") => {}
                started => return started,
            }
        }
    }

    async fn start_once(configuration: &Value) -> Result<Self> {
        let [port] = free_ports()?;
        let (group, address) = (ProcessGroup::new("e2e-prometheus-")?, SocketAddr::from(([127, 0, 0, 1], port)));
        let file = group.dir().join("configuration.yaml");
        std::fs::write(&file, configuration.to_string())?;
        let mut command = Program::Prometheus.command()?;
        command.arg(format!("--config.file={}", file.display())).arg(format!("--web.listen-address={address}"));
        command.arg(format!("--storage.tsdb.path={}", group.dir().join("data").display()));
        group.start("prometheus", &command)?;
        let server = Self { group, address };
        until("Prometheus is ready", async || {
            server.group.check()?;
            Ok(server.ask("GET", "/-/ready", "").await.ok().filter(|(status, _)| *status == 200).map(drop))
        })
        .await?;
        Ok(server)
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).await?;
        // This version of HTTP has no chunks.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
        Ok((head.split(' ').nth(1).context("a status line")?.parse()?, body.to_owned()))
    }

    /// The series of a query: labels and value.
    async fn query(&self, query: &str) -> Result<Vec<(Value, String)>> {
        let encoded = query.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let (status, body) = self.ask("POST", "/api/v1/query", &format!("query={encoded}")).await?;
        ensure!(status == 200, "{query}: {body}");
        let answer: Value = serde_json::from_str(&body)?;
        let series = answer["data"]["result"].as_array().context("a vector")?;
        Ok(series.iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap_or_default().to_owned())).collect())
    }

    /// How many times the rules of every release were evaluated.
    async fn evaluations(&self) -> Result<u64> {
        let (status, page) = self.ask("GET", "/metrics", "").await?;
        ensure!(status == 200, "{page}");
        let groups = page.lines().filter_map(|line| line.strip_prefix("prometheus_rule_group_iterations_total{")?.rsplit_once(' '));
        let counts: Vec<u64> = groups.map(|(_, count)| count.parse()).collect::<Result<_, _>>()?;
        ensure!(counts.len() == 2, "a group for each release: {counts:?}");
        counts.into_iter().min().context("a count")
    }

    /// The alerts that fire, with the namespace of their release.
    async fn firing(&self) -> Result<BTreeSet<(String, String)>> {
        let alerts = self.query("ALERTS{alertstate=\"firing\"}").await?;
        let text = |labels: &Value, name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        Ok(alerts.iter().map(|(labels, _)| (text(labels, "alertname"), text(labels, "namespace"))).collect())
    }
}

/// The rules of the release `rotated-secrets` in this namespace. What waits for minutes waits for seconds.
fn rules(namespace: &str) -> Result<Value> {
    let file: Value = serde_saphyr::from_str(ALERTS)?;
    let alerts = file["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let waiting: Vec<&str> = alerts.filter(|rule| rule.get("for").is_some()).filter_map(|rule| rule["alert"].as_str()).collect();
    ensure!(waiting.len() > 10, "{waiting:?}");
    let shorter = waiting.iter().map(|alert| format!("metrics.prometheusRule.alerts.{alert}.for={WAIT}s"));
    let sets = ["metrics.prometheusRule.enabled=true", "metrics.monitor.enabled=true", "networkPolicy.enabled=false"].map(str::to_owned);
    let sets = sets.into_iter().chain(shorter).collect::<Vec<_>>().join(",");
    let arguments = ["--set", &sets, "--set", &format!("namespaceOverride={namespace}"), "--show-only", "templates/prometheusrule.yaml"];
    let rule: Value = serde_saphyr::from_str(&chart::render(&chart::dir(), &arguments)?)?;
    Ok(rule["spec"].clone())
}

/// Title and query of each panel, for the operators in this namespace.
fn panels(namespace: &str) -> Result<Vec<(String, String)>> {
    let file: Value = serde_json::from_str(DASHBOARD)?;
    let mut queries = Vec::new();
    for panel in file["panels"].as_array().context("panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().context("a query")?.replace("$__rate_interval", "1m");
            let expr = expr.replace("$cluster", ".*").replace("$namespace", namespace).replace("$job", ".+");
            queries
                .push((format!("{} {}", panel["title"].as_str().unwrap_or_default(), target["refId"].as_str().unwrap_or_default()), expr));
        }
    }
    Ok(queries)
}

/// What the panel shows for a namespace.
async fn shown(prometheus: &Server, panel: &str, namespace: &str) -> Result<Vec<String>> {
    let query = panels(namespace)?.into_iter().find(|(name, _)| name == panel).context("a panel")?.1;
    Ok(prometheus.query(&query).await?.into_iter().map(|(_, value)| value).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_of_a_release_do_not_speak_of_another_one_of_the_same_name() -> Result<()> {
    let stage = Stage::enter("releases").await?;
    let folder = tempfile::tempdir()?;
    let (mut scrapes, mut files) = (Vec::new(), Vec::new());
    let mut operators = Vec::new();
    for (name, flags) in [("blue", ["--object-selector", "shard=blue"]), ("green", ["--object-selector", "shard=green"])] {
        let operator = Operator::start_with(&stage, &flags).await?;
        let labels = json!({"job": "rotated-secrets", "namespace": name, "pod": "a"});
        scrapes
            .push(json!({"job_name": name, "static_configs": [{"targets": [operator.metrics_address().to_string()], "labels": labels}]}));
        let file = folder.path().join(format!("{name}.yaml"));
        std::fs::write(&file, rules(name)?.to_string())?;
        files.push(file);
        operators.push(operator);
    }
    let [blue, green] = operators.as_slice() else { anyhow::bail!("two operators") };
    for (name, shard) in [("one", "blue"), ("two", "green"), ("three", "green")] {
        let object: RotatedSecret = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name, "labels": {"shard": shard}},
            "spec": {"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}},
        }))?;
        stage.objects().create(&PostParams::default(), &object).await?;
        stage.ready(name).await?;
    }
    let global = json!({"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"});
    let configuration = json!({"global": global, "rule_files": files, "scrape_configs": scrapes});
    let prometheus = Server::start(&configuration).await?;

    until("each release shows its own objects", async || {
        let seen = (shown(&prometheus, "Ready A", "blue").await?, shown(&prometheus, "Ready A", "green").await?);
        Ok((seen == (vec!["1".to_owned()], vec!["2".to_owned()])).then_some(()))
    })
    .await?;
    ensure!(shown(&prometheus, "Ready A", ".*").await? == ["3"], "both together");
    let other = |labels: &Value| labels.get("namespace").is_some_and(|namespace| namespace != "blue");
    for (panel, query) in panels("blue")? {
        let wrong: Vec<_> = prometheus.query(&query).await?.into_iter().filter(|(labels, _)| other(labels)).collect();
        ensure!(wrong.is_empty(), "{panel}: {wrong:?}");
    }
    // Prometheus evaluates the rules some seconds before it scrapes for the first time.
    until("no release is down", async || Ok(prometheus.firing().await?.is_empty().then_some(()))).await?;
    // Longer than the alerts wait, and than it is looked back.
    let enough = prometheus.evaluations().await? + u64::from(2 * WAIT + 2);
    until("the rules are evaluated again and again", async || Ok((prometheus.evaluations().await? >= enough).then_some(()))).await?;
    let fired = format!("group by (alertname) (count_over_time(ALERTS{{alertstate=\"firing\"}}[{}s]))", 2 * WAIT);
    let fired = prometheus.query(&fired).await?;
    ensure!(fired.is_empty(), "no alert has fired: {fired:?}");

    blue.kill().await?;
    let down = BTreeSet::from([("RotatedSecretsOperatorDown".to_owned(), "blue".to_owned())]);
    until("the alert of the release that is down fires", async || Ok((!prometheus.firing().await?.is_empty()).then_some(()))).await?;
    ensure!(prometheus.firing().await? == down, "{:?}", prometheus.firing().await?);
    ensure!(shown(&prometheus, "Ready A", "blue").await?.is_empty() && shown(&prometheus, "Ready A", "green").await? == ["2"]);
    green.check()
}
