//! A rollback to the previous version is requested.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use kube::ResourceExt as _;
use rotated_secrets::api::{Cause, ROLLBACK};
use rotated_secrets::version_id::VersionIds;
use testkit::fixtures::spec;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.rotated_once(spec()).boxed(),
    cause: |case| request(case).boxed(),
    steps: &["MoveLabel", "Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue", "UpdateSecretVersionStage"],
    versions: &[3],
    check: |case| check(case).boxed(),
    ..Story::of("roll-back")
};

async fn request(case: &Case) -> Result<()> {
    case.world.annotate(&case.name, ROLLBACK, "undo:AWSPREVIOUS").await.map(drop)
}

async fn check(case: &Case) -> Result<()> {
    let aws = case.in_use().await?.aws;
    ensure!(aws.current() == aws.versions[0].value().and_then(|value| value.as_str()), "the value is the first one again");
    let object = case.object().await?;
    let expected = VersionIds::of(&object.uid().unwrap_or_default()).rollback("undo").to_string();
    ensure!(aws.labels.get("AWSCURRENT") == Some(&expected), "under the id that follows from the token");
    let status = object.status.unwrap_or_default();
    ensure!(status.requests.and_then(|requests| requests.rollback).as_deref() == Some("undo"), "acknowledged");
    ensure!(status.history.first().map(|head| head.cause) == Some(Cause::RolledBack), "recorded: {:?}", status.history);
    Ok(())
}
