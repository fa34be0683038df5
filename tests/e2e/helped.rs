//! An object whose rotation needs another object of the namespace, with the rights of the chart.

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS};
use serde_json::json;

use crate::stage::Stage;

/// The key of a receiver is that of an object that does not exist.
pub(crate) async fn tell(stage: &Stage) -> Result<()> {
    let value = json!({"username": "app", "password": "theirs-canary-6sV1"}).to_string();
    let tags = [(ADOPT_BY.to_owned(), format!("{}/helped", stage.namespace))].into();
    stage.emulator.external_writer().create(&stage.aws_name("helped"), &value, &tags)?;
    stage.kubectl(&["annotate", "namespace", &stage.namespace, &format!("{ALLOWED_HOSTS}=127.0.0.1:1")]).await?;
    let receiver = json!({"url": "https://127.0.0.1:1/", "signingKeyRef": {"name": "absent"}, "checkInterval": "0s"});
    stage
        .create(
            "helped",
            json!({
                "aws": {"adoptionPolicy": "IfTagged"},
                "value": {"data": {"username": "app"}, "generate": {"password": {}}},
                "rotation": {"schedule": "rate(30 days)", "webhook": receiver},
            }),
        )
        .await?;
    stage.ready("helped").await?;
    stage.ask_rotation("helped", "one").await?;
    stage.refused("helped", "ApplyFailed").await?;
    let status = stage.objects().get("helped").await?.status.context("a status")?;
    let told = status.conditions.iter().any(|condition| condition.message.contains("the RotatedSecret absent does not exist"));
    ensure!(told, "the object is looked for: {:?}", status.conditions);
    Ok(())
}
