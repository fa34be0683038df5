//! A user in a real Redis gets a second password on request; the one before keeps working until it is retired.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::RETIRING_LABEL;
use serde_json::json;
use testkit::redis::Redis;

use super::apply_to_mysql::{arrange_target, current, user};
use super::apply_to_postgres::OLD;
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    steps: &["Apply", "FindWorkloads", "MoveLabel", "Promote", "Put", "ReplaceMirror", "Settle", "Verify"],
    check: |case| check(case).boxed(),
    ..Story::of_target("two-passwords-in-redis")
};

pub(super) async fn arrange(case: &Case) -> Result<()> {
    let (redis, user) = (Redis::shared()?, user(case));
    redis.command(&["ACL", "SETUSER", &user, "on", &format!(">{OLD}"), "+acl"])?;
    let target = json!({"host": "127.0.0.1", "port": redis.port(), "tls": {"caBundle": redis.ca()}, "checkInterval": "0s"});
    arrange_target(case, &user, json!({"redis": target})).await?;
    case.patch_spec(json!({"rollout": {"workloads": [], "retireAfter": "30m"}})).await?;
    case.settle().await
}

pub(super) async fn check(case: &Case) -> Result<()> {
    let (redis, user, password) = (Redis::shared()?, user(case), current(case).await?);
    ensure!(redis.accepts(&user, &password)?, "the mirrored password logs in");
    ensure!(redis.accepts(&user, OLD)?, "and so does the one before, wherever the operator ended");
    let aws = case.aws()?;
    ensure!(aws.labels.get(RETIRING_LABEL) == aws.labels.get("AWSPREVIOUS"), "which is to be retired: {:?}", aws.labels);
    Ok(())
}
