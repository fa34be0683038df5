//! Incidents of the operator itself: its permissions, its Lease, its requests to the API server.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::fixtures::spec;

use super::dashboard::Shows::{Above, Exactly};
use super::release::Release;
use super::{healthy, with, with_release};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_cannot_write_a_status_is_an_alert() -> Result<()> {
    let denied = async |release: &mut Release| {
        release.stage.world.refusals.status.set(true);
        Ok(())
    };
    with(
        "the API server refuses every status",
        denied,
        &[(40, &[]), (100, &["RotatedSecretsOverdue", "RotatedSecretsStatusNotWritten"])],
        // The objects look Ready.
        &[(100, "Ready A", Exactly(4)), (100, "Overdue A", Exactly(4)), (53, "Failed reconciles A", Above(0.0))],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_for_secrets_that_is_gone_is_an_alert_when_one_has_to_be_written() -> Result<()> {
    let denied = async |release: &mut Release| {
        release.stage.world.refusals.secrets.set(true);
        Ok(())
    };
    with(
        "the operator may not write Secrets",
        denied,
        &[(40, &[]), (105, &["RotatedSecretsFailing", "RotatedSecretsMostObjectsFail", "RotatedSecretsOutOfStep"])],
        &[(105, "Out of step A", Exactly(4)), (53, "Failed steps A", Above(0.0))],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn short_interruptions_of_the_operator_fire_no_alert() -> Result<()> {
    let killed = async |release: &mut Release| release.fail_over().await;
    with("the leader is killed, and another replica leads", killed, &[(120, &[])], &[(120, "Ready A", Exactly(4))]).await?;
    // Without the API server, the leader does not renew the Lease.
    let halted = async |release: &mut Release| {
        let rotations_are_due = 48;
        release.run(rotations_are_due).await?;
        release.stage.world.refusals.everything.set(true);
        release.stage.ctx.metrics.leads(false);
        release.run(4).await?;
        ensure!(release.stage.world.refusals.everything.met() > 0, "the operator noticed");
        release.stage.world.refusals.everything.set(false);
        release.fail_over().await
    };
    with("the API server does not work for four minutes while rotations are due", halted, &[(120, &[])], &healthy(120).collect::<Vec<_>>())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_does_not_lead_or_is_not_scraped_is_an_alert() -> Result<()> {
    let led = async |release: &mut Release| {
        release.stage.ctx.metrics.leads(false);
        Ok(())
    };
    with("no replica leads", led, &[(4, &[]), (8, &["RotatedSecretsNoLeader"])], &[(8, "Leaders A", Exactly(0))]).await?;
    let down = async |release: &mut Release| {
        release.scraped = false;
        Ok(())
    };
    with("no replica is scraped", down, &[(4, &[]), (8, &["RotatedSecretsOperatorDown"])], &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_any_permission_is_an_alert_although_all_objects_look_ready() -> Result<()> {
    let denied = async |release: &mut Release| {
        release.stage.world.refusals.permissions.set(true);
        Ok(())
    };
    with(
        "the operator has no permission in Kubernetes but for its Lease",
        denied,
        &[(5, &[]), (30, &["RotatedSecretsStatusNotWritten"]), (100, &["RotatedSecretsOverdue", "RotatedSecretsStatusNotWritten"])],
        &[(100, "Ready A", Exactly(4)), (100, "Overdue A", Exactly(4)), (30, "Failed reconciles A", Above(0.0))],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_cannot_read_or_see_and_its_own_mistakes_are_alerts() -> Result<()> {
    let interrupted = async |release: &mut Release| {
        for _ in 0..25 {
            release.stage.ctx.metrics.watch_error("list");
            release.run(1).await?;
        }
        Ok(())
    };
    with("a watch is interrupted once a minute", interrupted, &[(8, &[]), (20, &["RotatedSecretsWatchesInterrupted"])], &[]).await?;
    let unreadable = async |release: &mut Release| {
        release.unreadable = vec![json!({"spec": {"suspend": "a text"}})];
        Ok(())
    };
    with("an object cannot be read", unreadable, &[(4, &[]), (8, &["RotatedSecretsUnreadableObjects"])], &[]).await?;
    let failed = async |release: &mut Release| {
        release.stage.ctx.metrics.failure("InternalError");
        Ok(())
    };
    with("a reconcile ends with an error of the operator itself", failed, &[(3, &["RotatedSecretsDefect"]), (70, &[])], &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_becomes_too_old_while_its_rotation_is_suspended_is_an_alert() -> Result<()> {
    let suspended = async |release: &mut Release| {
        release.stage.patch("app-0", json!({"spec": {"rotation": {"suspend": true}}})).await?;
        release.touch("app-0");
        Ok(())
    };
    let release = Release::of(4, &spec()).await?;
    // The value is 10 minutes old, and may become two hours old.
    let moments = [(165, &[][..]), (180, &["RotatedSecretsOverAge"])];
    let sights =
        [(180, "Deletions and objects without rotation D", Exactly(1)), (100, "Deletions and objects without rotation D", Exactly(0))];
    with_release(
        release,
        "a rotation is suspended, and the value becomes older than the maximum age of two hours",
        suspended,
        &moments,
        &sights,
    )
    .await
}
