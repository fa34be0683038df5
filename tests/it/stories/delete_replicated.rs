//! An object is deleted whose AWS secret has replicas.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{Case, Story, settings, spec_with_aws};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.settled(spec_with_aws(&replicated())).boxed(),
    cause: |case| case.delete().boxed(),
    steps: &["Delete", "RemoveFinalizer", "StopReplicating"],
    writes: &["DeleteSecret", "PATCH rotatedsecrets", "POST events", "RemoveRegionsFromReplication"],
    check: |case| check(case).boxed(),
    ..Story::of("delete-replicated")
};

fn replicated() -> Value {
    let mut aws = settings();
    aws["deletionPolicy"] = json!("Delete");
    aws
}

async fn check(case: &Case) -> Result<()> {
    case.is_deleted().await?;
    ensure!(case.regions() == 1, "its replicas are gone");
    Ok(())
}
