//! What watches and lists show may be old. An object rests on it, and nothing is written because of it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::{ALLOWED_NAMES, ROLE_ARN};
use rotated_secrets::aws::Address;
use rotated_secrets::fairness::Key;
use rotated_secrets::feed::{Answer, Feed, LAG, Sight, Source};
use rotated_secrets::identity::Identity;
use rotated_secrets::reconcile::{Context, ReconcileResult, reconcile};
use serde_json::json;

use super::stage::{MINUTE, Stage};
use testkit::REGION;
use testkit::fixtures::{spec, unscheduled};

/// A process that has watched this object, and knows nothing else.
async fn restarted(stage: &Stage) -> Result<Context> {
    let ctx = stage.operator().await?;
    stage.show(&ctx, "app").await?;
    stage.world.emulator.counters().reset();
    stage.writes.take();
    Ok(ctx)
}

async fn once(stage: &Stage, ctx: &Context) -> Result<ReconcileResult> {
    Ok(reconcile(&stage.object("app").await?, ctx).await)
}

/// The calls to AWS since the counters were reset.
fn calls(stage: &Stage) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for ((operation, _), count) in stage.world.emulator.counters().all() {
        *calls.entry(operation.clone()).or_default() += count;
    }
    calls
}

fn are(calls: &BTreeMap<String, u64>, expected: &[(&str, u64)]) -> bool {
    calls.iter().map(|(operation, count)| (operation.as_str(), *count)).eq(expected.iter().copied())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_lags_behind_a_rotation_leads_to_no_write() -> Result<()> {
    let stage = Stage::new("watched").await?;
    stage.settled("app", spec()).await?;
    let ctx = restarted(&stage).await?;
    // The watch of this process does not show what another one does now.
    let other = stage.operator().await?;
    stage.request_rotation("app", "now").await?;
    stage.world.settle(&other, "app").await?.context("it exists")?;
    let before = (stage.object("app").await?.resource_version(), stage.mirrored_version("app").await?, stage.aws());
    stage.writes.take();
    stage.world.emulator.counters().reset();

    let ended = once(&stage, &ctx).await?;
    ensure!(!ended.failed && !ended.changed, "{ended:?}");
    ensure!(are(&calls(&stage), &[("DescribeSecret", 1)]), "what AWS showed is not read again: {:?}", calls(&stage));
    ensure!(stage.writes.take().is_empty(), "nothing is written");
    ensure!(before == (stage.object("app").await?.resource_version(), stage.mirrored_version("app").await?, stage.aws()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_was_withdrawn_is_not_used_however_old_the_watch_is() -> Result<()> {
    let stage = Stage::new("withdrawn").await?;
    let allow = async |names: Option<&str>| {
        let patch = json!({"metadata": {"annotations": {ALLOWED_NAMES: names}}});
        let namespaces = Api::<Namespace>::all(stage.admin.clone());
        namespaces.patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    };
    allow(Some("shared/*")).await?;
    let mut wanted = spec();
    wanted["aws"] = json!({"secretName": "shared/app"});
    stage.settled("app", wanted).await?;
    let ctx = restarted(&stage).await?;
    allow(None).await?;
    stage.request_rotation("app", "now").await?;

    let ended = once(&stage, &ctx).await?;
    ensure!(!ended.failed, "it begins again with what was read: {ended:?}");
    stage.expect("app", "Ready", "False", "NameNotAllowed").await?;
    ensure!(stage.aws_write_calls() == 0 && !calls(&stage).contains_key("GetSecretValue"), "{:?}", calls(&stage));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_replaced_is_not_reported_as_refused() -> Result<()> {
    let stage = Stage::new("replaced-role").await?;
    let role = async |arn: Option<&str>| {
        let patch = json!({"metadata": {"annotations": {ROLE_ARN: arn}}});
        let namespaces = Api::<Namespace>::all(stage.admin.clone());
        namespaces.patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    };
    stage.settled("app", spec()).await?;
    // Nobody trusts the operator there.
    role(Some("arn:aws:iam::123456789012:role/gone")).await?;
    let ctx = restarted(&stage).await?;
    role(None).await?;
    let before = stage.object("app").await?.resource_version();
    let ended = once(&stage, &ctx).await?;
    ensure!(!ended.failed && !ended.changed && stage.writes.take().is_empty(), "{ended:?}");
    ensure!(stage.object("app").await?.resource_version() == before, "the refusal of a role that is not used any more is not told");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_list_is_enough_for_an_object_at_rest() -> Result<()> {
    let stage = Stage::new("listed").await?;
    stage.settled("app", spec()).await?;
    let mut ctx = restarted(&stage).await?;
    stage.feed(&mut ctx, "app").await?;
    let ended = once(&stage, &ctx).await?;
    ensure!(!ended.failed && !ended.changed && stage.writes.take().is_empty(), "{ended:?}");
    ensure!(are(&calls(&stage), &[("ListSecrets", 1)]), "{:?}", calls(&stage));
    once(&stage, &ctx).await?;
    ensure!(are(&calls(&stage), &[("DescribeSecret", 1), ("ListSecrets", 1)]), "the second time, it is read: {:?}", calls(&stage));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_list_that_lags_behind_the_status_is_not_believed() -> Result<()> {
    let stage = Stage::new("lagging").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(10 * MINUTE);
    stage.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.world.emulator.set_list_lag(5 * MINUTE);
    let mut ctx = restarted(&stage).await?;
    stage.feed(&mut ctx, "app").await?;
    let before = stage.object("app").await?.resource_version();
    let ended = once(&stage, &ctx).await?;
    ensure!(!ended.failed && !ended.changed && stage.writes.take().is_empty(), "{ended:?}");
    ensure!(are(&calls(&stage), &[("DescribeSecret", 1), ("ListSecrets", 1)]), "{:?}", calls(&stage));
    ensure!(stage.object("app").await?.resource_version() == before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_first_list_does_not_show_yet_is_in_a_later_one() -> Result<()> {
    let stage = Stage::new("later").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(10 * MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username": "admin", "password": "of another client"}"#)?;
    stage.world.emulator.set_list_lag(5 * MINUTE);
    stage.advance(MINUTE);
    let mut ctx = restarted(&stage).await?;
    stage.feed(&mut ctx, "app").await?;
    let ended = once(&stage, &ctx).await?;
    ensure!(!ended.changed && are(&calls(&stage), &[("ListSecrets", 1)]), "it rests on what was true: {:?}", calls(&stage));

    stage.advance(5 * MINUTE);
    let (feed, source) = (ctx.feed.as_ref().context("a feed")?, Source { identity: Identity::Operator, region: REGION.to_owned() });
    let now = (ctx.clock)();
    let listed = ctx.aws.operator().changed_since(REGION, None, LAG).await.map_err(|failure| anyhow::anyhow!(failure.message))?;
    let (changed, _) = feed.ended(&source, now, &Answer::Listed(listed.context("few")?));
    ensure!(changed.len() == 1 && *changed[0].name == *"app", "{changed:?}");
    stage.world.settle(&ctx, "app").await?;
    ensure!(stage.data("app").await?["password"] == "of another client");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_long_ago_are_not_listed_for_ever_although_nothing_changed_since() -> Result<()> {
    let stage = Stage::new("long-ago").await?;
    for name in ["one", "other"] {
        stage.external_writer().create(&stage.aws_name(name), "a value", &BTreeMap::new())?;
    }
    let listed = async || -> Result<usize> {
        let listed = stage.ctx.aws.operator().changed_since(REGION, None, LAG).await;
        Ok(listed.map_err(|failure| anyhow::anyhow!(failure.message))?.context("few")?.len())
    };
    ensure!(listed().await? == 2);
    stage.advance(29 * MINUTE);
    ensure!(listed().await? == 2);
    stage.advance(2 * MINUTE);
    ensure!(listed().await? == 0, "so many changes at once that no list has them all are left behind");
    Ok(())
}

/// Three other objects rest, and a list is complete: the feed covers what comes to rest from now on.
fn covers(ctx: &mut Context) -> Result<()> {
    let (feed, now) = (Feed::new(ctx.refresh_interval), (ctx.clock)());
    let source = Source { identity: Identity::Operator, region: REGION.to_owned() };
    for number in 0..3 {
        let sight = Sight { source: source.clone(), arn: number.to_string(), changed: now };
        ensure!(!feed.rests(&Key::new("others", number.to_string()), sight, now), "no list is complete");
    }
    feed.ended(&source, now, &Answer::Listed(Vec::new()));
    ctx.feed = Some(feed);
    Ok(())
}

/// Reconciles until nothing is written. Says whether the object is left to the feed.
async fn left_to_the_feed(stage: &Stage, ctx: &mut Context) -> Result<bool> {
    covers(ctx)?;
    let mut ended = once(stage, ctx).await?;
    while ended.changed {
        ended = once(stage, ctx).await?;
    }
    let covered = ctx.feed.as_ref().context("a feed")?.counts().covered;
    let again = ended.again.context("it is reconciled again")?;
    // An interval is spread by a tenth.
    let soon = again.as_secs() * 10 <= ctx.refresh_interval.unsigned_abs().as_secs() * 11;
    ensure!((covered == 0) == soon, "{covered} covered, again in {again:?}");
    Ok(covered == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_a_part_that_is_not_as_declared_is_not_left_to_the_feed() -> Result<()> {
    let stage = Stage::new("not-at-rest").await?;
    stage.settled("app", unscheduled()).await?;
    let mut ctx = restarted(&stage).await?;
    ensure!(left_to_the_feed(&stage, &mut ctx).await?, "it rests");
    stage.delete_secret("app").await?;
    stage.make_secret(json!({"metadata": {"name": "app"}, "stringData": {"password": "of another client"}})).await?;
    let mut ctx = restarted(&stage).await?;
    ensure!(!left_to_the_feed(&stage, &mut ctx).await?);
    stage.expect("app", "Mirrored", "False", "SecretNotOwned").await?;
    // No change in AWS tells of this.
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    ensure!(left_to_the_feed(&stage, &mut restarted(&stage).await?).await?, "it rests again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_replica_is_requested_again_after_ten_minutes_however_seldom_the_object_is_read() -> Result<()> {
    const WEST: &str = "eu-west-1";
    let stage = Stage::new("failed-replica").await?;
    let there = stage.external_writer().in_region(WEST);
    there.create(&stage.aws_name("app"), "theirs", &BTreeMap::new())?;
    let mut wanted = unscheduled();
    wanted["aws"] = json!({"replicaRegions": [{"region": WEST}]});
    stage.settled("app", wanted).await?;
    let mut ctx = restarted(&stage).await?;
    ensure!(!left_to_the_feed(&stage, &mut ctx).await?);
    stage.expect("app", "Provisioned", "False", "ReplicaFailed").await?;

    ctx.refresh_interval = jiff::SignedDuration::from_hours(24);
    ensure!(there.purge(&stage.aws_name("app")));
    let again = once(&stage, &ctx).await?.again.context("it is reconciled again")?;
    ensure!(!calls(&stage).contains_key("ReplicateSecretToRegions"), "it is left alone for a while: {:?}", calls(&stage));
    ensure!(again <= 10 * MINUTE, "{again:?}");
    stage.advance(again);
    once(&stage, &ctx).await?;
    ensure!(calls(&stage).get("ReplicateSecretToRegions") == Some(&1), "{:?}", calls(&stage));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_list_says_what_a_description_says_except_for_replicas() -> Result<()> {
    let stage = Stage::new("entries").await?;
    let writer = stage.external_writer();
    writer.create("plain", "value", &BTreeMap::new())?;
    writer.create("tagged", "value", &BTreeMap::from([("team".to_owned(), "shop".to_owned())]))?;
    writer.set_description("tagged", "of the shop")?;
    writer.put_value("tagged", "second")?;
    writer.put_pending("tagged", "third")?;
    writer.create("deleted", "value", &BTreeMap::new())?;
    writer.delete("deleted", 7)?;
    writer.create("replicated", "value", &BTreeMap::new())?;
    writer.act("ReplicateSecretToRegions", &json!({"SecretId": "replicated", "AddReplicaRegions": [{"Region": "eu-west-1"}]}))?;
    writer.create_managed("managed", "value");
    stage.advance(10 * MINUTE);
    let aws = stage.ctx.aws.operator();
    let mut listed = Vec::new();
    let all = aws.list(REGION, 1, |secret| listed.push(secret)).await.map_err(|failure| anyhow::anyhow!(failure.message))?;
    ensure!(all && listed.len() == 5, "{listed:?}");
    for mut entry in listed {
        let at = Address { region: REGION, id: &entry.arn };
        let described = aws.describe(at).await.map_err(|failure| anyhow::anyhow!(failure.message))?.context("it exists")?;
        ensure!(entry.replicas.is_empty() && described.replicas.is_empty() == described.primary_region.is_none(), "{described:?}");
        entry.replicas.clone_from(&described.replicas);
        ensure!(entry == described, "{entry:?}\n{described:?}");
    }
    let none = aws.list(REGION, 0, |_| ()).await.map_err(|failure| anyhow::anyhow!(failure.message))?;
    ensure!(!none, "more pages than are read");
    Ok(())
}
