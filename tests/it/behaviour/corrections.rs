//! A correction of the spec is carried out, also if the current value does not fit the new spec, and also while the Secret
//! is pinned.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rotated_secrets::api::TAG_UID;
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};

/// A spec, the patch that corrects it, and the keys of the Secret afterwards.
type Row = (&'static str, Value, Value, &'static [&'static str]);

fn corrections() -> [Row; 7] {
    let docker = |text: &str| json!({"data": {".dockerconfigjson": text}});
    [
        (
            "added",
            json!({"value": {"data": {"a": "1"}}, "target": {"keys": {"A": "a"}}}),
            json!({"value": {"data": {"b": "2"}}, "target": {"keys": {"B": "b"}}}),
            &["A", "B"],
        ),
        (
            "renamed",
            json!({
                "value": {"data": {"a": "1"}, "generate": {"password": {}}},
                "target": {"keys": {"A": "a"}},
                "rotation": {"schedule": "rate(1 hour)"},
            }),
            json!({"value": {"data": {"a": null, "b": "1"}}, "target": {"keys": {"A": "b"}}}),
            &["A"],
        ),
        (
            "to-text",
            json!({"value": {"generate": {"token": {}}}}),
            json!({"value": {"generate": null, "plainText": {}}, "target": {"keys": {"token": "value"}}}),
            &["token"],
        ),
        (
            "to-fields",
            json!({"value": {"plainText": {}}}),
            json!({"value": {"plainText": null, "generate": {"password": {}}}, "target": {"keys": {"P": "password"}}}),
            &["P"],
        ),
        (
            "key-of-the-type",
            json!({"value": {"data": {"user": "u"}, "generate": {"pass": {}}}, "target": {"type": "kubernetes.io/basic-auth"}}),
            json!({"value": {"data": {"user": null, "username": "u"}, "generate": {"pass": null, "password": {}}}}),
            &["password", "username"],
        ),
        (
            "syntax",
            json!({"value": docker("{"), "target": {"type": "kubernetes.io/dockerconfigjson"}}),
            json!({"value": docker("{}")}),
            &[".dockerconfigjson"],
        ),
        (
            "key-of-nothing",
            json!({"value": {"data": {"a": "1"}}, "target": {"keys": {"A": "absent"}}}),
            json!({"target": {"keys": {"A": "a"}}}),
            &["A"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_that_the_current_value_does_not_fit_is_carried_out_by_the_next_version() -> Result<()> {
    let stage = Stage::new("corrections").await?;
    for (name, spec, patch, keys) in corrections() {
        stage.settled(name, spec).await?;
        stage.advance(10 * MINUTE);
        stage.world.patch(name, json!({"spec": patch})).await?;
        stage.settle(name).await?;
        stage.expect(name, "Ready", "True", "Succeeded").await?;
        assert_eq!(stage.data(name).await?.into_keys().collect::<Vec<_>>(), keys, "{name}");
        stage.assert_silence(name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_gives_an_adopted_value_its_declared_fields_does_not_wait_for_the_secret() -> Result<()> {
    for requested in [false, true] {
        let stage = Stage::new("corrections").await?;
        stage.external_writer().create(&stage.aws_name("app"), r#"{"user":"u","pw":"old"}"#, &BTreeMap::new())?;
        let spec = json!({
            "aws": {"adoptionPolicy": "Always"},
            "value": {"generate": {"password": {}}},
            "target": {"keys": {"P": "password"}},
            "rotation": {"schedule": "rate(1 hour)"},
        });
        stage.settled("app", spec).await?;
        let message = stage.expect("app", "Mirrored", "False", "FieldMissing").await?;
        ensure!(message.contains("kubectl rotatedsecret rotate app"), "{message}");
        if requested {
            stage.world.request_rotation("app", "now").await?;
        } else {
            stage.advance(HOUR);
        }
        stage.settle("app").await?;
        stage.expect("app", "Ready", "True", "Succeeded").await?;
        assert_eq!(stage.data("app").await?.into_keys().collect::<Vec<_>>(), ["P"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_secret_is_written_again_without_the_fields_that_were_declared_later_and_holds_up_no_rotation() -> Result<()> {
    for pin in ["AWSPREVIOUS", "id"] {
        let stage = Stage::new("corrections").await?;
        let spec = json!({"value": {"data": {"a": "1"}, "generate": {"password": {}}}, "rotation": {"schedule": "rate(1 hour)"}});
        stage.settled("app", spec).await?;
        let first = stage.mirrored_version("app").await?;
        let target = if pin == "id" { json!({"versionId": first}) } else { json!({"versionStage": pin}) };
        stage.advance(10 * MINUTE);
        stage.world.patch("app", json!({"spec": {"target": target}})).await?;
        stage.settle("app").await?;
        stage.advance(10 * MINUTE);
        stage.world.patch("app", json!({"spec": {"value": {"data": {"b": "2"}}}})).await?;
        stage.settle("app").await?;
        stage.expect("app", "Ready", "True", "Pinned").await?;
        stage.advance(10 * MINUTE);
        stage.delete_secret("app").await?;
        stage.settle("app").await?;
        assert_eq!(stage.mirrored_version("app").await?, first, "{pin}: created again");
        stage.expect("app", "Ready", "True", "Pinned").await?;
        let versions = stage.versions("app");
        stage.advance(HOUR);
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), versions + 1, "{pin}: rotated");
        stage.expect("app", "Ready", "True", "Pinned").await?;
        assert_eq!(stage.data("app").await?.contains_key("b"), pin == "AWSPREVIOUS");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_deleted_while_nothing_may_be_done_is_reported_as_missing() -> Result<()> {
    let stage = Stage::new("corrections").await?;
    for (name, reason) in [("suspended", "Suspended"), ("not-ours", "NotOwned")] {
        stage.settled(name, testkit::fixtures::unscheduled()).await?;
        stage.advance(10 * MINUTE);
        match reason {
            "Suspended" => stage.world.patch(name, json!({"spec": {"suspend": true}})).await.map(drop)?,
            _ => stage.external_writer().set_tag(&stage.aws_name(name), TAG_UID, "another")?,
        }
        stage.settle(name).await?;
        stage.delete_secret(name).await?;
        stage.settle(name).await?;
        let message = stage.expect(name, "Mirrored", "False", reason).await?;
        ensure!(message.contains(name) && message.contains("does not exist"), "{message}");
        stage.expect(name, "Ready", "False", reason).await?;
        ensure!(stage.status(name).await?.mirror.is_none(), "{name}: a mirror is reported");
        stage.assert_silence(name).await?;
    }
    Ok(())
}
