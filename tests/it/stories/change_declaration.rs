//! The declared value gets further fields.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::json;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    cause: |case| case.patch_spec(json!({"value": {"data": {"host": "db"}, "generate": {"key": {}}}})).boxed(),
    steps: &["Put", "ReplaceMirror"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("change-declaration")
};

async fn check(case: &Case) -> Result<()> {
    let end = case.in_use().await?;
    let previous = end.previous.context("the previous value can be read")?;
    ensure!(previous["password"] == end.value["password"], "the password stays");
    ensure!(end.value["host"] == "db" && end.value["key"].is_string(), "the new fields are there");
    Ok(())
}
