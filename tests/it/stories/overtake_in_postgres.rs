//! Another client puts a value into AWS after PostgreSQL got the new password and before that is current. AWS takes
//! AWSPENDING from the staged version. The value of the other client wins, in the server too, wherever the operator crashed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::{ABANDONED_LABEL, Abandonment, Outcome, STAGED_LABEL};
use serde_json::{Value, json};
use testkit::emulator::ExternalWriter;
use testkit::postgres::Postgres;

use super::apply_to_postgres::{OLD, arrange_with, role};
use super::{Case, Interference, Story};

const THEIRS: &str = "put by another client";

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    cause: |case| case.request("now").boxed(),
    interference: Some(Interference { before: "UpdateSecretVersionStage", act: put }),
    steps: &["Abandon", "Apply", "Put", "ReplaceMirror", "Verify"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue", "UpdateSecretVersionStage"],
    versions: &[3],
    check: |case| check(case).boxed(),
    ..Story::of("overtake-in-postgres")
};

async fn arrange(case: &Case) -> Result<()> {
    arrange_with(case, "SELECT 1", &json!({})).await?;
    // Otherwise the other client's write has the date of the Secret, and so counts as an old read.
    case.advance(Duration::from_mins(1)).await
}

/// The present value with another password.
fn put(external_writer: &ExternalWriter, secret: &str) -> Result<()> {
    let found = external_writer.act("GetSecretValue", &json!({"SecretId": secret}))?;
    let mut value: Value = serde_json::from_str(found["SecretString"].as_str().context("a value")?)?;
    value["password"] = json!(THEIRS);
    external_writer.put_value(secret, &value.to_string())?;
    Ok(())
}

async fn check(case: &Case) -> Result<()> {
    case.world.check_agreement(&case.name).await?;
    let (postgres, role, aws) = (Postgres::shared()?, role(case), case.aws()?);
    for label in ["AWSPENDING", STAGED_LABEL] {
        ensure!(!aws.labels.contains_key(label), "nothing is on its way: {:?}", aws.labels);
    }
    let current: Value = serde_json::from_str(aws.current().context("a value")?)?;
    ensure!(current["password"] == THEIRS && postgres.accepts(&role, THEIRS)?, "the password of the other client logs in");
    let abandoned = aws.labelled(ABANDONED_LABEL).context("AWS keeps the abandoned version")?;
    let value: Value = serde_json::from_str(abandoned.value().and_then(|value| value.as_str()).context("its value")?)?;
    for password in [OLD, value["password"].as_str().context("a password")?] {
        ensure!(!postgres.accepts(&role, password)?, "no other one does");
    }
    let status = case.object().await?.status.context("a status")?;
    let entry = status.history.iter().find(|entry| entry.outcome == Outcome::Abandoned).context("an abandoned version")?;
    ensure!((&entry.version_id, entry.reason.as_deref()) == (&abandoned.id, Some(Abandonment::Overtaken.as_str())), "{entry:?}");
    ensure!(status.staged.is_none(), "{:?}", status.staged);
    Ok(())
}
