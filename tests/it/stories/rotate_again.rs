//! A second rotation is requested. The first version has no label of ours yet, and is about to lose AWSPREVIOUS.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::RETENTION_LABEL;
use testkit::fixtures::spec;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| case.rotated_once(spec()).boxed(),
    cause: |case| case.request("second").boxed(),
    steps: &["MoveLabel", "Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue", "UpdateSecretVersionStage"],
    versions: &[3],
    check: |case| check(case).boxed(),
    ..Story::of("rotate-again")
};

async fn check(case: &Case) -> Result<()> {
    let aws = case.in_use().await?.aws;
    let ours = |id: &str| aws.labels.iter().filter(|(label, version)| label.starts_with(RETENTION_LABEL) && *version == id).count();
    for version in &aws.versions {
        ensure!(ours(&version.id) == 1, "every version has one label of ours: {:?}", aws.labels);
    }
    Ok(())
}
