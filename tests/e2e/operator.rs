//! The operator's process: started as a user would start it, observed from outside, gone with its value.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;
use testkit::process::{ProcessGroup, free_ports};
use testkit::usage::Usage;
use testkit::{PREFIX, REGION, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::Stage;

const NAME: &str = "operator";

pub(crate) struct Operator {
    group: ProcessGroup,
    health: SocketAddr,
    metrics: SocketAddr,
}

impl Operator {
    /// Starts it and waits until its watches are in sync.
    pub(crate) async fn start(stage: &Stage) -> Result<Self> {
        Self::start_with(stage, &[]).await
    }

    /// The same, with further flags, or other values of the flags of every test.
    pub(crate) async fn start_with(stage: &Stage, flags: &[&str]) -> Result<Self> {
        Self::synced(Self::launch(stage, flags).await?).await
    }

    /// The same, with this environment instead of static keys.
    pub(crate) async fn start_as(stage: &Stage, flags: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        Self::synced(Self::launch_as(stage, &stage.kubeconfig, flags, Some(environment)).await?).await
    }

    async fn synced(operator: Self) -> Result<Self> {
        until("the operator is ready", async || {
            operator.check()?;
            Ok(operator.get("/readyz").await.ok().filter(|(status, _)| *status == 200).map(drop))
        })
        .await?;
        Ok(operator)
    }

    /// With this kubeconfig, and these variables beside the static keys.
    pub(crate) async fn start_through(stage: &Stage, kubeconfig: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        let keys = [("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "not-checked-by-the-emulator")];
        Self::synced(Self::launch_as(stage, kubeconfig, &[], Some(&[keys.as_slice(), environment].concat())).await?).await
    }

    /// Starts it and waits until it is alive. Tries another port if a process has taken it meanwhile.
    pub(crate) async fn launch(stage: &Stage, flags: &[&str]) -> Result<Self> {
        Self::launch_as(stage, &stage.kubeconfig, flags, None).await
    }

    async fn launch_as(stage: &Stage, kubeconfig: &Path, flags: &[&str], environment: Option<&[(&str, &str)]>) -> Result<Self> {
        loop {
            let [health, metrics] = free_ports()?.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            let group = ProcessGroup::new("e2e-operator-")?;
            let mut command = command(kubeconfig);
            if let Some(environment) = environment {
                command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").envs(environment.iter().copied());
            }
            command
                .args(["run", "--aws-region", REGION, "--aws-endpoint-url", &stage.endpoint(), "--development"])
                .args(["--minimum-rotation-interval", "1s"])
                .args(["--health-address", &health.to_string(), "--metrics-address", &metrics.to_string()])
                .args(flags);
            // Most tests make many requests in a row.
            for default in
                [["--name-prefix", PREFIX], ["--refresh-interval", "10s"], ["--log", "trace"], ["--minimum-request-interval", "0s"]]
            {
                if !flags.contains(&default[0]) {
                    command.args(default);
                }
            }
            group.start_apart(NAME, &command)?;
            let operator = Self { group, health, metrics };
            let alive = until("the operator is alive", async || {
                if operator.ended()?.is_some() {
                    return Ok(Some(false));
                }
                Ok(operator.get("/livez").await.ok().map(|(status, _)| status == 200))
            })
            .await?;
            if alive {
                return Ok(operator);
            }
            ensure!(operator.output()?.contains("cannot listen on"), "the operator ended: {}", operator.output()?);
        }
    }

    /// What it has said so far, on either stream.
    pub(crate) fn output(&self) -> Result<String> {
        Ok(self.standard_error()? + &self.audit_stream()?)
    }

    /// What it wrote to standard error: the log, and the sentence with which it ends.
    pub(crate) fn standard_error(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.group.log(NAME))?)
    }

    /// What it wrote to standard output.
    pub(crate) fn audit_stream(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.group.output(NAME))?)
    }

    /// The lines of the audit stream. Nothing else may be there.
    pub(crate) fn audited(&self) -> Result<Vec<Value>> {
        let stream = self.audit_stream()?;
        let lines = stream.lines().map(|line| serde_json::from_str(line).with_context(|| format!("a line of the audit stream: {line}")));
        let lines: Vec<Value> = lines.collect::<Result<_>>()?;
        ensure!(lines.iter().all(|line| line["audit"] == "rotated-secrets.io/v1" && line["action"].is_string()), "{stream}");
        Ok(lines)
    }

    /// Where its metrics are.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// A page of its own ports: status and body.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String)> {
        let address = if path == "/metrics" { self.metrics } else { self.health };
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
        let status = head.split(' ').nth(1).context("a status line")?.parse()?;
        Ok((status, body.to_owned()))
    }

    /// The value of a series, by its name and labels as it writes them; 0 when there is none.
    pub(crate) async fn metric(&self, series: &str) -> Result<f64> {
        let page = self.get("/metrics").await?.1;
        let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.map_or(Ok(0.0), |value| value.parse().context("a number"))
    }

    /// Its log, line by line, as JSON.
    pub(crate) fn log(&self) -> Result<Vec<Value>> {
        Ok(self.standard_error()?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// When it last said this.
    pub(crate) fn said(&self, message: &str) -> Result<Timestamp> {
        let log = self.log()?;
        let line = log.iter().rev().find(|line| line["message"] == message).with_context(|| format!("it said: {message}"))?;
        Ok(line["timestamp"].as_str().context("a time")?.parse()?)
    }

    /// Waits until it has said this, and tells when it last did. What others can see may be there before the line of the log.
    pub(crate) async fn says(&self, message: &str) -> Result<Timestamp> {
        until(&format!("the operator says: {message}"), async || Ok(self.said(message).ok())).await
    }

    /// Waits until a series has this value: what others can see may be there before it is counted. A count that is too high fails at once.
    pub(crate) async fn counts(&self, series: &str, expected: f64) -> Result<()> {
        until(&format!("{series} is {expected}"), async || {
            let counted = self.metric(series).await?;
            ensure!(counted <= expected, "{series} is {counted} instead of {expected}");
            Ok((counted >= expected).then_some(()))
        })
        .await
    }

    /// Fails when it has ended.
    pub(crate) fn check(&self) -> Result<()> {
        self.group.check()
    }

    /// What it holds and has used so far.
    pub(crate) fn used(&self) -> Result<Usage> {
        Usage::of(*self.group.ids().first().context("a process")?)
    }

    /// A limit of the process, as the kernel shows it: the soft one and the hard one.
    pub(crate) fn limit(&self, name: &str) -> Result<(String, String)> {
        let id = *self.group.ids().first().context("a process")?;
        let limits = std::fs::read_to_string(format!("/proc/{id}/limits"))?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).context("a limit")?;
        let mut words = line.split_whitespace().map(str::to_owned);
        words.next().zip(words.next()).context("two limits")
    }

    pub(crate) fn ended(&self) -> Result<Option<ExitStatus>> {
        Ok(self.group.ended()?.map(|(_, status)| status))
    }

    /// SIGKILL: no goodbye, no memory.
    pub(crate) async fn kill(&self) -> Result<()> {
        self.group.signal(NAME, Signal::KILL)?;
        until("the operator is dead", async || self.ended()).await?;
        Ok(())
    }

    /// SIGTERM, as the kubelet does; and how it ended.
    pub(crate) async fn terminate(&self) -> Result<ExitStatus> {
        self.ask_to_stop()?;
        self.stopped().await
    }

    /// Waits until it has stopped. A second signal would interrupt its reconciles.
    pub(crate) async fn stopped(&self) -> Result<ExitStatus> {
        until("the operator stops", async || self.ended()).await
    }

    pub(crate) fn ask_to_stop(&self) -> Result<()> {
        self.group.signal(NAME, Signal::TERM)
    }
}

/// The binary, with nothing of this machine's environment that would matter to it.
fn command(kubeconfig: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotated-secrets"));
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_")
            || name.starts_with("ROTATED_SECRETS_")
            || name.starts_with("POD_")
            || name.to_lowercase().ends_with("_proxy")
        {
            command.env_remove(name);
        }
    }
    command
        .env("KUBECONFIG", kubeconfig)
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-checked-by-the-emulator");
    command
}

/// Runs the binary until it exits, which it must.
pub(crate) async fn run_to_end(kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    run_to_end_with(kubeconfig, args, &[]).await
}

/// The same, with more variables.
pub(crate) async fn run_to_end_with(kubeconfig: &Path, args: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let mut command = tokio::process::Command::from(command(kubeconfig));
    command.envs(environment.iter().copied());
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_mins(5), command.output()).await.context("it does not end by itself")?.map_err(Into::into)
}
