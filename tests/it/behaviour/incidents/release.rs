//! An operator with several objects, scraped once in each minute of the emulator's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use rotated_secrets::api::RotatedSecret;
use rotated_secrets::controller::{Counted, census};
use rotated_secrets::kubernetes::packed::Packed;
use rotated_secrets::reconcile::reconcile;
use serde_json::{Value, json};
use testkit::promtool;
use tracing::instrument::WithSubscriber as _;

use super::super::stage::{MINUTE, Stage};
use super::dashboard::{Dashboard, Shows, Sight};

/// The labels that a scrape adds.
const TARGET: &str = r#"job="rotated-secrets",namespace="operators""#;

/// Twice the time between two rotations of the objects.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(2);

/// A value of a series, in the notation of promtool.
type Sample = String;

/// A fleet of objects and the samples of its metrics.
pub(super) struct Release {
    pub(super) stage: Stage,
    objects: Arc<Mutex<Vec<Packed>>>,
    due: BTreeMap<String, Timestamp>,
    series: BTreeMap<String, Vec<Sample>>,
    minutes: usize,
    /// Which replica leads.
    pod: char,
    /// Whether Prometheus reaches the operator.
    pub(super) scraped: bool,
    /// Objects that the operator cannot read, without their metadata.
    pub(super) unreadable: Vec<Value>,
    log: Log,
}

