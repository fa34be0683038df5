//! The change feed: objects at rest are not read one by one, and a change in AWS is found all the same.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::until;

use crate::operator::Operator;
use crate::stage::Stage;

const OBJECTS: u32 = 30;
/// Lists every eight seconds: objects are left to them while the last one is not older than two intervals. The sweep is too far away to be
/// seen.
const FLAGS: [&str; 5] = ["--change-feed", "--refresh-interval", "8s", "--log", "info"];
/// The first objects at rest are too few for lists, and are described once more.
const AFTER_RESTART: u64 = 6;
const COVERED: &str = "rotated_secrets_feed_objects{covered=\"true\"}";

fn name(number: u32) -> String {
    format!("o{number:02}")
}

/// Objects that are Ready, and all left to the feed.
async fn covered(stage: &Stage, operator: &Operator) -> Result<()> {
    until("every object is left to the feed", async || Ok((operator.metric(COVERED).await? >= f64::from(OBJECTS)).then_some(()))).await?;
    ensure!(stage.emulator.counters().count("ListSecrets", "ok") > 0, "secrets are listed");
    Ok(())
}

/// The password that pods have.
async fn mirrored(stage: &Stage, name: &str) -> Result<String> {
    let data = stage.secrets().get(name).await?.data.unwrap_or_default();
    Ok(String::from_utf8(data.get("password").map(|bytes| bytes.0.clone()).unwrap_or_default())?)
}

async fn objects(prefix: &str) -> Result<(Stage, Operator)> {
    let stage = Stage::alone(prefix).await?;
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    stream::iter(0..OBJECTS)
        .map(|number| {
            let stage = &stage;
            async move { stage.create(&name(number), json!({"value": {"generate": {"password": {}}}})).await.map(drop) }
        })
        .buffer_unordered(8)
        .try_collect::<()>()
        .await?;
    for number in 0..OBJECTS {
        stage.ready(&name(number)).await?;
    }
    covered(&stage, &operator).await?;
    Ok((stage, operator))
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_at_rest_cost_one_list_an_interval_and_a_change_reads_its_object_only() -> Result<()> {
    let (stage, operator) = objects("feed").await?;
    let counters = stage.emulator.counters();
    let (_, from) = stage.asked(0).await?;
    counters.reset();
    until("five more lists", async || Ok((counters.total("ListSecrets") >= 5).then_some(()))).await?;
    let (lists, all) = (counters.total("ListSecrets"), counters.all());
    ensure!(all.iter().all(|((operation, _), _)| *operation == "ListSecrets"), "nothing else is called: {all:?}");
    let (asked, from) = stage.asked(from).await?;
    let asked: Vec<_> = asked.iter().filter(|event| event.resource != "leases" && event.verb != "watch").collect();
    ensure!(asked.is_empty(), "the API server is not asked: {asked:?}");
    println!("feed: {OBJECTS} objects at rest, {lists} lists and no other call");

    let changed = stage.aws_name(&name(7));
    stage.emulator.external_writer().put_value(&changed, r#"{"password": "of another client"}"#)?;
    until("the Secret has the value", async || Ok((mirrored(&stage, &name(7)).await? == "of another client").then_some(()))).await?;
    covered(&stage, &operator).await?;
    let read: BTreeSet<String> = stage
        .emulator
        .log()
        .into_iter()
        .filter(|call| call.operation == "GetSecretValue" || call.operation == "DescribeSecret")
        .rev()
        .take(3)
        .filter_map(|call| call.request.get("SecretId").and_then(|id| id.as_str()).map(str::to_owned))
        .collect();
    ensure!(read.iter().all(|id| id.contains(&name(7))), "only this secret is read: {read:?}");
    let writes = stage.asked(from).await?.0.into_iter().filter(|event| event.resource == "secrets" && event.verb != "get").count();
    ensure!(writes == 1, "only its Secret is written: {writes}");

    // Another process lists once, and finds every object at rest.
    ensure!(operator.terminate().await?.success(), "the operator stops with code 0");
    let (_, from) = stage.asked(from).await?;
    counters.reset();
    let operator = Operator::start_with(&stage, &FLAGS).await?;
    covered(&stage, &operator).await?;
    let described = counters.total("DescribeSecret");
    ensure!(described <= AFTER_RESTART, "objects at rest are not described after a restart: {described}");
    ensure!(counters.total("GetSecretValue") == 0 && counters.writes() == 0, "{:?}", counters.all());
    let (asked, _) = stage.asked(from).await?;
    let asked: Vec<_> = asked.iter().filter(|event| event.resource != "leases" && event.verb != "watch" && event.verb != "list").collect();
    // The cluster's id and the check before the start.
    ensure!(asked.len() <= 2 * usize::try_from(AFTER_RESTART)?, "lists are enough: {asked:?}");
    println!("feed: a restart with {OBJECTS} objects, {described} described");
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_lists_every_object_is_read_again_and_a_late_entry_is_not_missed() -> Result<()> {
    let (stage, operator) = objects("feed-lost").await?;
    let counters = stage.emulator.counters();
    let fails = Fault::Refuse { code: "InternalServiceError".to_owned(), message: "no".to_owned() };
    stage.emulator.set_faults(FaultPlan::none().with("ListSecrets", When::Always, fails));
    counters.reset();
    until("every object is read on its own", async || Ok((counters.total("DescribeSecret") >= 2 * u64::from(OBJECTS)).then_some(())))
        .await?;
    ensure!(operator.metric(COVERED).await? < 1.0, "none is left to the feed");
    operator.said("changes in AWS cannot be listed; objects are read one by one")?;

    stage.emulator.set_faults(FaultPlan::none());
    covered(&stage, &operator).await?;
    // Later than the list that covers the time of the change, and below a newer entry.
    stage.emulator.set_list_lag(std::time::Duration::from_secs(15));
    stage.emulator.external_writer().put_value(&stage.aws_name(&name(3)), r#"{"password": "seen late"}"#)?;
    until("the Secret has the value", async || Ok((mirrored(&stage, &name(3)).await? == "seen late").then_some(()))).await?;
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    stage.emulator.set_faults(FaultPlan::none().with("ListSecrets", When::Always, denied));
    until("the feed ends", async || {
        Ok((operator.metric("rotated_secrets_feed_lists_total{outcome=\"denied\"}").await? >= 1.0).then_some(()))
    })
    .await?;
    counters.reset();
    until("every object is read on its own", async || Ok((counters.total("DescribeSecret") >= 2 * u64::from(OBJECTS)).then_some(())))
        .await?;
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_loses_its_owner_reference_is_reported_although_its_object_is_left_to_the_feed() -> Result<()> {
    let (stage, operator) = objects("feed-owner").await?;
    let edit = Patch::Merge(json!({"metadata": {"ownerReferences": null}, "stringData": {"password": "of another client"}}));
    stage.secrets().patch(&name(3), &PatchParams::default(), &edit).await?;
    stage.refused(&name(3), "SecretNotOwned").await?;
    ensure!(mirrored(&stage, &name(3)).await? == "of another client", "it is not overwritten");
    operator.check()
}
