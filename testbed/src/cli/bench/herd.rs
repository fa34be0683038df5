//! Rotations that are all due at the same time. The objects own their AWS secrets and have the same schedule, a cron expression with one due
//! time: an administrator who writes `0 8 1 * *` into each object does the same. Meanwhile new objects are created and Secrets are edited.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use emulator::{CallRecord, Config, Quotas, SecretSnapshot};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use testbed::controlplane::Requests;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::operator::Operator;
use super::phases::{DEADLINE, at_rest, deadline};
use super::seen::{FIELD, until};
use super::stage::{CLIENTS, IDENTITY, REGION, Stage, in_aws, key, value, within};

/// Objects that only mirror, whose Secrets are edited: at least so many.
const BYSTANDERS: u32 = 50;
/// Or one for so many rotations, so that each Secret is edited once. The operator takes one that is edited again and again
/// for a contested one, and leaves it alone for a minute.
const ROTATIONS_FOR_EACH: u32 = 8;
/// A new object and an edit each time.
const BETWEEN_PROBES: Duration = Duration::from_millis(200);
/// From the last change of a schedule to the due time, at least.
const BEFORE_DUE: Duration = Duration::from_secs(30);
/// The due time before, which must not come during the measurement.
const FAR: SignedDuration = SignedDuration::from_hours(8000);
const LOG_ROOM: usize = 2_000_000;
/// How their names begin.
const HERD: &str = "herd-";
const ROTATION: &str = "PutSecretValue";
/// Quotas are counted for each Region, and the operator keeps to AWS's, also if the emulator has none. In ten of them it may write 470 times
/// a second.
const REGIONS: [&str; 10] =
    [REGION, "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1", "ap-south-1"];

/// Under which circumstances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// AWS's quotas, in one Region.
    Quotas,
    /// The same, and the leader is killed after half of the rotations. A standby takes over.
    Killed,
    /// Without quotas of AWS, in ten Regions.
    Unlimited,
}

/// What one herd has cost.
pub(super) struct Herd {
    pub(super) kind: Kind,
    pub(super) count: u32,
    /// From the due time to each new version in AWS, in this order.
    pub(super) rotated: Vec<Duration>,
    /// Secrets that got exactly one new version.
    pub(super) once: usize,
    /// Mirrored Secrets that have the value of the current version.
    pub(super) mirrored: usize,
    /// Requests to write a version, and those of them that were throttled.
    pub(super) attempts: u64,
    pub(super) throttled: u64,
    /// Calls that concern these secrets, by operation.
    pub(super) calls: BTreeMap<String, u64>,
    /// Without those for the objects that are created or edited meanwhile.
    pub(super) requests: Requests,
    /// From the creation of an object that only mirrors until its Secret has the value.
    pub(super) created: Vec<Duration>,
    /// From an edit of a mirrored Secret until it is repaired.
    pub(super) edited: Vec<Duration>,
    /// Processor time of the operator, of the control plane, and of the benchmark with the emulated AWS.
    pub(super) processor: [Duration; 3],
    pub(super) own: u64,
}

/// One herd, with objects of its own: the second rotation of a secret needs one more write, for the label that retains its first version.
pub(super) async fn herd(binary: &Path, kind: Kind, count: u32, flags: &[String], step: impl Fn(&str)) -> Result<Herd> {
    step(&format!("herd ({kind:?}): a control plane starts"));
    let (quotas, regions) = match kind {
        Kind::Quotas | Kind::Killed => (Quotas::Real, &[REGION][..]),
        Kind::Unlimited => (Quotas::Off, &REGIONS[..]),
    };
    let stage =
        Stage::start(BYSTANDERS.max(count / ROTATIONS_FOR_EACH), Config { quotas, log_room: LOG_ROOM, ..Config::default() }).await?;
    let mut flags = flags.to_vec();
    flags.extend(["--allowed-regions".to_owned(), regions.join(",")]);
    if !flags.iter().any(|flag| flag.starts_with("--refresh-interval")) {
        // What is due is reconciled by its due time.
        flags.extend(["--refresh-interval", "1h"].map(str::to_owned));
    }
    let leader = stage.start_operator(binary, IDENTITY, &flags).await?;
    let mut scene = Scene { operators: vec![leader], stage, count, created: Duration::ZERO };
    step("herd: the objects are created");
    scene.create(regions).await?;
    if kind == Kind::Killed {
        scene.operators.push(scene.stage.start_operator(binary, "standby", &flags).await?);
    }
    step("herd: their schedules get the same due time");
    let herd = scene.herd(kind).await?;
    step(&format!("herd: {} secrets have one new version each, {} of {} attempts throttled", herd.once, herd.throttled, herd.attempts));
    for operator in scene.operators {
        operator.stop().await?;
    }
    scene.stage.stop().await?;
    Ok(herd)
}

