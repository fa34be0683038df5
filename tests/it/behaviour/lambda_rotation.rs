//! `spec.rotation.lambda`: AWS rotates with a function, and we configure, watch and mirror.

mod refused;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::{ALLOWED_FUNCTIONS, Cause, TAG_ROTATION};
use serde_json::{Value, json};
use testkit::emulator::function::KeepUsername;
use testkit::emulator::{RotationFunction, RotationSnapshot, RotationStep};
use testkit::python::Served;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::REGION;

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
const OTHER: &str = "arn:aws:lambda:eu-central-1:123456789012:function:other";
const DAY: std::time::Duration = std::time::Duration::from_hours(24);
const VALUE: &str = r#"{"username":"admin","password":"theirs"}"#;

fn rotation() -> Value {
    json!({"schedule": "rate(10 days)", "duration": "2h", "lambda": {"functionArn": FUNCTION}})
}

fn owned() -> Value {
    json!({"value": {"data": {"username": "admin"}, "generate": {"password": {}}}, "rotation": rotation()})
}

/// A namespace that may use the functions, which are there.
async fn prepared() -> Result<(Stage, Arc<KeepUsername>)> {
    let stage = Stage::new("by-aws").await?;
    allow(&stage, Some("arn:aws:lambda:*:123456789012:function:rotate, arn:aws:lambda:*:function:oth?r")).await?;
    // Eleven o'clock, so that no test passes midnight.
    let noon = stage.now().as_second() / 86_400 * 86_400 + 11 * 3600;
    stage.world.emulator.clock().set(Timestamp::from_second(noon)? + DAY);
    let function = KeepUsername::new();
    for arn in [FUNCTION, OTHER] {
        stage.world.emulator.set_rotation_function(arn, Some(Arc::clone(&function) as Arc<dyn RotationFunction>));
    }
    Ok((stage, function))
}

