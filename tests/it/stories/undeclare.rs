//! Every setting of the AWS secret was declared, and is no longer.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::{Case, Story, settings, spec_with_aws};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.settled(spec_with_aws(&settings())).boxed(),
    cause: |case| {
        let nothing = json!({"tags": null, "kmsKeyId": null, "resourcePolicy": null, "replicaRegions": []});
        case.patch_spec(json!({"aws": nothing})).boxed()
    },
    steps: &["DeletePolicy", "SetKey", "StopReplicating", "Untag"],
    writes: &[
        "DeleteResourcePolicy",
        "POST events",
        "PUT rotatedsecrets/status",
        "RemoveRegionsFromReplication",
        "UntagResource",
        "UpdateSecret",
    ],
    check: |case| check(case).boxed(),
    ..Story::of("undeclare")
};

async fn check(case: &Case) -> Result<()> {
    let aws = case.in_use().await?.aws;
    ensure!(!aws.tags.contains_key("team") && aws.kms_key.is_none(), "no tag and no key");
    ensure!(aws.policy.is_none() && case.regions() == 1, "no policy and no replica");
    Ok(())
}
