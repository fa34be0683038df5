//! Workloads take up a new version of the Secret: restarted once, waited for, and held or rolled back when they fail.

use std::time::Duration;

use anyhow::{Result, ensure};
use rotated_secrets::api::{Cause, RolloutPhase, WorkloadState};
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};
use crate::workloads::Workloads;

/// Not long enough for a second look at the workloads.
const SECONDS: Duration = Duration::from_secs(3);

/// A generated password, and workloads that use it.
struct Scene {
    stage: Stage,
    deployments: Workloads,
}

impl Scene {
    async fn new(prefix: &str) -> Result<Self> {
        let stage = Stage::in_step(prefix).await?;
        let deployments = Workloads::of(&stage.world, "Deployment");
        Ok(Self { stage, deployments })
    }

    /// A Deployment that uses the Secret, and an object with this rollout whose first version it has.
    async fn with(prefix: &str, rollout: Value) -> Result<Self> {
        let scene = Self::new(prefix).await?;
        scene.deployments.create("api", "db").await?;
        scene.stage.settled("db", spec(&rollout)).await?;
        scene.stage.expect("db", "RolledOut", "True", "Succeeded").await?;
        Ok(scene)
    }

    /// Requests a rotation, and has the operator work until nothing is left to do now.
    async fn rotate(&self, token: &str) -> Result<String> {
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation("db", token).await?;
        self.stage.live("db", SECONDS).await?;
        self.current().await
    }

    async fn current(&self) -> Result<String> {
        Ok(self.stage.mirrored_version("db").await?.unwrap_or_default())
    }

    async fn phase(&self) -> Result<Option<RolloutPhase>> {
        Ok(self.stage.status("db").await?.rollout.map(|rollout| rollout.phase))
    }

    async fn state(&self, name: &str) -> Result<Option<WorkloadState>> {
        let rollout = self.stage.status("db").await?.rollout;
        Ok(rollout.and_then(|rollout| rollout.workloads.into_iter().find(|found| found.name == name)).map(|found| found.state))
    }
}

