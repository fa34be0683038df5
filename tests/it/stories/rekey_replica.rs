//! A replica gets another key.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::{Case, Story, settings, spec_with_aws};

const REPLICA: &str = "eu-west-1";
const KEY: &str = "alias/shop-west";

pub(crate) static STORY: Story = Story {
    arrange: |case| case.settled(spec_with_aws(&settings())).boxed(),
    cause: |case| case.patch_spec(json!({"aws": {"replicaRegions": [{"region": REPLICA, "kmsKeyId": KEY}]}})).boxed(),
    steps: &["SetReplicaKey"],
    writes: &["POST events", "PUT rotatedsecrets/status", "UpdateSecret"],
    check: |case| check(case).boxed(),
    ..Story::of("rekey-replica")
};

async fn check(case: &Case) -> Result<()> {
    let aws = case.in_use().await?.aws;
    ensure!(aws.kms_key.as_deref() == Some("alias/shop"), "the key of the primary stays");
    let name = case.world.aws_name(&case.name);
    let replicas = case.world.emulator.secrets();
    let replica = replicas.iter().find(|secret| secret.name == name && secret.region == REPLICA);
    ensure!(replica.is_some_and(|replica| replica.kms_key.as_deref() == Some(KEY)), "the replica has its new key");
    Ok(())
}
