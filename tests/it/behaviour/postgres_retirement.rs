//! Two users in a real PostgreSQL take turns, and the one that is not in use is locked once every workload has the other one.
//! What pods have logs in at every write.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rotated_secrets::api::ROLLBACK;
use serde_json::json;

use super::postgres::OLD;
use super::postgres_alternating::Pair;
use super::stage::{HOUR, MINUTE};
use crate::workloads::Workloads;

/// Not long enough for a second look at the workloads.
const SECONDS: Duration = Duration::from_secs(3);

/// Boxed, as is [`live`]: a test that awaits many of them has a large stack frame otherwise.
fn rotate<'a>(pair: &'a Pair, token: &'a str) -> BoxFuture<'a, Result<(String, String)>> {
    async move {
        pair.stage().advance(MINUTE);
        pair.stage().world.request_rotation("app", token).await?;
        pair.stage().live("app", SECONDS).await?;
        pair.mirrored().await
    }
    .boxed()
}

fn live(pair: &Pair, time: Duration) -> BoxFuture<'_, Result<()>> {
    pair.stage().live("app", time).boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_that_is_not_in_use_is_locked_after_each_rollout() -> Result<()> {
    let pair = Pair::new("turn_gone").await?;
    let stage = pair.stage();
    let deployments = Workloads::of(&stage.world, "Deployment");
    deployments.create("api", "app").await?;
    let mut spec = pair.spec();
    spec["rollout"] = json!({"retireAfter": "10m"});
    stage.settled("app", spec).await?;
    let first = rotate(&pair, "now").await?;
    assert_eq!(first.0, pair.twin());
    live(&pair, 5 * MINUTE).await?;
    ensure!(pair.accepts("turn_gone", OLD)?, "pods may still have it");
    deployments.settle("api").await?;
    live(&pair, 15 * MINUTE).await?;
    ensure!(!pair.accepts("turn_gone", OLD)? && pair.accepts(&first.0, &first.1)?);
    assert_eq!(stage.told("app", "Normal", "Retired").await?, 1);
    assert_eq!(pair.check(2).await?, first, "the second user works as the base user, which is locked");

    // The turn of the base user unlocks it.
    let second = rotate(&pair, "again").await?;
    assert_eq!(second.0, "turn_gone");
    deployments.settle("api").await?;
    live(&pair, 15 * MINUTE).await?;
    ensure!(!pair.accepts(&first.0, &first.1)? && pair.accepts(&second.0, &second.1)?);

    // So does a rollback to the version of the locked user.
    stage.advance(MINUTE);
    stage.world.annotate("app", ROLLBACK, "back:AWSPREVIOUS").await?;
    live(&pair, SECONDS).await?;
    assert_eq!(pair.mirrored().await?, first);
    deployments.settle("api").await?;
    live(&pair, HOUR / 2).await?;
    ensure!(pair.accepts(&first.0, &first.1)? && !pair.accepts(&second.0, &second.1)?);
    pair.check(4).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_locks_the_user_whose_password_leaked() -> Result<()> {
    let pair = Pair::new("turn_leak").await?;
    pair.stage().settled("app", pair.spec()).await?;
    let current = rotate(&pair, "leaked:emergency").await?;
    ensure!(!pair.accepts("turn_leak", OLD)? && pair.accepts(&current.0, &current.1)?);
    let next = rotate(&pair, "now").await?;
    ensure!(next.0 == "turn_leak" && pair.accepts(&next.0, &next.1)? && pair.accepts(&current.0, &current.1)?);
    pair.check(3).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_without_the_right_to_lock_keeps_both_users_and_is_told() -> Result<()> {
    let pair = Pair::new("turn_kept").await?;
    let stage = pair.stage();
    let mut spec = pair.spec();
    spec["rollout"] = json!({});
    stage.settled("app", spec).await?;
    let deployments = Workloads::of(&stage.world, "Deployment");
    deployments.create("api", "app").await?;
    let first = rotate(&pair, "now").await?;
    pair.scene.postgres.sql("postgres", "ALTER ROLE turn_kept_admin NOCREATEROLE")?;
    deployments.settle("api").await?;
    live(&pair, 5 * MINUTE).await?;
    let message = stage.expect("app", "RolledOut", "False", "RetirementFailed").await?;
    ensure!(message.contains("AdminNotPermitted"), "{message}");
    ensure!(pair.accepts("turn_kept", OLD)? && pair.accepts(&first.0, &first.1)?);
    pair.scene.postgres.sql("postgres", "ALTER ROLE turn_kept_admin CREATEROLE")?;
    live(&pair, HOUR / 2).await?;
    ensure!(!pair.accepts("turn_kept", OLD)?);
    stage.expect("app", "RolledOut", "True", "Succeeded").await.map(drop)
}
