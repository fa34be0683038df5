//! Description, key and tag change together.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    cause: |case| {
        let aws = json!({"description": "new", "kmsKeyId": "alias/shop", "tags": {"team": "shop"}});
        case.patch_spec(json!({"aws": aws})).boxed()
    },
    steps: &["SetDescription", "SetKey", "Tag"],
    writes: &["POST events", "PUT rotatedsecrets/status", "TagResource", "UpdateSecret"],
    check: |case| check(case).boxed(),
    ..Story::of("describe")
};

async fn check(case: &Case) -> Result<()> {
    let aws = case.in_use().await?.aws;
    ensure!(aws.description.as_deref() == Some("new") && aws.kms_key.as_deref() == Some("alias/shop"), "as declared");
    ensure!(aws.tags.get("team").map(String::as_str) == Some("shop"), "tagged");
    Ok(())
}
