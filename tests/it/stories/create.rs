//! An object is created.

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{Story, spec_with_aws};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.create(deletable()).boxed(),
    steps: &["AddFinalizer", "Create", "CreateMirror", "RecordPlace"],
    writes: &["CreateSecret", "PATCH rotatedsecrets", "POST events", "POST secrets", "PUT rotatedsecrets/status"],
    ..Story::of("create")
};

/// Deletes the AWS secret with the object, and leaves the mirrored Secret.
pub(super) fn deletable() -> Value {
    let mut spec = spec_with_aws(&json!({"deletionPolicy": "Delete", "recoveryWindowInDays": 7}));
    spec["target"] = json!({"deletionPolicy": "Retain"});
    spec
}
