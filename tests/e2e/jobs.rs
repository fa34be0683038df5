//! Rotation by Jobs, with the rights that are bound namespace by namespace and under the admission policies.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use rotated_secrets::api::{ADOPT_BY, JOB_OF};
use serde_json::{Value, json};
use testkit::jobs::{self, Service};
use testkit::until;

use crate::operator::Operator;
use crate::stage::{NAMESPACE, Stage};

const RIGHTS: &str = include_str!("../../deploy/optional/rotation-jobs.yaml");
const OLD: &str = "theirs-canary-7hK2";

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_where_the_right_is_bound_and_every_right_is_used() -> Result<()> {
    let stage = Stage::enter("jobs").await?;
    let applied = stage.plane().apply_yaml(RIGHTS).await?;
    let service = Service::new(OLD);
    let programs = jobs::Jobs::default();
    programs.set({
        let service = service.clone();
        move |files| service.program(files)
    });
    jobs::template(&stage.admin, &stage.namespace, "rotate-app", "app").await?;
    let value = json!({"username": "app", "password": OLD}).to_string();
    let tags = [(ADOPT_BY.to_owned(), format!("{}/app", stage.namespace))].into();
    stage.emulator.external_writer().create(&stage.aws_name("app"), &value, &tags)?;
    let (_, from) = stage.asked(0).await?;

    let operator = Operator::start_with(&stage, &["--allow-rotation-jobs"]).await?;
    let object = stage
        .create(
            "app",
            json!({
                "aws": {"adoptionPolicy": "IfTagged"},
                "value": {"data": {"username": "app"}, "generate": {"password": {}}},
                "rotation": {"schedule": "rate(30 days)", "job": {"templateRef": {"name": "rotate-app"}, "checkInterval": "0s"}},
            }),
        )
        .await?;
    stage.ready("app").await?;
    stage.ask_rotation("app", "one").await?;
    stage.refused("app", "AccessDenied").await?;
    let status = stage.objects().get("app").await?.status.unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").context("Ready")?;
    ensure!(ready.message.contains("kubectl create rolebinding rotated-secrets-jobs"), "{}", ready.message);
    ensure!(ready.message.contains("rotationJobs.namespaces"), "{}", ready.message);

    // As the message says.
    let account = format!("--serviceaccount={NAMESPACE}:rotated-secrets");
    stage.kubectl(&["create", "rolebinding", "rotated-secrets-jobs", "--clusterrole=rotated-secrets-jobs", &account]).await?;
    stage.refresh("app", "bound").await?;
    let uid = object.uid().context("a uid")?;
    let accepted = async |not: &str| {
        until("the new password works and pods have it", async || {
            programs.pass(&stage.admin, &stage.namespace, &uid).await?;
            let mirror = stage.secrets().get("app").await?;
            let password = String::from_utf8(mirror.data.unwrap_or_default()["password"].0.clone())?;
            let settled = stage.aws_secret("app").is_some_and(|secret| !secret.labels.contains_key("AWSPENDING"));
            Ok((password != not && settled && service.accepts(&password)).then_some(password))
        })
        .await
    };
    let first = accepted(OLD).await?;
    // A failure is told once; the Job is deleted before the next one.
    programs.set(|_| jobs::Exit::Code(1));
    stage.ask_rotation("app", "two").await?;
    until("the refusal is told", async || {
        programs.pass(&stage.admin, &stage.namespace, &uid).await?;
        let status = stage.objects().get("app").await?.status.unwrap_or_default();
        Ok(status.conditions.iter().any(|condition| condition.reason == "ApplyFailed").then_some(()))
    })
    .await?;
    programs.set({
        let service = service.clone();
        move |files| service.program(files)
    });
    stage.refresh("app", "again").await?;
    let second = accepted(&first).await?;

    until("no values are left in the Secrets of the Jobs", async || {
        let secrets = stage.secrets().list(&ListParams::default().labels(JOB_OF)).await?;
        Ok(secrets.iter().all(|secret| secret.data.iter().flatten().next().is_none()).then_some(()))
    })
    .await?;
    let found = Api::<Job>::namespaced(stage.admin.clone(), &stage.namespace).list(&ListParams::default()).await?;
    let shown = serde_json::to_string(&found.items)? + &operator.output()?;
    ensure!(![OLD, &first, &second].iter().any(|password| shown.contains(*password)), "a value is shown");

    let (asked, _) = stage.asked(from).await?;
    let of_jobs = asked.iter().filter(|event| matches!(event.resource.as_str(), "jobs" | "cronjobs"));
    let allowed: BTreeSet<(String, String)> =
        of_jobs.filter(|event| (200..300).contains(&event.code)).map(|event| (event.verb.clone(), event.resource.clone())).collect();
    let mut granted = BTreeSet::new();
    for rule in applied.objects.first().and_then(|role| role.data["rules"].as_array()).context("rules")? {
        let words = |key: &str| -> Vec<&str> { rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
        granted.extend(
            words("resources")
                .into_iter()
                .flat_map(|resource| words("verbs").into_iter().map(|verb| (verb.to_owned(), resource.to_owned()))),
        );
    }
    assert_eq!(allowed, granted);
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_operators_token_only_jobs_of_rotated_secrets_are_created_and_deleted() -> Result<()> {
    let stage = Stage::enter("jobs-policy").await?;
    stage.plane().apply_yaml(RIGHTS).await?;
    let account = format!("--serviceaccount={NAMESPACE}:rotated-secrets");
    stage.kubectl(&["create", "rolebinding", "rotated-secrets-jobs", "--clusterrole=rotated-secrets-jobs", &account]).await?;
    let client = Client::try_from(stage.plane().service_account_config(NAMESPACE, "rotated-secrets").await?)?;
    let thief: Api<Job> = Api::namespaced(client, &stage.namespace);
    let admin: Api<Job> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let job = |name: &str, labels: Value, owners: Value| -> Result<Job> {
        Ok(serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels, "ownerReferences": owners},
            "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}},
        }))?)
    };
    let ours = json!({"app.kubernetes.io/managed-by": "rotated-secrets", JOB_OF: "u"});
    let owner =
        json!([{"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": "n", "uid": "u", "controller": true}]);
    let other = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "n", "uid": "u", "controller": true}]);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    until("the policy is in force", async || {
        let refused = thief.create(&params, &job("none", json!({}), json!([]))?).await;
        Ok(matches!(refused, Err(kube::Error::Api(status)) if status.message.contains("only Jobs with its label")).then_some(()))
    })
    .await?;
    for (labels, owners) in [(json!({}), owner.clone()), (ours.clone(), json!([])), (ours.clone(), other)] {
        ensure!(thief.create(&params, &job("refused", labels, owners)?).await.is_err());
    }
    thief.create(&params, &job("allowed", ours, owner)?).await?;
    admin.create(&PostParams::default(), &job("theirs", json!({}), json!([]))?).await?;
    ensure!(thief.delete("theirs", &DeleteParams::default()).await.is_err(), "not a Job of another client");
    Ok(())
}
