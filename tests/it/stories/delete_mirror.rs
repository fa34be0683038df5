//! The mirrored Secret is deleted.

use anyhow::Result;
use futures::FutureExt as _;
use kube::api::DeleteParams;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    cause: |case| delete(case).boxed(),
    steps: &["CreateMirror"],
    writes: &["POST events", "POST secrets", "PUT rotatedsecrets/status"],
    ..Story::of("delete-mirror")
};

async fn delete(case: &Case) -> Result<()> {
    case.world.secrets().delete(&case.name, &DeleteParams::default()).await?;
    Ok(())
}