struct Scene {
    stage: Stage,
    /// The leader is the first one.
    operators: Vec<Operator>,
    count: u32,
    /// How long it took to create all objects.
    created: Duration,
}

/// What happened to the objects that are no part of the herd.
#[derive(Default)]
struct Probed {
    created: Vec<Duration>,
    edited: Vec<Duration>,
}

enum Probe {
    Created(Duration),
    Edited(Duration),
}

impl Probed {
    fn note(&mut self, probe: &Probe) {
        match probe {
            Probe::Created(took) => self.created.push(*took),
            Probe::Edited(took) => self.edited.push(*took),
        }
    }
}

impl Scene {
    /// The objects, with a due time that is far away.
    async fn create(&mut self, regions: &[&str]) -> Result<()> {
        let start = Instant::now();
        self.stage.create_objects().await?;
        let far = schedule(Timestamp::now() + FAR);
        let create = async |number: u32| {
            let region = regions.get(usize::try_from(number)? % regions.len()).context("a Region")?;
            let spec = json!({
                "value": {"generate": {FIELD: {}}},
                "aws": {"region": region},
                "rotation": {"schedule": far},
            });
            self.stage.create(number, &name(number), spec).await
        };
        stream::iter(0..self.count).map(create).buffer_unordered(CLIENTS).try_collect::<()>().await?;
        let all = usize::try_from(self.count + self.stage.count)?;
        until("all objects are Ready", deadline(self.count), || (self.stage.seen.ready() >= all).then_some(())).await?;
        self.at_rest().await?;
        self.created = start.elapsed();
        Ok(())
    }

    /// One due time for all of them.
    async fn make_due(&self) -> Result<Timestamp> {
        let at = Timestamp::now() + SignedDuration::try_from(self.created + BEFORE_DUE)?;
        // A cron expression has whole minutes.
        let at = Timestamp::from_second(at.as_second() / 60 * 60 + 60)?;
        let (stage, schedule) = (&self.stage, schedule(at));
        let patch = async |number: u32| stage.patch(number, &name(number), json!({"spec": {"rotation": {"schedule": schedule}}})).await;
        stream::iter(0..self.count).map(patch).buffer_unordered(CLIENTS).try_collect::<()>().await?;
        self.at_rest().await?;
        ensure!(Timestamp::now() < at, "the machine is too slow: it is {at} before all objects have their new schedule");
        Ok(at)
    }

    async fn at_rest(&self) -> Result<()> {
        at_rest(self.operators.first().context("an operator")?, 0).await
    }

    async fn herd(&mut self, kind: Kind) -> Result<Herd> {
        let due = self.make_due().await?;
        let from = self.stage.log_end().await?;
        self.stage.emulator.clear_log();
        sleep(Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()).await;
        let (start, mut lost, mut results) = (Instant::now(), Duration::ZERO, Probed::default());
        let before = self.processor()?;
        let (mut ticks, mut probes, mut killed) = (interval(BETWEEN_PROBES), 0, kind != Kind::Killed);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (stage, all) = (&self.stage, usize::try_from(self.count)?);
        let mut work = FuturesUnordered::new();
        let mut ended = false;
        while !ended || !work.is_empty() {
            ensure!(start.elapsed() < deadline(self.count), "the rotations do not end");
            tokio::select! {
                _ = ticks.tick(), if !ended => {
                    work.push(edited(stage, probes).boxed_local());
                    work.push(created(stage, kind, probes).boxed_local());
                    probes += 1;
                    let rotated = stage.seen.changed(HERD, start);
                    if !killed && rotated >= all / 2 {
                        killed = true;
                        let leader = self.operators.remove(0);
                        lost = leader.usage()?.processor;
                        leader.kill();
                    }
                    ended = rotated >= all;
                }
                Some(probe) = work.next() => results.note(&probe?),
            }
        }
        drop(work);
        self.at_rest().await?;
        let after = self.processor()?;
        let used = |place: fn(&[Duration; 3]) -> Duration| place(&after).saturating_sub(place(&before));
        let processor = [used(|all| all[0]).saturating_add(lost), used(|all| all[1]), used(|all| all[2])];
        self.told(kind, due, from, results, processor).await
    }

    /// Of the operators, the control plane, and this process.
    fn processor(&self) -> Result<[Duration; 3]> {
        let operators = self.operators.iter().map(|operator| Ok(operator.usage()?.processor)).sum::<Result<Duration>>()?;
        let [plane, own] = self.stage.processor()?;
        Ok([operators, plane, own])
    }

