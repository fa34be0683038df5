//! Keys of the mirrored Secret that are made from several fields.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::json;

use super::stage::{MINUTE, Stage};

const AUTHS: &str = r#"{"auths":{"ghcr.io":{"username":{{ username | tojson }},"password":{{ password | tojson }}}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_secret_is_made_from_fields_and_follows_the_template_and_the_value() -> Result<()> {
    let stage = Stage::new("templates").await?;
    let target = json!({"type": "kubernetes.io/dockerconfigjson", "template": {".dockerconfigjson": AUTHS}});
    let value = json!({"data": {"username": "ro\"bot"}, "generate": {"password": {}}});
    stage.settled("app", json!({"value": value, "target": target})).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let expected = |stage: &Stage| {
        let login = stage.value("app");
        json!({"auths": {"ghcr.io": {"username": "ro\"bot", "password": login["password"]}}})
    };
    let document = async |stage: &Stage| -> Result<serde_json::Value> {
        let data = stage.data("app").await?;
        ensure!(data.keys().eq([".dockerconfigjson"]), "only the keys of the templates: {:?}", data.keys());
        Ok(serde_json::from_str(&data[".dockerconfigjson"])?)
    };
    assert_eq!(document(&stage).await?, expected(&stage));
    stage.assert_silence("app").await?;

    // An edit of the template is no new version.
    let more = json!({"template": {"url": "https://{{ username | urlencode }}@ghcr.io"}, "keys": {"user": "username"}});
    stage.world.patch("app", json!({"spec": {"target": more}})).await?;
    stage.settle("app").await?;
    let data = stage.data("app").await?;
    let (url, user) = ("https://ro%22bot@ghcr.io", "ro\"bot");
    assert_eq!((data["url"].as_str(), data["user"].as_str(), data.len(), stage.versions("app")), (url, user, 3, 1));
    stage.world.patch("app", json!({"spec": {"target": {"keys": null, "template": {"url": null}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(document(&stage).await?, expected(&stage));

    stage.advance(MINUTE);
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    assert_eq!((document(&stage).await?, stage.versions("app")), (expected(&stage), 2));
    // A change by another client is undone.
    stage.edit_secret("app", json!({"stringData": {".dockerconfigjson": "{}"}})).await?;
    stage.settle("app").await?;
    assert_eq!(document(&stage).await?, expected(&stage));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_asks_for_a_missing_field_leaves_the_secret_as_it_is_and_makes_no_version() -> Result<()> {
    let stage = Stage::new("templates").await?;
    stage.settled("app", testkit::fixtures::unscheduled()).await?;
    let before = stage.secret("app").await?;
    stage.world.patch("app", json!({"spec": {"target": {"template": {"url": "{{ username }}@{{ server.host }}"}}}})).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Mirrored", "False", "FieldMissing").await?;
    ensure!(message.contains("spec.target.template.url asks for server.host"), "{message}");
    assert_eq!(stage.secret("app").await?, before);
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    assert_eq!((stage.versions("app"), stage.secret("app").await?), (1, before));

    let value = json!({"username": "a", "password": "b", "server": {"host": "db"}}).to_string();
    stage.advance(15 * MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), &value)?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.data("app").await?, BTreeMap::from([("url".to_owned(), "admin@db".to_owned())]), "and the request follows");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_text_is_put_into_a_template() -> Result<()> {
    let stage = Stage::new("templates").await?;
    let spec = json!({"value": {"plainText": {"type": "Password"}}, "target": {"template": {"header": "Bearer {{ document }}"}}});
    stage.settled("app", spec).await?;
    let aws = stage.world.aws_secret("app").and_then(|aws| aws.current().map(str::to_owned)).unwrap_or_default();
    assert_eq!(stage.data("app").await?, BTreeMap::from([("header".to_owned(), format!("Bearer {aws}"))]));
    stage.assert_silence("app").await
}
