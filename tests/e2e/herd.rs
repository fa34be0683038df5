//! The small form of the herd of `cargo bench-operator`: rotations that are all due at the same time, under AWS's quotas. It fails on counts.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use testkit::emulator::Quotas;
use testkit::until;

use crate::counts::{all_ready, report, settle};
use crate::operator::Operator;
use crate::stage::Stage;

const OBJECTS: u64 = 36;
/// They are rotated by their due time, and not looked at meanwhile.
const FLAGS: [&str; 6] = ["--refresh-interval", "1h", "--concurrency", "8", "--log", "info"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_at_the_same_time_rotates_once_each_without_throttled_requests_and_also_if_the_operator_is_killed() -> Result<()> {
    let stage = Stage::alone("herd").await?;
    stage.emulator.set_quotas(Quotas::Real);
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    let far = schedule(Timestamp::now() + SignedDuration::from_hours(8000));
    let spec = json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": far}});
    let create = async |number| stage.create(&name(number), spec.clone()).await;
    stream::iter(0..OBJECTS).map(create).buffer_unordered(8).try_collect::<Vec<_>>().await?;
    all_ready(&stage, usize::try_from(OBJECTS)?).await?;
    let counters = stage.emulator.counters();

    let (from, before) = due(&stage, &operator).await?;
    rotated(&stage, &before).await?;
    idle(&operator).await?;
    settle(&stage).await?;
    let (asked, _) = stage.asked(from).await?;
    report("a herd", &asked, &stage);
    ensure!(counters.count("PutSecretValue", "ok") == OBJECTS, "one write for each: {:?}", counters.all());
    ensure!(counters.writes() == OBJECTS, "and no other: {:?}", counters.all());
    ensure!(counters.all().keys().all(|(_, outcome)| outcome == "ok"), "nothing is throttled, nothing fails: {:?}", counters.all());
    // Three and two. One more of each where a reconcile begins before the cache has the new status (docs/sizing.md).
    ensure!(counters.total("DescribeSecret") <= 7 * OBJECTS / 2, "three for each, and few more: {:?}", counters.all());
    ensure!(counters.total("GetSecretValue") <= 3 * OBJECTS, "three at most for each: {:?}", counters.all());
    let written = |resource: &str, sub: &str| {
        let of_it = asked.iter().filter(|event| event.is_write() && event.resource == resource && event.subresource == sub);
        u64::try_from(of_it.count())
    };
    ensure!(written("secrets", "")? == OBJECTS, "each Secret is written once");
    ensure!(written("rotatedsecrets", "status")? == OBJECTS, "each status is written once");
    ensure!(written("events", "")? == OBJECTS, "one Event for each");

    let (_, before) = due(&stage, &operator).await?;
    until("half of them are rotated", async || {
        operator.check()?;
        Ok((counters.count("PutSecretValue", "ok") >= OBJECTS / 2).then_some(()))
    })
    .await?;
    operator.kill().await?;
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    rotated(&stage, &before).await?;
    idle(&operator).await?;
    settle(&stage).await?;
    for (number, before) in (0..OBJECTS).zip(before) {
        ensure!(stage.versions(&name(number)) == before + 1, "{} has one more version, and not two", name(number));
    }
    operator.check()
}

/// Gives all objects the same due time, and resets the counters. The due time is still to come then. Returns how many lines the audit log had,
/// and how many versions each object.
async fn due(stage: &Stage, operator: &Operator) -> Result<(usize, Vec<usize>)> {
    // Longer each time, for a slow machine: what is due too early is rotated, and the next time is tried.
    for lead in (1..).map(|attempt| 30 * attempt) {
        // A cron expression has whole minutes.
        let at = Timestamp::from_second((Timestamp::now().as_second() + lead) / 60 * 60 + 60)?;
        let patch = Patch::Merge(json!({"spec": {"rotation": {"schedule": schedule(at)}}}));
        for number in 0..OBJECTS {
            stage.objects().patch(&name(number), &PatchParams::default(), &patch).await?;
        }
        until("all objects are due at the same time", async || {
            let objects = stage.objects().list(&ListParams::default()).await?.items;
            let mut next = objects.iter().map(|object| object.status.as_ref()?.next_rotation_time.as_ref());
            Ok((next.all(|next| next.is_some_and(|next| next.0 == at)) || Timestamp::now() >= at).then_some(()))
        })
        .await?;
        idle(operator).await?;
        settle(stage).await?;
        let (_, from) = stage.asked(0).await?;
        stage.emulator.counters().reset();
        let before = (0..OBJECTS).map(|number| stage.versions(&name(number))).collect();
        // On a slow machine the time has passed, and the next one is in a year.
        if Timestamp::now() < at {
            return Ok((from, before));
        }
        ensure!(lead < 300, "no due time was far enough away");
    }
    unreachable!("there is no last attempt")
}

/// Waits until no reconcile is in progress and none waits.
async fn idle(operator: &Operator) -> Result<()> {
    until("no reconcile is in progress", async || {
        let in_progress = operator.metric("rotated_secrets_reconciles_in_progress").await?;
        Ok((in_progress + operator.metric("rotated_secrets_reconciles_waiting").await? < 1.0).then_some(()))
    })
    .await
}

/// Waits until each object has one more version than `before`, and its Secret has the value of the last one.
async fn rotated(stage: &Stage, before: &[usize]) -> Result<()> {
    for (number, before) in (0..OBJECTS).zip(before) {
        let name = name(number);
        until(&format!("{name} has more than {before} versions"), async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(stage.agreed(&name).await?.filter(|agreed| agreed.aws.versions.len() > *before).map(drop))
        })
        .await?;
    }
    Ok(())
}

/// A cron expression for this minute, once a year.
fn schedule(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::UTC);
    format!("{} {} {} {} *", at.minute(), at.hour(), at.day(), at.month())
}

fn name(number: u64) -> String {
    format!("herd-{number:02}")
}
