//! AWS is told to rotate no more.

use futures::FutureExt as _;
use serde_json::json;

use super::Story;
use super::configure_by_aws::{arrange_configured, check_rotation};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange_configured(case).boxed(),
    cause: |case| case.patch_spec(json!({"rotation": null})).boxed(),
    steps: &["CancelRotation", "ReleaseRotation"],
    writes: &["CancelRotateSecret", "PUT rotatedsecrets/status", "UntagResource"],
    check: |case| check_rotation(case, false).boxed(),
    ..Story::of("cancel-by-aws")
};
