//! Without `spec.value` the operator mirrors the value and never writes to AWS.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rotated_secrets::api::Cause;
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};

/// A mirror of `<prefix>/<namespace>/shared`.
fn mirror_of(stage: &Stage) -> Value {
    json!({"aws": {"secretName": stage.aws_name("shared"), "deletionPolicy": "Delete"}})
}

fn pairs(data: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_follows_aws_and_writes_nothing_there() -> Result<()> {
    let stage = Stage::new("mirror-only").await?;
    let shared = stage.aws_name("shared");
    stage.external_writer().create(&shared, r#"{"user":"a","port":5432,"more":{"x":[1,null]}}"#, &BTreeMap::new())?;
    stage.settled("app", mirror_of(&stage)).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(!stage.has("app", "Rotated").await?, "nothing rotates here");
    assert_eq!(pairs(&stage.data("app").await?), [("more", r#"{"x":[1,null]}"#), ("port", "5432"), ("user", "a")]);

    stage.advance(MINUTE);
    stage.external_writer().put_value(&shared, r#"{"user":"b"}"#)?;
    stage.settle("app").await?;
    assert_eq!(pairs(&stage.data("app").await?), [("user", "b")]);
    assert_eq!(stage.causes("app").await?, [Cause::External, Cause::External]);
    assert_eq!(stage.world.emulator.counters().writes(), 0);
    assert_eq!(stage.aws_write_calls(), 0);
    stage.assert_silence("app").await?;

    // Nor when the object goes.
    let before = stage.aws();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_fields_is_mirrored_under_one_key() -> Result<()> {
    let stage = Stage::new("mirror-only").await?;
    let shared = stage.aws_name("shared");
    stage.external_writer().create(&shared, "just text", &BTreeMap::new())?;
    stage.settled("app", mirror_of(&stage)).await?;
    assert_eq!(pairs(&stage.data("app").await?), [("value", "just text")]);

    for value in ["[1,2]", "\"quoted\"", "17", "{broken", " "] {
        stage.advance(MINUTE);
        stage.external_writer().put_value(&shared, value)?;
        stage.settle("app").await?;
        assert_eq!(pairs(&stage.data("app").await?), [("value", value)]);
    }

    stage.advance(MINUTE);
    let binary = json!({"SecretId": shared, "SecretBinary": "AP+A/w==", "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11"});
    stage.external_writer().act("PutSecretValue", &binary)?;
    stage.settle("app").await?;
    let data = stage.secret("app").await?.data.unwrap_or_default();
    assert_eq!(
        data.iter().map(|(key, bytes)| (key.as_str(), bytes.0.as_slice())).collect::<Vec<_>>(),
        [("value", &[0, 255, 128, 255][..])]
    );
    assert_eq!(stage.aws_write_calls(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_yet_is_mirrored_when_it_appears() -> Result<()> {
    let stage = Stage::new("mirror-only").await?;
    let shared = stage.aws_name("shared");
    stage.settled("app", mirror_of(&stage)).await?;
    let message = stage.expect("app", "Provisioned", "False", "SecretNotFound").await?;
    ensure!(message.contains(&shared), "{message}");
    stage.expect("app", "Ready", "False", "SecretNotFound").await?;
    assert_eq!(stage.told("app", "Warning", "SecretNotFound").await?, 1);
    ensure!(stage.no_secret("app").await?, "there is nothing to mirror");
    stage.assert_silence("app").await?;

    // There, but without a value.
    let empty = json!({"Name": shared, "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11"});
    stage.external_writer().act("CreateSecret", &empty)?;
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "SecretNotFound").await?;
    ensure!(stage.no_secret("app").await?, "there is nothing to mirror");

    stage.advance(MINUTE);
    stage.external_writer().put_value(&shared, r#"{"user":"a"}"#)?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Normal", "Recovered").await?, 1);
    assert_eq!(pairs(&stage.data("app").await?), [("user", "a")]);
    assert_eq!(stage.aws_write_calls(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_keep_their_secret_when_the_aws_secret_is_scheduled_for_deletion_or_gone() -> Result<()> {
    let stage = Stage::new("mirror-only").await?;
    let shared = stage.aws_name("shared");
    stage.external_writer().create(&shared, r#"{"user":"a"}"#, &BTreeMap::new())?;
    stage.settled("app", mirror_of(&stage)).await?;
    let mirror = stage.secret("app").await?;

    stage.advance(MINUTE);
    stage.external_writer().delete(&shared, 7)?;
    let before = stage.aws();
    stage.settle("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "ScheduledForDeletion").await?;
    ensure!(
        message.contains("aws secretsmanager restore-secret --region ") && message.contains(&format!(":secret:{shared}-")),
        "{message}"
    );
    stage.expect("app", "Stalled", "True", "ScheduledForDeletion").await?;
    assert_eq!(stage.secret("app").await?, mirror);
    assert_eq!(stage.aws(), before);
    stage.assert_silence("app").await?;

    stage.external_writer().restore(&shared)?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(!stage.has("app", "Stalled").await?, "still stalled");

    ensure!(stage.external_writer().purge(&shared));
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "SecretNotFound").await?;
    assert_eq!(stage.secret("app").await?, mirror);

    // A new secret of the same name has another ARN and is followed all the same.
    stage.advance(MINUTE);
    stage.external_writer().create(&shared, r#"{"user":"b"}"#, &BTreeMap::new())?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(pairs(&stage.data("app").await?), [("user", "b")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_rotate_what_is_only_mirrored_rotates_nothing() -> Result<()> {
    let stage = Stage::new("mirror-only").await?;
    stage.external_writer().create(&stage.aws_name("shared"), r#"{"user":"a"}"#, &BTreeMap::new())?;
    stage.settled("app", mirror_of(&stage)).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!(stage.aws_write_calls(), 0);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}
