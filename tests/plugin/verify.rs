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
    // AWS dates each change differently.
    scene.world.emulator.clock().advance(std::time::Duration::from_secs(1));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_in_a_suspended_namespace_is_corrected_by_its_resumption() -> Result<()> {
    let scene = Scene::new("frozen").await?;
    scene.settled("db", spec()).await?;
    scene.run("suspend --namespace-wide -m INC-1").await?.ends(0);
    scene.world.secrets().delete("db", &DeleteParams::default()).await?;
    let ran = scene.run("verify db").await?.ends(1).says("there is no Secret db").says(&scene.command("resume --namespace-wide"));
    assert!(!ran.out.contains("rotatedsecret refresh"), "{ran:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_scheduled_for_deletion_is_found_before_the_operator_looks() -> Result<()> {
    let scene = Scene::new("scheduled").await?;
    scene.settled("db", spec()).await?;
    let name = scene.world.aws_secret("db").context("a secret")?.name;
    scene.world.emulator.external_writer().delete(&name, 7).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    scene.run("status db").await?.ends(0);
    for command in ["verify db", "doctor db"] {
        scene.run(command).await?.ends(1).says("scheduled for deletion").says("aws secretsmanager restore-secret");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_objects_are_one_document_and_the_worst_one_decides() -> Result<()> {
    let scene = Scene::new("several").await?;
    for name in ["a", "b"] {
        scene.settled(name, spec()).await?;
    }
    scene.run("verify a b").await?.ends(0).says("a: all agree\n").says("b: all agree\n");
    let answer = scene.run("history a b -o json").await?.ends(0).json();
    assert_eq!((&answer["items"][0]["name"], &answer["items"][1]["name"]), (&json!("a"), &json!("b")));
    scene.run("history a b").await?.ends(0).says("a:\nAGE").says("b:\nAGE");
    scene.run("history --all").await?.ends(0).says("a:\nAGE").says("b:\nAGE");
    scene.run("verify --all").await?.ends(0).says("a: all agree\n").says("b: all agree\n");
    scene.world.patch("b", json!({"metadata": {"labels": {"team": "payments"}}})).await?;
    for command in ["verify -l team=payments -o json", "history -l team=payments -o json"] {
        let answer = scene.run(command).await?.ends(0).json();
        assert_eq!((&answer["items"][0]["name"], answer["items"].as_array().map(Vec::len)), (&json!("b"), Some(1)), "{command}");
    }
    scene.run("verify -l team=none").await?.ends(1).says("there is no RotatedSecret with the labels team=none");
    scene.world.secrets().delete("b", &DeleteParams::default()).await?;
    let answer = scene.run("verify a b c -o json").await?.ends(1).says("error: c: there is no RotatedSecret c").json();
    assert_eq!((&answer["items"][0]["result"], &answer["items"][1]["result"]), (&json!("Agree"), &json!("Differ")));
    scene.run("history a c").await?.ends(1).says("AGE").says("error: c: ");
    Ok(())
}
