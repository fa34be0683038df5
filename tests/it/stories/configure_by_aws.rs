//! AWS is told to rotate, by a rotation function.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::TAG_ROTATION;
use serde_json::{Value, json};
use testkit::emulator::function::KeepUsername;
use testkit::fixtures::unscheduled;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case, unscheduled()).boxed(),
    cause: |case| case.patch_spec(json!({"rotation": rotation()})).boxed(),
    steps: &["ClaimRotation", "ConfigureRotation"],
    writes: &["PUT rotatedsecrets/status", "RotateSecret", "TagResource"],
    check: |case| check_rotation(case, true).boxed(),
    ..Story::of("configure-by-aws")
};

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";

pub(super) fn rotation() -> Value {
    json!({"schedule": "rate(1 day)", "lambda": {"functionArn": FUNCTION}})
}

/// The function is there, and the namespace may use it.
pub(super) async fn arrange(case: &Case, spec: Value) -> Result<()> {
    case.world.emulator.set_rotation_function(FUNCTION, Some(KeepUsername::new()));
    case.world.allow_functions(FUNCTION).await?;
    case.settled(spec).await
}

/// AWS rotates already.
pub(super) async fn arrange_configured(case: &Case) -> Result<()> {
    let mut spec = unscheduled();
    spec["rotation"] = rotation();
    arrange(case, spec).await
}

/// Whether AWS rotates, and the tag that says that its rotation is ours.
pub(super) async fn check_rotation(case: &Case, on: bool) -> Result<()> {
    let aws = case.in_use().await?.aws;
    ensure!(aws.rotation.as_ref().is_some_and(|rotation| rotation.enabled == on), "rotation by AWS is on: {:?}", aws.rotation);
    ensure!(aws.tags.contains_key(TAG_ROTATION) == on, "marked: {:?}", aws.tags);
    Ok(())
}
