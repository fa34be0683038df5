//! The mirror is pinned: AWS goes on, the Secret stays, and the status says so.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::RETENTION_LABEL;
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

fn id(stage: &Stage, version: usize) -> String {
    stage.world.aws_secret("app").unwrap().versions[version].id.clone()
}

fn value(stage: &Stage, version: usize) -> Value {
    let secret = stage.world.aws_secret("app").unwrap();
    serde_json::from_str(secret.versions[version].value().unwrap().as_str().unwrap()).unwrap()
}

async fn pin(stage: &Stage, target: Value) -> Result<()> {
    stage.advance(10 * MINUTE);
    stage.world.patch("app", json!({"spec": {"target": target}})).await?;
    stage.settle("app").await
}

/// The Secret holds this version of the AWS secret, in name and value.
async fn holds(stage: &Stage, version: usize) -> Result<()> {
    assert_eq!(stage.mirrored_version("app").await?, Some(id(stage, version)));
    assert_eq!(json!(stage.data("app").await?), value(stage, version));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_secret_stays_while_aws_rotates_and_goes_forwards_when_the_pin_is_taken_away() -> Result<()> {
    let stage = Stage::new("pin").await?;
    stage.settled("app", spec()).await?;
    for _ in 0..2 {
        stage.advance(HOUR);
        stage.settle("app").await?;
    }
    let pinned = id(&stage, 0);
    pin(&stage, json!({"versionId": pinned})).await?;
    holds(&stage, 0).await?;
    let message = stage.expect("app", "Ready", "True", "Pinned").await?;
    ensure!(message.contains(&pinned) && message.contains(&id(&stage, 2)) && message.contains("spec.target.versionId"), "{message}");
    stage.expect("app", "Mirrored", "True", "Pinned").await?;
    stage.expect("app", "Rotated", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Normal", "Mirrored").await?, 1);
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 0, "nobody edited it");
    stage.assert_silence("app").await?;

    for hour in 0..12 {
        stage.advance(HOUR);
        stage.writes.take();
        stage.settle("app").await?;
        let writes = stage.writes.take();
        ensure!(!writes.contains(&"PUT secrets".to_owned()), "{writes:?}");
        assert_eq!(stage.versions("app"), 4 + hour, "rotation goes on in AWS");
    }
    holds(&stage, 0).await?;
    let labels = stage.world.aws_secret("app").unwrap().labels;
    ensure!(labels.iter().any(|(label, version)| label.starts_with(RETENTION_LABEL) && *version == pinned), "AWS keeps it: {labels:?}");

    // A Secret that is deleted or edited comes back as it is pinned.
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    holds(&stage, 0).await?;
    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    stage.settle("app").await?;
    holds(&stage, 0).await?;

    pin(&stage, json!({"versionId": null})).await?;
    stage.world.check_agreement("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_pinned_to_a_label_follows_the_label() -> Result<()> {
    let stage = Stage::new("pin").await?;
    let mut previous = spec();
    previous["target"] = json!({"versionStage": "AWSPREVIOUS"});
    stage.settled("app", previous).await?;
    // There is no previous version before the first rotation, and pods must start all the same.
    let message = stage.expect("app", "Ready", "True", "Pinned").await?;
    ensure!(message.contains("no version has been replaced yet"), "{message}");
    holds(&stage, 0).await?;
    stage.assert_silence("app").await?;
    for hour in 0..3 {
        stage.advance(HOUR);
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 2 + hour);
        holds(&stage, hour).await?;
        stage.expect("app", "Ready", "True", "Pinned").await?;
    }
    stage.external_writer().move_label(&stage.aws_name("app"), "golden", Some(&id(&stage, 0)))?;
    pin(&stage, json!({"versionStage": "golden"})).await?;
    holds(&stage, 0).await?;
    stage.advance(10 * MINUTE);
    stage.external_writer().move_label(&stage.aws_name("app"), "golden", Some(&id(&stage, 1)))?;
    stage.settle("app").await?;
    holds(&stage, 1).await?;
    pin(&stage, json!({"versionStage": "AWSCURRENT"})).await?;
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_to_what_is_not_there_says_so_and_the_secret_stays_as_it_is() -> Result<()> {
    let stage = Stage::new("pin").await?;
    stage.settled("app", spec()).await?;
    let (aws, secret) = (stage.aws(), stage.secret("app").await?);
    for target in [json!({"versionId": "00000000-0000-0000-0000-000000000000"}), json!({"versionId": null, "versionStage": "nowhere"})] {
        pin(&stage, target).await?;
        stage.expect("app", "Mirrored", "False", "VersionNotFound").await?;
        let message = stage.expect("app", "Ready", "False", "VersionNotFound").await?;
        ensure!(stage.has("app", "Stalled").await? && message.contains("spec.target.version"), "{message}");
        assert_eq!((stage.aws(), stage.secret("app").await?), (aws.clone(), secret.clone()));
        stage.assert_silence("app").await?;
    }
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2, "rotation goes on");
    assert_eq!(stage.secret("app").await?, secret);
    pin(&stage, json!({"versionStage": "AWSCURRENT"})).await?;
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_to_a_version_that_is_only_pending_is_refused_until_the_version_is_current() -> Result<()> {
    let stage = Stage::new("pin").await?;
    let shared = stage.aws_name("shared");
    stage.external_writer().create(&shared, r#"{"user":"a"}"#, &BTreeMap::new())?;
    stage.settled("app", json!({"aws": {"secretName": shared}})).await?;
    let pending = stage.external_writer().put_pending(&shared, r#"{"user":"b"}"#)?;
    pin(&stage, json!({"versionId": pending})).await?;
    let message = stage.expect("app", "Mirrored", "False", "VersionNotFound").await?;
    ensure!(message.contains(&pending) && message.contains("AWSPENDING"), "{message}");
    stage.expect("app", "Ready", "False", "VersionNotFound").await?;
    assert_eq!(stage.data("app").await?["user"], "a", "the Secret keeps its value");
    stage.assert_silence("app").await?;

    stage.advance(10 * MINUTE);
    stage.external_writer().move_label(&shared, "AWSCURRENT", Some(&pending))?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["user"], "b");
    stage.expect("app", "Mirrored", "True", "Pinned").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_somebody_elses_value_can_be_pinned_and_writes_nothing_in_aws() -> Result<()> {
    let stage = Stage::new("pin").await?;
    let shared = stage.aws_name("shared");
    stage.external_writer().create(&shared, r#"{"user":"a"}"#, &BTreeMap::new())?;
    let second = stage.external_writer().put_value(&shared, r#"{"user":"b"}"#)?;
    stage.external_writer().put_value(&shared, r#"{"user":"c"}"#)?;
    stage.settled("app", json!({"aws": {"secretName": shared}, "target": {"versionId": second}})).await?;
    for (target, user) in [
        (json!({}), "b"),
        (json!({"versionId": null, "versionStage": "AWSPREVIOUS"}), "b"),
        (json!({"versionStage": "AWSCURRENT"}), "c"),
        (json!({"versionId": second}), "b"),
    ] {
        pin(&stage, target).await?;
        assert_eq!(stage.data("app").await?["user"], user);
    }
    stage.external_writer().put_value(&shared, r#"{"user":"d"}"#)?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["user"], "b");
    stage.expect("app", "Ready", "True", "Pinned").await?;
    assert_eq!(stage.aws_write_calls(), 0);
    assert_eq!(stage.status("app").await?.aws.context("aws")?.retained_version_ids, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_that_lost_every_label_gets_one_of_ours() -> Result<()> {
    let stage = Stage::new("pin").await?;
    let mut few = unscheduled();
    few["aws"] = json!({"keepVersions": 3});
    stage.settled("app", few).await?;
    for token in 0..6 {
        stage.advance(MINUTE);
        stage.world.request_rotation("app", &token.to_string()).await?;
        stage.settle("app").await?;
    }
    let first = id(&stage, 0);
    ensure!(stage.world.aws_secret("app").unwrap().labels.values().all(|version| *version != first), "it has no label");
    pin(&stage, json!({"versionId": first})).await?;
    holds(&stage, 0).await?;
    let labels = stage.world.aws_secret("app").unwrap().labels;
    ensure!(labels.values().any(|version| *version == first), "{labels:?}");
    stage.assert_silence("app").await?;
    // A lost status changes nothing.
    let before = stage.aws();
    stage.lose_status("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);
    holds(&stage, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_that_is_gone_with_its_aws_secret_is_reported_and_stops_no_rotation() -> Result<()> {
    let stage = Stage::new("pin").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(10 * MINUTE);
    stage.world.request_rotation("app", "first").await?;
    stage.settle("app").await?;
    let pinned = id(&stage, 1);
    pin(&stage, json!({"versionId": pinned})).await?;
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    stage.advance(10 * MINUTE);
    stage.settle("app").await?;
    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    stage.settle("app").await?;
    let before = stage.versions("app");
    stage.advance(10 * MINUTE);
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), before + 1, "rotation goes on");
    let message = stage.expect("app", "Mirrored", "False", "VersionNotFound").await?;
    ensure!(message.contains("spec.target.versionId"), "{message}");
    let before = stage.aws();
    ensure!(!stage.reconcile("app").await?.changed, "it comes to rest");
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_version_in_the_secret_does_not_get_into_the_status() -> Result<()> {
    let stage = Stage::new("pin").await?;
    stage.settled("app", unscheduled()).await?;
    pin(&stage, json!({"versionStage": "none"})).await?;
    let forged = "\u{1}".repeat(200_000);
    stage.edit_secret("app", json!({"metadata": {"annotations": {"rotated-secrets.io/version-id": forged}}})).await?;
    stage.settle("app").await?;
    let size = serde_json::to_string(&stage.status("app").await?)?.len();
    ensure!(size < 16_384, "the status has {size} bytes");
    pin(&stage, json!({"versionStage": null})).await?;
    stage.world.check_agreement("app").await
}
