//! The example of a policy about schedules, on the real API server.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::until;

use crate::stage::Stage;

const POLICY: &str = include_str!("../../examples/rotation-policy.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn the_example_demands_a_rotation_every_90_days_in_the_namespaces_that_it_is_bound_to() -> Result<()> {
    let stage = Stage::alone("policy-rotation").await?;
    let value = || json!({"generate": {"password": {}}});
    // From before the policy.
    stage.create("old", json!({"value": value()})).await?;
    let applied = stage.plane().apply_yaml(POLICY).await?;
    ensure!(applied.warnings.is_empty(), "{:?}", applied.warnings);
    let admits = async |name: &str, spec: &Value| -> Result<bool> {
        let object =
            json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name}, "spec": spec});
        let path = stage.plane().dir().join("object.json");
        std::fs::write(&path, object.to_string())?;
        match stage.kubectl(&["apply", "--dry-run=server", "-f", &path.display().to_string()]).await {
            Ok(_) => Ok(true),
            Err(error) if format!("{error:#}").contains("rotated-secrets-rotation") => Ok(false),
            Err(error) => Err(error),
        }
    };
    let never = json!({"value": value()});
    ensure!(admits("new", &never).await?, "the policy is bound to other namespaces");
    stage.kubectl(&["label", "namespace", &stage.namespace, "environment=production"]).await?;
    until("the policy is in force", async || Ok((!admits("new", &never).await?).then_some(()))).await?;
    for (rotation, expected) in [
        (json!({"automaticallyAfterDays": 90}), true),
        (json!({"automaticallyAfterDays": 91}), false),
        (json!({"schedule": "rate(1 day)"}), true),
        (json!({"schedule": "rate(90 days)"}), true),
        (json!({"schedule": "rate(91 days)"}), false),
        (json!({"schedule": "rate(2136 hours)"}), true),
        (json!({"schedule": "rate(2160 hours)"}), false),
        (json!({"schedule": "rate(60 minutes)"}), true),
        (json!({"schedule": "0 2 1 * *"}), true),
        (json!({"schedule": "cron(0 2 1 * ? *)"}), true),
        (json!({"schedule": "0 2 1 1 *"}), false),
        (json!({"schedule": "rate(1 day)", "suspend": true}), false),
    ] {
        ensure!(admits("new", &json!({"value": value(), "rotation": rotation})).await? == expected, "{rotation}");
    }
    ensure!(admits("new", &json!({"aws": {"secretName": "theirs"}})).await?, "a mirror has no rotation of its own");
    stage.kubectl(&["annotate", "rsec", "old", "rotated-secrets.io/refresh=1"]).await?;
    stage.kubectl(&["delete", "rsec", "old", "--wait=false"]).await.map(drop)
}
