//! Operators that reconcile a part of the cluster only: some namespaces, or some labels.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::RotatedSecret;
use serde_json::json;
use testkit::chart;
use testkit::controlplane::Applied;
use testkit::until;

use crate::operator::Operator;
use crate::rights::{asked_of, granted_by};
use crate::stage::Stage;
use crate::{helped, rollout};

/// Takes the rights beyond the namespace away, and gives those of the chart with `namespaces`.
async fn restrict(stage: &Stage) -> Result<Applied> {
    let admin = stage.plane().admin();
    Api::<ClusterRoleBinding>::all(admin.clone()).delete("rotated-secrets", &DeleteParams::default()).await?;
    Api::<ClusterRole>::all(admin).delete("rotated-secrets", &DeleteParams::default()).await?;
    let values = format!("replicas=1,namespaces={{{}}}", stage.namespace);
    let roles = chart::render(&chart::dir(), &["--set", &values, "--show-only", "templates/rbac.yaml"])?;
    stage.plane().apply_yaml(&roles).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_with_the_operators_role_in_it_goes_and_takes_its_aws_secrets_along() -> Result<()> {
    let stage = Stage::alone("ending").await?;
    restrict(&stage).await?;
    let operator = Operator::start_with(&stage, &["--namespaces", &stage.namespace]).await?;
    let names: Vec<String> = (0..4).map(|number| format!("d{number}")).collect();
    for name in &names {
        let spec = json!({
            "aws": {"deletionPolicy": "Delete", "recoveryWindowInDays": 7},
            "value": {"generate": {"password": {}}},
            "target": {"deletionPolicy": "Retain"},
        });
        stage.create(name, spec).await?;
        stage.ready(name).await?;
    }
    // The worst order: the permissions go first.
    let admin = stage.plane().admin();
    Api::<RoleBinding>::namespaced(admin.clone(), &stage.namespace).delete("rotated-secrets", &DeleteParams::default()).await?;
    let namespaces: Api<Namespace> = Api::all(admin);
    namespaces.delete(&stage.namespace, &DeleteParams::default()).await?;
    until("the namespace is gone", async || Ok(namespaces.get_opt(&stage.namespace).await?.is_none().then_some(()))).await?;
    for name in &names {
        let secret = stage.aws_secret(name);
        ensure!(secret.is_some_and(|secret| secret.deletion_date.is_some()), "{name}: the AWS secret is orphaned");
    }
    operator.terminate().await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_namespaces_roles_in_them_are_enough_and_each_right_is_used() -> Result<()> {
    let stage = Stage::alone("scoped").await?;
    let admin = stage.plane().admin();
    let applied = restrict(&stage).await?;
    let elsewhere = stage.plane().namespace("elsewhere").await?;
    let foreign: RotatedSecret = serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "foreign"},
        "spec": {"value": {"generate": {"password": {}}}},
    }))?;
    let api: Api<RotatedSecret> = Api::namespaced(admin.clone(), &elsewhere);
    api.create(&PostParams::default(), &foreign).await?;

    let (_, from) = stage.asked(0).await?;
    let flags = ["--namespaces", &stage.namespace, "--refresh-interval", "3s"];
    let operator = Operator::start_with(&stage, &flags).await?;
    // Everything for which there is a right: create, mirror, repair, a name beyond the prefix, an Event twice, retain the Secret, delete.
    stage.create("own", json!({"value": {"generate": {"password": {}}}, "target": {"deletionPolicy": "Retain"}})).await?;
    stage.ready("own").await?;
    // The first one is that of the creation.
    for events in [2, 3] {
        stage.kubectl(&["patch", "secret", "own", "--type=merge", "--patch", r#"{"stringData":{"password":"mine"}}"#]).await?;
        until("the mirror is repaired", async || {
            let secret = stage.secrets().get("own").await?;
            let edited = secret.data.is_some_and(|data| data.values().any(|value| value.0 == b"mine"));
            Ok((!edited).then_some(()))
        })
        .await?;
        // The Event follows the status.
        until("the Event is written", async || {
            let asked = stage.asked(from).await?.0;
            Ok((asked.iter().filter(|event| event.is_write() && event.resource == "events").count() >= events).then_some(()))
        })
        .await?;
    }
    stage.create("target", crate::troubles::targeted()).await?;
    stage.refused("target", "SecretNotFound").await?;
    stage.create("named", json!({"aws": {"secretName": "shared/thing"}, "value": {"generate": {"password": {}}}})).await?;
    stage.refused("named", "NameNotAllowed").await?;
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let allowed = json!({"metadata": {"annotations": {"rotated-secrets.io/allowed-names": "shared/*"}}});
    namespaces.patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(allowed)).await?;
    until("the annotation is seen at the next look", async || {
        Ok(stage.emulator.secrets().iter().any(|secret| secret.name == "shared/thing").then_some(()))
    })
    .await?;
    stage.rotate("own", "first").await?;
    stage.rotate("own", "second").await?;
    rollout::tell(&stage).await.context("rollout")?;
    helped::tell(&stage).await.context("another object")?;
    stage.objects().delete("own", &DeleteParams::default()).await?;
    until("the object is gone", async || Ok(stage.objects().get_opt("own").await?.is_none().then_some(()))).await?;
    ensure!(stage.secrets().get_opt("own").await?.is_some(), "its Secret stays");
    let granted = granted_by(&applied.objects)?;
    let all_used = async || Ok(asked_of(&stage.asked(from).await?.0).is_superset(&granted).then_some(()));
    let waited = until("every right that is granted is used", all_used).await;
    operator.terminate().await?;

    let (events, _) = stage.asked(from).await?;
    let refused: Vec<_> = events.iter().filter(|event| matches!(event.code, 401 | 403)).map(|event| &event.uri).collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    let asked = asked_of(&events);
    let beyond: Vec<_> = asked.difference(&granted).collect();
    ensure!(beyond.is_empty(), "asked beyond the rules: {beyond:?}");
    waited.with_context(|| format!("granted and never used: {:?}", granted.difference(&asked).collect::<Vec<_>>()))?;
    let places: BTreeSet<&str> = events.iter().filter(|event| !event.resource.is_empty()).map(|event| event.namespace.as_str()).collect();
    ensure!(places == BTreeSet::from([stage.namespace.as_str(), "kube-system"]), "in its namespace and nowhere else: {places:?}");
    let of_cluster: Vec<_> = events.iter().filter(|event| event.namespace == "kube-system").map(|event| event.uri.as_str()).collect();
    ensure!(of_cluster.iter().all(|uri| *uri == "/api/v1/namespaces/kube-system"), "of kube-system nothing but its uid: {of_cluster:?}");
    let foreign = api.get("foreign").await?;
    ensure!(foreign.status.is_none() && foreign.metadata.finalizers.is_none(), "what lies elsewhere is not touched");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_share_a_cluster_by_labels_and_an_object_goes_over_with_its_label() -> Result<()> {
    let stage = Stage::enter("shards").await?;
    let blue = Operator::start_with(&stage, &["--object-selector", "shard=blue"]).await?;
    let rest = Operator::start_with(&stage, &["--object-selector", "shard!=blue"]).await?;
    for (name, labels) in [("one", json!({"shard": "blue"})), ("two", json!({})), ("three", json!({"shard": "green"}))] {
        let object: RotatedSecret = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name, "labels": labels},
            "spec": {"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}},
        }))?;
        stage.objects().create(&PostParams::default(), &object).await?;
        stage.ready(name).await?;
    }
    let wrote =
        async |operator: &Operator| operator.metric("rotated_secrets_steps_total{step=\"Put\",outcome=\"ok\"}").await.map(f64::round);
    let created =
        async |operator: &Operator| operator.metric("rotated_secrets_steps_total{step=\"Create\",outcome=\"ok\"}").await.map(f64::round);
    ensure!((created(&blue).await?, created(&rest).await?) == (1.0, 2.0), "each created its own");
    stage.rotate("one", "first").await?;
    stage.rotate("two", "first").await?;
    stage.rotate("three", "first").await?;
    ensure!((wrote(&blue).await?, wrote(&rest).await?) == (1.0, 2.0), "each rotated its own");

    stage.patch("one", json!({"metadata": {"labels": {"shard": "green"}}})).await?;
    stage.rotate("one", "second").await?;
    ensure!((wrote(&blue).await?, wrote(&rest).await?) == (1.0, 3.0), "the object went over with its label");
    stage.patch("three", json!({"metadata": {"labels": {"shard": "blue"}}})).await?;
    let agreed = stage.rotate("three", "second").await?;
    ensure!((wrote(&blue).await?, wrote(&rest).await?) == (2.0, 3.0), "in the other direction, too");
    ensure!(agreed.aws.versions.len() == 3, "creation and two requests");
    let refused = stage.emulator.counters().count("PutSecretValue", "ResourceExistsException");
    ensure!(refused == 0, "never both at once");
    for operator in [&blue, &rest] {
        let retained = operator.audited()?.into_iter().filter(|line| line["action"] == "retained").count();
        ensure!(retained == 0, "an object that goes over is not gone: {retained}");
    }
    blue.check()?;
    rest.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_a_right_or_with_a_selector_that_is_none_says_so_and_ends() -> Result<()> {
    let stage = Stage::enter("no-start").await?;
    let run = async |kubeconfig: &std::path::Path, flags: &[&str]| -> Result<String> {
        let endpoint = stage.endpoint();
        let listen = ["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"];
        let base = [["run", "--aws-region", "eu-central-1", "--aws-endpoint-url", &endpoint].as_slice(), &listen].concat();
        let output = crate::operator::run_to_end(kubeconfig, &[base.as_slice(), flags].concat()).await?;
        ensure!(!output.status.success(), "it cannot start");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let said = run(&stage.kubeconfig, &["--object-selector", "a b c"]).await?;
    ensure!(said.contains("--object-selector") && said.contains("shard=blue"), "{said}");
    stage.kubectl(&["create", "serviceaccount", "nobody"]).await?;
    let nobody = stage.plane().service_account_kubeconfig(&stage.namespace, "nobody").await?;
    let said = run(&nobody, &["--namespaces", &stage.namespace]).await?;
    ensure!(said.contains(&format!("list RotatedSecrets in namespace {}", stage.namespace)) && said.contains("403"), "{said}");
    let said = run(&stage.kubeconfig, &["--leader-elect", "--lease-duration", "5s"]).await?;
    ensure!(said.contains("--lease-duration must be longer"), "{said}");
    Ok(())
}