fn spec(rollout: &Value) -> Value {
    json!({
        "value": {"data": {"username": "app"}, "generate": {"password": {}}},
        "rotation": {"schedule": "rate(12 hours)"},
        "rollout": rollout,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_workload_that_refers_to_the_secret_is_restarted_once_for_each_version() -> Result<()> {
    let scene = Scene::new("restart").await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    let kinds = [Workloads::of(&stage.world, "StatefulSet"), Workloads::of(&stage.world, "DaemonSet")];
    deployments.create("api", "db").await?;
    deployments.create("other", "another-secret").await?;
    for kind in &kinds {
        kind.create("store", "db").await?;
    }
    stage.settled("db", spec(&json!({}))).await?;
    stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    assert_eq!(deployments.generation("api").await?, Some(1), "pods start with the first version");

    let version = scene.rotate("now").await?;
    let message = stage.expect("db", "RolledOut", "False", "Waiting").await?;
    ensure!(message.contains("Deployment api (Progressing)") && message.contains("StatefulSet store (Progressing)"), "{message}");
    stage.expect("db", "Ready", "True", "Succeeded").await?;
    assert_eq!(scene.phase().await?, Some(RolloutPhase::Waiting));
    assert_eq!(deployments.version("api", "db").await?, Some(version.clone()));
    for kind in &kinds {
        assert_eq!(kind.version("store", "db").await?, Some(version.clone()));
        kind.settle("store").await?;
    }
    assert_eq!(deployments.version("other", "db").await?, None);

    stage.live("db", MINUTE).await?;
    stage.expect("db", "RolledOut", "False", "Waiting").await?;
    deployments.settle("api").await?;
    stage.live("db", MINUTE).await?;
    stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    assert_eq!(scene.phase().await?, Some(RolloutPhase::Completed));
    assert_eq!(deployments.generation("api").await?, Some(2), "restarted once");
    assert_eq!(deployments.generation("other").await?, Some(1));
    stage.assert_silence("db").await?;
    stage.live("db", HOUR).await?;
    assert_eq!(deployments.generation("api").await?, Some(2), "neither time nor a restart of the operator restarts it again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_rotation_waits_for_healthy_workloads_and_a_requested_one_does_not() -> Result<()> {
    let scene = Scene::with("healthy", json!({})).await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    let first = scene.current().await?;
    deployments.fail("api").await?;
    stage.advance(12 * HOUR);
    stage.live("db", SECONDS).await?;
    let message = stage.expect("db", "Rotated", "False", "Overdue").await?;
    ensure!(message.contains("Deployment api (Progressing)"), "{message}");
    assert_eq!(scene.current().await?, first, "nothing rotates while pods have another problem");
    let requested = scene.rotate("now").await?;
    ensure!(requested != first);

    // The rollout has not ended, so nothing else begins.
    stage.advance(12 * HOUR);
    deployments.settle("api").await?;
    stage.live("db", MINUTE).await?;
    let scheduled = scene.current().await?;
    ensure!(scheduled != requested, "the rotation that was due follows as soon as the workload is healthy");
    assert_eq!(stage.causes("db").await?, [Cause::Scheduled, Cause::Requested, Cause::Created]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rotation_begins_while_workloads_take_up_the_last_one() -> Result<()> {
    let scene = Scene::with("waits", json!({"timeout": "24h", "requireHealthy": false})).await?;
    let stage = &scene.stage;
    let requested = scene.rotate("now").await?;
    stage.advance(12 * HOUR);
    stage.live("db", SECONDS).await?;
    let message = stage.expect("db", "Rotated", "False", "Waiting").await?;
    ensure!(message.contains(&requested), "{message}");
    assert_eq!(scene.rotate("again").await?, requested, "a request waits too");
    scene.deployments.settle("api").await?;
    stage.live("db", MINUTE).await?;
    ensure!(scene.current().await? != requested);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_fails_holds_the_schedule_until_the_workload_is_healthy() -> Result<()> {
    let scene = Scene::with("hold", json!({"timeout": "10m"})).await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    let version = scene.rotate("now").await?;
    stage.live("db", 9 * MINUTE).await?;
    stage.expect("db", "RolledOut", "False", "Waiting").await?;
    stage.live("db", 2 * MINUTE).await?;
    let message = stage.expect("db", "RolledOut", "False", "RolloutFailed").await?;
    ensure!(message.contains("Deployment api (Progressing)") && message.contains("rollback db"), "{message}");
    stage.expect("db", "Ready", "False", "RolloutFailed").await?;
    stage.advance(12 * HOUR);
    stage.live("db", SECONDS).await?;
    assert_eq!(scene.current().await?, version, "the schedule waits");
    stage.expect("db", "Rotated", "False", "RolloutFailed").await?;
    deployments.settle("api").await?;
    stage.live("db", 2 * MINUTE).await?;
    ensure!(scene.current().await? != version, "and goes on once the workload is healthy");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_fails_rolls_back_once_if_that_is_declared() -> Result<()> {
    let scene = Scene::with("back", json!({"timeout": "10m", "onFailure": "RollBack"})).await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    let before = stage.data("db").await?["password"].clone();
    let failed = scene.rotate("now").await?;
    ensure!(stage.data("db").await?["password"] != before);
    stage.live("db", 11 * MINUTE).await?;
    let restored = scene.current().await?;
    ensure!(restored != failed);
    assert_eq!(stage.data("db").await?["password"], before, "pods get the previous value");
    assert_eq!(deployments.version("api", "db").await?, Some(restored.clone()), "and are restarted with it");
    deployments.settle("api").await?;
    stage.live("db", MINUTE).await?;
    stage.expect("db", "RolledOut", "False", "RolloutRolledBack").await?;
    stage.expect("db", "Ready", "False", "RolloutRolledBack").await?;
    assert_eq!(stage.causes("db").await?, [Cause::RolledBack, Cause::Requested, Cause::Created]);
    stage.live("db", HOUR).await?;
    assert_eq!(scene.current().await?, restored, "nothing more happens by itself");
    // The next rotation follows by schedule.
    stage.live("db", 10 * HOUR).await?;
    while scene.current().await? == restored {
        stage.live("db", MINUTE).await?;
    }
    deployments.settle("api").await?;
    stage.live("db", MINUTE).await?;
    stage.expect("db", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_keeps_what_is_known_of_a_failed_rollout() -> Result<()> {
    let scene = Scene::with("kept", json!({"timeout": "1m"})).await?;
    scene.rotate("now").await?;
    scene.stage.live("db", 2 * MINUTE).await?;
    let failed = scene.stage.expect("db", "RolledOut", "False", "RolloutFailed").await?;
    scene.stage.world.patch("db", json!({"spec": {"suspend": true}})).await?;
    scene.stage.settle("db").await?;
    assert_eq!(scene.stage.expect("db", "RolledOut", "False", "RolloutFailed").await?, failed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_value_that_fails_too_is_not_replaced() -> Result<()> {
    let scene = Scene::with("twice", json!({"timeout": "10m", "onFailure": "RollBack"})).await?;
    scene.rotate("now").await?;
    scene.stage.live("db", 11 * MINUTE).await?;
    let restored = scene.current().await?;
    scene.stage.live("db", HOUR).await?;
    assert_eq!(scene.current().await?, restored);
    scene.stage.expect("db", "RolledOut", "False", "RolloutFailed").await?;
    assert_eq!(scene.stage.world.versions("db"), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_and_manual_workloads_wait_for_their_user_and_empty_ones_for_nothing() -> Result<()> {
    let scene = Scene::new("paused").await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    let sets = Workloads::of(&stage.world, "StatefulSet");
    deployments.create("paused", "db").await?;
    deployments.create_with("empty", "db", json!({"replicas": 0})).await?;
    sets.create_with("manual", "db", json!({"updateStrategy": {"type": "OnDelete"}})).await?;
    stage.settled("db", spec(&json!({"timeout": "1m"}))).await?;
    deployments.patch("paused", json!({"spec": {"paused": true}})).await?;
    scene.rotate("now").await?;
    deployments.settle("empty").await?;
    stage.live("db", HOUR).await?;
    let message = stage.expect("db", "RolledOut", "False", "Waiting").await?;
    ensure!(message.contains("Deployment paused (Paused)") && message.contains("StatefulSet manual (Manual)"), "{message}");
    assert_eq!(scene.state("empty").await?, Some(WorkloadState::ScaledToZero));
    deployments.patch("paused", json!({"spec": {"paused": false}})).await?;
    deployments.settle("paused").await?;
    sets.delete_pods("manual").await?;
    sets.settle("manual").await?;
    stage.live("db", 2 * MINUTE).await?;
    stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_removes_the_annotation_is_reported_after_three_restarts() -> Result<()> {
    let scene = Scene::with("contested", json!({"timeout": "1h"})).await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    scene.rotate("now").await?;
    let remove = json!({"spec": {"template": {"metadata": {"annotations": {"versions.rotated-secrets.io/db": null}}}}});
    for _ in 0..6 {
        deployments.patch("api", remove.clone()).await?;
        deployments.settle("api").await?;
        stage.live("db", MINUTE).await?;
    }
    let message = stage.expect("db", "RolledOut", "False", "RolloutFailed").await?;
    ensure!(message.contains("Deployment api (Contested)"), "{message}");
    // Created, restarted three times, and the annotation was removed three times.
    assert_eq!(deployments.generation("api").await?, Some(7));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_named_workloads_are_restarted_and_none_if_none_is_named() -> Result<()> {
    let scene = Scene::new("named").await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    for name in ["api", "batch"] {
        deployments.create(name, "db").await?;
    }
    let named = json!([{"kind": "Deployment", "name": "batch"}, {"kind": "StatefulSet", "name": "absent"}]);
    stage.settled("db", spec(&json!({"workloads": named}))).await?;
    let version = scene.rotate("now").await?;
    assert_eq!(deployments.version("api", "db").await?, None);
    assert_eq!(deployments.version("batch", "db").await?, Some(version));
    deployments.settle("batch").await?;
    stage.live("db", MINUTE).await?;
    stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    assert_eq!(scene.state("absent").await?, Some(WorkloadState::Missing));
    stage.world.patch("db", json!({"spec": {"rollout": {"workloads": []}}})).await?;
    scene.rotate("again").await?;
    stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    assert_eq!(deployments.generation("batch").await?, Some(2));
    stage.world.patch("db", json!({"spec": {"rollout": null}})).await?;
    stage.settle("db").await?;
    ensure!(!stage.has("db", "RolledOut").await? && stage.status("db").await?.rollout.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_only_mirrored_is_rolled_out_too() -> Result<()> {
    let scene = Scene::new("mirrored").await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    deployments.create("api", "db").await?;
    stage.external_writer().create(&stage.aws_name("db"), r#"{"password":"one"}"#, &std::collections::BTreeMap::new())?;
    stage.settled("db", json!({"rollout": {}})).await?;
    stage.advance(MINUTE);
    stage.external_writer().put_value(&stage.aws_name("db"), r#"{"password":"two"}"#)?;
    stage.live("db", MINUTE).await?;
    assert_eq!(stage.data("db").await?["password"], "two");
    assert_eq!(deployments.version("api", "db").await?, stage.mirrored_version("db").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_status_neither_skips_a_rollout_nor_repeats_it() -> Result<()> {
    let scene = Scene::with("lost", json!({})).await?;
    let (stage, deployments) = (&scene.stage, &scene.deployments);
    scene.deployments.create("late", "db").await?;
    let version = scene.rotate("now").await?;
    deployments.settle("api").await?;
    // As if the operator had stopped before it reached the second one.
    let remove = json!({"spec": {"template": {"metadata": {"annotations": null}}}});
    deployments.patch("late", remove).await?;
    stage.lose_status("db").await?;
    stage.live("db", MINUTE).await?;
    assert_eq!(deployments.version("late", "db").await?, Some(version.clone()));
    deployments.settle("late").await?;
    stage.live("db", MINUTE).await?;
    stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    stage.lose_status("db").await?;
    stage.live("db", MINUTE).await?;
    stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    assert_eq!(deployments.generation("api").await?, Some(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_is_gone_is_not_created_again() -> Result<()> {
    let scene = Scene::with("gone", json!({})).await?;
    scene.rotate("now").await?;
    scene.deployments.delete("api").await?;
    scene.stage.live("db", MINUTE).await?;
    scene.stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    ensure!(scene.deployments.version("api", "db").await.is_err());
    Ok(())
}
