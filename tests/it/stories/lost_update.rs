//! Another client puts a value into AWS after the operator has read and before it writes: a lost update, which the operator takes back.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use testkit::emulator::ExternalWriter;

use super::rotate::AFTER_ONE_PERIOD;
use super::{Case, Interference, Story};

const THEIRS: &str = r#"{"username":"admin","password":"theirs"}"#;

pub(crate) static STORY: Story = Story {
    cause: |case| case.advance(AFTER_ONE_PERIOD).boxed(),
    interference: Some(Interference { before: "PutSecretValue", act: put }),
    steps: &["Put", "ReplaceMirror", "RestoreCurrent"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue", "UpdateSecretVersionStage"],
    // Theirs, and ours unless the operator died before it was written: then theirs is young, and nothing is due.
    versions: &[3, 2],
    check: |case| check(case).boxed(),
    ..Story::of("lost-update")
};

fn put(external_writer: &ExternalWriter, secret: &str) -> Result<()> {
    external_writer.put_value(secret, THEIRS)?;
    Ok(())
}

async fn check(case: &Case) -> Result<()> {
    let aws = case.in_use().await?.aws;
    ensure!(aws.current() == Some(THEIRS), "what the other client put is current again, also where the operator died after its write");
    Ok(())
}
