//! Objects that were deleted and created again, AWS secrets that were scheduled for deletion, and similar cases.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use rotated_secrets::api::{Cause, TAG_UID};
use rotated_secrets::reconcile::reconcile;
use serde_json::json;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::spec;

const THEIRS: &str = r#"{"username":"admin","password":"theirs"}"#;

/// The object is deleted with this policy, and its Secret goes.
async fn gone(stage: &Stage, policy: &str) -> Result<serde_json::Value> {
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": policy});
    stage.settled("app", spec).await?;
    let value = stage.value("app");
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    // As the garbage collector does in its own time, if it has not.
    drop(stage.delete_secret("app").await);
    stage.advance(10 * MINUTE);
    Ok(value)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_comes_back_gets_its_aws_secret_back_with_its_value() -> Result<()> {
    for policy in ["Retain", "Delete"] {
        let stage = Stage::new("back").await?;
        let value = gone(&stage, policy).await?;
        let before = stage.world.aws_secret("app").unwrap();
        assert_eq!(before.deletion_date.is_some(), policy == "Delete");
        let object = stage.settled("app", spec()).await?;
        let aws = stage.world.aws_secret("app").unwrap();
        assert_eq!((aws.arn, aws.deletion_date, aws.versions.len()), (before.arn, None, 1), "{policy}");
        assert_eq!(aws.tags.get(TAG_UID), object.uid().as_ref(), "{policy}: the new object's");
        assert_eq!(stage.value("app"), value, "{policy}");
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.causes("app").await?, [Cause::Adopted], "{policy}");
        assert_eq!(stage.told("app", "Normal", "Restored").await?, i32::from(policy == "Delete"));
        assert_eq!(stage.next_rotation("app").await?, Some(aws.versions[0].created + HOUR), "{policy}: the schedule counts on");
        stage.assert_silence("app").await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 2, "{policy}");
        ensure!(stage.value("app")["password"] != value["password"], "{policy}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_comes_back_with_other_fields_makes_one_version_of_them() -> Result<()> {
    let stage = Stage::new("back").await?;
    let value = gone(&stage, "Retain").await?;
    let mut spec = spec();
    spec["value"]["data"] = json!({"username": "root"});
    stage.settled("app", spec).await?;
    assert_eq!(stage.value("app"), json!({"username": "root", "password": value["password"]}));
    assert_eq!(stage.causes("app").await?, [Cause::SpecChanged, Cause::Adopted]);
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_aws_secret_another_object_of_its_name_took_does_not_take_it_back() -> Result<()> {
    let stage = Stage::new("back").await?;
    stage.settled("app", spec()).await?;
    // Two clusters with one ID, or a backup that was restored next to the original.
    stage.external_writer().set_tag(&stage.aws_name("app"), TAG_UID, "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11")?;
    let before = stage.aws();
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "NotOwned").await?;
    assert_eq!(stage.aws(), before);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_aws_secret_that_somebody_scheduled_for_deletion_is_restored_and_told() -> Result<()> {
    let stage = Stage::new("back").await?;
    stage.settled("app", spec()).await?;
    let (value, mirror) = (stage.value("app"), stage.secret("app").await?);
    stage.external_writer().delete(&stage.aws_name("app"), 7)?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), ["RestoreSecret"]);
    assert_eq!((stage.value("app"), stage.secret("app").await?), (value, mirror));
    assert_eq!(stage.told("app", "Normal", "Restored").await?, 1);
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_still_sees_a_deleted_object_alive_does_not_restore_its_aws_secret() -> Result<()> {
    let stage = Stage::new("back").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", spec).await?;
    // Another replica's cache is as old as this.
    let old = stage.object("app").await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    let before = stage.aws();
    reconcile(&old, &stage.ctx).await;
    assert_eq!(stage.aws(), before);
    // Nor while the deletion waits for another finalizer, or if an object of the same name has replaced it.
    let newer = stage.world.create("app", json!({"suspend": true, "value": {"data": {"a": "b"}}})).await?;
    assert_ne!(newer.uid(), old.uid());
    reconcile(&old, &stage.ctx).await;
    assert_eq!(stage.aws(), before);
    ensure!(stage.world.emulator.counters().total("RestoreSecret") == 0, "restored");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_that_a_stranger_put_in_the_place_of_ours_is_said_and_left_alone() -> Result<()> {
    let stage = Stage::new("back").await?;
    stage.settled("app", spec()).await?;
    let mirror = stage.secret("app").await?;
    let ours = stage.world.aws_secret("app").unwrap();
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    let another = stage.external_writer().create(&stage.aws_name("app"), THEIRS, &BTreeMap::new())?;
    let before = stage.aws();
    stage.world.emulator.counters().reset();
    stage.advance(HOUR);
    stage.settle("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "Recreated").await?;
    ensure!(message.contains(&ours.arn) && message.contains(&another), "{message}");
    stage.expect("app", "Stalled", "True", "Recreated").await?;
    assert_eq!((stage.aws(), stage.secret("app").await?), (before, mirror), "pods keep the last value of ours");
    assert_eq!(stage.world.emulator.counters().total("GetSecretValue"), 0);
    assert_eq!(stage.told("app", "Warning", "Recreated").await?, 1);
    stage.assert_silence("app").await?;
    // It is not forgotten by the next life, and ends when the stranger's is gone.
    stage.expect("app", "Provisioned", "False", "Recreated").await?;
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.causes("app").await?[0], Cause::Created);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_made_anew_with_our_tags_is_ours_and_one_that_may_be_adopted_is_adopted() -> Result<()> {
    let stage = Stage::new("back").await?;
    for (name, adopts) in [("tags", false), ("policy", true)] {
        let mut spec = spec();
        spec["aws"] = json!({"adoptionPolicy": if adopts { "Always" } else { "Never" }});
        stage.settled(name, spec).await?;
        let tags = if adopts { BTreeMap::new() } else { stage.world.aws_secret(name).unwrap().tags };
        ensure!(stage.external_writer().purge(&stage.aws_name(name)));
        stage.external_writer().create(&stage.aws_name(name), THEIRS, &tags)?;
        stage.settle(name).await?;
        stage.world.check_agreement(name).await?;
        assert_eq!(stage.data(name).await?["password"], "theirs");
        assert_eq!(stage.causes(name).await?[0], if adopts { Cause::Adopted } else { Cause::External });
        stage.assert_silence(name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_aws_does_not_show_yet_is_waited_for_and_taken_back() -> Result<()> {
    let stage = Stage::in_step("back").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", spec.clone()).await?;
    let value = stage.value("app");
    stage.advance(10 * MINUTE);
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    drop(stage.delete_secret("app").await);
    stage.break_aws("DescribeSecret", testkit::emulator::Fault::StaleRead { seconds: 5 });
    stage.world.create("app", spec).await?;
    stage.live("app", MINUTE).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.value("app"), value);
    for reason in ["ScheduledForDeletion", "Recreated"] {
        assert_eq!(stage.told("app", "Warning", reason).await?, 0, "{reason}");
    }
    Ok(())
}
