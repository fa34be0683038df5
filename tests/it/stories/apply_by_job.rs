//! A password is rotated by Jobs on request: a program of the namespace changes it in a service, and verifies it.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use kube::ResourceExt as _;
use kube::api::ListParams;
use rotated_secrets::api::JOB_OF;
use serde_json::json;
use testkit::jobs::{self, Service};

use super::apply_to_mysql::{arrange_target, current};
use super::apply_to_postgres::OLD;
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    writes: &[
        "PATCH secrets",
        "POST events",
        "POST jobs",
        "POST secrets",
        "PUT rotatedsecrets/status",
        "PUT secrets",
        "PutSecretValue",
        "UpdateSecretVersionStage",
    ],
    check: |case| check(case).boxed(),
    ..Story::of_target("apply-by-job")
};

async fn arrange(case: &Case) -> Result<()> {
    let template = format!("{}-template", case.name);
    jobs::template(&case.world.admin, &case.world.namespace, &template, &case.name).await?;
    let service = Service::new(OLD);
    case.world.jobs.set(move |files| service.program(files));
    arrange_target(case, "orders", json!({"job": {"templateRef": {"name": template}, "checkInterval": "0s"}})).await
}

async fn check(case: &Case) -> Result<()> {
    let password = current(case).await?;
    // The last Job that verified found it in the service; nothing was applied after that.
    let steps: Vec<String> = case.world.jobs.take().into_iter().map(|(step, _)| step).collect();
    let object = case.object().await?;
    if let Some(last) = steps.iter().rposition(|step| step == "apply") {
        ensure!(steps.iter().skip(last).any(|step| step == "verify"), "it was verified after it was applied: {steps:?}");
    }
    let ours = ListParams::default().labels(&format!("{JOB_OF}={}", object.uid().unwrap_or_default()));
    for secret in case.world.secrets().list(&ours).await? {
        ensure!(secret.data.iter().flatten().next().is_none(), "values are left in {}", secret.name_any());
    }
    ensure!(!serde_json::to_string(&object)?.contains(&password), "the value is in the object");
    Ok(())
}
