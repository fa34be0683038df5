//! The operator is started with another `--object-selector`, and later with the former one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt as _;
use kube::ResourceExt as _;
use kube::api::PostParams;
use rotated_secrets::api::RotatedSecret;
use rotated_secrets::controller::{self, Scope, Settings};
use rotated_secrets::election::Leadership;
use rotated_secrets::endpoints::Readiness;
use serde_json::json;
use tokio::sync::oneshot;

use super::Circumstance;
use crate::stories::Case;

/// The label of the objects of the other operator.
const LABEL: &str = "shard";

/// Ten minutes.
const ATTEMPTS: u32 = 12_000;
const PAUSE: Duration = Duration::from_millis(50);

/// Without the evidence that the other operator worked, `elsewhere` fails.
pub(super) static SELECTOR: Circumstance = Circumstance { then: |case| elsewhere(case).boxed(), ..Circumstance::of("selector", |_| 1) };

/// A whole operator, with its watches, that reconciles another object of the namespace. It must not touch this one.
async fn elsewhere(case: &Case) -> Result<()> {
    let other = format!("{}-other", case.name);
    let bystander: RotatedSecret = serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": other, "labels": {LABEL: other}},
        "spec": {"suspend": true, "value": {"generate": {"password": {}}}},
    }))?;
    case.world.objects().create(&PostParams::default(), &bystander).await?;
    let before = state(case).await?;
    let ctx = Arc::new(case.world.operator(None, Arc::default()).await?);
    let scope = Scope::new(vec![case.world.namespace.clone()], Some(format!("{LABEL}={other}")));
    let settings = Settings { concurrency: 4, ..Settings::default() };
    let (stop, stopped) = oneshot::channel::<()>();
    let running = controller::run(ctx, &scope, &settings, Leadership::always(), Readiness::default(), async {
        stopped.await.ok();
    });
    let running = tokio::spawn(running);
    // The second time, what the first lists contained was reconciled as well.
    for description in ["first", "second"] {
        let edited = case.world.patch(&other, json!({"spec": {"aws": {"description": description}}})).await?;
        reconciled(case, &edited).await?;
    }
    stop.send(()).ok().context("the operator runs")?;
    running.await?;
    ensure!(state(case).await? == before, "an operator with another selector changed something");
    Ok(())
}

async fn reconciled(case: &Case, object: &RotatedSecret) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let status = case.world.objects().get(&object.name_any()).await?.status;
        if status.is_some_and(|status| status.observed_generation == object.metadata.generation) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("the other operator does not reconcile {}", object.name_any());
}

/// The object, its Secret, and AWS.
async fn state(case: &Case) -> Result<(Option<String>, Option<String>, u64)> {
    let object = case.world.objects().get_opt(&case.name).await?.and_then(|object| object.resource_version());
    // The garbage collector deletes the Secret of an object that is gone.
    let secret = case.world.secrets().get_opt(&case.name).await?.and_then(|secret| secret.resource_version()).filter(|_| object.is_some());
    Ok((object, secret, case.world.emulator.counters().calls()))
}
