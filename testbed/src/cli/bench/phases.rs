//! The phases of a measurement, in this order. Each one begins when no reconcile is due.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testbed::controlplane::Requests;
use tokio::time::sleep;

use super::operator::Operator;
use super::seen::until;
use super::stage::{IDENTITY, LEAST, Stage, key, value};
use super::table::Phase;

/// Far above what anything takes on a busy machine.
pub(super) const DEADLINE: Duration = Duration::from_mins(20);
/// And for each object.
const FOR_EACH: Duration = Duration::from_millis(60);
const MINUTE: Duration = Duration::from_mins(1);
/// One and a half refresh intervals. The checks that follow the creation come together, and one minute from here holds all of them
/// once. With the change feed, the check before that is the one at which objects are left to the feed.
const BEFORE_STEADY: Duration = Duration::from_secs(90);
/// The operator is at rest when it has had nothing to do at so many looks in a row.
const LOOKS: u32 = 4;
const LOOK: Duration = Duration::from_millis(500);
/// How many Secrets are edited.
const EDITS: u32 = 5;
/// Values are changed one after the other, so that not all of them meet the same moment of the refresh interval.
const BETWEEN_CHANGES: Duration = Duration::from_secs(3);

/// Counts from now on.
struct Count {
    from: u64,
    processor: Duration,
    start: Instant,
}

impl Count {
    async fn begin(stage: &Stage, processor: Duration) -> Result<Self> {
        let from = stage.log_end().await?;
        stage.emulator.counters().reset();
        Ok(Self { from, processor, start: Instant::now() })
    }

    /// `took`: until what the phase waits for, which may be over before everything is counted.
    async fn end(self, stage: &Stage, operator: &Operator, took: Duration) -> Result<Phase> {
        let mut usage = operator.usage()?;
        usage.processor = usage.processor.saturating_sub(self.processor);
        let mut calls = std::collections::BTreeMap::<String, u64>::new();
        for ((operation, _), count) in stage.emulator.counters().all() {
            *calls.entry(operation).or_default() += count;
        }
        let requests = Requests::of(&stage.asked(self.from).await?);
        Ok(Phase { took, calls, requests, usage, own: operator.own_peak() })
    }
}

/// All objects are created; until all of them are Ready.
pub(super) async fn start(stage: &Stage, operator: &Operator) -> Result<Phase> {
    let count = Count::begin(stage, operator.usage()?.processor).await?;
    stage.create_objects().await?;
    let all = usize::try_from(stage.count)?;
    until("all objects are Ready", deadline(stage.count), || (stage.seen.ready() >= all).then_some(())).await?;
    let took = count.start.elapsed();
    at_rest(operator, stage.count).await?;
    count.end(stage, operator, took).await
}

/// One minute, in which nobody changes anything. It is not looked at meanwhile: a request for metrics costs processor time, too.
pub(super) async fn steady(stage: &Stage, operator: &Operator) -> Result<Phase> {
    sleep(BEFORE_STEADY).await;
    let count = Count::begin(stage, operator.usage()?.processor).await?;
    sleep(MINUTE.saturating_sub(count.start.elapsed())).await;
    let took = count.start.elapsed();
    count.end(stage, operator, took).await
}

/// Mirrored Secrets are edited, one after the other; for each one the time until it is repaired.
pub(super) async fn drift(stage: &Stage) -> Result<Vec<Duration>> {
    let mut repairs = Vec::new();
    for number in spread(stage.count, EDITS) {
        let edited = Instant::now();
        stage.edit_mirror(number).await?;
        let repaired = || stage.seen.value_since(&key(number), &value(number, 0), edited);
        repairs.push(until("an edited Secret is repaired", DEADLINE, repaired).await?.duration_since(edited));
    }
    Ok(repairs)
}

/// Values are changed in AWS; for each one the time until its Secret has it.
pub(super) async fn latency(stage: &Stage) -> Result<Vec<Duration>> {
    let mut changes = Vec::new();
    for number in spread(stage.count, LEAST) {
        changes.push((number, Instant::now()));
        stage.change_in_aws(number)?;
        sleep(BETWEEN_CHANGES).await;
    }
    let mut latencies = Vec::new();
    for (number, changed) in changes {
        let mirrored = || stage.seen.value_since(&key(number), &value(number, 1), changed);
        latencies.push(until("a changed value is mirrored", DEADLINE, mirrored).await?.duration_since(changed));
    }
    Ok(latencies)
}

/// A new process of the operator, until it is at rest.
pub(super) async fn restart(stage: &Stage, binary: &Path, flags: &[String]) -> Result<(Operator, Phase)> {
    let count = Count::begin(stage, Duration::ZERO).await?;
    let operator = stage.start_operator(binary, IDENTITY, flags).await?;
    at_rest(&operator, stage.count).await?;
    let took = count.start.elapsed().saturating_sub(LOOK * (LOOKS - 1));
    let phase = count.end(stage, &operator, took).await?;
    Ok((operator, phase))
}

/// Each object was reconciled at least once, and none is due.
pub(super) async fn at_rest(operator: &Operator, objects: u32) -> Result<()> {
    let (start, mut looks) = (Instant::now(), 0);
    while looks < LOOKS {
        ensure!(start.elapsed() < deadline(objects), "the operator does not come to rest");
        let (open, ended) = operator.reconciles().await?;
        looks = if open < 0.5 && ended >= f64::from(objects) { looks + 1 } else { 0 };
        sleep(LOOK).await;
    }
    Ok(())
}

/// For something that takes a time for each object.
pub(super) fn deadline(objects: u32) -> Duration {
    DEADLINE.saturating_add(FOR_EACH.saturating_mul(objects))
}

/// So many of the objects, evenly spread.
fn spread(objects: u32, count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |number| number * (objects / count))
}
