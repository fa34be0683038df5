//! Keys and types of the mirrored Secret.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::stage::{MINUTE, Stage};

/// `spec.value.data` and a generated field, into a Secret of this type with these keys.
fn typed(data: &Value, generated: &str, kind: &str, keys: &Value) -> Value {
    json!({"value": {"data": data, "generate": {generated: {}}}, "target": {"type": kind, "keys": keys}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_type_is_made_when_it_has_what_the_type_demands() -> Result<()> {
    let stage = Stage::new("layout").await?;
    let docker = json!({".dockerconfigjson": r#"{"auths":{}}"#});
    let cases = [
        ("kubernetes.io/basic-auth", typed(&json!({"username": "a"}), "password", "kubernetes.io/basic-auth", &json!({}))),
        (
            "kubernetes.io/basic-auth",
            typed(&json!({"user": "a"}), "pass", "kubernetes.io/basic-auth", &json!({"username": "user", "password": "pass"})),
        ),
        ("kubernetes.io/ssh-auth", typed(&json!({}), "key", "kubernetes.io/ssh-auth", &json!({"ssh-privatekey": "key"}))),
        ("kubernetes.io/tls", typed(&json!({"tls.crt": "c"}), "tls.key", "kubernetes.io/tls", &json!({}))),
        ("kubernetes.io/dockerconfigjson", typed(&docker, "other", "kubernetes.io/dockerconfigjson", &json!({}))),
        ("Opaque", typed(&json!({"a.b_c-D9": "x"}), "password", "Opaque", &json!({}))),
    ];
    for (number, (kind, spec)) in cases.into_iter().enumerate() {
        let name = format!("app-{number}");
        stage.settled(&name, spec).await?;
        stage.expect(&name, "Ready", "True", "Succeeded").await?;
        assert_eq!(stage.secret(&name).await?.type_.as_deref(), Some(kind));
        stage.assert_silence(&name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_lacks_what_the_target_demands_is_refused_with_what_to_do() -> Result<()> {
    let stage = Stage::new("layout").await?;
    let cases = [
        (
            "TypeMismatch",
            "password",
            typed(&json!({"user": "a"}), "pass", "kubernetes.io/basic-auth", &json!({})),
            json!({"username": "user", "password": "pass"}),
        ),
        (
            "TypeMismatch",
            "ssh-privatekey",
            typed(&json!({}), "key", "kubernetes.io/ssh-auth", &json!({})),
            json!({"ssh-privatekey": "key"}),
        ),
        (
            "TypeMismatch",
            "tls.key",
            typed(&json!({"tls.crt": "c"}), "key", "kubernetes.io/tls", &json!({})),
            json!({"tls.crt": "tls.crt", "tls.key": "key"}),
        ),
        (
            "TypeMismatch",
            ".dockerconfigjson",
            typed(&json!({".dockerconfigjson": "{broken", "good": "{}"}), "x", "kubernetes.io/dockerconfigjson", &json!({})),
            json!({".dockerconfigjson": "good"}),
        ),
        ("FieldMissing", "absent", typed(&json!({}), "password", "Opaque", &json!({"KEY": "absent"})), json!({"KEY": "password"})),
    ];
    for (number, (reason, word, spec, cure)) in cases.into_iter().enumerate() {
        let name = format!("app-{number}");
        stage.settled(&name, spec).await?;
        let message = stage.expect(&name, "Mirrored", "False", reason).await?;
        ensure!(message.contains(word) && message.contains("spec.target"), "{message}");
        ensure!(!message.contains("broken"), "{message}");
        stage.expect(&name, "Ready", "False", reason).await?;
        stage.expect(&name, "Stalled", "True", reason).await?;
        assert_eq!(stage.told(&name, "Warning", reason).await?, 1);
        ensure!(stage.no_secret(&name).await?, "a Secret without {word}");
        assert_eq!(stage.versions(&name), 1);

        stage.world.patch(&name, json!({"spec": {"target": {"keys": cure}}})).await?;
        stage.settle(&name).await?;
        stage.expect(&name, "Ready", "True", "Succeeded").await?;
        assert_eq!(stage.versions(&name), 1);
        stage.assert_silence(&name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_a_missing_field_leaves_the_mirror_as_it_is_until_the_field_is_there() -> Result<()> {
    let stage = Stage::new("layout").await?;
    stage.settled("app", testkit::fixtures::unscheduled()).await?;
    let before = stage.secret("app").await?;
    stage.world.patch("app", json!({"spec": {"target": {"keys": {"HOST": "host"}}}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Mirrored", "False", "FieldMissing").await?;
    stage.expect("app", "Provisioned", "True", "Succeeded").await?;
    assert_eq!(stage.secret("app").await?, before);

    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"a","password":"b","host":"db"}"#)?;
    stage.advance(15 * MINUTE);
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.data("app").await?.into_iter().collect::<Vec<_>>(), [("HOST".to_owned(), "db".to_owned())]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_whose_names_cannot_be_keys_are_mirrored_under_other_names_only() -> Result<()> {
    let stage = Stage::new("layout").await?;
    for (number, field) in ["a b", "ü", "", "..", "a/b", "a\nb"].into_iter().enumerate() {
        let name = format!("app-{number}");
        let aws_name = stage.aws_name(&format!("shared-{number}"));
        stage.external_writer().create(&aws_name, &json!({field: "x", "fine": "y"}).to_string(), &BTreeMap::new())?;
        stage.settled(&name, json!({"aws": {"secretName": aws_name}})).await?;
        let message = stage.expect(&name, "Mirrored", "False", "FieldMissing").await?;
        ensure!(message.contains("spec.target.keys"), "{message}");
        ensure!(message.contains(&format!("\"{}\"", field.escape_default())), "it names the field: {message}");
        ensure!(stage.no_secret(&name).await?, "{field:?} is no key");
        stage.world.patch(&name, json!({"spec": {"target": {"keys": {"GOOD": "fine"}}}})).await?;
        stage.settle(&name).await?;
        assert_eq!(stage.data(&name).await?.into_iter().collect::<Vec<_>>(), [("GOOD".to_owned(), "y".to_owned())]);
    }
    Ok(())
}

/// The type of a Secret never changes in place. Gives the Secret's uid from before.
async fn with_another_type_asked_for(stage: &Stage) -> Result<Option<String>> {
    stage.settled("app", testkit::fixtures::unscheduled()).await?;
    let before = stage.secret("app").await?;
    stage.world.patch("app", json!({"spec": {"target": {"type": "kubernetes.io/basic-auth"}}})).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Mirrored", "False", "TypeMismatch").await?;
    ensure!(message.contains("kubectl delete secret app"), "{message}");
    stage.expect("app", "Ready", "False", "TypeMismatch").await?;
    stage.expect("app", "Stalled", "True", "TypeMismatch").await?;
    assert_eq!(stage.told("app", "Warning", "TypeMismatch").await?, 1);
    assert_eq!(stage.secret("app").await?, before);
    stage.assert_silence("app").await?;
    Ok(before.metadata.uid)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_is_refused_with_what_to_do_and_taking_it_back_cures_it() -> Result<()> {
    let stage = Stage::new("layout").await?;
    let uid = with_another_type_asked_for(&stage).await?;
    stage.world.patch("app", json!({"spec": {"target": {"type": "Opaque"}}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.secret("app").await?.metadata.uid, uid);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_type_that_was_deleted_as_told_is_made_anew_at_once() -> Result<()> {
    let stage = Stage::new("layout").await?;
    with_another_type_asked_for(&stage).await?;
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    ensure!(!stage.no_secret("app").await?, "pods have no Secret until the next attempt");
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.secret("app").await?.type_.as_deref(), Some("kubernetes.io/basic-auth"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_secret_that_somebody_made_immutable_is_not_fought_over() -> Result<()> {
    let stage = Stage::new("layout").await?;
    stage.settled("app", testkit::fixtures::unscheduled()).await?;
    let before = stage.edit_secret("app", json!({"immutable": true})).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Mirrored", "False", "TypeMismatch").await?;
    ensure!(message.contains("immutable") && message.contains("kubectl delete secret app"), "{message}");
    assert_eq!(stage.secret("app").await?, before);
    stage.assert_silence("app").await?;
    Ok(())
}
