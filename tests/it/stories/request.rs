//! A rotation is requested.

use futures::FutureExt as _;

use super::Story;

pub(crate) static STORY: Story = Story {
    cause: |case| case.request("please").boxed(),
    steps: &["Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue"],
    versions: &[2],
    check: |case| case.has_new_password().boxed(),
    ..Story::of("request")
};
