//! Incidents of targets and rollouts: a server that refuses a password, workloads that do not become healthy, a
//! credential that cannot be retired. And reconciles that wait.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use testkit::fixtures::unscheduled;
use testkit::redis::Redis;

use super::super::retirement::user_in_redis;
use super::dashboard::Shows::Exactly;
use super::release::Release;
use super::{with, with_release};
use crate::workloads::Workloads;

async fn rotate(release: &mut Release, name: &str) -> Result<()> {
    release.stage.world.request_rotation(name, "now").await?;
    release.touch(name);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_fails_is_an_alert_for_the_owner() -> Result<()> {
    let mut release = Release::of(4, &unscheduled()).await?;
    let rollout = json!({"timeout": "10m"});
    release
        .add("db", json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(12 hours)"}, "rollout": rollout}))
        .await?;
    release.run(2).await?;
    let fails = async |release: &mut Release| {
        Workloads::of(&release.stage.world, "Deployment").create("api", "db").await?;
        rotate(release, "db").await
    };
    let moments = [(8, &[][..]), (15, &["RotatedSecretsRolloutFailed"])];
    with_release(release, "a rollout fails", fails, &moments, &[(15, "Not Ready A", Exactly(1))]).await
}

/// A user in Redis whose password an object of the release rotates.
async fn with_user(release: &mut Release, rollout: Value) -> Result<String> {
    let (user, spec) = user_in_redis(&release.stage, "db", rollout).await?;
    release.add("db", spec).await?;
    release.run(5).await?;
    Ok(user)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_a_password_is_an_alert_for_the_owner() -> Result<()> {
    let mut release = Release::of(4, &unscheduled()).await?;
    let user = with_user(&mut release, Value::Null).await?;
    let refuses = async |release: &mut Release| {
        Redis::shared()?.command(&["ACL", "SETUSER", &user, "-acl"])?;
        rotate(release, "db").await
    };
    let moments = [(25, &["RotatedSecretsStalled", "RotatedSecretsTargetRefuses"][..])];
    with_release(release, "the server of a credential refuses its new password", refuses, &moments, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_cannot_be_retired_is_an_alert_for_the_owner() -> Result<()> {
    let mut release = Release::of(4, &unscheduled()).await?;
    let user = with_user(&mut release, json!({"retireAfter": "10m"})).await?;
    let refuses = async |release: &mut Release| {
        rotate(release, "db").await?;
        release.run(2).await?;
        Redis::shared()?.command(&["ACL", "SETUSER", &user, "-acl"])?;
        Ok(())
    };
    let moments = [(10, &[][..]), (35, &["RotatedSecretsNotRetired", "RotatedSecretsStalled"])];
    with_release(release, "the server of a credential does not give the previous one up", refuses, &moments, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciles_that_wait_for_a_quarter_of_an_hour_are_an_alert() -> Result<()> {
    let wait = async |release: &mut Release| {
        release.stage.ctx.metrics.measure_longest_wait(|| Duration::from_mins(16));
        Ok(())
    };
    with("a reconcile waits longer than fifteen minutes", wait, &[(3, &[]), (8, &["RotatedSecretsReconcilesWait"])], &[]).await
}
