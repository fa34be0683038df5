//! The examples of policies about objects, on the real API server.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::until;

use crate::stage::Stage;

const ROTATION: &str = include_str!("../../examples/rotation-policy.yaml");
const OWNER: &str = include_str!("../../examples/owner-policy.yaml");

/// What the policy says against an object of this metadata and spec; `None`: it is admitted.
async fn refusal(stage: &Stage, policy: &str, metadata: Value, spec: &Value) -> Result<Option<String>> {
    let object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": metadata, "spec": spec});
    let path = stage.plane().dir().join("object.json");
    std::fs::write(&path, object.to_string())?;
    match stage.kubectl(&["apply", "--dry-run=server", "-f", &path.display().to_string()]).await {
        Ok(_) => Ok(None),
        Err(error) if format!("{error:#}").contains(policy) => Ok(Some(format!("{error:#}"))),
        Err(error) => Err(error),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_demands_a_rotation_every_90_days_in_the_namespaces_that_it_is_bound_to() -> Result<()> {
    let stage = Stage::alone("policy-rotation").await?;
    let value = || json!({"generate": {"password": {}}});
    // From before the policy.
    stage.create("old", json!({"value": value()})).await?;
    let applied = stage.plane().apply_yaml(ROTATION).await?;
    ensure!(applied.warnings.is_empty(), "{:?}", applied.warnings);
    let admits = async |name: &str, spec: &Value| -> Result<bool> {
        Ok(refusal(&stage, "rotated-secrets-rotation", json!({"name": name}), spec).await?.is_none())
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
        (json!({"schedule": "rate(1 day)", "excludePeriods": [{"from": "2027-01-01", "to": "2027-12-31"}]}), false),
    ] {
        ensure!(admits("new", &json!({"value": value(), "rotation": rotation})).await? == expected, "{rotation}");
    }
    let suspended = json!({"value": value(), "rotation": {"schedule": "rate(1 day)"}, "suspend": true});
    ensure!(!admits("new", &suspended).await?, "an object that is suspended does not rotate either");
    let theirs = json!({"secretName": "theirs"});
    ensure!(admits("new", &json!({"aws": theirs})).await?, "a mirror has no rotation of its own");
    for (days, expected) in [(90, true), (91, false)] {
        let lambda = json!({"functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:rotate"});
        let spec = json!({"aws": theirs, "rotation": {"automaticallyAfterDays": days, "lambda": lambda}});
        ensure!(admits("new", &spec).await? == expected, "AWS rotates every {days} days");
    }
    stage.kubectl(&["annotate", "rsec", "old", "rotated-secrets.io/refresh=1"]).await?;
    stage.kubectl(&["delete", "rsec", "old", "--wait=false"]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_demands_owner_contact_and_classification_in_the_namespaces_that_it_is_bound_to() -> Result<()> {
    let stage = Stage::alone("policy-owner").await?;
    let spec = json!({"value": {"generate": {"password": {}}}});
    // From before the policy.
    stage.create("old", spec.clone()).await?;
    let applied = stage.plane().apply_yaml(OWNER).await?;
    ensure!(applied.warnings.is_empty(), "{:?}", applied.warnings);
    let refused =
        async |labels: &Value, spec: &Value| refusal(&stage, "rotated-secrets-owner", json!({"name": "new", "labels": labels}), spec).await;
    ensure!(refused(&json!({}), &spec).await?.is_none(), "the policy is bound to other namespaces");
    stage.kubectl(&["label", "namespace", &stage.namespace, "environment=production"]).await?;
    until("the policy is in force", async || Ok(refused(&json!({}), &spec).await?.map(drop))).await?;
    let full = json!({"owner": "payments", "contact": "payments-oncall", "data-classification": "confidential"});
    ensure!(refused(&full, &spec).await?.is_none(), "all are there");
    for (key, value) in [
        ("owner", Value::Null),
        ("owner", json!("")),
        ("contact", Value::Null),
        ("data-classification", Value::Null),
        ("data-classification", json!("secret")),
    ] {
        let mut labels = full.clone();
        labels[key] = value.clone();
        labels.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let message = refused(&labels, &spec).await?.unwrap_or_default();
        ensure!(message.contains(&format!("metadata.labels.{key}: ")), "{key}={value}: {message}");
    }
    for (tags, expected) in [(json!({"owner": "payments", "stage": "x"}), true), (json!({"owner": "others"}), false)] {
        let mut tagged = spec.clone();
        tagged["aws"] = json!({"tags": tags});
        ensure!(refused(&full, &tagged).await?.is_none() == expected, "{tags}");
    }
    ensure!(stage.kubectl(&["label", "rsec", "old", "example.com/other=1"]).await.is_err(), "the next change of the labels needs them");
    stage.kubectl(&["annotate", "rsec", "old", "rotated-secrets.io/refresh=1"]).await?;
    let labels = ["owner=payments", "contact=payments-oncall", "data-classification=internal"];
    stage.kubectl(&[&["label", "rsec", "old"], &labels[..]].concat()).await?;
    ensure!(stage.kubectl(&["label", "rsec", "old", "owner-"]).await.is_err(), "they stay");
    stage.kubectl(&["delete", "rsec", "old", "--wait=false"]).await.map(drop)
}
