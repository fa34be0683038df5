//! A person asks for an older value: it comes back once, as a version of its own, whatever else is lost.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use rotated_secrets::api::{Cause, REFRESH, ROLLBACK, ROTATE, RollbackRefusal};
use rotated_secrets::version_id::VersionIds;
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

async fn ask(stage: &Stage, request: &str) -> Result<()> {
    stage.advance(MINUTE);
    stage.world.annotate("app", ROLLBACK, request).await?;
    stage.settle("app").await
}

async fn rotate(stage: &Stage, token: &str) -> Result<()> {
    stage.advance(MINUTE);
    stage.world.request_rotation("app", token).await?;
    stage.settle("app").await
}

/// The values of all versions, oldest first.
fn values(stage: &Stage) -> Vec<String> {
    let secret = stage.world.aws_secret("app").unwrap();
    secret.versions.iter().map(|version| version.value().unwrap().as_str().unwrap().to_owned()).collect()
}

fn ids(stage: &Stage) -> Vec<String> {
    stage.world.aws_secret("app").unwrap().versions.into_iter().map(|version| version.id).collect()
}

async fn acknowledged(stage: &Stage) -> Result<(Option<String>, Option<RollbackRefusal>)> {
    let requests = stage.status("app").await?.requests.unwrap_or_default();
    Ok((requests.rollback, requests.rollback_refused))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_value_is_written_mirrored_recorded_and_acknowledged_with_one_write_each() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", spec()).await?;
    for token in ["a", "b"] {
        rotate(&stage, token).await?;
    }
    let (ids, before) = (ids(&stage), values(&stage));
    for (request, expected, copy_of) in
        [("one:AWSPREVIOUS".to_owned(), 1, &ids[1]), (format!("two:{}", ids[0]), 0, &ids[0]), (format!("three:{}", ids[2]), 2, &ids[2])]
    {
        stage.writes.take();
        ask(&stage, &request).await?;
        assert_eq!(stage.writes.take(), ["PutSecretValue", "PUT secrets", "PUT rotatedsecrets/status"], "{request}");
        assert_eq!(values(&stage).last(), Some(&before[expected]), "{request}");
        stage.world.check_agreement("app").await?;
        let token = request.split(':').next().unwrap();
        assert_eq!(acknowledged(&stage).await?, (Some(token.to_owned()), None));
        let object = stage.object("app").await?;
        let status = object.status.clone().unwrap();
        assert_eq!(status.history[0].cause, Cause::RolledBack);
        assert_eq!(status.history[0].copy_of.as_ref(), Some(copy_of), "{request}");
        assert_eq!(status.history[0].version_id, VersionIds::of(&object.uid().unwrap()).rollback(token).to_string());
        assert_eq!(stage.next_rotation("app").await?, Some(stage.now() + HOUR), "the schedule counts from it");
        stage.assert_silence("app").await?;
    }
    assert_eq!(stage.told("app", "Normal", "RolledBack").await?, 3);
    assert_eq!(stage.versions("app"), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_rolls_back_once_also_when_the_status_is_lost_after_later_rotations() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    rotate(&stage, "a").await?;
    ask(&stage, "undo:AWSPREVIOUS").await?;
    assert_eq!(stage.versions("app"), 3);
    // AWSPREVIOUS is another version each time, and in the end the rollback's own version carries no label any more.
    for later in 0..9 {
        let before = stage.aws();
        stage.lose_status("app").await?;
        stage.settle("app").await?;
        assert_eq!(stage.aws(), before, "after {later} more rotations");
        assert_eq!(acknowledged(&stage).await?.0.as_deref(), Some("undo"));
        stage.world.check_agreement("app").await?;
        rotate(&stage, &format!("later-{later}")).await?;
        stage.advance(3 * MINUTE);
    }
    let rolled_back = ids(&stage)[2].clone();
    let labels = stage.world.aws_secret("app").unwrap().labels;
    ensure!(labels.values().all(|version| *version != rolled_back), "it has no label: {labels:?}");
    assert_eq!(stage.versions("app"), 12);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_brings_an_older_request_back_and_nothing_happens() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    rotate(&stage, "a").await?;
    let first = ids(&stage)[0].clone();
    ask(&stage, &format!("old:{first}")).await?;
    rotate(&stage, "b").await?;
    ask(&stage, "new:AWSPREVIOUS").await?;
    rotate(&stage, "c").await?;
    for request in [format!("old:{first}"), "new:AWSPREVIOUS".to_owned()] {
        let before = stage.aws();
        stage.lose_status("app").await?;
        ask(&stage, &request).await?;
        assert_eq!(stage.aws(), before, "{request}");
        stage.world.check_agreement("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_carried_out_is_answered_once_and_writes_nothing() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", spec()).await?;
    let (before, mirror) = (stage.aws(), stage.secret("app").await?);
    let unknown = "00000000-0000-0000-0000-000000000000";
    let mut told = 0;
    for (request, token, refusal) in [
        ("first:AWSPREVIOUS".to_owned(), "first", RollbackRefusal::NoPreviousVersion),
        ("no-colon".to_owned(), "no-colon", RollbackRefusal::Malformed),
        ("short:abc".to_owned(), "short:abc", RollbackRefusal::Malformed),
        (format!("unknown:{unknown}"), "unknown", RollbackRefusal::VersionNotFound),
    ] {
        ask(&stage, &request).await?;
        assert_eq!(acknowledged(&stage).await?, (Some(token.to_owned()), Some(refusal)), "{request}");
        let message = stage.expect("app", "Ready", "True", "Succeeded").await?;
        ensure!(message.contains("the request to roll back is not carried out: ") && message.contains(refusal.sentence()), "{message}");
        told += 1;
        assert_eq!(stage.told("app", "Warning", "RollbackRefused").await?, told, "{request}");
        let counted = format!("rotated_secrets_errors_total{{reason=\"RollbackRefused\"}} {told}\n");
        ensure!(stage.ctx.metrics.render()?.contains(&counted), "{request}");
        stage.assert_silence("app").await?;
    }
    assert_eq!((stage.aws(), stage.secret("app").await?), (before, mirror));
    assert_eq!(stage.causes("app").await?, [Cause::Created]);
    // Its removal ends the matter.
    stage.world.patch("app", json!({"metadata": {"annotations": {ROLLBACK: null}}})).await?;
    stage.settle("app").await?;
    ensure!(!stage.expect("app", "Ready", "True", "Succeeded").await?.contains("roll back"), "still told");
    // A good one is no worse for it.
    rotate(&stage, "a").await?;
    ask(&stage, "good:AWSPREVIOUS").await?;
    assert_eq!(acknowledged(&stage).await?, (Some("good".to_owned()), None));
    assert_eq!(stage.causes("app").await?[0], Cause::RolledBack);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_version_that_is_only_pending_is_refused_and_writes_nothing() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    let pending = stage.external_writer().put_pending(&stage.aws_name("app"), r#"{"user":"b"}"#)?;
    let before = stage.aws();
    ask(&stage, &format!("early:{pending}")).await?;
    assert_eq!(acknowledged(&stage).await?, (Some("early".to_owned()), Some(RollbackRefusal::VersionPending)));
    let message = stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(message.contains(RollbackRefusal::VersionPending.sentence()), "{message}");
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_rollback_is_not_repeated_after_its_reason_has_passed() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    let pending = stage.external_writer().put_pending(&stage.aws_name("app"), r#"{"user":"b"}"#)?;
    let refused = async |token: &str, to: &str, refusal: RollbackRefusal, repeated: bool| -> Result<()> {
        assert_eq!(acknowledged(&stage).await?, (Some(token.to_owned()), Some(refusal)), "{to}");
        let message = stage.expect("app", "Ready", "True", "Succeeded").await?;
        ensure!(message.contains(refusal.sentence()) == repeated, "{token}: {message}");
        Ok(())
    };
    ask(&stage, &format!("early:{pending}")).await?;
    refused("early", &pending, RollbackRefusal::VersionPending, true).await?;
    stage.external_writer().move_label(&stage.aws_name("app"), "AWSPENDING", None)?;
    stage.advance(MINUTE);
    stage.settle("app").await?;
    refused("early", &pending, RollbackRefusal::VersionPending, false).await?;
    ask(&stage, "none:AWSPREVIOUS").await?;
    refused("none", "AWSPREVIOUS", RollbackRefusal::NoPreviousVersion, true).await?;
    rotate(&stage, "bad").await?;
    refused("none", "AWSPREVIOUS", RollbackRefusal::NoPreviousVersion, false).await?;
    ask(&stage, "one:AWSPREVIOUS").await?;
    ask(&stage, "two:AWSPREVIOUS").await?;
    refused("two", "AWSPREVIOUS", RollbackRefusal::AlreadyRolledBack, true).await?;
    let versions = stage.versions("app");
    rotate(&stage, "next").await?;
    refused("two", "AWSPREVIOUS", RollbackRefusal::AlreadyRolledBack, false).await?;
    // It stays refused: the request is not carried out later.
    assert_eq!(stage.versions("app"), versions + 1);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_for_the_previous_version_does_not_undo_the_first() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    rotate(&stage, "bad").await?;
    let bad = ids(&stage)[1].clone();
    ask(&stage, "one:AWSPREVIOUS").await?;
    let before = stage.aws();
    ask(&stage, "two:AWSPREVIOUS").await?;
    assert_eq!(acknowledged(&stage).await?, (Some("two".to_owned()), Some(RollbackRefusal::AlreadyRolledBack)));
    assert_eq!(stage.aws(), before);
    // By its id it is meant; and after another version the previous one is what the words say.
    ask(&stage, &format!("forward:{bad}")).await?;
    assert_eq!((acknowledged(&stage).await?.1, stage.versions("app")), (None, 4));
    rotate(&stage, "worse").await?;
    ask(&stage, "three:AWSPREVIOUS").await?;
    assert_eq!((acknowledged(&stage).await?.1, stage.versions("app")), (None, 6));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_aws_has_removed_is_refused() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    let mut few = unscheduled();
    few["aws"] = json!({"keepVersions": 3});
    stage.settled("app", few).await?;
    let first = ids(&stage)[0].clone();
    for token in 0..105 {
        // AWS removes none that is younger than a day.
        stage.advance(HOUR);
        stage.world.request_rotation("app", &token.to_string()).await?;
        stage.settle("app").await?;
    }
    ensure!(!ids(&stage).contains(&first), "AWS removed the first version");
    let before = stage.aws();
    ask(&stage, &format!("gone:{first}")).await?;
    assert_eq!(acknowledged(&stage).await?, (Some("gone".to_owned()), Some(RollbackRefusal::VersionNotFound)));
    assert_eq!(stage.aws(), before);
    // Those with a label of ours are there for good.
    let kept = stage.status("app").await?.aws.context("aws")?.retained_version_ids;
    assert_eq!(kept.len(), 3);
    for (number, version) in kept.iter().enumerate() {
        ask(&stage, &format!("kept-{number}:{version}")).await?;
        assert_eq!(acknowledged(&stage).await?.1, None);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_current_already_is_acknowledged_without_a_write() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", spec()).await?;
    let before = stage.aws();
    ask(&stage, &format!("t:{}", ids(&stage)[0])).await?;
    assert_eq!(stage.aws(), before);
    assert_eq!(acknowledged(&stage).await?, (Some("t".to_owned()), None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_somebody_elses_value_is_not_rolled_back() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    let shared = stage.aws_name("shared");
    stage.external_writer().create(&shared, r#"{"user":"a"}"#, &std::collections::BTreeMap::new())?;
    stage.external_writer().put_value(&shared, r#"{"user":"b"}"#)?;
    stage.settled("app", json!({"aws": {"secretName": shared}})).await?;
    ask(&stage, "t:AWSPREVIOUS").await?;
    assert_eq!(stage.aws_write_calls(), 0);
    assert_eq!(acknowledged(&stage).await?, (Some("t".to_owned()), Some(RollbackRefusal::MirrorOnly)));
    assert_eq!(stage.data("app").await?["user"], "b");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_value_comes_back_byte_by_byte() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", json!({"value": {"plainText": {}}})).await?;
    stage.advance(MINUTE);
    let name = stage.aws_name("app");
    stage
        .external_writer()
        .act("PutSecretValue", &json!({"SecretId": name, "SecretBinary": "AAH/", "ClientRequestToken": "b".repeat(32)}))?;
    stage.settle("app").await?;
    rotate(&stage, "a").await?;
    ask(&stage, "t:AWSPREVIOUS").await?;
    let secret = stage.secret("app").await?;
    assert_eq!(secret.data.unwrap_or_default()["value"].0, [0, 1, 255]);
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_and_a_rotation_that_are_asked_for_together_happen_in_this_order() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    rotate(&stage, "a").await?;
    let first = values(&stage)[0].clone();
    stage.advance(MINUTE);
    stage.world.patch("app", json!({"metadata": {"annotations": {ROLLBACK: "undo:AWSPREVIOUS", ROTATE: "b"}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::RolledBack, Cause::Requested, Cause::Created]);
    assert_eq!(values(&stage)[2], first);
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_or_an_old_look_makes_no_second_version() -> Result<()> {
    for fault in ["lost", "old"] {
        let stage = Stage::in_step("rollback-request").await?;
        stage.settled("app", unscheduled()).await?;
        stage.advance(10 * MINUTE);
        rotate(&stage, "a").await?;
        stage.advance(10 * MINUTE);
        match fault {
            "lost" => stage.world.emulator.set_faults(FaultPlan::none().with("PutSecretValue", When::First(1), Fault::LoseAnswer)),
            _ => stage.world.emulator.set_faults(
                FaultPlan::none().with("DescribeSecret", When::Always, Fault::StaleRead { seconds: 45 }).with(
                    "GetSecretValue",
                    When::Always,
                    Fault::StaleRead { seconds: 45 },
                ),
            ),
        }
        stage.world.annotate("app", ROLLBACK, "undo:AWSPREVIOUS").await?;
        stage.live("app", 5 * MINUTE).await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.versions("app"), 3, "{fault}");
        assert_eq!(stage.causes("app").await?, [Cause::RolledBack, Cause::Requested, Cause::Created], "{fault}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_request_ends_a_wait_after_failures_once() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    let denied = || Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    stage.break_aws("DescribeSecret", denied());
    stage.reconcile("app").await?;
    let looks = || stage.world.emulator.counters().total("DescribeSecret");
    for (annotation, text) in [(ROTATE, "r1"), (ROLLBACK, "b1:AWSPREVIOUS"), (REFRESH, "f1"), (ROTATE, "r2")] {
        let before = looks();
        stage.reconcile("app").await?;
        assert_eq!(looks(), before, "it waits");
        stage.world.annotate("app", annotation, text).await?;
        stage.reconcile("app").await?;
        assert_eq!(looks(), before + 1, "{annotation} ends the wait");
        stage.reconcile("app").await?;
        assert_eq!(looks(), before + 1, "once");
    }
    stage.mend_aws();
    stage.world.annotate("app", REFRESH, "f2").await?;
    stage.settle("app").await?;
    let requests = stage.status("app").await?.requests.unwrap_or_default();
    assert_eq!((requests.rotate.as_deref(), requests.rollback.as_deref()), (Some("r2"), Some("b1")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_and_a_change_of_the_declaration_in_one_edit_put_the_change_on_the_older_value() -> Result<()> {
    for to in ["AWSPREVIOUS", "the id"] {
        let stage = Stage::new("rollback-request").await?;
        let mut spec = unscheduled();
        spec["value"]["data"]["mode"] = json!("A");
        stage.settled("app", spec).await?;
        let good = stage.value("app");
        rotate(&stage, "bad").await?;
        let target = if to == "the id" { ids(&stage)[0].clone() } else { to.to_owned() };
        stage.advance(MINUTE);
        let annotations = json!({ROLLBACK: format!("one:{target}")});
        stage.world.patch("app", json!({"metadata": {"annotations": annotations}, "spec": {"value": {"data": {"mode": "B"}}}})).await?;
        stage.settle("app").await?;
        assert_eq!(stage.value("app"), json!({"username": "admin", "mode": "B", "password": good["password"]}), "{to}");
        let expected = [Cause::SpecChanged, Cause::RolledBack, Cause::Requested, Cause::Created];
        assert_eq!(stage.causes("app").await?, expected, "{to}");
        assert_eq!(acknowledged(&stage).await?, (Some("one".to_owned()), None));
        stage.world.check_agreement("app").await?;
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_version_without_a_field_declared_since_is_refused_and_writes_no_version() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    stage.world.patch("app", json!({"spec": {"value": {"generate": {"token": {}}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::SpecChanged, Cause::Created]);
    let (before, secret) = (values(&stage), stage.secret("app").await?);
    for request in ["previous:AWSPREVIOUS".to_owned(), format!("id:{}", ids(&stage)[0])] {
        ask(&stage, &request).await?;
        let token = request.split(':').next().unwrap();
        assert_eq!(acknowledged(&stage).await?, (Some(token.to_owned()), Some(RollbackRefusal::FieldMissing)));
        let message = stage.expect("app", "Ready", "True", "Succeeded").await?;
        ensure!(message.contains(RollbackRefusal::FieldMissing.sentence()), "{message}");
        assert_eq!((values(&stage), stage.secret("app").await?), (before.clone(), secret.clone()), "{request}");
    }
    // Without the field, it can be restored.
    stage.world.patch("app", json!({"spec": {"value": {"generate": {"token": null}}}})).await?;
    stage.settle("app").await?;
    ask(&stage, &format!("again:{}", ids(&stage)[0])).await?;
    assert_eq!(acknowledged(&stage).await?, (Some("again".to_owned()), None));
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rollback_the_value_is_not_called_as_declared() -> Result<()> {
    let stage = Stage::new("rollback-request").await?;
    stage.settled("app", unscheduled()).await?;
    stage.world.patch("app", json!({"spec": {"value": {"data": {"username": "root"}}}})).await?;
    stage.settle("app").await?;
    ensure!(stage.expect("app", "Provisioned", "True", "Succeeded").await?.contains("is as declared"));
    ask(&stage, "back:AWSPREVIOUS").await?;
    assert_eq!(stage.value("app")["username"], "admin");
    let message = stage.expect("app", "Provisioned", "True", "Succeeded").await?;
    ensure!(message.contains("a rollback restored its value") && !message.contains("as declared"), "{message}");
    stage.assert_silence("app").await?;
    rotate(&stage, "again").await?;
    assert_eq!(stage.value("app")["username"], "root");
    ensure!(stage.expect("app", "Provisioned", "True", "Succeeded").await?.contains("is as declared"));
    Ok(())
}
