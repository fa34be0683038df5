//! An object is deleted. Its AWS secret goes with it, and the mirrored Secret stays.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::create::deletable;
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.settled(deletable()).boxed(),
    cause: |case| case.delete().boxed(),
    steps: &["Delete", "ReleaseMirror", "RemoveFinalizer"],
    writes: &["DeleteSecret", "PATCH rotatedsecrets", "PATCH secrets", "POST events"],
    check: |case| check(case).boxed(),
    ..Story::of("delete")
};

async fn check(case: &Case) -> Result<()> {
    case.is_deleted().await?;
    let secret = case.world.secrets().get(&case.name).await?;
    ensure!(secret.metadata.owner_references.is_none_or(|owners| owners.is_empty()), "the Secret stays, without its owner");
    ensure!(case.world.emulator.log().iter().all(|call| !format!("{call:?}").contains("ForceDelete")), "never forced");
    Ok(())
}
