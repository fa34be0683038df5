//! The operator was away while rotations were due. It makes one version, not seven.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Case, Story};

/// Three quarters into the eighth hour: seven due times have passed.
const OUTAGE: Duration = Duration::from_secs(7 * 3600 + 45 * 60 + 5);

pub(crate) static STORY: Story = Story {
    cause: |case| case.advance(OUTAGE).boxed(),
    steps: &["Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("rotate-after-outage")
};

async fn check(case: &Case) -> Result<()> {
    let missed = case.object().await?.status.unwrap_or_default().missed_rotations;
    ensure!(missed == 7, "{missed} missed of 7");
    case.has_new_password().await
}
