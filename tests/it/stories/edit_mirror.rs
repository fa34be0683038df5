//! The mirrored Secret is edited by hand.

use anyhow::Result;
use futures::FutureExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    cause: |case| edit(case).boxed(),
    steps: &["ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets"],
    ..Story::of("edit-mirror")
};

async fn edit(case: &Case) -> Result<()> {
    let edit = json!({"stringData": {"password": "edited by hand"}});
    case.world.secrets().patch(&case.name, &PatchParams::default(), &Patch::Merge(edit)).await?;
    Ok(())
}
