//! A new password works in PostgreSQL for the login and not for the query. The version is abandoned: the server accepts the
//! current password again, wherever the operator crashed.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::{ABANDONED_LABEL, Outcome};
use serde_json::{Value, json};
use testkit::postgres::Postgres;

use super::apply_to_postgres::{OLD, arrange_with, role};
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    cause: |case| case.request("now").boxed(),
    steps: &["Abandon", "Apply", "Put"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PutSecretValue", "UpdateSecretVersionStage"],
    versions: &[2],
    check: |case| check(case).boxed(),
    ..Story::of("abandon")
};

async fn arrange(case: &Case) -> Result<()> {
    arrange_with(case, &format!("SELECT works_{}()", role(case)), &json!({})).await
}

async fn check(case: &Case) -> Result<()> {
    let (postgres, role, aws) = (Postgres::shared()?, role(case), case.aws()?);
    ensure!(!aws.labels.contains_key("AWSPENDING"), "nothing is staged: {:?}", aws.labels);
    let current: Value = serde_json::from_str(aws.current().context("a value")?)?;
    ensure!(current["password"] == OLD && postgres.accepts(&role, OLD)?, "the current password logs in");
    let abandoned = aws.labelled(ABANDONED_LABEL).context("AWS keeps the abandoned version")?;
    let value: Value = serde_json::from_str(abandoned.value().and_then(|value| value.as_str()).context("its value")?)?;
    ensure!(!postgres.accepts(&role, value["password"].as_str().context("a password")?)?, "the abandoned one does not");
    let status = case.object().await?.status.context("a status")?;
    let first = status.history.first().context("a history")?;
    ensure!((&first.version_id, first.outcome) == (&abandoned.id, Outcome::Abandoned), "{:?}", status.history);
    ensure!(status.staged.is_none(), "{:?}", status.staged);
    Ok(())
}