    /// Reads the logs of the emulator and of the API server.
    async fn told(&self, kind: Kind, due: Timestamp, from: u64, probed: Probed, processor: [Duration; 3]) -> Result<Herd> {
        let log = self.stage.emulator.log();
        ensure!(log.len() < LOG_ROOM, "the log of the emulated AWS is full");
        let log: Vec<CallRecord> = log.into_iter().filter(|call| secret(call).contains(HERD)).collect();
        let (mut calls, mut versions) = (BTreeMap::<String, u64>::new(), BTreeMap::<&str, BTreeSet<&str>>::new());
        for call in &log {
            *calls.entry(call.operation.clone()).or_default() += 1;
            if let Some(version) = call.request.get("ClientRequestToken").and_then(Value::as_str).filter(|_| written(call)) {
                versions.entry(secret(call)).or_default().insert(version);
            }
        }
        let rotations = log.iter().filter(|call| call.operation == ROTATION);
        let outcome = |what: &str| u64::try_from(rotations.clone().filter(|call| call.outcome == what).count());
        let mirrored = self.stage.emulator.secrets().iter().filter(|secret| self.is_mirrored(secret)).count();
        let mut asked = self.stage.asked(from).await?;
        asked.retain(|event| !["object-", "new-"].iter().any(|other| event.name.starts_with(other)));
        Ok(Herd {
            kind,
            count: self.count,
            rotated: log.iter().filter(|call| written(call)).filter_map(|call| call.at.duration_since(due).try_into().ok()).collect(),
            once: versions.values().filter(|versions| versions.len() == 1).count(),
            mirrored,
            attempts: u64::try_from(rotations.clone().count())?,
            throttled: outcome("ThrottlingException")?,
            calls,
            requests: Requests::of(&asked),
            created: probed.created,
            edited: probed.edited,
            processor,
            own: self.operators.iter().map(Operator::own_peak).max().unwrap_or_default(),
        })
    }

    /// Whether it is one of the herd, and the Secret has its current value.
    fn is_mirrored(&self, secret: &SecretSnapshot) -> bool {
        let current = secret.labels.get("AWSCURRENT").and_then(|id| secret.versions.iter().find(|version| version.id == *id));
        let text = current.and_then(|version| version.value()?.as_str());
        let value = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let value = value.as_ref().and_then(|value| value.get(FIELD)?.as_str());
        // The names in AWS end with namespace and name.
        let key = secret.name.rmatch_indices('/').nth(1).and_then(|(place, _)| secret.name.get(place + 1..)).unwrap_or_default();
        secret.name.contains(HERD) && value.is_some() && self.stage.seen.value(key).as_deref() == value
    }
}

/// A new version that AWS has accepted.
fn written(call: &CallRecord) -> bool {
    call.operation == ROTATION && call.outcome == "ok"
}

/// The name or ARN of the secret that a call concerns.
fn secret(call: &CallRecord) -> &str {
    call.request.get("SecretId").and_then(Value::as_str).unwrap_or_default()
}

/// A cron expression for this minute, once a year.
fn schedule(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    format!("{} {} {} {} *", at.minute(), at.hour(), at.day(), at.month())
}

fn name(number: u32) -> String {
    format!("{HERD}{number:05}")
}

/// Edits the Secret of a bystander, and waits until it is repaired.
async fn edited(stage: &Stage, probe: u32) -> Result<Probe> {
    let (number, start) = (probe % stage.count, Instant::now());
    stage.edit_mirror(number).await?;
    let repaired =
        until("an edited Secret is repaired", DEADLINE, || stage.seen.value_since(&key(number), &value(number, 0), start)).await?;
    Ok(Probe::Edited(repaired.duration_since(start)))
}

/// Creates an object that only mirrors, and waits until its Secret has the value.
async fn created(stage: &Stage, kind: Kind, probe: u32) -> Result<Probe> {
    let (name, value) = (format!("new-{kind:?}-{probe}").to_lowercase(), format!("value-of-{probe}"));
    let in_aws_name = format!("shared/{name}");
    stage.emulator.external_writer().create(&in_aws_name, &in_aws(&value), &BTreeMap::new()).context("a secret in AWS")?;
    let start = Instant::now();
    stage.create(probe, &name, json!({"aws": {"secretName": in_aws_name}})).await?;
    let key = within(probe, &name);
    let mirrored = until("a new object is mirrored", DEADLINE, || stage.seen.value_since(&key, &value, start)).await?;
    Ok(Probe::Created(mirrored.duration_since(start)))
}
