//! What the operator says, and does, when the API server does not take a Secret.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::ready_reason;

use crate::operator::Operator;
use crate::stage::Stage;
use crate::troubles::{allow, forbid};

async fn one_credential(stage: &Stage) -> Result<Operator> {
    let operator = Operator::start(stage).await?;
    stage.create("one", json!({"value": {"generate": {"password": {}}}})).await?;
    stage.ready("one").await?;
    Ok(operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_secret_that_somebody_deletes_is_made_anew_at_once() -> Result<()> {
    let stage = Stage::enter("immutable").await?;
    let operator = one_credential(&stage).await?;
    stage.kubectl(&["patch", "secret", "one", "--patch", r#"{"immutable":true}"#]).await?;
    stage.refused("one", "TypeMismatch").await?;
    // As the message says.
    stage.kubectl(&["delete", "secret", "one"]).await?;
    stage.ready("one").await?;
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_policy_refuses_is_not_to_be_deleted() -> Result<()> {
    let stage = Stage::enter("policy").await?;
    let operator = one_credential(&stage).await?;
    forbid(&stage).await?;
    stage.ask_rotation("one", "please").await?;
    let refused = stage.refused_for_one_of("one", &["WriteRefused", "TypeMismatch"]).await;
    let object = stage.objects().get("one").await?;
    allow(&stage).await?;
    refused?;
    let (_, reason) = ready_reason(&object).unwrap_or_default();
    ensure!(reason == "WriteRefused", "an admission policy refused the write, and the object says {reason}: {:?}", object.status);
    operator.check()
}
