//! Which Services of its namespace an object may name as a target without permission.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, PostParams};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS};
use serde_json::json;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn only_a_service_that_leads_to_pods_of_the_namespace_needs_no_permission() -> Result<()> {
    let stage = Stage::new("service").await?;
    let elsewhere = Stage::new("service").await?;
    let services = |stage: &Stage| Api::<Service>::namespaced(stage.ctx.client.clone(), &stage.world.namespace);
    for (name, spec) in [
        ("pods", json!({"selector": {"app": "db"}, "ports": [{"port": 5432}]})),
        ("anywhere", json!({"type": "ExternalName", "externalName": "db.example.com"})),
        ("by-hand", json!({"ports": [{"port": 5432}]})),
    ] {
        let service: Service = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))?;
        services(&stage).create(&PostParams::default(), &service).await?;
        services(&elsewhere).create(&PostParams::default(), &service).await?;
    }
    let (own, other) = (&stage.world.namespace, &elsewhere.world.namespace);
    for (number, (host, may)) in [
        ("pods".to_owned(), true),
        (format!("pods.{own}"), true),
        (format!("pods.{own}.svc"), true),
        (format!("pods.{own}.svc.cluster.local"), true),
        (format!("pods.{other}.svc"), false),
        (format!("pods.{own}.svc.example.com"), false),
        (format!("x.pods.{own}.svc"), false),
        ("anywhere".to_owned(), false),
        ("by-hand".to_owned(), false),
        ("absent".to_owned(), false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("app-{number}");
        let value = json!({"username": "app", "password": "theirs-canary-4gT8"}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{own}/{name}"))].into();
        stage.external_writer().create(&stage.aws_name(&name), &value, &tags)?;
        let spec = json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(12 hours)", "postgres": {"host": host, "database": "a", "checkInterval": "0s"}},
        });
        stage.world.create(&name, spec).await?;
        stage.settle(&name).await?;
        stage.world.request_rotation(&name, "now").await?;
        for _ in 0..3 {
            stage.reconcile(&name).await?;
        }
        // There is no DNS here: the name of an allowed one is asked for.
        let reason = if may { "TargetUnreachable" } else { "HostNotAllowed" };
        let message = stage.expect(&name, "Rotated", "False", reason).await?;
        ensure!(message.contains(if may { "NameNotResolved" } else { ALLOWED_HOSTS }), "{host}: {message}");
        assert_eq!(stage.versions(&name), if may { 2 } else { 1 }, "{host}");
    }
    Ok(())
}
