//! Every setting of the AWS secret is declared.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::{Case, Story, settings};

pub(crate) static STORY: Story = Story {
    cause: |case| case.patch_spec(json!({"aws": settings()})).boxed(),
    check: |case| check(case).boxed(),
    steps: &["PutPolicy", "Replicate", "SetKey", "Tag"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PutResourcePolicy", "ReplicateSecretToRegions", "TagResource", "UpdateSecret"],
    ..Story::of("declare")
};

async fn check(case: &Case) -> Result<()> {
    let aws = case.in_use().await?.aws;
    ensure!(aws.tags["team"] == "shop" && aws.kms_key.as_deref() == Some("alias/shop"), "tag and key");
    ensure!(aws.policy.is_some() && case.regions() == 2, "policy and replica");
    Ok(())
}
