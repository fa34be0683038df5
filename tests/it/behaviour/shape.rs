//! The declared form of a value is protected: a value without its fields does not reach the Secret, and there is always a way back.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use rotated_secrets::api::{Cause, ROLLBACK};
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

const COMMA: &str = r#"{"username":"admin","password":"new",}"#;
const NEWLINE: &str = "{\"username\":\"admin\",\"password\":\"-----BEGIN KEY-----\nraw\"}";
const DROPPED: &str = r#"{"username":"admin"}"#;
const GOOD: &str = r#"{"username":"admin","password":"good","extra":"theirs"}"#;

impl Stage {
    fn put_binary(&self, name: &str, base64: &str) -> Result<()> {
        let token = format!("0b7a4c52-57c5-4e0c-9e6f-{:012x}", self.now().as_millisecond());
        let body = json!({"SecretId": name, "SecretBinary": base64, "ClientRequestToken": token});
        self.external_writer().act("PutSecretValue", &body)?;
        Ok(())
    }

    /// Puts an external value in AWS and reconciles.
    async fn put(&self, name: &str, value: &str) -> Result<()> {
        self.advance(MINUTE);
        self.external_writer().put_value(&self.aws_name(name), value)?;
        self.settle(name).await
    }

    /// The Secret is as it was, and the object says which version it does not get, which it has, and what to type.
    async fn assert_protected(&self, name: &str, before: &Secret) -> Result<()> {
        let current = self.world.aws_secret(name).unwrap().labels["AWSCURRENT"].clone();
        let held = self.mirrored_version(name).await?.unwrap_or_default();
        let message = self.expect(name, "Mirrored", "False", "FieldMissing").await?;
        ensure!(message.contains(&current) && message.contains(&held) && held != current, "{message}");
        ensure!(message.contains("aws secretsmanager put-secret-value"), "{message}");
        self.expect(name, "Ready", "False", "FieldMissing").await?;
        self.expect(name, "Stalled", "True", "FieldMissing").await?;
        self.expect(name, "Provisioned", "True", "Succeeded").await?;
        ensure!(&self.secret(name).await? == before, "{name}: the Secret was written");
        ensure!(self.status(name).await?.failures.is_none(), "{name}: a longer wait than the next resync");
        self.assert_silence(name).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_its_declared_fields_does_not_reach_the_secret_and_a_good_one_does() -> Result<()> {
    let stage = Stage::new("shape").await?;
    for (number, bad) in [COMMA, NEWLINE, DROPPED, "plain", "[1]", "{}", "", "null"].into_iter().enumerate() {
        let name = format!("app-{number}");
        stage.settled(&name, unscheduled()).await?;
        let before = stage.secret(&name).await?;
        if bad.is_empty() {
            // Bytes that are no text.
            stage.advance(MINUTE);
            stage.put_binary(&stage.aws_name(&name), "AP+A/w==")?;
            stage.settle(&name).await?;
        } else {
            stage.put(&name, bad).await?;
        }
        stage.assert_protected(&name, &before).await?;
        assert_eq!(stage.told(&name, "Warning", "FieldMissing").await?, 1, "{bad}");
        stage.put(&name, GOOD).await?;
        stage.world.check_agreement(&name).await?;
        assert_eq!(stage.data(&name).await?["extra"], "theirs");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_object_put_as_bytes_is_mirrored_as_fields() -> Result<()> {
    let stage = Stage::new("shape").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(MINUTE);
    // {"username":"admin","password":"bytes"}
    stage.put_binary(&stage.aws_name("app"), "eyJ1c2VybmFtZSI6ImFkbWluIiwicGFzc3dvcmQiOiJieXRlcyJ9")?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let data = stage.data("app").await?;
    assert_eq!((data["username"].as_str(), data["password"].as_str(), data.len()), ("admin", "bytes", 2));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_due_while_the_value_is_bad_keeps_the_fields_that_others_added() -> Result<()> {
    for bad in [COMMA, DROPPED] {
        let stage = Stage::new("shape").await?;
        stage.settled("app", spec()).await?;
        stage.put("app", GOOD).await?;
        stage.put("app", bad).await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.versions("app"), 4, "{bad}");
        let value = stage.value("app");
        ensure!(value["password"] != "good" && value["password"] != "new" && value["password"].is_string(), "{bad}: rotated");
        // A field that is missing from a JSON object was removed on purpose. A value that cannot be parsed proves nothing.
        assert_eq!(value.get("extra").is_some(), bad == COMMA, "{bad}");
        assert_eq!(stage.causes("app").await?[..2], [Cause::Scheduled, Cause::External]);
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_would_lose_fields_waits_for_a_correction_or_for_a_person() -> Result<()> {
    for correct in [false, true] {
        let stage = Stage::new("shape").await?;
        let mut spec = spec();
        spec["target"] = json!({"creationPolicy": "None"});
        stage.settled("app", spec).await?;
        stage.put("app", COMMA).await?;
        stage.put("app", NEWLINE).await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        let message = stage.expect("app", "Rotated", "False", "Overdue").await?;
        ensure!(message.contains("kubectl rotatedsecret rotate app"), "{message}");
        assert_eq!(stage.versions("app"), 3, "no version without the fields of others");
        stage.assert_silence("app").await?;
        if correct {
            stage.put("app", GOOD).await?;
            stage.expect("app", "Ready", "True", "Succeeded").await?;
            stage.advance(HOUR);
            stage.settle("app").await?;
            assert_eq!(stage.value("app")["extra"], "theirs");
        } else {
            stage.world.request_rotation("app", "now").await?;
            stage.settle("app").await?;
            assert_eq!(stage.versions("app"), 4);
            assert_eq!(stage.value("app")["username"], "admin");
        }
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_out_by_a_rotation_or_by_going_back() -> Result<()> {
    let stage = Stage::new("shape").await?;
    stage.settled("rotates", unscheduled()).await?;
    stage.put("rotates", GOOD).await?;
    stage.put("rotates", COMMA).await?;
    stage.world.request_rotation("rotates", "now").await?;
    stage.settle("rotates").await?;
    stage.world.check_agreement("rotates").await?;
    assert_eq!(stage.value("rotates")["extra"], "theirs");

    stage.settled("returns", unscheduled()).await?;
    stage.put("returns", GOOD).await?;
    stage.put("returns", COMMA).await?;
    stage.world.annotate("returns", ROLLBACK, "undo:AWSPREVIOUS").await?;
    stage.settle("returns").await?;
    stage.world.check_agreement("returns").await?;
    assert_eq!(stage.value("returns"), serde_json::from_str::<Value>(GOOD)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_spec_waits_while_the_value_cannot_be_read() -> Result<()> {
    let stage = Stage::new("shape").await?;
    stage.settled("app", unscheduled()).await?;
    stage.put("app", COMMA).await?;
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "Overdue").await?;
    ensure!(message.contains("spec.value changed") && message.contains("is not a JSON object"), "{message}");
    assert_eq!(stage.versions("app"), 2, "no password is generated that nobody asked for");
    stage.assert_silence("app").await?;
    stage.put("app", GOOD).await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.value("app"), json!({"username": "admin", "password": "good", "extra": "theirs", "host": "db"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_types_are_served_by_the_last_good_version_too() -> Result<()> {
    let stage = Stage::new("shape").await?;
    let targets = [json!({"keys": {"PASSWORD": "password"}}), json!({"type": "kubernetes.io/basic-auth"})];
    for (number, target) in targets.into_iter().enumerate() {
        let name = format!("app-{number}");
        let mut spec = unscheduled();
        spec["target"] = target;
        stage.settled(&name, spec).await?;
        let before = stage.secret(&name).await?;
        for bad in [COMMA, DROPPED] {
            stage.put(&name, bad).await?;
            stage.assert_protected(&name, &before).await?;
        }
        stage.put(&name, GOOD).await?;
        stage.expect(&name, "Ready", "True", "Succeeded").await?;
        ensure!(stage.secret(&name).await? != before, "{name}");
    }
    // A field that only spec.target.keys names: found again at the next resync, not after a longer wait.
    let mut spec = unscheduled();
    spec["target"] = json!({"keys": {"EXTRA": "extra"}});
    stage.settled("late", spec).await?;
    stage.expect("late", "Mirrored", "False", "FieldMissing").await?;
    stage.put("late", GOOD).await?;
    assert_eq!(stage.data("late").await?["EXTRA"], "theirs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_fields_is_not_replaced_by_one_key_until_the_secret_is_deleted() -> Result<()> {
    let stage = Stage::new("shape").await?;
    stage.external_writer().create(&stage.aws_name("app"), r#"{"user":"a"}"#, &BTreeMap::new())?;
    stage.settled("app", json!({})).await?;
    let before = stage.secret("app").await?;
    stage.put("app", COMMA).await?;
    stage.assert_protected("app", &before).await?;
    // Other fields are the owner's decision.
    stage.put("app", r#"{"login":"b"}"#).await?;
    assert_eq!(stage.data("app").await?.into_iter().collect::<Vec<_>>(), [("login".to_owned(), "b".to_owned())]);

    stage.put("app", "plain").await?;
    let message = stage.expect("app", "Mirrored", "False", "FieldMissing").await?;
    ensure!(message.contains("kubectl delete secret app"), "{message}");
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.data("app").await?.into_iter().collect::<Vec<_>>(), [("value".to_owned(), "plain".to_owned())]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_text_keeps_its_key_whatever_is_put() -> Result<()> {
    let stage = Stage::new("shape").await?;
    stage.settled("app", json!({"value": {"plainText": {}}})).await?;
    for value in [r#"{"auths":{}}"#, "[1]", "plain"] {
        stage.put("app", value).await?;
        stage.expect("app", "Ready", "True", "Succeeded").await?;
        assert_eq!(stage.data("app").await?.into_iter().collect::<Vec<_>>(), [("value".to_owned(), value.to_owned())]);
    }
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_between_fields_and_a_plain_text_is_carried_out() -> Result<()> {
    let stage = Stage::new("shape").await?;
    stage.settled("app", unscheduled()).await?;
    let old = stage.value("app");
    stage.world.patch("app", json!({"spec": {"value": {"data": null, "generate": null, "plainText": {}}}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let data = stage.data("app").await?;
    assert_eq!(data.keys().collect::<Vec<_>>(), ["value"]);
    ensure!(
        serde_json::from_str::<Value>(&data["value"]).map_or(true, |value| !value.is_object()),
        "the fields of before are no plain text"
    );
    assert_eq!(stage.causes("app").await?, [Cause::SpecChanged, Cause::Created]);
    stage.assert_silence("app").await?;

    stage
        .world
        .patch("app", json!({"spec": {"value": {"data": {"username": "admin"}, "generate": {"password": {}}, "plainText": null}}}))
        .await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    let new = stage.value("app");
    ensure!(new["username"] == "admin" && new["password"].is_string() && new["password"] != old["password"], "{:?}", stage.versions("app"));
    assert_eq!(stage.versions("app"), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_deleted_while_the_value_is_bad_waits_for_a_good_one() -> Result<()> {
    let stage = Stage::new("shape").await?;
    stage.settled("app", unscheduled()).await?;
    stage.put("app", DROPPED).await?;
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Mirrored", "False", "FieldMissing").await?;
    ensure!(message.contains("there is no Secret"), "{message}");
    stage.put("app", GOOD).await?;
    stage.world.check_agreement("app").await
}
