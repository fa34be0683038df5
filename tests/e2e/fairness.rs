//! One tenant, Region or namespace that hangs or is missing delays no other.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::{REFRESH, RotatedSecret};
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::{chart, ready_reason, until};

use crate::operator::Operator;
use crate::stage::Stage;

const UNREACHABLE: &str = "eu-west-1";

fn objects(admin: Client, namespace: &str) -> Api<RotatedSecret> {
    Api::namespaced(admin, namespace)
}

async fn create(api: &Api<RotatedSecret>, name: &str, spec: Value) -> Result<()> {
    let object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name}, "spec": spec});
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

fn password() -> Value {
    json!({"generate": {"password": {}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_hangs_delays_no_other_tenant() -> Result<()> {
    let stage = Stage::enter("victim").await?;
    let never = Fault::Delay { millis: 3_600_000 };
    stage.emulator.set_faults(FaultPlan::none().with("*", When::Always, never).in_region(UNREACHABLE));
    let hostile = stage.plane().namespace("hostile").await?;
    let theirs = objects(stage.plane().admin(), &hostile);
    let flags = ["--allowed-regions", "*", "--concurrency", "8", "--refresh-interval", "1h", "--log", "info"];
    let operator = Operator::start_with(&stage, &flags).await?;
    for number in 0..40 {
        create(&theirs, &format!("hostile-{number}"), json!({"aws": {"region": UNREACHABLE}, "value": password()})).await?;
    }
    until("reconciles hang and others wait", async || {
        let hang = operator.metric("rotated_secrets_reconciles_in_progress").await? >= 6.0;
        Ok((hang && operator.metric("rotated_secrets_reconciles_waiting").await? >= 1.0).then_some(()))
    })
    .await?;
    until("the longest wait is measured", async || {
        Ok((operator.metric("rotated_secrets_reconciles_waiting_max_seconds").await? >= 1.0).then_some(()))
    })
    .await?;

    for number in 0..5 {
        stage.create(&format!("victim-{number}"), json!({"value": password()})).await?;
    }
    for number in 0..5 {
        stage.ready(&format!("victim-{number}")).await?;
    }
    let ended = operator.metric("rotated_secrets_aws_calls_total{operation=\"DescribeSecret\",outcome=\"AwsUnavailable\"}").await?;
    ensure!(ended < 1.0, "the others are Ready before the first call that hangs has ended: {ended}");
    until("calls to the region fail at once", async || {
        let fast = "rotated_secrets_aws_calls_failed_fast_total{operation=\"DescribeSecret\"}";
        Ok((operator.metric(fast).await? >= 1.0).then_some(()))
    })
    .await?;
    // Each new token ends the wait of its object.
    for round in 0..3 {
        for number in 0..40 {
            let patch = json!({"metadata": {"annotations": {REFRESH: format!("round-{round}")}}});
            theirs.patch(&format!("hostile-{number}"), &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
        stage.rotate(&format!("victim-{round}"), "now").await?;
        stage.secrets().delete(&format!("victim-{round}"), &DeleteParams::default()).await?;
        stage.ready(&format!("victim-{round}")).await?;
    }
    let answered = stage.emulator.log().into_iter().filter(|call| call.region == UNREACHABLE).count();
    ensure!(answered == 0, "all this time, the region has answered nothing: {answered}");

    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_operator_while_reconciles_hang() -> Result<()> {
    let stage = Stage::enter("second-signal").await?;
    let never = Fault::Delay { millis: 3_600_000 };
    stage.emulator.set_faults(FaultPlan::none().with("*", When::Always, never));
    let operator = Operator::start_with(&stage, &["--concurrency", "2", "--log", "info"]).await?;
    for number in 0..5 {
        stage.create(&format!("hanging-{number}"), json!({"value": password()})).await?;
    }
    until("a reconcile hangs", async || Ok((operator.metric("rotated_secrets_reconciles_in_progress").await? >= 1.0).then_some(())))
        .await?;
    operator.ask_to_stop()?;
    until("it waits for it", async || Ok(operator.said("stopping: waiting for reconciles in progress").ok())).await?;
    operator.ask_to_stop()?;
    let status = until("it ends", async || operator.ended()).await?;
    let output = operator.output()?;
    ensure!(!status.success() && output.contains("ended by a second signal"), "{status}: {output}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_may_use_the_operators_own_region_only_by_default() -> Result<()> {
    let stage = Stage::enter("own-region").await?;
    let operator = Operator::start(&stage).await?;
    stage.create("elsewhere", json!({"aws": {"region": UNREACHABLE}, "value": password()})).await?;
    stage.refused("elsewhere", "RegionNotAllowed").await?;
    stage.create("here", json!({"value": password()})).await?;
    stage.ready("here").await?;
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_missing_keeps_no_other_from_its_secrets_and_is_served_when_it_is_there() -> Result<()> {
    let stage = Stage::alone("present").await?;
    let admin = stage.plane().admin();
    Api::<ClusterRoleBinding>::all(admin.clone()).delete("rotated-secrets", &DeleteParams::default()).await?;
    Api::<ClusterRole>::all(admin.clone()).delete("rotated-secrets", &DeleteParams::default()).await?;
    let grant = async |namespaces: &str| {
        let values = format!("replicas=1,namespaces={{{namespaces}}}");
        let roles = chart::render(&chart::dir(), &["--set", &values, "--show-only", "templates/rbac.yaml"])?;
        stage.plane().apply_yaml(&roles).await.map(drop)
    };
    grant(&stage.namespace).await?;

    let both = format!("absent,{}", stage.namespace);
    let operator = Operator::start_with(&stage, &["--namespaces", &both]).await?;
    stage.create("own", json!({"value": password()})).await?;
    stage.ready("own").await?;
    let unsynchronized = async || operator.metric("rotated_secrets_scopes_unsynchronized").await.map(f64::round);
    ensure!((unsynchronized().await? - 1.0).abs() < 0.5, "the missing one is counted");
    let warned = operator.log()?.into_iter().any(|line| line["namespace"] == "absent" && line["level"] == "WARN");
    ensure!(warned, "and named");

    let namespace = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "absent"}}))?;
    Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
    grant(&both).await?;
    let theirs = objects(admin, "absent");
    create(&theirs, "theirs", json!({"value": password()})).await?;
    until("the object of the new namespace is Ready", async || {
        let ready = ready_reason(&theirs.get("theirs").await?);
        Ok(ready.filter(|(status, _)| status == "True").map(drop))
    })
    .await?;
    ensure!(unsynchronized().await?.abs() < 0.5, "none is missing");
    operator.check()
}
