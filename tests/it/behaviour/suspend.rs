//! `spec.suspend` stops everything, `spec.rotation.suspend` the schedule.

use anyhow::{Result, ensure};
use serde_json::json;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::spec;

#[tokio::test(flavor = "multi_thread")]
async fn while_suspended_nothing_is_written_anywhere_and_ready_keeps_its_truth() -> Result<()> {
    let stage = Stage::new("suspend").await?;
    stage.settled("app", spec()).await?;
    stage.world.patch("app", json!({"spec": {"suspend": true, "value": {"data": {"host": "db"}}}})).await?;
    stage.world.request_rotation("app", "now").await?;
    let edited = stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    let before = stage.aws();
    stage.advance(2 * HOUR);
    stage.writes.take();
    stage.world.emulator.counters().reset();
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Suspended").await?;
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"]);
    assert_eq!(stage.secret("app").await?, edited, "not repaired");
    assert_eq!(stage.aws(), before);
    assert_eq!(stage.world.emulator.counters().calls(), 0);
    stage.assert_silence("app").await?;

    stage.world.patch("app", json!({"spec": {"suspend": false}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.value("app")["host"], "db", "all that was held back came");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("now"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_suspended_from_the_start_or_in_trouble_is_not_called_ready() -> Result<()> {
    let stage = Stage::new("suspend").await?;
    let mut suspended = spec();
    suspended["suspend"] = json!(true);
    suspended["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("new", suspended).await?;
    stage.expect("new", "Ready", "False", "Suspended").await?;
    ensure!(stage.aws().is_empty() && stage.no_secret("new").await?, "something was made");
    ensure!(stage.object("new").await?.metadata.finalizers.is_none(), "nothing is to be cleaned up");
    assert_eq!(stage.told("new", "Warning", "Suspended").await?, 0, "it was asked for");

    stage.external_writer().create(&stage.aws_name("trouble"), "theirs", &std::collections::BTreeMap::new())?;
    stage.settled("trouble", spec()).await?;
    stage.expect("trouble", "Ready", "False", "AlreadyExists").await?;
    stage.world.patch("trouble", json!({"spec": {"suspend": true}})).await?;
    stage.settle("trouble").await?;
    stage.expect("trouble", "Ready", "False", "Suspended").await?;
    stage.expect("trouble", "Provisioned", "False", "AlreadyExists").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_object_that_is_deleted_goes_and_its_aws_secret_is_kept_and_reported() -> Result<()> {
    let stage = Stage::new("suspend").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete", "recoveryWindowInDays": 7});
    spec["target"] = json!({"deletionPolicy": "Retain"});
    stage.settled("app", spec).await?;
    stage.world.patch("app", json!({"spec": {"suspend": true}})).await?;
    stage.settle("app").await?;
    let (aws, mirror) = (stage.aws(), stage.secret("app").await?);
    stage.world.emulator.counters().reset();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "it holds a namespace up");
    assert_eq!(stage.aws(), aws);
    assert_eq!(stage.world.emulator.counters().calls(), 0, "AWS is not called");
    assert_eq!(stage.told("app", "Warning", "AwsSecretKept").await?, 1);
    let left = stage.secret("app").await?;
    assert_eq!(left.data, mirror.data, "the Secret is retained");
    ensure!(left.metadata.owner_references.is_none_or(|owners| owners.is_empty()), "without its owner");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_rotation_stops_the_schedule_and_nothing_else() -> Result<()> {
    let stage = Stage::new("suspend").await?;
    stage.settled("app", spec()).await?;
    stage.world.patch("app", json!({"spec": {"rotation": {"suspend": true}}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.next_rotation("app").await?, None, "nothing will happen");

    // Repairs, spec changes and requests continue.
    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    stage.advance(MINUTE);
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.value("app")["host"], "db");
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 3);
    stage.world.check_agreement("app").await?;

    stage.advance(5 * HOUR);
    let before = stage.aws();
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);
    let message = stage.expect("app", "Rotated", "False", "Suspended").await?;
    ensure!(message.contains("spec.rotation.suspend"), "{message}");
    stage.expect("app", "Ready", "False", "Suspended").await?;
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    stage.assert_silence("app").await?;

    stage.world.patch("app", json!({"spec": {"rotation": {"suspend": false}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 4, "one rotation, however many due times there were");
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_of_the_namespace_suspends_every_object_and_says_why() -> Result<()> {
    let stage = Stage::new("suspend").await?;
    stage.settled("app", spec()).await?;
    stage.annotate_namespace(json!({"rotated-secrets.io/suspend": "INC-1,\nby \"jane\""})).await?;
    stage.world.request_rotation("app", "now").await?;
    let before = stage.aws();
    stage.advance(2 * HOUR);
    stage.writes.take();
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Suspended").await?;
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"]);
    assert_eq!(stage.aws(), before);
    let message = stage.status("app").await?.conditions.into_iter().find(|c| c.type_ == "Ready").map(|c| c.message).unwrap_or_default();
    ensure!(message.contains("rotated-secrets.io/suspend on the Namespace says \"INC-1, by \\\"jane\\\"\""), "{message}");
    // An object that is created meanwhile waits too.
    stage.settled("new", spec()).await?;
    stage.expect("new", "Ready", "False", "Suspended").await?;
    assert_eq!(stage.aws(), before);

    stage.annotate_namespace(json!({"rotated-secrets.io/suspend": null})).await?;
    for name in ["app", "new"] {
        stage.settle(name).await?;
        stage.expect(name, "Ready", "True", "Succeeded").await?;
        stage.world.check_agreement(name).await?;
    }
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("now"));
    Ok(())
}
