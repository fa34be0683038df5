//! A rotation is due.

use std::time::Duration;

use futures::FutureExt as _;

use super::Story;

pub(super) const AFTER_ONE_PERIOD: Duration = Duration::from_secs(3600 + 5);

pub(crate) static STORY: Story = Story {
    cause: |case| case.advance(AFTER_ONE_PERIOD).boxed(),
    steps: &["Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue"],
    versions: &[2],
    check: |case| case.has_new_password().boxed(),
    ..Story::of("rotate")
};
