//! Secrets that others own: of AWS services, of other accounts, and whole documents.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::stage::{MINUTE, Stage};

/// Another account, and another region than that of the operator.
const ACCOUNT: &str = "222233334444";
const REGION: &str = "eu-west-1";

const DOCUMENT: &str = "{\n  \"auths\": {\"ghcr.io\": {\"auth\": \"dTpw\"}}\n}\n";

fn by_name(name: &str) -> Value {
    json!({"aws": {"secretName": name}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_an_aws_service_manages_is_mirrored() -> Result<()> {
    let stage = Stage::new("inputs").await?;
    let name = "rds!cluster-1fcd41b2-194a-4993-930a-423037e3d94a";
    stage.external_writer().create_managed(name, r#"{"username":"postgres","password":"one"}"#);
    stage.settled("app", by_name(name)).await?;
    stage.expect("app", "Provisioned", "False", "NameNotAllowed").await?;
    stage.allow_names(Some("rds!cluster-*")).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.data("app").await?["password"], "one");
    stage.advance(MINUTE);
    stage.external_writer().put_value(name, r#"{"username":"postgres","password":"two"}"#)?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["password"], "two");
    assert_eq!(stage.aws_write_calls(), 0);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_account_is_mirrored_by_its_arn_if_the_administrator_names_that_account() -> Result<()> {
    let stage = Stage::new("inputs").await?;
    let writer = stage.external_writer().in_region(REGION);
    let arn = writer.share(ACCOUNT, "shared/db", r#"{"password":"one"}"#);
    let elsewhere = arn.replace(ACCOUNT, "555566667777");
    stage.settled("app", by_name(&arn)).await?;
    // No glob of names allows it, however wide.
    for globs in [None, Some("*"), Some("shared/*, arn:*"), Some(elsewhere.as_str()), Some("arn:aws:secretsmanager:*:*:secret:*")] {
        stage.allow_names(globs).await?;
        stage.settle("app").await?;
        let message = stage.expect("app", "Provisioned", "False", "NameNotAllowed").await?;
        ensure!(message.contains("rotated-secrets.io/mirror-names"), "{message}");
        assert_eq!(stage.world.emulator.counters().calls(), 0, "{globs:?}");
    }
    stage.allow_names(Some(&format!("other/*, arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shared/*"))).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.data("app").await?["password"], "one");
    let aws = stage.status("app").await?.aws.unwrap_or_default();
    assert_eq!((aws.arn.as_deref(), aws.region.as_deref()), (Some(arn.as_str()), Some(REGION)));

    stage.advance(MINUTE);
    assert_eq!(writer.share(ACCOUNT, "shared/db", r#"{"password":"two"}"#), arn);
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["password"], "two");
    assert_eq!(stage.aws_write_calls(), 0);
    stage.assert_silence("app").await?;

    // Another secret of that name has another ARN, which the object does not name.
    let other = arn.replace(&arn[arn.len() - 6..], "Abc123");
    stage.settled("other", by_name(&other)).await?;
    let of = stage.status("other").await?;
    ensure!(of.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False"), "{:?}", of.conditions);
    ensure!(stage.no_secret("other").await?, "mirrored");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_not_allowed_is_refused_in_an_arn_too() -> Result<()> {
    let mut stage = Stage::new("inputs").await?;
    let arn = stage.external_writer().in_region(REGION).share(ACCOUNT, "shared/db", "{}");
    stage.ctx.policy.allowed_regions = vec![testkit::REGION.to_owned()];
    stage.allow_names(Some(&arn)).await?;
    stage.settled("app", by_name(&arn)).await?;
    let message = stage.expect("app", "Ready", "False", "RegionNotAllowed").await?;
    ensure!(message.contains(REGION), "{message}");
    assert_eq!(stage.world.emulator.counters().calls(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_document_is_mirrored_under_one_key_whatever_its_form() -> Result<()> {
    let stage = Stage::new("inputs").await?;
    let name = stage.aws_name("docker");
    stage.external_writer().create(&name, DOCUMENT, &BTreeMap::new())?;
    let target = json!({"type": "kubernetes.io/dockerconfigjson", "wholeValueKey": ".dockerconfigjson"});
    stage.settled("pull", json!({"aws": {"secretName": name}, "target": target})).await?;
    stage.expect("pull", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.data("pull").await?, BTreeMap::from([(".dockerconfigjson".to_owned(), DOCUMENT.to_owned())]));
    let before = stage.secret("pull").await?;

    // What the API server would refuse, with the value in its answer, is not sent.
    for (number, wrong) in ["no JSON", "[]", r#"{"auths":1e999}"#].into_iter().enumerate() {
        stage.advance(20 * MINUTE);
        stage.external_writer().put_value(&name, wrong)?;
        stage.settle("pull").await?;
        let message = stage.expect("pull", "Mirrored", "False", "TypeMismatch").await?;
        ensure!(message.contains(".dockerconfigjson") && !message.contains(wrong), "{number}: {message}");
        assert_eq!(stage.secret("pull").await?, before, "{number}");
    }

    // From fields to the whole, and to another form, without a delay: the object says so.
    stage.external_writer().create(&stage.aws_name("config"), r#"{"a":"b"}"#, &BTreeMap::new())?;
    stage.settled("config", by_name(&stage.aws_name("config"))).await?;
    assert_eq!(stage.data("config").await?, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    stage.world.patch("config", json!({"spec": {"target": {"wholeValueKey": "config.json"}}})).await?;
    stage.settle("config").await?;
    assert_eq!(stage.data("config").await?, BTreeMap::from([("config.json".to_owned(), r#"{"a":"b"}"#.to_owned())]));
    for form in ["text", "[1]"] {
        stage.advance(MINUTE);
        stage.external_writer().put_value(&stage.aws_name("config"), form)?;
        stage.settle("config").await?;
        stage.expect("config", "Ready", "True", "Succeeded").await?;
        assert_eq!(stage.data("config").await?, BTreeMap::from([("config.json".to_owned(), form.to_owned())]));
    }
    stage.assert_silence("config").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_a_managed_value_can_be_mirrored_as_one_document() -> Result<()> {
    let stage = Stage::new("inputs").await?;
    let spec = json!({"value": {"data": {"user": "admin"}, "generate": {"password": {}}}, "target": {"wholeValueKey": "credentials.json"}});
    stage.settled("app", spec).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let data = stage.data("app").await?;
    assert_eq!(data.keys().collect::<Vec<_>>(), ["credentials.json"]);
    assert_eq!(Some(data["credentials.json"].as_str()), stage.world.aws_secret("app").unwrap().current());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn recommended_labels_are_on_the_secret_beside_ours() -> Result<()> {
    let stage = Stage::new("inputs").await?;
    let labels = json!({"app.kubernetes.io/name": "db", "app.kubernetes.io/part-of": "shop"});
    stage.settled("app", json!({"value": {"generate": {"password": {}}}, "target": {"labels": labels}})).await?;
    let labels = stage.secret("app").await?.metadata.labels.unwrap_or_default();
    for (key, value) in [("name", "db"), ("part-of", "shop"), ("managed-by", "rotated-secrets")] {
        assert_eq!(labels.get(&format!("app.kubernetes.io/{key}")).map(String::as_str), Some(value));
    }
    stage.assert_silence("app").await
}
