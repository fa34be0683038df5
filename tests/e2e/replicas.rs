//! Two operators at once, without a lease between them: the token decides, not the leader.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::ResourceExt as _;
use kube::api::{WatchEvent, WatchParams};
use rotated_secrets::api::VERSION_ID;
use testkit::{ready_reason, until};

use crate::counts::settle;
use crate::operator::Operator;
use crate::rotating;
use crate::stage::Stage;

const OFTEN: [&str; 2] = ["--refresh-interval", "2s"];

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_rotate_once_for_each_due_time() -> Result<()> {
    let stage = Stage::enter("replicas").await?;
    let (one, other) = tokio::try_join!(Operator::start_with(&stage, &OFTEN), Operator::start_with(&stage, &OFTEN))?;
    rotating::create(&stage).await?;
    let mirrors = stage.secrets();
    let mirrored = tokio::spawn(async move {
        let events = mirrors.watch(&WatchParams::default(), "0").await?;
        let written = events.try_filter_map(async |event| {
            Ok(match event {
                WatchEvent::Added(secret) | WatchEvent::Modified(secret) => {
                    secret.annotations().get(VERSION_ID).map(|version| (secret.name_any(), version.clone()))
                }
                _ => None,
            })
        });
        anyhow::Ok(written.take_until(tokio::time::sleep(Duration::from_mins(30))).boxed())
    })
    .await??;

    rotating::rotate(&stage, 6).await?;
    let ends = rotating::stop(&stage).await?;

    let calls = stage.emulator.counters();
    println!(
        "replicas: {} versions written, {} refused because the other replica was first",
        calls.count("PutSecretValue", "ok") + calls.count("CreateSecret", "ok"),
        calls.count("PutSecretValue", "ResourceExistsException") + calls.count("CreateSecret", "ResourceExistsException"),
    );

    // What each replica had begun before has ended.
    settle(&stage).await?;
    let mut ends = ends;
    for (name, end) in &mut ends {
        *end = stage.ready(name).await?;
    }
    // No further writes, whichever replica reconciles.
    let (_, from) = stage.asked(0).await?;
    stage.emulator.counters().reset();
    until("each object was reconciled four times, by two replicas", async || {
        for (name, end) in &ends {
            let object = stage.objects().get(name).await?;
            ensure!(ready_reason(&object).is_some_and(|(status, _)| status == "True"), "{name} stays Ready");
            ensure!(object.resource_version() == end.object.resource_version(), "{name} is not written any more");
        }
        Ok((stage.emulator.counters().total("DescribeSecret") >= 4 * ends.len() as u64).then_some(()))
    })
    .await?;
    let late = stage.asked(from).await?.0;
    ensure!(late.iter().all(|event| !event.is_write() || event.resource == "events"), "no write at the end");
    ensure!(stage.emulator.counters().writes() == 0, "nor to AWS");

    // What was mirrored went from version to version and never back.
    let last = ends.iter().map(|(name, end)| ((*name).to_owned(), end.aws.labels["AWSCURRENT"].clone())).collect::<Vec<_>>();
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut mirrored = mirrored;
    while !last.iter().all(|end| seen.contains(end)) {
        seen.push(mirrored.next().await.context("the watch goes on")??);
    }
    for (name, end) in &ends {
        let order: Vec<usize> = seen
            .iter()
            .filter(|(of, _)| of == name)
            .map(|(_, version)| end.aws.versions.iter().position(|known| known.id == *version).context("a mirrored version is in AWS"))
            .collect::<Result<_>>()?;
        ensure!(order.is_sorted(), "the mirror of {name} went backwards: {order:?}");
        println!("replicas: {name} has {} versions, mirrored in the order {order:?}", end.aws.versions.len());
    }
    one.check()?;
    other.check()
}
