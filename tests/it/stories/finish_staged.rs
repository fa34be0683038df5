//! A version of ours has AWSPENDING, as an operator leaves it that stages versions before it promotes them. It is
//! promoted and settled, also if the operator crashes in between.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use kube::ResourceExt as _;
use rotated_secrets::version_id::VersionIds;
use serde_json::json;

use super::{Case, Story};

const STAGED: &str = r#"{"username":"admin","password":"staged"}"#;

pub(crate) static STORY: Story = Story {
    cause: |case| stage(case).boxed(),
    steps: &["Promote", "ReplaceMirror", "Settle"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "UpdateSecretVersionStage"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("finish-staged")
};

async fn stage(case: &Case) -> Result<()> {
    let version = VersionIds::of(&case.object().await?.uid().unwrap_or_default()).request("please");
    let body = json!({
        "SecretId": case.world.aws_name(&case.name),
        "SecretString": STAGED,
        "ClientRequestToken": version.as_str(),
        "VersionStages": ["AWSPENDING"],
    });
    case.world.emulator.external_writer().act("PutSecretValue", &body)?;
    case.request("please").await
}

async fn check(case: &Case) -> Result<()> {
    let end = case.in_use().await?;
    ensure!(end.value["password"] == "staged", "the staged version is current");
    ensure!(!end.aws.labels.contains_key("AWSPENDING"), "and no longer pending: {:?}", end.aws.labels);
    Ok(())
}
