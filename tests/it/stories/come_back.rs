//! An object that was deleted, its AWS secret with it, is created again under the same name.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use kube::api::DeleteParams;
use rotated_secrets::api::TAG_UID;
use serde_json::json;
use testkit::fixtures::spec;

use super::{Case, Story, spec_with_aws};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.settled(spec_with_aws(&json!({"deletionPolicy": "Delete"}))).boxed(),
    cause: |case| create_again(case).boxed(),
    steps: &["Adopt", "CreateMirror", "RecordPlace", "Restore"],
    writes: &["POST events", "POST secrets", "PUT rotatedsecrets/status", "RestoreSecret", "TagResource"],
    check: |case| check(case).boxed(),
    ..Story::of("come-back")
};

async fn create_again(case: &Case) -> Result<()> {
    case.delete().await?;
    case.settle().await?;
    // As the garbage collector does in its own time, if it has not.
    drop(case.world.secrets().delete(&case.name, &DeleteParams::default()).await);
    case.create(spec()).await
}

async fn check(case: &Case) -> Result<()> {
    let end = case.in_use().await?;
    ensure!(end.aws.tags.get(TAG_UID) == case.object().await?.metadata.uid.as_ref(), "it is the new object's");
    Ok(())
}
