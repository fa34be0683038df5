//! External changes in AWS take precedence, and an external rotation in progress is not disturbed.

use anyhow::{Result, ensure};
use rotated_secrets::api::Cause;
use serde_json::json;
use testkit::emulator::function::KeepUsername;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_somebody_puts_in_aws_is_mirrored_and_lives_until_the_next_due_time() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", spec()).await?;
    stage.advance(30 * MINUTE);
    let theirs = json!({"username": "root", "password": "theirs", "port": 5432, "more": {"x": [1, null]}});
    stage.external_writer().put_value(&stage.aws_name("app"), &theirs.to_string())?;
    let put = stage.now();
    let before = stage.aws();
    stage.settle("app").await?;

    stage.world.aws_secret("app").unwrap();
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.aws(), before, "the truth is not mended");
    assert_eq!(stage.data("app").await?["password"], "theirs");
    assert_eq!(stage.data("app").await?["port"], "5432");
    assert_eq!(stage.causes("app").await?, [Cause::External, Cause::Created]);
    assert_eq!(stage.told("app", "Normal", "ChangedInAws").await?, 1);
    assert_eq!(stage.next_rotation("app").await?, Some(put + HOUR), "the schedule counts from their change");
    stage.assert_silence("app").await?;

    // The due time that there was before it comes and goes.
    stage.advance(59 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);

    stage.advance(MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 3);
    let value = stage.value("app");
    ensure!(value["password"] != "theirs", "rotated");
    assert_eq!((&value["port"], &value["more"]), (&theirs["port"], &theirs["more"]), "what they added is carried along");
    assert_eq!(value["username"], "admin", "declared fields are as declared again");
    assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::External, Cause::Created]);
    assert_eq!(stage.data("app").await?["port"], "5432");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_client_lives_until_the_next_due_time_also_if_the_declaration_changes_before_it_is_seen() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", spec()).await?;
    // There is no reconcile for three periods.
    stage.advance(3 * HOUR);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"root","password":"theirs"}"#)?;
    let put = stage.now();
    stage.advance(MINUTE);
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db-2"}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["password"], "theirs");
    assert_eq!((stage.data("app").await?["host"].as_str(), stage.versions("app")), ("db-2", 3));
    assert_eq!(stage.next_rotation("app").await?, Some(put + HOUR), "the schedule counts from their change");
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_form_is_not_mirrored_and_is_rotated_when_that_is_due() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", spec()).await?;
    stage.advance(MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), "no object")?;
    let mirror = stage.secret("app").await?;
    stage.settle("app").await?;
    stage.expect("app", "Mirrored", "False", "FieldMissing").await?;
    assert_eq!(stage.secret("app").await?, mirror);
    assert_eq!(stage.versions("app"), 2);
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.value("app")["username"], "admin");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_put_in_aws_before_the_due_rotation_is_noticed_puts_it_off() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", spec()).await?;
    // The last reconcile was an hour ago, and the value is a minute old.
    stage.advance(HOUR);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
    stage.advance(MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    assert_eq!(stage.data("app").await?["password"], "theirs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_rotation_waits_for_somebody_elses_pending_version() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", spec()).await?;
    let pending = stage.external_writer().put_pending(&stage.aws_name("app"), r#"{"password":"half way"}"#)?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.advance(HOUR);
    let before = stage.aws();
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "ForeignPending").await?;
    ensure!(message.contains("aws secretsmanager update-secret-version-stage") && message.contains(&pending), "{message}");
    stage.expect("app", "Ready", "False", "ForeignPending").await?;
    stage.expect("app", "Stalled", "True", "ForeignPending").await?;
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Warning", "ForeignPending").await?, 1);
    assert_eq!(stage.aws(), before);
    stage.assert_silence("app").await?;

    stage.external_writer().move_label(&stage.aws_name("app"), "AWSPENDING", None)?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 3);
    assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::Created]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_declared_changes_wait_for_somebody_elses_pending_version_too() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("asked", spec()).await?;
    stage.settled("declared", spec()).await?;
    for name in ["asked", "declared"] {
        stage.external_writer().put_pending(&stage.aws_name(name), r#"{"password":"half way"}"#)?;
    }
    stage.world.request_rotation("asked", "now").await?;
    stage.world.patch("declared", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    let before = stage.aws();
    for name in ["asked", "declared"] {
        stage.settle(name).await?;
        stage.expect(name, "Ready", "False", "ForeignPending").await?;
    }
    assert_eq!(stage.aws(), before);
    assert_eq!(stage.status("asked").await?.requests, None, "not handled yet");
    for name in ["asked", "declared"] {
        stage.external_writer().move_label(&stage.aws_name(name), "AWSPENDING", None)?;
        stage.settle(name).await?;
        stage.world.check_agreement(name).await?;
        assert_eq!(stage.versions(name), 3);
    }
    assert_eq!(stage.value("declared")["host"], "db");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_pending_version_that_becomes_current_is_the_truth() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", spec()).await?;
    let pending = stage.external_writer().put_pending(&stage.aws_name("app"), r#"{"username":"admin","password":"whole"}"#)?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.external_writer().move_label(&stage.aws_name("app"), "AWSCURRENT", Some(&pending))?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["password"], "whole");
    assert_eq!(stage.versions("app"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_became_current_late_starts_its_period_then() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", spec()).await?;
    let pending = stage.external_writer().put_pending(&stage.aws_name("app"), r#"{"username":"admin","password":"whole"}"#)?;
    stage.advance(2 * HOUR);
    stage.external_writer().move_label(&stage.aws_name("app"), "AWSCURRENT", Some(&pending))?;
    stage.external_writer().move_label(&stage.aws_name("app"), "AWSPENDING", None)?;
    let changed = stage.now();
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["password"], "whole");
    assert_eq!(stage.versions("app"), 2, "the value that somebody made current a moment ago is not overwritten");
    assert_eq!(stage.next_rotation("app").await?, Some(changed + HOUR));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_aws_rotates_itself_is_not_rotated_by_us() -> Result<()> {
    const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
    let stage = Stage::new("external").await?;
    stage.world.emulator.set_rotation_function(FUNCTION, Some(KeepUsername::new()));
    stage.settled("app", spec()).await?;
    let rotate = json!({
        "SecretId": stage.aws_name("app"),
        "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11",
        "RotationLambdaARN": FUNCTION,
        "RotationRules": {"AutomaticallyAfterDays": 30},
        "RotateImmediately": false,
    });
    stage.external_writer().act("RotateSecret", &rotate)?;
    stage.world.emulator.run_rotations().await;
    stage.advance(HOUR);
    let before = stage.aws();
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "ForeignRotation").await?;
    ensure!(message.contains("cancel-rotate-secret"), "{message}");
    stage.expect("app", "Stalled", "True", "ForeignRotation").await?;
    assert_eq!(stage.aws(), before);
    stage.assert_silence("app").await?;

    stage.external_writer().act("CancelRotateSecret", &json!({"SecretId": stage.aws_name("app")}))?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_tag_and_describe_stays_unless_it_is_declared() -> Result<()> {
    let stage = Stage::new("external").await?;
    let mut spec = spec();
    spec["aws"] = json!({"tags": {"team": "shop"}});
    stage.settled("app", spec).await?;
    stage.external_writer().set_tag(&stage.aws_name("app"), "cost-centre", "7")?;
    stage.external_writer().set_description(&stage.aws_name("app"), "theirs")?;
    let before = stage.aws();
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);

    stage.external_writer().set_tag(&stage.aws_name("app"), "team", "another")?;
    stage.writes.take();
    stage.settle("app").await?;
    let aws = stage.world.aws_secret("app").unwrap();
    assert_eq!((aws.tags["team"].as_str(), aws.tags["cost-centre"].as_str()), ("shop", "7"));
    assert_eq!(stage.writes.take(), ["TagResource"]);
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_current_is_not_promoted_because_somebody_stages_it() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", unscheduled()).await?;
    let first = stage.world.aws_secret("app").unwrap().versions[0].id.clone();
    stage.advance(10 * MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
    stage.settle("app").await?;
    stage.advance(10 * MINUTE);
    stage.external_writer().move_label(&stage.aws_name("app"), "AWSPENDING", Some(&first))?;
    stage.settle("app").await?;
    assert_eq!(stage.value("app")["password"], "theirs");
    assert_eq!(stage.data("app").await?["password"], "theirs");
    assert_eq!(stage.causes("app").await?, [Cause::External, Cause::Created]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_rotation_that_has_the_new_declaration_is_one_version() -> Result<()> {
    let stage = Stage::new("external").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(10 * MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), "plain")?;
    stage.settle("app").await?;
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2, "a changed declaration does not overwrite it");
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.value("app")["host"], "db");
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::External, Cause::Created]);
    assert_eq!(stage.versions("app"), 3);
    stage.assert_silence("app").await?;
    Ok(())
}
