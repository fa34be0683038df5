//! What is declared changes: a version for each change, in which everything else keeps its value.

use std::time::Duration;

use anyhow::{Result, ensure};
use rotated_secrets::api::Cause;
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

/// Changes `spec.value`, and checks that one version came of it in which exactly `changed` differs.
async fn change(stage: &Stage, name: &str, value: Value, changed: &[&str]) -> Result<()> {
    let (versions, before) = (stage.versions(name), stage.value(name));
    stage.advance(MINUTE);
    stage.world.patch(name, json!({"spec": {"value": value}})).await?;
    stage.writes.take();
    stage.settle(name).await?;
    let mut writes = stage.writes.take();
    if versions == 2 {
        // Once in a secret's life: the first version, which CreateSecret cannot label, is about to lose AWSPREVIOUS.
        assert_eq!(writes.remove(0), "UpdateSecretVersionStage");
    }
    assert_eq!(writes, ["PutSecretValue", "PUT secrets", "PUT rotatedsecrets/status"], "{value}");
    assert_eq!(stage.versions(name), versions + 1, "{value}");
    let after = stage.value(name);
    let fields: std::collections::BTreeSet<&String> =
        [&before, &after].into_iter().filter_map(Value::as_object).flat_map(|o| o.keys()).collect();
    let differing: Vec<&str> = fields.into_iter().filter(|field| before.get(*field) != after.get(*field)).map(String::as_str).collect();
    assert_eq!(differing, changed, "{value}");
    assert_eq!(stage.causes(name).await?[0], Cause::SpecChanged, "{value}");
    stage.world.check_agreement(name).await?;
    stage.assert_silence(name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_declared_fields_makes_one_version_in_which_all_others_keep_their_value() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", unscheduled()).await?;
    change(&stage, "app", json!({"data": {"username": "root"}}), &["username"]).await?;
    change(&stage, "app", json!({"data": {"host": "db", "port": "5432"}}), &["host", "port"]).await?;
    change(&stage, "app", json!({"data": {"port": null}}), &["port"]).await?;
    change(&stage, "app", json!({"generate": {"key": {}}}), &["key"]).await?;
    change(&stage, "app", json!({"data": {"host": "db2"}, "generate": {"key": null, "token": {}}}), &["host", "key", "token"]).await?;
    // A generated field becomes a fixed one, and the other way round: it exists, so it keeps its value until the next rotation.
    change(&stage, "app", json!({"data": {"token": "fixed"}, "generate": {"token": null}}), &["token"]).await?;
    assert_eq!(stage.told("app", "Normal", "ValueChanged").await?, 6);
    // There and back again are two changes.
    change(&stage, "app", json!({"data": {"host": "db3"}}), &["host"]).await?;
    change(&stage, "app", json!({"data": {"host": "db2"}}), &["host"]).await?;
    change(&stage, "app", json!({"data": {"host": "db3"}}), &["host"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_others_added_survive_a_change_of_the_declared_ones() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"root","password":"theirs","extra":"x"}"#)?;
    stage.settle("app").await?;
    change(&stage, "app", json!({"data": {"host": "db"}}), &["host", "username"]).await?;
    assert_eq!(stage.value("app")["extra"], "x");
    assert_eq!(stage.value("app")["password"], "theirs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_changes_at_once_make_one_version() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", unscheduled()).await?;
    for host in ["a", "b", "c"] {
        stage.world.patch("app", json!({"spec": {"value": {"data": {"host": host}}}})).await?;
    }
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    assert_eq!(stage.value("app")["host"], "c");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_declared_fields_is_no_rotation_and_moves_no_schedule() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", spec()).await?;
    let before = stage.status("app").await?;
    stage.advance(30 * MINUTE);
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    stage.settle("app").await?;
    let after = stage.status("app").await?;
    assert_eq!(stage.versions("app"), 2);
    assert_eq!(after.next_rotation_time, before.next_rotation_time, "the schedule moved");
    assert_eq!(after.last_rotation_time, before.last_rotation_time, "the password is as old as before");
    stage.advance(30 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 3, "the password was not rotated in time");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_declared_fields_rotates_nothing_that_is_not_due() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", spec()).await?;
    let password = stage.value("app")["password"].clone();
    for minutes in [10, 20, 20] {
        stage.advance(minutes * MINUTE);
        stage.world.patch("app", json!({"spec": {"value": {"data": {"host": format!("db{minutes}")}}}})).await?;
        stage.settle("app").await?;
        assert_eq!(stage.value("app")["password"], password);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_while_a_rotation_is_due_makes_both_and_nothing_more() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", spec()).await?;
    let password = stage.value("app")["password"].clone();
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    stage.advance(HOUR + MINUTE);
    stage.settle("app").await?;
    ensure!(stage.value("app")["password"] != password, "the due rotation was lost");
    assert_eq!(stage.value("app")["host"], "db");
    ensure!(stage.versions("app") <= 3, "more versions than causes");
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_generator_option_takes_effect_at_the_next_rotation_only() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", spec()).await?;
    let before = stage.aws();
    let options = json!({"passwordLength": 48, "excludePunctuation": true, "excludeNumbers": true});
    stage.world.patch("app", json!({"spec": {"value": {"generate": {"password": options}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);
    stage.world.check_agreement("app").await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    let password = stage.value("app")["password"].as_str().unwrap().to_owned();
    ensure!(password.len() == 48 && password.chars().all(|c| c.is_ascii_alphabetic()), "not as the options say");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_value_is_generated_mirrored_under_one_key_and_rotated() -> Result<()> {
    let stage = Stage::new("declared").await?;
    let spec = json!({"value": {"plainText": {"passwordLength": 20}}, "rotation": {"schedule": "rate(1 hour)"}});
    stage.settled("app", spec).await?;
    let first = stage.external_writer().value(&stage.aws_name("app"))?;
    assert_eq!(first.chars().count(), 20);
    assert_eq!(stage.data("app").await?.into_iter().collect::<Vec<_>>(), [("value".to_owned(), first.clone())]);

    let before = stage.aws();
    stage.world.patch("app", json!({"spec": {"value": {"plainText": {"passwordLength": 30}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);

    stage.advance(HOUR);
    stage.settle("app").await?;
    let second = stage.external_writer().value(&stage.aws_name("app"))?;
    assert_eq!(second.chars().count(), 30);
    assert_eq!(stage.data("app").await?["value"], second);
    assert_eq!(stage.versions("app"), 2);
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_key_and_description_change_aws_and_make_no_version() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", spec()).await?;
    stage.world.patch("app", json!({"spec": {"aws": {"description": "ours", "kmsKeyId": "alias/shop", "tags": {"team": "shop"}}}})).await?;
    stage.settle("app").await?;
    let aws = stage.world.aws_secret("app").unwrap();
    assert_eq!((aws.description.as_deref(), aws.kms_key.as_deref()), (Some("ours"), Some("alias/shop")));
    assert_eq!((aws.tags["team"].as_str(), aws.versions.len()), ("shop", 1));
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_value_cannot_be_read_back_is_recorded_and_no_reconcile_follows_at_once() -> Result<()> {
    let stage = Stage::new("declared").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(MINUTE);
    stage.world.patch("app", json!({"spec": {"value": {"data": {"username": "root"}}}})).await?;
    // The value before is read for the new one. The new one can be read neither for its date nor for the Secret.
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    let second_and_third =
        [2, 3].into_iter().fold(FaultPlan::none(), |plan, nth| plan.with("GetSecretValue", When::Nth(nth), denied.clone()));
    stage.world.emulator.set_faults(second_and_third);
    stage.reconcile("app").await?;
    stage.break_aws("GetSecretValue", denied);
    assert_eq!(stage.versions("app"), 2);
    let mut delay = Duration::ZERO;
    for _ in 0..3 {
        delay = stage.reconcile("app").await?.again.unwrap_or_default();
    }
    ensure!(delay > 2 * Duration::from_secs(1), "a reconcile each second while AWS refuses: {delay:?}");
    stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    // A change by another writer is not overwritten with the declaration.
    let theirs = json!({"username": "other", "password": "theirs"});
    stage.external_writer().put_value(&stage.aws_name("app"), &theirs.to_string())?;
    stage.mend_aws();
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!((stage.versions("app"), stage.value("app")), (3, theirs));
    assert_eq!(stage.causes("app").await?, [Cause::External, Cause::SpecChanged, Cause::Created]);
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_made_and_moved_back_before_is_made_again() -> Result<()> {
    let fixed = |value: &str| json!({"spec": {"value": {"data": {"mode": value}}}});
    let generated = |more: bool| json!({"spec": {"value": {"generate": {"second": more.then(|| json!({}))}}}});
    for (name, first, second) in [("fixed", fixed("a"), fixed("b")), ("generated", generated(false), generated(true))] {
        for pause in [Duration::from_secs(3), HOUR] {
            let stage = Stage::in_step("declared").await?;
            stage.settled(name, unscheduled()).await?;
            stage.world.patch(name, first.clone()).await?;
            stage.settle(name).await?;
            let before = stage.status(name).await?.aws.and_then(|aws| aws.current_version_id);
            for change in [&second, &first] {
                stage.advance(pause);
                stage.world.patch(name, change.clone()).await?;
                stage.settle(name).await?;
            }
            stage.external_writer().move_label(&stage.aws_name(name), "AWSCURRENT", before.as_deref())?;
            stage.advance(pause);
            stage.settle(name).await?;
            stage.world.patch(name, second.clone()).await?;
            stage.live(name, 5 * MINUTE).await?;
            let value = stage.value(name);
            ensure!(value["mode"] == "b" || value.get("second").is_some(), "{name}: not made: {value}");
            stage.world.check_agreement(name).await?;
            stage.expect(name, "Ready", "True", "Succeeded").await?;
            stage.world.emulator.counters().reset();
            stage.live(name, 10 * MINUTE).await?;
            assert_eq!(stage.aws_write_calls(), 0, "{name}: written again and again");
            assert_eq!(stage.causes(name).await?[0], Cause::SpecChanged);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_had_a_fixed_content_is_generated_when_it_is_declared_so() -> Result<()> {
    let stage = Stage::new("declared").await?;
    let value = json!({"data": {"username": "app", "password": "changeme"}, "generate": {"token": {}}});
    stage.settled("app", json!({"value": value})).await?;
    let before = stage.value("app");
    change(&stage, "app", json!({"data": {"password": null}, "generate": {"password": {}}}), &["password"]).await?;
    let password = stage.value("app")["password"].clone();
    ensure!(password != "changeme" && password.as_str().is_some_and(|text| !text.is_empty()), "it keeps the fixed content");
    // And is kept as any generated field.
    change(&stage, "app", json!({"data": {"host": "db"}}), &["host"]).await?;
    assert_eq!((&stage.value("app")["password"], &stage.value("app")["token"]), (&password, &before["token"]));
    Ok(())
}
