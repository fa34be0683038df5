//! The mirror is not declared any more.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use kube::ResourceExt as _;
use serde_json::json;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    cause: |case| case.patch_spec(json!({"target": {"creationPolicy": "None"}})).boxed(),
    steps: &["ReleaseMirror"],
    writes: &["PATCH secrets", "POST events", "PUT rotatedsecrets/status"],
    check: |case| check(case).boxed(),
    ..Story::of("unmirror")
};

async fn check(case: &Case) -> Result<()> {
    let secret = case.world.secrets().get(&case.name).await?;
    ensure!(secret.owner_references().is_empty(), "the Secret stays, without its owner");
    Ok(())
}
