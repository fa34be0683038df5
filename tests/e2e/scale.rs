//! The small form of `cargo bench-operator`: what objects that only mirror cost at rest and after a restart. It fails on counts; only the
//! benchmark tells times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::MIRROR_NAMES;
use serde_json::json;
use testkit::controlplane::Requests;
use testkit::until;

use crate::counts::{all_ready, quiet, settle};
use crate::operator::Operator;
use crate::stage::Stage;

const OBJECTS: u64 = 40;
const INTERVAL: Duration = Duration::from_secs(5);
const FLAGS: [&str; 6] = ["--refresh-interval", "5s", "--concurrency", "8", "--log", "info"];
/// Lists, and requests that belong to no object.
const FIXED_READS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_only_mirror_cost_one_describe_for_each_interval_and_a_restart_writes_nothing() -> Result<()> {
    let stage = Stage::alone("scale").await?;
    mirrored_objects(&stage).await?;
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    all_ready(&stage, usize::try_from(OBJECTS)?).await?;
    settle(&stage).await?;
    let counters = stage.emulator.counters();
    ensure!(counters.writes() == 0, "what is only mirrored is not written in AWS: {:?}", counters.all());
    // As for every new object (docs/sizing.md).
    ensure!(counters.total("GetSecretValue") <= 2 * OBJECTS, "each value is read at most twice: {:?}", counters.all());

    let (_, from) = stage.asked(0).await?;
    let start = Instant::now();
    counters.reset();
    stage.reads(3 * OBJECTS).await?;
    quiet(&stage, "three intervals", from).await?;
    bounded(&stage, "three intervals", start, from).await?;

    ensure!(operator.terminate().await?.success(), "the operator stops with code 0");
    let (_, from) = stage.asked(0).await?;
    let start = Instant::now();
    counters.reset();
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    until("every object was looked at after the restart", async || Ok((counters.total("DescribeSecret") >= OBJECTS).then_some(()))).await?;
    settle(&stage).await?;
    quiet(&stage, "a restart", from).await?;
    bounded(&stage, "a restart", start, from).await?;
    operator.check()
}

/// Secrets of another owner in AWS, and an object for each.
async fn mirrored_objects(stage: &Stage) -> Result<()> {
    let allowed = json!({"metadata": {"annotations": {MIRROR_NAMES: "shared/*"}}});
    let namespaces: Api<Namespace> = Api::all(stage.plane().admin());
    namespaces.patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(allowed)).await?;
    let external_writer = stage.emulator.external_writer();
    stream::iter(0..OBJECTS)
        .map(|number| {
            let name = format!("o{number:02}");
            let secret = format!("shared/{name}");
            let created = external_writer.create(&secret, r#"{"password":"the first one"}"#, &BTreeMap::new()).context("an AWS secret");
            async move {
                created?;
                stage.create(&name, json!({"aws": {"secretName": secret}})).await.map(drop)
            }
        })
        .buffer_unordered(8)
        .try_collect()
        .await
}

/// An object is checked at once, and then once in each interval, which is up to a tenth shorter or longer for it. Each check is one
/// `DescribeSecret`; watches show the rest. A slow machine makes fewer checks, not more.
async fn bounded(stage: &Stage, what: &str, start: Instant, from: usize) -> Result<()> {
    let (asked, _) = stage.asked(from).await?;
    let counters = stage.emulator.counters();
    let intervals = u64::try_from(start.elapsed().as_millis() / (INTERVAL * 9 / 10).as_millis())?;
    let (checks, most) = (counters.total("DescribeSecret"), OBJECTS * (intervals + 1));
    ensure!(checks <= most, "{what}: {checks} DescribeSecret, and at most {most} are expected");
    ensure!(counters.calls() == checks, "{what}: no other call: {:?}", counters.all());
    let reads = Requests::of(&asked).reads;
    ensure!(reads <= FIXED_READS, "{what}: {reads} reads of Kubernetes, and at most {FIXED_READS} are expected");
    println!("scale: {what}: {checks} DescribeSecret, {reads} reads of Kubernetes");
    Ok(())
}
