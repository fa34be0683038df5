//! Another client that keeps writing the mirrored Secret, and a Secret that is not declared any more.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use rotated_secrets::api::{FIELD_MANAGER, MANAGED_BY, SECRET_ARN, VERSION_ID};
use serde_json::json;

use super::stage::{MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

#[tokio::test(flavor = "multi_thread")]
async fn a_fight_over_the_secret_slows_down_and_names_the_other_manager() -> Result<()> {
    let stage = Stage::new("contested").await?;
    stage.settled("app", unscheduled()).await?;
    stage.world.emulator.counters().reset();
    stage.writes.take();
    // Every second for two minutes: an edit, and the watch that rings.
    for number in 0..120 {
        stage.edit_secret("app", json!({"stringData": {"password": format!("edit-{number}")}})).await?;
        stage.reconcile("app").await?;
        stage.advance(std::time::Duration::from_secs(1));
    }
    let repairs = stage.writes.take().iter().filter(|write| *write == "PUT secrets").count();
    ensure!((5..=10).contains(&repairs), "{repairs} repairs in two minutes");
    let calls = stage.world.emulator.counters().calls();
    ensure!(calls <= 60, "{calls} calls of AWS");
    let message = stage.expect("app", "Mirrored", "False", "Contested").await?;
    ensure!(message.contains("\"kubectl-edit\""), "{message}");
    assert_eq!(stage.told("app", "Warning", "Contested").await?, 1);

    stage.live("app", 10 * MINUTE).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.status("app").await?.mirror.and_then(|mirror| mirror.repairs), None, "it is forgotten");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_repairs_are_not_delayed_nor_is_a_change_of_the_spec() -> Result<()> {
    let stage = Stage::new("contested").await?;
    stage.settled("app", unscheduled()).await?;
    for _ in 0..3 {
        stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
        stage.reconcile("app").await?;
        stage.world.check_agreement("app").await?;
    }
    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    let waits = stage.reconcile("app").await?;
    ensure!(!waits.changed && waits.again.is_some_and(|again| again.as_secs() == 5), "{waits:?}");
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_date_and_version_are_repaired_at_once() -> Result<()> {
    let stage = Stage::new("contested").await?;
    stage.settled("app", unscheduled()).await?;
    let before = stage.secret("app").await?;
    // The writer calls itself as the operator does. AWS's clock is ahead of the API server's: the date must be of now.
    stage.world.emulator.clock().set(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 3)?);
    let forged = json!({
        "metadata": {"annotations": {VERSION_ID: "6d0f0bd2-5a9a-4a6c-9d35-1f0d6a1c9a55"}},
        "stringData": {"password": "forged"},
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    stage.world.secrets().patch("app", &params, &Patch::Merge(forged)).await?;
    stage.reconcile("app").await?;
    let after = stage.secret("app").await?;
    assert_eq!((&after.data, after.annotations().get(VERSION_ID)), (&before.data, before.annotations().get(VERSION_ID)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_declared_any_more_is_released_and_that_is_told() -> Result<()> {
    let stage = Stage::new("contested").await?;
    stage.settled("app", spec()).await?;
    let before = stage.secret("app").await?;
    stage.world.patch("app", json!({"spec": {"target": {"creationPolicy": "None"}}})).await?;
    stage.settle("app").await?;
    let left = stage.secret("app").await?;
    assert_eq!(left.data, before.data, "pods keep what they have");
    ensure!(left.owner_references().is_empty() && !left.labels().contains_key(MANAGED_BY.0), "it is not ours any more");
    ensure!(!left.annotations().contains_key(VERSION_ID) && !left.annotations().contains_key(SECRET_ARN), "nor does it claim a version");
    assert_eq!(stage.told("app", "Normal", "MirrorReleased").await?, 1);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(!stage.has("app", "Mirrored").await?, "nothing is mirrored");
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_controller_is_reported_with_that_controller() -> Result<()> {
    let stage = Stage::new("contested").await?;
    let maps: Api<ConfigMap> = Api::namespaced(stage.world.admin.clone(), &stage.world.namespace);
    let map = serde_json::from_value(json!({"metadata": {"name": "theirs"}}))?;
    let map = maps.create(&PostParams::default(), &map).await?;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": map.uid(), "controller": true}]);
    let secret = json!({
        "metadata": {"name": "app", "ownerReferences": owner, "annotations": BTreeMap::from([(rotated_secrets::api::ADOPT_BY, "app")])},
        "stringData": {"password": "theirs"},
    });
    stage.make_secret(secret).await?;
    let mut spec = spec();
    spec["target"] = json!({"adoptionPolicy": "IfAnnotated"});
    stage.settled("app", spec).await?;
    let message = stage.expect("app", "Mirrored", "False", "SecretNotOwned").await?;
    ensure!(message.contains("controlled by ConfigMap theirs") && !message.contains("--cascade=orphan"), "{message}");
    Ok(())
}
