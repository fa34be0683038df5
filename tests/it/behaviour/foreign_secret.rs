//! A Secret of another owner is never written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use rotated_secrets::api::{MANAGED_BY, RENDERING, RotatedSecret, SECRET_ARN, VERSION_ID};
use rotated_secrets::version_id::VersionIds;
use serde_json::{Value, json};
use testkit::emulator::{Moment, WriteBarrier};

use super::stage::{HOUR, Stage};
use testkit::fixtures::spec;

fn owner(kind: &str, api_version: &str, name: &str, uid: Option<&str>, controller: bool) -> Value {
    json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": controller}])
}

fn owner_of(object: &RotatedSecret, controller: bool) -> Value {
    owner("RotatedSecret", "rotated-secrets.io/v1alpha1", &object.name_any(), object.metadata.uid.as_deref(), controller)
}

/// A Secret with the name of `object`'s target that is not its own, for each way in which that can be.
async fn foreign(stage: &Stage, kind: &str, object: &RotatedSecret) -> Result<Secret> {
    let uid = object.uid().unwrap_or_default();
    let mut secret = json!({"metadata": {"name": object.name_any()}, "stringData": {"password": "mine"}});
    match kind {
        "no owner" => {}
        "another controller" => {
            let map = json!({"metadata": {"name": format!("owner-of-{}", object.name_any())}});
            let maps: Api<ConfigMap> = Api::namespaced(stage.world.admin.clone(), &stage.world.namespace);
            let map = maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
            secret["metadata"]["ownerReferences"] = owner("ConfigMap", "v1", &map.name_any(), map.metadata.uid.as_deref(), true);
        }
        "another of our kind" => {
            let other = stage.world.create(&format!("other-than-{}", object.name_any()), spec()).await?;
            secret["metadata"]["ownerReferences"] = owner_of(&other, true);
        }
        "ours, but not as controller" => secret["metadata"]["ownerReferences"] = owner_of(object, false),
        "immutable" => secret["immutable"] = json!(true),
        "forged labels and annotations" => {
            secret["metadata"]["labels"] = json!({MANAGED_BY.0: MANAGED_BY.1});
            secret["metadata"]["annotations"] = json!({
                VERSION_ID: VersionIds::of(&uid).creation().as_str(),
                SECRET_ARN: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/x-AbCdEf",
                RENDERING: "0000000000000000",
            });
        }
        _ => anyhow::bail!("no such kind"),
    }
    stage.make_secret(secret).await
}

const KINDS: [&str; 6] =
    ["no owner", "another controller", "another of our kind", "ours, but not as controller", "immutable", "forged labels and annotations"];

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_secret_stays_as_it_is_and_nothing_is_made_in_aws_that_could_not_be_delivered() -> Result<()> {
    let stage = Stage::new("foreign-secret").await?;
    for (number, kind) in KINDS.into_iter().enumerate() {
        let name = format!("held-{number}");
        let object = stage.world.create(&name, spec()).await?;
        let before = foreign(&stage, kind, &object).await?;
        stage.writes.take();
        stage.settle(&name).await?;

        let message = stage.expect(&name, "Mirrored", "False", "SecretNotOwned").await?;
        ensure!(message.contains(&format!("kubectl delete secret {name} -n {}", stage.world.namespace)), "{kind}: {message}");
        stage.expect(&name, "Provisioned", "False", "Creating").await?;
        stage.expect(&name, "Ready", "False", "SecretNotOwned").await?;
        stage.expect(&name, "Stalled", "True", "SecretNotOwned").await?;
        assert_eq!(stage.told(&name, "Warning", "SecretNotOwned").await?, 1, "{kind}");
        assert_eq!(stage.secret(&name).await?, before, "{kind}");
        assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"], "{kind}");
        ensure!(stage.world.aws_secret(&name).is_none(), "{kind}: created in AWS");
        stage.assert_silence(&name).await?;

        stage.delete_secret(&name).await?;
        stage.settle(&name).await?;
        stage.world.check_agreement(&name).await?;
        ensure!(!stage.has(&name, "Stalled").await?, "{kind}: still stalled");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_secret_in_the_place_of_our_mirror_holds_rotation_until_it_is_gone() -> Result<()> {
    let stage = Stage::new("foreign-secret").await?;
    let object = stage.settled("app", spec()).await?;
    stage.delete_secret("app").await?;
    let before = foreign(&stage, "forged labels and annotations", &object).await?;
    let aws = stage.aws();
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Mirrored", "False", "SecretNotOwned").await?;
    stage.expect("app", "Rotated", "False", "Overdue").await?;
    stage.expect("app", "Provisioned", "True", "Succeeded").await?;
    assert_eq!(stage.secret("app").await?, before);
    assert_eq!(stage.aws(), aws, "a version that nobody could get");

    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 2);
    stage.expect("app", "Rotated", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_secret_is_refused_when_only_mirroring_too() -> Result<()> {
    let stage = Stage::new("foreign-secret").await?;
    let aws_name = stage.aws_name("shared");
    stage.external_writer().create(&aws_name, "value", &std::collections::BTreeMap::new())?;
    let object = stage.world.create("app", json!({"aws": {"secretName": aws_name}})).await?;
    let before = foreign(&stage, "no owner", &object).await?;
    stage.settle("app").await?;
    stage.expect("app", "Mirrored", "False", "SecretNotOwned").await?;
    stage.expect("app", "Ready", "False", "SecretNotOwned").await?;
    assert_eq!(stage.secret("app").await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_whose_owner_reference_was_taken_away_is_not_ours_any_more() -> Result<()> {
    let stage = Stage::new("foreign-secret").await?;
    stage.settled("app", spec()).await?;
    let before = stage.edit_secret("app", json!({"metadata": {"ownerReferences": null}, "stringData": {"password": "mine now"}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Mirrored", "False", "SecretNotOwned").await?;
    assert_eq!(stage.secret("app").await?, before);
    stage.assert_silence("app").await?;
    Ok(())
}

/// Puts a foreign Secret in place just before the operator's own write of it goes out.
struct Intruder {
    stage: Arc<Stage>,
    name: String,
    effect: &'static str,
    done: AtomicBool,
}

impl WriteBarrier for Intruder {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if effect != self.effect || moment != Moment::Before || self.done.swap(true, Ordering::SeqCst) {
                return;
            }
            drop(self.stage.world.secrets().delete(&self.name, &DeleteParams::default()).await);
            let secret = json!({"metadata": {"name": self.name}, "stringData": {"password": "mine"}});
            self.stage.make_secret(secret).await.unwrap();
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_secret_that_appears_between_look_and_write_is_not_overwritten() -> Result<()> {
    let stage = Arc::new(Stage::new("foreign-secret").await?);
    for (name, effect) in [("post", "POST secrets"), ("put", "PUT secrets")] {
        stage.world.create(name, spec()).await?;
        if effect == "PUT secrets" {
            stage.settle(name).await?;
            stage.edit_secret(name, json!({"stringData": {"password": "edited"}})).await?;
        }
        let gate = Arc::new(Intruder { stage: Arc::clone(&stage), name: name.to_owned(), effect, done: AtomicBool::new(false) });
        let ctx = stage.operator_through(Arc::clone(&gate) as Arc<dyn WriteBarrier>).await?;
        stage.world.settle(&ctx, name).await?;
        ensure!(gate.done.load(Ordering::SeqCst), "{effect} never came");
        stage.expect(name, "Mirrored", "False", "SecretNotOwned").await?;
        assert_eq!(stage.data(name).await?.get("password").map(String::as_str), Some("mine"), "{effect}");
    }
    Ok(())
}