/// The log of the operator.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Release {
    /// With `count` objects of this spec, which are Ready. Their metrics of the first minutes are known.
    pub(super) async fn of(count: usize, spec: &Value) -> Result<Self> {
        let stage = Stage::new("incident").await?;
        let (objects, due, series, log) = Default::default();
        let mut release = Self { stage, objects, due, series, minutes: 0, pod: 'a', scraped: true, unreadable: Vec::new(), log };
        release.leads();
        for number in 0..count {
            let name = format!("app-{number}");
            release.stage.settled(&name, spec.clone()).await?;
            release.due.insert(name, release.stage.now());
        }
        release.run(10).await?;
        Ok(release)
    }

    /// The present replica leads, and counts the objects.
    fn leads(&self) {
        let ctx = &self.stage.ctx;
        ctx.metrics.leads(true);
        ctx.metrics.count_objects({
            let (objects, clock, memory) = (Arc::clone(&self.objects), Arc::clone(&ctx.clock), Arc::clone(&ctx.memory));
            move || census(objects.lock().unwrap().iter(), &memory, clock(), Counted { max_age: Some(MAX_AGE), ..Counted::default() })
        });
    }

    /// The leader is killed, and another replica, which knows nothing, leads from now on.
    pub(super) async fn fail_over(&mut self) -> Result<()> {
        self.stage.ctx = self.stage.operator().await?;
        self.pod = char::from_u32(u32::from(self.pod) + 1).context("a letter")?;
        self.leads();
        let now = self.stage.now();
        self.due.values_mut().for_each(|at| *at = now);
        Ok(())
    }

    /// Another object, which the operator has not seen yet.
    pub(super) async fn add(&mut self, name: &str, spec: Value) -> Result<()> {
        self.stage.world.create(name, spec).await?;
        self.touch(name);
        Ok(())
    }

    /// The object or its Secret changed, so the operator is called.
    pub(super) fn touch(&mut self, name: &str) {
        self.due.insert(name.to_owned(), self.stage.now());
    }

    /// The operator does what is due in each of these minutes, and Prometheus scrapes it at the end.
    pub(super) async fn run(&mut self, minutes: usize) -> Result<()> {
        for _ in 0..minutes {
            let end = self.stage.now() + MINUTE;
            while let Some((name, at)) = self.next(end) {
                if at > self.stage.now() {
                    self.stage.world.emulator.clock().set(at);
                }
                self.turn(&name).await?;
            }
            self.stage.world.emulator.clock().set(end);
            self.scrape().await?;
        }
        Ok(())
    }

    fn next(&self, before: Timestamp) -> Option<(String, Timestamp)> {
        let first = self.due.iter().min_by_key(|(_, at)| **at)?;
        (*first.1 < before).then(|| (first.0.clone(), *first.1))
    }

    /// One reconcile. A change of the object or its Secret causes another one.
    async fn turn(&mut self, name: &str) -> Result<()> {
        let Some(object) = self.stage.world.objects().get_opt(name).await? else {
            self.due.remove(name);
            return Ok(());
        };
        self.stage.world.show(&self.stage.ctx, name).await?;
        let log = self.log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(move || log.clone()).finish();
        let ended = reconcile(&object, &self.stage.ctx).with_subscriber(subscriber).await;
        let least = std::time::Duration::from_secs(1);
        let again = if ended.changed && !ended.failed { least } else { ended.again.unwrap_or(60 * MINUTE).max(least) };
        self.due.insert(name.to_owned(), self.stage.now() + again);
        Ok(())
    }

    async fn scrape(&mut self) -> Result<()> {
        let objects = Api::<Packed>::namespaced(self.stage.admin.clone(), &self.stage.namespace);
        let mut stored = objects.list(&ListParams::default()).await?.items;
        for object in &self.unreadable {
            let mut object = object.clone();
            object["metadata"] = json!({"name": "odd", "namespace": self.stage.namespace, "uid": "u-1"});
            stored.push(serde_json::from_str(&object.to_string())?);
        }
        *self.objects.lock().unwrap() = stored;
        let page = if self.scraped { self.stage.ctx.metrics.render()? } else { String::new() };
        let mut now: BTreeMap<String, &str> = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let name = match name.split_once('{') {
                Some((name, labels)) => format!("{name}{{{TARGET},pod=\"{}\",{labels}", self.pod),
                None => format!("{name}{{{TARGET},pod=\"{}\"}}", self.pod),
            };
            now.insert(name, value);
        }
        for name in now.keys() {
            self.series.entry(name.clone()).or_insert_with(|| vec!["_".to_owned(); self.minutes]);
        }
        for (name, samples) in &mut self.series {
            // Prometheus marks a series that is no longer there.
            let gone = if samples.last().is_some_and(|last| last == "_") { "_" } else { "stale" };
            samples.push(now.get(name).map_or(gone, |value| value).to_owned());
        }
        self.minutes += 1;
        Ok(())
    }

    /// The lines of the log so far.
    pub(super) fn lines(&self) -> usize {
        String::from_utf8_lossy(&self.log.0.lock().unwrap()).lines().count()
    }

    /// Minutes since the start.
    pub(super) fn now(&self) -> usize {
        self.minutes
    }

    /// Evaluates the rules and the dashboard of the chart over all minutes with the engine of Prometheus: at each of these
    /// minutes exactly these alerts fire, and no other alert fires at any time. No query of a panel ends with an error, and
    /// those of `sights` show what these say. If Prometheus does not reach the operator, no panel shows anything at the end.
    pub(super) fn check(&self, moments: &[(usize, &[&str])], sights: &[Sight]) -> Result<()> {
        let dashboard = Dashboard::read()?;
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/rotated-secrets/files/alerts.yaml");
        let expressions = std::fs::read_to_string(&rules)?;
        let used = |series: &str| {
            let name = series.split('{').next().unwrap_or_default();
            expressions.contains(&format!("{name}{{")) || dashboard.uses(name)
        };
        let inputs: Vec<Value> = self
            .series
            .iter()
            .filter(|(series, _)| used(series))
            .map(|(series, samples)| json!({"series": series, "values": samples.join(" ")}))
            .collect();
        ensure!(inputs.len() > 20, "{} series", inputs.len());
        let sample = |alert: &str| json!({"labels": format!("{{alertname={alert:?}}}"), "value": 1});
        let firing = |minute: usize, alerts: &BTreeSet<&str>| {
            json!({"expr": "group by (alertname) (ALERTS{alertstate=\"firing\"})", "eval_time": format!("{minute}m"),
                "exp_samples": alerts.iter().map(|alert| sample(alert)).collect::<Vec<_>>()})
        };
        // The scrape of a minute is its last moment, so the sample with the index 0 is that of minute 1.
        let mut checks: Vec<Value> = moments.iter().map(|(minute, alerts)| firing(minute - 1, &alerts.iter().copied().collect())).collect();
        let all: BTreeSet<&str> = moments.iter().flat_map(|(_, alerts)| alerts.iter().copied()).collect();
        checks.push(json!({
            "expr": format!("group by (alertname) (count_over_time(ALERTS{{alertstate=\"firing\"}}[{}m]))", self.minutes),
            "eval_time": format!("{}m", self.minutes - 1),
            "exp_samples": all.iter().map(|alert| sample(alert)).collect::<Vec<_>>(),
        }));
        for (minute, name, shows) in sights {
            checks.push(dashboard.check(name, *shows, minute - 1)?);
        }
        if !self.scraped {
            checks.extend(dashboard.check_all(Shows::Nothing, self.minutes - 1));
        }
        let folder = tempfile::tempdir()?;
        let (file, panels) = (folder.path().join("incident.yaml"), folder.path().join("dashboard.yaml"));
        std::fs::write(&panels, dashboard.rules().to_string())?;
        let test = json!({"interval": "1m", "input_series": inputs, "promql_expr_test": checks});
        std::fs::write(&file, json!({"rule_files": [rules, panels], "evaluation_interval": "1m", "tests": [test]}).to_string())?;
        promtool::run(&["test", "rules", &file.display().to_string()])?;
        Ok(())
    }

    /// The message of Ready of the first object that is not Ready, for a test that fails.
    pub(super) fn trouble(&self) -> String {
        let objects = self.objects.lock().unwrap();
        let ready = |object: &RotatedSecret| {
            let conditions = object.status.iter().flat_map(|status| &status.conditions);
            conditions.filter(|condition| condition.status == "False").map(|c| format!("{} {}", c.type_, c.reason)).collect::<Vec<_>>()
        };
        objects
            .iter()
            .map(Packed::unpack)
            .filter_map(|object| object.into_readable().ok())
            .map(|object| format!("{}: {:?}", object.name_any(), ready(&object)))
            .collect::<Vec<_>>()
            .join("; ")
    }
}
