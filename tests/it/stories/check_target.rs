//! Somebody changed the password in a real PostgreSQL, which a check reported. It is set back.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::REFRESH;
use serde_json::json;
use testkit::postgres::Postgres;
use testkit::ready_reason;

use super::apply_to_postgres::{OLD, arrange_with, role};
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    cause: |case| cause(case).boxed(),
    steps: &["Check"],
    writes: &["POST events", "PUT rotatedsecrets/status"],
    check: |case| check(case).boxed(),
    ..Story::of("check-target")
};

async fn arrange(case: &Case) -> Result<()> {
    arrange_with(case, "SELECT 1", &json!({"checkInterval": "5m"})).await?;
    Postgres::shared()?.set_password(&role(case), "of another client")?;
    case.world.emulator.clock().advance(std::time::Duration::from_mins(5));
    case.settle().await?;
    let reported = ready_reason(&case.object().await?).context("a condition")?;
    ensure!(reported == ("False".to_owned(), "TargetDiverged".to_owned()), "{reported:?}");
    Ok(())
}

async fn cause(case: &Case) -> Result<()> {
    Postgres::shared()?.set_password(&role(case), OLD)?;
    case.world.annotate(&case.name, REFRESH, "again").await.map(drop)
}

async fn check(case: &Case) -> Result<()> {
    case.world.check_agreement(&case.name).await?;
    ensure!(Postgres::shared()?.accepts(&role(case), OLD)?, "the mirrored password logs in");
    Ok(())
}
