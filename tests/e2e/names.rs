//! AWS accepts an ARN without its suffix, and `x-secret` looks like `x` with a suffix.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use testkit::{fields, until};

use crate::operator::Operator;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn x_and_x_secret_live_side_by_side_and_one_may_go() -> Result<()> {
    let stage = Stage::enter("names").await?;
    let operator = Operator::start_with(&stage, &["--refresh-interval", "2s"]).await?;
    let spec = || {
        json!({
            "aws": {"deletionPolicy": "Delete"},
            "value": {"data": {"username": "admin"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(30 days)"},
        })
    };
    for name in ["x", "x-secret"] {
        stage.create(name, spec()).await?;
    }
    let first = [stage.ready("x").await?, stage.ready("x-secret").await?].map(|agreed| fields(agreed.aws.current()));
    ensure!(first[0] != first[1], "each has its own value");

    stage.ask_rotation("x", "both").await?;
    stage.patch("x-secret", json!({"metadata": {"annotations": {"rotated-secrets.io/rotate": "both"}}})).await?;
    let second = [stage.acknowledged("x", "both").await?, stage.acknowledged("x-secret", "both").await?];
    for (number, agreed) in second.iter().enumerate() {
        ensure!(agreed.aws.versions.len() == 2, "one rotation each");
        ensure!(first.iter().all(|old| old["password"] != fields(agreed.aws.current())["password"]), "value {number} is new");
    }

    stage.objects().delete("x", &DeleteParams::default()).await?;
    until("x is gone", async || {
        let gone = stage.objects().get_opt("x").await?.is_none() && stage.secrets().get_opt("x").await?.is_none();
        Ok(gone.then_some(()))
    })
    .await?;
    ensure!(stage.aws_secret("x").is_some_and(|aws| aws.deletion_date.is_some()), "x waits for deletion");
    // Only x-secret is left to be reconciled.
    stage.reads(3).await?;
    let left = stage.ready("x-secret").await?;
    ensure!(left.aws.deletion_date.is_none() && left.aws.versions.len() == 2, "x-secret stays as it is");
    ensure!(stage.rotate("x-secret", "again").await?.aws.versions.len() == 3, "and rotates");
    operator.check()
}
