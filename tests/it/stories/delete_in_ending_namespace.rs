//! An object is deleted because its namespace is. The API server refuses every new object in the namespace.

use anyhow::Result;
use futures::FutureExt as _;

use super::create::deletable;
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.settled(deletable()).boxed(),
    cause: |case| delete(case).boxed(),
    steps: &["Delete", "ReleaseMirror", "RemoveFinalizer"],
    writes: &["DeleteSecret", "PATCH rotatedsecrets", "PATCH secrets", "POST events"],
    check: |case| case.is_deleted().boxed(),
    ..Story::of("delete-in-ending-namespace")
};

async fn delete(case: &Case) -> Result<()> {
    case.world.refusals.ending.set(true);
    case.delete().await
}
