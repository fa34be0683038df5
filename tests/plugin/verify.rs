//! Comparing: AWS, the mirror and the status.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use k8s_openapi::ByteString;
use kube::api::{DeleteParams, PostParams};
use rotated_secrets::api::FIELD_MANAGER;
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};

use crate::scene::Scene;
use testkit::fixtures::spec;

/// The names of the checks that did not agree.
fn differing(answer: &Value) -> Vec<&str> {
    let checks = answer["checks"].as_array().expect("checks");
    checks.iter().filter(|check| check["result"] != "Agree").filter_map(|check| check["check"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn peace_agrees_also_in_its_values() -> Result<()> {
    let scene = Scene::new("peace").await?;
    scene.settled("db", spec()).await?;
    scene.run("verify db").await?.ends(0).says("db: all agree\n");
    let answer = scene.run("verify db --values -o json").await?.ends(0).json();
    assert_eq!((&answer["result"], &answer["checkedValues"]), (&json!("Agree"), &json!(true)));
    let reads = |operation: &str| scene.world.emulator.log().iter().filter(|call| call.operation == operation).count();
    let before = reads("GetSecretValue");
    scene.run("verify db").await?.ends(0);
    assert_eq!(reads("GetSecretValue"), before, "without --values no value is read");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_somebody_put_in_aws_differs_until_the_operator_has_reconciled() -> Result<()> {
    let scene = Scene::new("external-writer").await?;
    scene.settled("db", spec()).await?;
    let name = scene.world.aws_secret("db").context("a secret")?.name;
    let value = json!({"username": "admin", "password": "put there by somebody"}).to_string();
    scene.world.emulator.external_writer().put_value(&name, &value).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let answer = scene.run("verify db --values -o json").await?.ends(1).json();
    assert_eq!(differing(&answer), ["awsVersion", "mirrorVersion", "values"]);
    scene.run("verify db").await?.ends(1).says("kubectl rotatedsecret refresh db").says("not all agree");
    let _operator = scene.operator().await?;
    scene.run("refresh db").await?.ends(0);
    scene.run("verify db --values").await?.ends(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_or_missing_mirror_differs() -> Result<()> {
    let scene = Scene::new("edited").await?;
    scene.settled("db", spec()).await?;
    let secrets = scene.world.secrets();
    let mut secret = secrets.get("db").await?;
    let bytes = ByteString(b"edited by hand".to_vec());
    secret.data.get_or_insert_default().insert("password".to_owned(), bytes);
    secret.metadata.managed_fields = None;
    // In the operator's own name, so that only the bytes tell.
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    secrets.replace("db", &params, &secret).await?;
    scene.run("verify db").await?.ends(0);
    let answer = scene.run("verify db --values -o json").await?.ends(1).json();
    assert_eq!(differing(&answer), ["values"]);

    let mut secret = secrets.get("db").await?;
    secret.metadata.managed_fields = None;
    secret.string_data = Some(BTreeMap::from([("password".to_owned(), "edited by hand again".to_owned())]));
    secrets.replace("db", &PostParams::default(), &secret).await?;
    assert_eq!(differing(&scene.run("verify db -o json").await?.ends(1).json()), ["mirror"]);

    secrets.delete("db", &DeleteParams::default()).await?;
    scene.run("verify db").await?.ends(1).says("there is no Secret db");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_aws_it_says_which_half_it_checked() -> Result<()> {
    let mut scene = Scene::new("half").await?;
    scene.settled("db", spec()).await?;
    scene.run("verify db --no-aws").await?.ends(0).says("AWS was not read");

    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    scene.world.emulator.set_faults(FaultPlan::none().with("*", When::Always, denied.clone()));
    let ran = scene.run("verify db").await?.ends(3).says("AWS denies you DescribeSecret");
    ran.says("only the mirror and the status were compared");
    scene.world.emulator.set_faults(FaultPlan::none().with("GetSecretValue", When::Always, denied));
    let answer = scene.run("verify db --values -o json").await?.ends(3).json();
    assert_eq!((differing(&answer), &answer["checkedAws"]), (vec!["values"], &json!(true)));
    scene.world.emulator.set_faults(FaultPlan::none());

    scene.credentials = false;
    let answer = scene.run("verify db -o json").await?.ends(3).json();
    assert_eq!((differing(&answer), &answer["checkedAws"], &answer["checkedMirror"]), (vec!["aws"], &json!(false), &json!(true)));
    scene.run("verify db").await?.ends(3).says("AWS credentials are missing");
    Ok(())
}
