//! An object without a schedule gets one, with a first rotation at once.

use futures::FutureExt as _;
use serde_json::json;
use testkit::fixtures::unscheduled;

use super::Story;

pub(crate) static STORY: Story = Story {
    arrange: |case| case.settled(unscheduled()).boxed(),
    cause: |case| {
        let rotation = json!({"schedule": "rate(1 hour)", "duration": "30m", "rotateImmediately": true});
        case.patch_spec(json!({"rotation": rotation})).boxed()
    },
    steps: &["Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue"],
    versions: &[2],
    check: |case| case.has_new_password().boxed(),
    ..Story::of("begin-rotation")
};
