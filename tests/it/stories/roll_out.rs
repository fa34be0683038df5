//! A workload takes up a new version. It has no pods, so that its controller is soon done.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::{Case, Story, spec};
use crate::workloads::Workloads;

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    cause: |case| case.request("now").boxed(),
    steps: &["FindWorkloads", "Put", "ReplaceMirror", "Restart"],
    writes: &["PATCH deployments", "POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue"],
    versions: &[2],
    has_controller: true,
    check: |case| check(case).boxed(),
    ..Story::of("roll-out")
};

async fn arrange(case: &Case) -> Result<()> {
    Workloads::of(&case.world, "Deployment").create_with(&case.name, &case.name, json!({"replicas": 0})).await?;
    let mut spec = spec();
    spec["rollout"] = json!({});
    case.settled(spec).await
}

async fn check(case: &Case) -> Result<()> {
    let end = case.in_use().await?;
    let deployments = Workloads::of(&case.world, "Deployment");
    let current = end.aws.labels.get("AWSCURRENT").cloned();
    ensure!(deployments.version(&case.name, &case.name).await? == current, "the pod template has the current version");
    ensure!(deployments.generation(&case.name).await? == Some(2), "it was restarted once");
    let status = case.object().await?.status.unwrap_or_default();
    ensure!(status.conditions.iter().any(|c| c.type_ == "RolledOut" && c.status == "True"), "{:?}", status.conditions);
    Ok(())
}
