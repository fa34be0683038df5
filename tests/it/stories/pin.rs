//! The mirrored Secret is pinned to the first of two versions.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use kube::ResourceExt as _;
use rotated_secrets::api::{RETENTION_LABEL, VERSION_ID};
use serde_json::json;
use testkit::fixtures::spec;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.rotated_once(spec()).boxed(),
    cause: |case| pin(case).boxed(),
    steps: &["ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("pin")
};

async fn pin(case: &Case) -> Result<()> {
    let first = case.aws()?.versions[0].id.clone();
    case.patch_spec(json!({"target": {"versionId": first}})).await
}

async fn check(case: &Case) -> Result<()> {
    let aws = case.aws()?;
    let first = &aws.versions[0].id;
    ensure!(aws.deletion_date.is_none(), "nothing is deleted");
    let secret = case.world.secrets().get(&case.name).await?;
    ensure!(secret.annotations().get(VERSION_ID) == Some(first), "the Secret holds the pinned version");
    let labelled = aws.labels.iter().any(|(label, version)| label.starts_with(RETENTION_LABEL) && version == first);
    ensure!(labelled || aws.labels.get("AWSPREVIOUS") == Some(first), "AWS keeps it");
    Ok(())
}
