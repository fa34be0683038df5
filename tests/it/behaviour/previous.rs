//! The mirrored Secret also has the value before the current one.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, MINUTE, Stage};
use crate::workloads::Workloads;

const ANNOTATION: &str = "rotated-secrets.io/previous-version-id";

fn spec() -> Value {
    json!({
        "value": {"data": {"username": "admin"}, "generate": {"password": {}}},
        "target": {"includePrevious": true},
    })
}

async fn rotate(stage: &Stage, token: &str) -> Result<BTreeMap<String, String>> {
    stage.advance(MINUTE);
    stage.world.request_rotation("app", token).await?;
    stage.settle("app").await?;
    stage.data("app").await
}

async fn previous_id(stage: &Stage) -> Result<Option<String>> {
    let secret = stage.secret("app").await?;
    let named = secret.metadata.annotations.unwrap_or_default().remove(ANNOTATION);
    let mirror = stage.status("app").await?.mirror.unwrap_or_default();
    assert_eq!(mirror.previous_version_id, named, "the status says the same");
    Ok(named)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_of_the_previous_version_has_a_suffix_until_the_next_one() -> Result<()> {
    let stage = Stage::new("previous").await?;
    stage.settled("app", spec()).await?;
    let first = stage.data("app").await?;
    ensure!(first.keys().eq(["password", "username"]), "there is no previous version: {:?}", first.keys());
    assert_eq!(previous_id(&stage).await?, None);
    stage.assert_silence("app").await?;

    let second = rotate(&stage, "one").await?;
    ensure!(second.keys().eq(["password", "password.previous", "username", "username.previous"]), "{:?}", second.keys());
    ensure!(second["password"] != first["password"] && second["password.previous"] == first["password"]);
    assert_eq!(previous_id(&stage).await?, stage.world.aws_secret("app").and_then(|aws| aws.labels.get("AWSPREVIOUS").cloned()));
    let third = rotate(&stage, "two").await?;
    assert_eq!((&third["password.previous"], third.len()), (&second["password"], 4));
    stage.assert_silence("app").await?;

    // A change by another client is undone, also of these keys.
    stage.edit_secret("app", json!({"stringData": {"password.previous": "theirs"}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?, third);
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 1);
    // Another layout is that of both versions, and makes no new one.
    stage.world.patch("app", json!({"spec": {"target": {"keys": {"PASS": "password"}}}})).await?;
    stage.settle("app").await?;
    let renamed = stage.data("app").await?;
    assert_eq!((&renamed["PASS"], &renamed["PASS.previous"], renamed.len()), (&third["password"], &second["password"], 2));
    // A pinned Secret holds one version.
    stage.world.patch("app", json!({"spec": {"target": {"keys": null, "versionStage": "AWSPREVIOUS"}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["password"], second["password"]);
    ensure!(stage.data("app").await?.keys().eq(["password", "username"]));
    stage.world.patch("app", json!({"spec": {"target": {"versionStage": null}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?, third);
    stage.world.patch("app", json!({"spec": {"target": {"includePrevious": false}}})).await?;
    stage.settle("app").await?;
    ensure!(stage.data("app").await?.keys().eq(["password", "username"]));
    assert_eq!((previous_id(&stage).await?, stage.versions("app")), (None, 3));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_previous_value_that_cannot_be_mirrored_is_left_out_and_one_that_leaked_too() -> Result<()> {
    let stage = Stage::new("previous").await?;
    stage.settled("app", spec()).await?;
    stage.external_writer().put_value(&stage.aws_name("app"), "no fields")?;
    let next = rotate(&stage, "repairs").await?;
    ensure!(next.keys().eq(["password", "username"]), "the version before has no fields: {:?}", next.keys());
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.assert_silence("app").await?;

    rotate(&stage, "fine").await?;
    ensure!(stage.data("app").await?.contains_key("password.previous"));
    let next = rotate(&stage, "leaked:emergency").await?;
    ensure!(next.keys().eq(["password", "username"]), "{:?}", next.keys());
    stage.assert_silence("app").await?;
    // Nor when the request is removed, as some tools do, or the next one waits.
    stage.world.patch("app", json!({"metadata": {"annotations": {"rotated-secrets.io/rotate": null}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?, next);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_a_plain_text_has_both_values() -> Result<()> {
    let stage = Stage::new("previous").await?;
    let name = "shared/token";
    stage.annotate_namespace(json!({"rotated-secrets.io/mirror-names": name})).await?;
    let writer = stage.external_writer();
    writer.create(name, "one", &[].into())?;
    stage.settled("app", json!({"aws": {"secretName": name}, "target": {"includePrevious": true}})).await?;
    for (value, previous) in [("two", "one"), ("three", "two"), ("four", "three")] {
        stage.advance(HOUR);
        writer.put_value(name, value)?;
        stage.settle("app").await?;
        let data = stage.data("app").await?;
        assert_eq!((data["value"].as_str(), data["value.previous"].as_str(), data.len()), (value, previous, 2));
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_previous_value_that_aws_denies_to_read_does_not_hold_up_the_current_one() -> Result<()> {
    let stage = Stage::new("previous").await?;
    stage.settled("app", json!({"value": spec()["value"]})).await?;
    let current = rotate(&stage, "now").await?;
    // The second value that is read is the previous one.
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no kms:Decrypt".to_owned() };
    stage.world.emulator.set_faults(FaultPlan::none().with("GetSecretValue", When::Nth(2), denied));
    stage.world.patch("app", json!({"spec": {"target": {"includePrevious": true}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?, current);
    ensure!(previous_id(&stage).await?.is_some(), "it is not read again and again");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_of_another_client_is_removed_and_that_is_a_repair() -> Result<()> {
    let stage = Stage::new("previous").await?;
    stage.settled("app", json!({"value": spec()["value"]})).await?;
    stage.edit_secret("app", json!({"metadata": {"annotations": {ANNOTATION: "forged"}}})).await?;
    stage.settle("app").await?;
    assert_eq!(previous_id(&stage).await?, None);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_restart_once_for_both_values() -> Result<()> {
    let stage = Stage::in_step("previous").await?;
    let deployments = Workloads::of(&stage.world, "Deployment");
    deployments.create("api", "app").await?;
    let mut spec = spec();
    spec["rollout"] = json!({});
    stage.settled("app", spec).await?;
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "now").await?;
    stage.live("app", MINUTE).await?;
    deployments.settle("api").await?;
    stage.live("app", HOUR).await?;
    stage.expect("app", "RolledOut", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Normal", "RolledOut").await?, 1);
    ensure!(stage.data("app").await?.contains_key("password.previous"), "this strategy retires nothing");
    Ok(())
}
