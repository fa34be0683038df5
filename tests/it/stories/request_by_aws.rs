//! A rotation that AWS does is requested.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::configure_by_aws::arrange_configured;
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange_configured(case).boxed(),
    cause: |case| case.request("please").boxed(),
    steps: &["MoveLabel", "ReplaceMirror", "RotateNow"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "RotateSecret", "UpdateSecretVersionStage"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("request-by-aws")
};

async fn check(case: &Case) -> Result<()> {
    let begun = case.world.emulator.rotation_events().iter().filter(|event| event.event_name == "RotationStarted").count();
    ensure!(begun == 1, "{begun} rotations for one request");
    case.has_new_password().await
}