async fn allow(stage: &Stage, globs: Option<&str>) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {ALLOWED_FUNCTIONS: globs}}});
    let namespaces: Api<Namespace> = Api::all(stage.world.admin.clone());
    namespaces.patch(&stage.world.namespace, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

fn aws(stage: &Stage) -> RotationSnapshot {
    stage.world.aws_secret("app").and_then(|secret| secret.rotation).expect("rotation is set up")
}

fn calls(stage: &Stage, operation: &str) -> u64 {
    stage.world.emulator.counters().count(operation, "ok")
}

async fn edit(stage: &Stage, spec: Value) -> Result<()> {
    stage.world.patch("app", json!({"spec": spec})).await?;
    stage.settle("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_is_created_by_us_and_handed_to_aws_without_a_rotation() -> Result<()> {
    let (stage, function) = prepared().await?;
    stage.settled("app", owned()).await?;
    stage.world.check_agreement("app").await?;
    let rotation = aws(&stage);
    assert_eq!((rotation.enabled, rotation.function.as_deref()), (true, Some(FUNCTION)));
    assert_eq!(rotation.rules, Some(json!({"ScheduleExpression": "rate(10 days)", "Duration": "2h"})));
    assert_eq!(function.take_calls(), [RotationStep::TestSecret]);
    assert_eq!(stage.versions("app"), 1);
    let mark = format!("test/{}/app", stage.world.namespace);
    assert_eq!(stage.world.aws_secret("app").unwrap().tags.get(TAG_ROTATION), Some(&mark));
    let status = stage.status("app").await?;
    assert_eq!(status.next_rotation_time.map(|at| at.0), rotation.next, "what AWS says");
    assert_eq!(status.schedule.unwrap().expression, "rate(10 days); duration: 2h; by AWS");
    stage.expect("app", "Rotated", "True", "Succeeded").await?;
    assert_eq!((calls(&stage, "TagResource"), calls(&stage, "RotateSecret")), (1, 1));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_rotates_by_its_schedule_is_mirrored_and_recorded() -> Result<()> {
    let (stage, _) = prepared().await?;
    stage.settled("app", owned()).await?;
    let mut passwords = vec![stage.value("app")["password"].clone()];
    for n in 2..5 {
        stage.world.emulator.clock().set(aws(&stage).next.context("a date")? - HOUR);
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.versions("app"), n);
        let status = stage.status("app").await?;
        assert_eq!(status.last_rotation_time.map(|at| at.0), aws(&stage).last);
        assert_eq!(status.next_rotation_time.map(|at| at.0), aws(&stage).next);
        assert_eq!((status.missed_rotations, &status.history[0].due_time), (0, &None), "before the date that AWS reported");
        let value = stage.value("app");
        ensure!(value["username"] == "admin" && !passwords.contains(&value["password"]), "a new password for the same user");
        passwords.push(value["password"].clone());
        stage.assert_silence("app").await?;
    }
    assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::Scheduled, Cause::Scheduled, Cause::Created]);
    assert_eq!(stage.told("app", "Normal", "Rotated").await?, 3);
    assert_eq!(calls(&stage, "PutSecretValue"), 0, "the function did it");
    let secret = stage.world.aws_secret("app").unwrap();
    ensure!(secret.versions.iter().all(|version| secret.labels.values().any(|on| *on == version.id)), "each can be gone back to");
    assert_eq!(calls(&stage, "RotateSecret"), 1, "AWS's computed days are no difference");

    // What a person puts is no rotation of AWS's.
    stage.advance(MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), VALUE)?;
    stage.settle("app").await?;
    assert_eq!(stage.causes("app").await?[0], Cause::External);
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_somebody_else_is_rotated_and_mirrored_and_nothing_else_about_it_is_written() -> Result<()> {
    for (immediately, causes) in [(false, vec![Cause::External]), (true, vec![Cause::Scheduled])] {
        let (stage, _) = prepared().await?;
        stage.external_writer().create(&stage.aws_name("app"), VALUE, &BTreeMap::from([("team".to_owned(), "theirs".to_owned())]))?;
        stage.advance(MINUTE);
        let mut spec = json!({"rotation": rotation(), "aws": {"description": "ours", "tags": {"team": "ours"}}});
        spec["rotation"]["rotateImmediately"] = json!(immediately);
        stage.settled("app", spec).await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.causes("app").await?[..1], causes);
        assert_eq!(stage.versions("app"), 1 + usize::from(immediately), "rotateImmediately: {immediately}");
        let secret = stage.world.aws_secret("app").unwrap();
        assert_eq!((secret.tags["team"].as_str(), secret.tags.len(), secret.description), ("theirs", 2, None));
        stage.assert_silence("app").await?;

        stage.advance(MINUTE);
        stage.world.request_rotation("app", "now").await?;
        stage.settle("app").await?;
        assert_eq!(stage.causes("app").await?[0], Cause::Requested);
        assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("now"));
        stage.world.check_agreement("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_rotation_also_after_a_lost_status_and_while_aws_is_busy() -> Result<()> {
    let (stage, function) = prepared().await?;
    stage.settled("app", owned()).await?;
    for (token, versions) in [("a", 2), ("a", 2), ("b", 3), ("c", 4)] {
        stage.advance(MINUTE);
        stage.world.request_rotation("app", token).await?;
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), versions, "after {token}");
        assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some(token));
        stage.world.check_agreement("app").await?;
    }
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Requested, Cause::Requested, Cause::Created]);
    // The version of `a` has no label any more, and the status is gone: AWS is asked whether it has that version, not to rotate.
    stage.lose_status("app").await?;
    stage.world.request_rotation("app", "a").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 4);
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("a"));

    // A request that comes while AWS rotates waits until that has ended.
    function.fail_at(Some(RotationStep::SetSecret));
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "d").await?;
    stage.settle("app").await?;
    stage.world.request_rotation("app", "e").await?;
    stage.settle("app").await?;
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("d"));
    function.fail_at(None);
    stage.advance(4 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("e"));
    assert_eq!(stage.versions("app"), 6);
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_declared_fields_is_written_by_us_and_keeps_what_the_function_made() -> Result<()> {
    let (stage, function) = prepared().await?;
    stage.settled("app", owned()).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    let password = stage.value("app")["password"].clone();
    stage.advance(MINUTE);
    edit(&stage, json!({"value": {"data": {"host": "db"}}})).await?;
    let value = stage.value("app");
    assert_eq!((value["host"].as_str(), &value["password"]), (Some("db"), &password));
    assert_eq!(stage.causes("app").await?[0], Cause::SpecChanged);
    stage.world.check_agreement("app").await?;

    // While AWS rotates it waits, since it would abandon the rotation.
    function.fail_at(Some(RotationStep::TestSecret));
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "again").await?;
    stage.settle("app").await?;
    edit(&stage, json!({"value": {"data": {"host": "db2"}}})).await?;
    assert_eq!(stage.value("app")["host"], "db");
    stage.expect("app", "Provisioned", "False", "Progressing").await?;
    function.fail_at(None);
    stage.advance(4 * MINUTE);
    stage.settle("app").await?;
    let value = stage.value("app");
    ensure!(value["host"] == "db2" && value["password"] != password, "both happened");
    assert_eq!(stage.causes("app").await?[..2], [Cause::SpecChanged, Cause::Requested]);
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_function_follow_the_spec_and_are_mended_when_somebody_changes_them() -> Result<()> {
    let (stage, _) = prepared().await?;
    stage.settled("app", owned()).await?;
    let before = stage.value("app");
    for (change, rules) in [
        (json!({"duration": "5h"}), json!({"ScheduleExpression": "rate(10 days)", "Duration": "5h"})),
        (json!({"duration": "0s"}), json!({"ScheduleExpression": "rate(10 days)"})),
        (json!({"schedule": "cron(0 8 1 * ? *)"}), json!({"ScheduleExpression": "cron(0 8 1 * ? *)"})),
        (json!({"schedule": null, "automaticallyAfterDays": 20}), json!({"AutomaticallyAfterDays": 20})),
    ] {
        stage.advance(MINUTE);
        edit(&stage, json!({"rotation": change})).await?;
        assert_eq!(aws(&stage).rules, Some(rules));
        assert_eq!(stage.next_rotation("app").await?, aws(&stage).next);
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    edit(&stage, json!({"rotation": {"lambda": {"functionArn": OTHER}}})).await?;
    assert_eq!(aws(&stage).function.as_deref(), Some(OTHER));
    assert_eq!(stage.value("app"), before, "nothing of that rotates");
    stage.assert_silence("app").await?;

    // Another writer.
    let theirs = json!({
        "SecretId": stage.aws_name("app"), "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11", "RotationLambdaARN": FUNCTION,
        "RotationRules": {"AutomaticallyAfterDays": 1000}, "RotateImmediately": false,
    });
    stage.external_writer().act("RotateSecret", &theirs)?;
    stage.settle("app").await?;
    assert_eq!((aws(&stage).function.as_deref(), aws(&stage).rules), (Some(OTHER), Some(json!({"AutomaticallyAfterDays": 20}))));
    stage.external_writer().act("CancelRotateSecret", &json!({"SecretId": stage.aws_name("app")}))?;
    stage.settle("app").await?;
    ensure!(aws(&stage).enabled, "turned on again");
    assert_eq!(stage.value("app"), before);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn suspension_and_removal_turn_rotation_off_and_resumption_turns_it_on_again() -> Result<()> {
    let (stage, function) = prepared().await?;
    stage.settled("app", owned()).await?;
    edit(&stage, json!({"rotation": {"suspend": true}})).await?;
    ensure!(!aws(&stage).enabled, "cancelled");
    assert_eq!(stage.next_rotation("app").await?, None);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.assert_silence("app").await?;
    stage.advance(11 * DAY);
    stage.settle("app").await?;
    stage.expect("app", "Rotated", "False", "Suspended").await?;
    assert_eq!(stage.versions("app"), 1);
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "Suspended").await?;
    ensure!(message.contains("requested"), "{message}");
    ensure!(stage.status("app").await?.requests.is_none(), "not acknowledged, since it has not happened");

    edit(&stage, json!({"rotation": {"suspend": false}})).await?;
    ensure!(aws(&stage).enabled, "on again");
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Created], "and what was asked for came");
    stage.world.check_agreement("app").await?;

    // A rotation that is under way is let end first.
    function.fail_at(Some(RotationStep::SetSecret));
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "more").await?;
    stage.settle("app").await?;
    edit(&stage, json!({"rotation": {"suspend": true}})).await?;
    ensure!(aws(&stage).enabled, "cancelled in the middle");
    function.fail_at(None);
    stage.advance(4 * MINUTE);
    stage.settle("app").await?;
    stage.settle("app").await?;
    ensure!(!aws(&stage).enabled && stage.versions("app") == 3, "first to its end, then off");
    stage.world.check_agreement("app").await?;

    // From AWS's hands into ours.
    edit(&stage, json!({"rotation": {"lambda": null, "suspend": false, "schedule": "rate(1 hour)", "duration": "0s"}})).await?;
    ensure!(!stage.world.aws_secret("app").unwrap().tags.contains_key(TAG_ROTATION), "no mark is left");
    let versions = stage.versions("app");
    stage.advance(2 * HOUR);
    stage.settle("app").await?;
    assert_eq!((stage.versions("app"), stage.causes("app").await?[0]), (versions + 1, Cause::Scheduled));
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.world.emulator.counters().count("RotateSecret", "ok"), 4);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_it_from_a_secret_of_somebody_else_leaves_nothing_of_ours_there() -> Result<()> {
    let (stage, _) = prepared().await?;
    stage.external_writer().create(&stage.aws_name("app"), VALUE, &BTreeMap::new())?;
    stage.settled("app", json!({"rotation": rotation()})).await?;
    ensure!(aws(&stage).enabled, "on");
    edit(&stage, json!({"rotation": null})).await?;
    let secret = stage.world.aws_secret("app").unwrap();
    ensure!(!aws(&stage).enabled && secret.tags.is_empty() && secret.versions.len() == 1, "{:?}", secret.tags);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(!stage.has("app", "Rotated").await?, "nothing rotates");
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_is_shown_and_the_old_value_stays_where_pods_see_it() -> Result<()> {
    let (stage, function) = prepared().await?;
    stage.settled("app", owned()).await?;
    let mirror = stage.secret("app").await?;
    function.fail_at(Some(RotationStep::SetSecret));
    stage.world.emulator.clock().set(aws(&stage).next.context("a date")? - HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let pending = stage.status("app").await?.aws.unwrap().pending_version_id.context("one is pending")?;
    stage.advance(2 * HOUR);
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "RotationFailed").await?;
    for words in [pending.as_str(), "aws logs tail /aws/lambda/rotate", "RotationFailed in CloudTrail", &stage.aws_name("app")] {
        ensure!(message.contains(words), "{message}");
    }
    stage.expect("app", "Ready", "False", "RotationFailed").await?;
    stage.expect("app", "Stalled", "True", "RotationFailed").await?;
    stage.expect("app", "Provisioned", "True", "Succeeded").await?;
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Warning", "RotationFailed").await?, 1);
    ensure!(stage.next_rotation("app").await?.is_some_and(|next| next < stage.now()), "AWS's date is past");
    assert_eq!(stage.secret("app").await?, mirror);
    stage.assert_silence("app").await?;

    // AWS tries the same version again in its next window.
    function.fail_at(None);
    stage.advance(11 * DAY);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.status("app").await?.aws.unwrap().current_version_id, Some(pending));
    assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::Created]);
    assert_eq!(stage.told("app", "Normal", "Rotated").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_rotation_left_can_be_taken_away_and_rotation_goes_on() -> Result<()> {
    let (stage, function) = prepared().await?;
    stage.settled("app", owned()).await?;
    function.fail_at(Some(RotationStep::CreateSecret));
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.advance(2 * HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Rotated", "False", "RotationFailed").await?;
    function.fail_at(None);
    stage.external_writer().move_label(&stage.aws_name("app"), "AWSPENDING", None)?;
    stage.settle("app").await?;
    stage.expect("app", "Rotated", "True", "Succeeded").await?;
    stage.world.request_rotation("app", "again").await?;
    stage.settle("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Created]);
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_that_is_new_begins_at_once_where_that_is_asked_and_only_then() -> Result<()> {
    let (stage, _) = prepared().await?;
    let mut spec = owned();
    let mut rotation = rotation();
    rotation["rotateImmediately"] = json!(true);
    spec["rotation"] = Value::Null;
    stage.settled("app", spec).await?;
    stage.advance(MINUTE);
    edit(&stage, json!({"rotation": rotation})).await?;
    assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::Created]);
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await?;
    for suspend in [true, false] {
        edit(&stage, json!({"rotation": {"suspend": suspend}})).await?;
    }
    assert_eq!(stage.versions("app"), 2, "once in the object's life");
    // Neither when everything is created again.
    stage.lose_status("app").await?;
    stage.external_writer().act("CancelRotateSecret", &json!({"SecretId": stage.aws_name("app")}))?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    ensure!(aws(&stage).enabled, "on again");
    Ok(())
}

/// The kind of function that people really have, in Python with boto3.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_real_function_in_python_a_rotation_is_mirrored_and_a_failure_of_each_step_is_shown() -> Result<()> {
    for fails_at in [None].into_iter().chain(RotationStep::ALL.map(Some)) {
        let (stage, _) = prepared().await?;
        let endpoint = stage.world.endpoint();
        let function = tokio::task::spawn_blocking(move || Served::start(&endpoint, REGION, fails_at)).await??;
        stage.settled("app", owned()).await?;
        let old = stage.data("app").await?;
        stage.world.emulator.set_rotation_function(FUNCTION, Some(Arc::new(function.function())));
        stage.advance(MINUTE);
        stage.world.request_rotation("app", "now").await?;
        stage.settle("app").await?;
        if fails_at.is_none() {
            stage.world.check_agreement("app").await?;
            let new = stage.data("app").await?;
            ensure!(new["username"] == "admin" && new["password"] != old["password"], "the same user, a new password");
            assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Created]);
        } else {
            stage.advance(2 * HOUR);
            stage.settle("app").await?;
            stage.expect("app", "Rotated", "False", "RotationFailed").await?;
            assert_eq!(stage.data("app").await?, old, "{fails_at:?}");
            let told = stage.world.emulator.rotation_events().pop().and_then(|event| event.error_message).unwrap_or_default();
            ensure!(told.contains(fails_at.map_or("", RotationStep::as_str)), "{told}");
        }
    }
    Ok(())
}
