//! A user in a real Redis got a new password, and the time of the one before is over.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::RETIRING_LABEL;
use serde_json::json;
use testkit::redis::Redis;

use super::apply_to_mysql::{current, user};
use super::apply_to_postgres::OLD;
use super::{Case, Story, two_passwords_in_redis};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    cause: |case| case.advance(Duration::from_hours(1)).boxed(),
    steps: &["FindWorkloads", "ReplaceMirror", "Retire"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "UpdateSecretVersionStage"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("retire-in-redis")
};

async fn arrange(case: &Case) -> Result<()> {
    two_passwords_in_redis::arrange(case).await?;
    case.request("now").await?;
    case.settle().await?;
    two_passwords_in_redis::check(case).await?;
    // The Secret holds the previous password until the target refuses it.
    case.patch_spec(json!({"target": {"includePrevious": true}})).await?;
    case.settle().await
}

async fn check(case: &Case) -> Result<()> {
    let (redis, user, password) = (Redis::shared()?, user(case), current(case).await?);
    ensure!(redis.accepts(&user, &password)?, "the mirrored password logs in");
    ensure!(!redis.accepts(&user, OLD)?, "the one before does not any more");
    ensure!(!case.aws()?.labels.contains_key(RETIRING_LABEL), "nothing is left to retire");
    Ok(())
}
