//! The operator's prefix of names and default region change, and a rotation is requested. The credential stays where it is.

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    cause: |case| case.request("please").boxed(),
    configure: |ctx| {
        "other".clone_into(&mut ctx.policy.name_prefix);
        "eu-west-1".clone_into(&mut ctx.policy.default_region);
    },
    steps: &["Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("move-flags")
};

async fn check(case: &Case) -> Result<()> {
    ensure!(case.world.emulator.secrets().len() == 1, "nothing is created at the other place");
    case.has_new_password().await
}
