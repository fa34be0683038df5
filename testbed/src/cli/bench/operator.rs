//! The operator's process, and what it says about itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Uri;
use http_body_util::BodyExt as _;
use testbed::process::{ProcessGroup, free_ports};
use testbed::usage::Usage;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::super::demo::{Http, http_client, isolated};

const NAME: &str = "operator";
/// Reconciles in progress are finished first.
const PATIENCE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_mins(2);
/// As the chart sets it, so that requests for the Lease are counted, too.
const FLAGS: [(&str, &str); 3] = [("--refresh-interval", "60s"), ("--lease-namespace", "rotated-secrets"), ("--cluster-id", "bench")];
/// How often the kernel is asked for the memory in use, of which it keeps no peak.
const MEMORY_POLL: Duration = Duration::from_millis(100);

pub(super) struct Operator {
    group: ProcessGroup,
    id: u32,
    health: u16,
    metrics: u16,
    http: Http,
    /// The most memory of its own so far, in KiB.
    own: Arc<AtomicU64>,
    _work: JoinSet<()>,
}

impl Operator {
    /// Starts the binary and waits until it is ready. `identity`: the name of this replica. `flags` replace those of the benchmark.
    pub(super) async fn start(binary: &Path, identity: &str, kubeconfig: &Path, aws: &[(&str, String)], flags: &[String]) -> Result<Self> {
        let [health, metrics] = free_ports()?;
        let group = ProcessGroup::new("rotated-secrets-bench-")?;
        let mut command = isolated(binary);
        command
            .args(["run", "--leader-elect", "--lease-identity", identity])
            .args(["--health-address", &format!("127.0.0.1:{health}"), "--metrics-address", &format!("127.0.0.1:{metrics}")])
            .args(flags)
            .env("KUBECONFIG", kubeconfig)
            .envs(aws.iter().map(|(name, value)| (name, value)));
        let given = |name: &str| flags.iter().any(|flag| flag == name || flag.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')));
        for (name, value) in FLAGS.iter().filter(|(name, _)| !given(name)) {
            command.args([name, value]);
        }
        let id = group.start_apart(NAME, &command)?;
        let (own, mut work) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        let most = Arc::clone(&own);
        work.spawn(async move {
            while let Ok(usage) = Usage::of(id) {
                most.fetch_max(usage.own, Ordering::Relaxed);
                sleep(MEMORY_POLL).await;
            }
        });
        let operator = Self { group, id, health, metrics, http: http_client(), own, _work: work };
        let start = Instant::now();
        while operator.get(health, "/readyz").await.is_err() {
            operator.group.check()?;
            ensure!(start.elapsed() < DEADLINE, "the operator is not ready:\n{}", operator.group.log_tail(NAME));
            sleep(Duration::from_millis(20)).await;
        }
        Ok(operator)
    }

    async fn get(&self, port: u16, path: &str) -> Result<String> {
        let url: Uri = format!("http://127.0.0.1:{port}{path}").parse()?;
        let answer = self.http.get(url).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?)
    }

    /// Objects that are reconciled now or wait for it, and reconciles that have ended.
    pub(super) async fn reconciles(&self) -> Result<(f64, f64)> {
        self.group.check()?;
        ensure!(self.get(self.health, "/livez").await.is_ok(), "the operator is not alive:\n{}", self.group.log_tail(NAME));
        let page = self.get(self.metrics, "/metrics").await?;
        let open = sum(&page, "rotated_secrets_reconciles_in_progress") + sum(&page, "rotated_secrets_reconciles_waiting");
        Ok((open, sum(&page, "rotated_secrets_reconciles_total")))
    }

    /// What its process has used since its start.
    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of(self.id).context("the operator has ended")
    }

    /// The most memory of its own since its start, in KiB: without the pages of the program (`RssAnon`).
    pub(super) fn own_peak(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    /// SIGKILL: it ends in the middle of what it does.
    pub(super) fn kill(self) {
        drop(self);
    }

    /// SIGTERM, as the kubelet does.
    pub(super) async fn stop(self) -> Result<()> {
        spawn_blocking(move || self.group.stop(NAME, PATIENCE)).await?
    }
}

/// The sum of the series of one metric.
fn sum(page: &str, metric: &str) -> f64 {
    let series = page.lines().filter_map(|line| line.strip_prefix(metric)).filter(|rest| rest.starts_with([' ', '{']));
    series.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_one_metric_are_added() {
        let page = "# TYPE a counter\na_total{outcome=\"x\"} 2\na_total{outcome=\"y\"} 3.0\na_total_seconds 7\na 1\n";
        assert!((sum(page, "a_total") - 5.0).abs() < 0.1);
        assert!((sum(page, "a") - 1.0).abs() < 0.1);
        assert!(sum(page, "b").abs() < 0.1);
    }
}
