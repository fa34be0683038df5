//! Four objects that rotate every three seconds, for the tests of several replicas.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::fixtures::scheduled;
use testkit::{Agreed, until};

use crate::stage::Stage;
use crate::story::check_chain;

pub(crate) const PERIOD: i64 = 3;
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

pub(crate) async fn create(stage: &Stage) -> Result<()> {
    for name in NAMES {
        stage.create(name, scheduled(&format!("rate({PERIOD} seconds)"))).await?;
    }
    Ok(())
}

/// Waits until each has this many versions more than now.
pub(crate) async fn rotate(stage: &Stage, times: usize) -> Result<()> {
    let goals = NAMES.map(|name| (name, stage.versions(name) + times));
    let done = async || Ok(goals.iter().all(|(name, goal)| stage.versions(name) >= *goal).then_some(()));
    until(&format!("all have {times} versions more"), done).await
}

/// Stops the rotations, waits until all are Ready, and checks that every version follows from the one before.
pub(crate) async fn stop(stage: &Stage) -> Result<Vec<(&'static str, Agreed)>> {
    for name in NAMES {
        stage.patch(name, json!({"spec": {"rotation": {"schedule": "rate(30 days)"}}})).await?;
    }
    let mut ends = Vec::new();
    for name in NAMES {
        let agreed = stage.ready(name).await?;
        check_chain(&agreed.object, &agreed.aws, PERIOD).with_context(|| format!("object {name}"))?;
        ends.push((name, agreed));
    }
    Ok(ends)
}
