//! What quiet intervals, a restart and one rotation cost with two hundred objects.

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use testkit::controlplane::AuditEvent;
use testkit::{pause, ready_reason, until};

use crate::operator::Operator;
use crate::stage::Stage;

const OBJECTS: usize = 200;
/// Short, so that three of them pass soon. Two hundred reconciles take a debug build on a busy machine two seconds.
const FLAGS: [&str; 4] = ["--refresh-interval", "8s", "--log", "info"];

fn writes(asked: &[AuditEvent]) -> Vec<&AuditEvent> {
    asked.iter().filter(|event| event.is_change()).collect()
}

fn said(writes: &[&AuditEvent]) -> Vec<String> {
    writes.iter().map(|event| format!("{} {}/{} {} ({})", event.verb, event.resource, event.subresource, event.name, event.code)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_intervals_and_a_restart_write_nothing_and_a_rotation_writes_three_times() -> Result<()> {
    let stage = Stage::alone("counts").await?;
    let counters = stage.emulator.counters();
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    used(&operator, "at start")?;
    let started = std::time::Instant::now();
    stream::iter(0..OBJECTS)
        .map(|number| {
            let spec = json!({
                "value": {"data": {"username": "admin"}, "generate": {"password": {}}},
                "rotation": {"schedule": "rate(30 days)"},
            });
            let stage = &stage;
            async move { stage.create(&format!("o{number:03}"), spec).await.map(drop) }
        })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await?;
    all_ready(&stage, OBJECTS).await?;
    println!("counts: {OBJECTS} objects are Ready after {:.1?}", started.elapsed());
    settle(&stage).await?;
    used(&operator, "with all of them")?;
    let (asked, mut from) = stage.asked(0).await?;
    report("creation", &asked, &stage);
    ensure!(counters.writes() == OBJECTS as u64 && counters.count("CreateSecret", "ok") == OBJECTS as u64, "one AWS write for each");

    counters.reset();
    stage.reads(3 * OBJECTS as u64).await?;
    from = quiet(&stage, "three quiet intervals", from).await?;
    used(&operator, "three intervals later")?;

    ensure!(operator.terminate().await?.success(), "the operator stops with code 0");
    counters.reset();
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    until("every object was looked at after the restart", async || Ok((counters.total("DescribeSecret") >= OBJECTS as u64).then_some(())))
        .await?;
    settle(&stage).await?;
    from = quiet(&stage, "a restart", from).await?;
    let versions: usize = stage.emulator.secrets().iter().map(|secret| secret.versions.len()).sum();
    ensure!(versions == OBJECTS, "no rotation by the restart");

    counters.reset();
    let agreed = stage.rotate("o042", "please").await?;
    ensure!(agreed.aws.versions.len() == 2, "one rotation");
    settle(&stage).await?;
    let (asked, _) = stage.asked(from).await?;
    report("one rotation", &asked, &stage);
    let all = writes(&asked);
    let (reports, changes): (Vec<&AuditEvent>, Vec<&AuditEvent>) = all.iter().partition(|event| event.resource == "events");
    ensure!(counters.writes() == 1 && counters.count("PutSecretValue", "ok") == 1, "one AWS write: {:?}", counters.all());
    // A reconcile that begins before the cache has the new status reads the new one again.
    let read = counters.total("GetSecretValue");
    ensure!((2..=3).contains(&read), "two values are read, the predecessor's and the new one: {:?}", counters.all());
    let of = |resource: &str, sub: &str| changes.iter().filter(|event| event.resource == resource && event.subresource == sub).count();
    ensure!(of("secrets", "") == 1 && of("rotatedsecrets", "status") == 1 && changes.len() == 2, "two state writes: {:?}", said(&changes));
    ensure!(reports.len() <= 1, "at most one Event: {:?}", said(&reports));
    operator.check()
}

/// Told and not asserted: a debug build on a busy machine is no measure of speed.
fn used(operator: &Operator, when: &str) -> Result<()> {
    let used = operator.used()?;
    println!("counts: the operator {when}: {} KiB of its own, {:?} of processor time so far", used.own, used.processor);
    Ok(())
}

pub(crate) async fn all_ready(stage: &Stage, count: usize) -> Result<()> {
    until("all are Ready", async || {
        let objects = stage.objects().list(&kube::api::ListParams::default()).await?.items;
        let ready = objects.iter().filter(|object| ready_reason(object).is_some_and(|(status, _)| status == "True")).count();
        Ok((ready == count).then_some(()))
    })
    .await
}

/// Waits until the reconciles that follow the operator's own writes have ended: no write and no read of a value for five seconds.
pub(crate) async fn settle(stage: &Stage) -> Result<()> {
    let counters = stage.emulator.counters();
    let mut before = None;
    until("the reconciles have ended", async || {
        pause(5).await;
        let now = (writes(&stage.asked(0).await?.0).len(), counters.writes(), counters.total("GetSecretValue"));
        Ok((before.replace(now) == Some(now)).then_some(()))
    })
    .await
}

/// Nothing was written since.
pub(crate) async fn quiet(stage: &Stage, what: &str, from: usize) -> Result<usize> {
    let (asked, end) = stage.asked(from).await?;
    report(what, &asked, stage);
    let writes = writes(&asked);
    ensure!(writes.is_empty(), "{what}: writes to Kubernetes: {:?}", said(&writes));
    let counters = stage.emulator.counters();
    ensure!(counters.writes() == 0, "{what}: writes to AWS: {:?}", counters.all());
    ensure!(counters.total("GetSecretValue") == 0, "{what}: values were read: {:?}", counters.all());
    Ok(end)
}

pub(crate) fn report(what: &str, asked: &[AuditEvent], stage: &Stage) {
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for event in asked {
        let sub = if event.subresource.is_empty() { String::new() } else { format!("/{}", event.subresource) };
        *kinds.entry(format!("{} {}{sub} {}", event.verb, event.resource, event.code)).or_default() += 1;
    }
    println!("counts: {what}: Kubernetes {kinds:?}");
    println!("counts: {what}: AWS {:?}", stage.emulator.counters().all());
}
