//! Text, times and ARNs that any user of the cluster or of AWS may have written.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use rotated_secrets::text::is_unsafe;
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, Stage};
use testkit::fixtures::spec;

/// Ends the line, and starts one that looks like the operator's own; controls a terminal; reorders text.
const HOSTILE: &str = "x\n2026-11-26T12:00:00.000Z ERROR forged\u{1b}[2J\u{9b}31m\u{202e}";

impl Stage {
    async fn forge(&self, name: &str, status: Value) -> Result<()> {
        self.world.objects().patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_spec_reaches_conditions_and_events_without_control_characters() -> Result<()> {
    let stage = Stage::new("untrusted").await?;
    let mut keys = spec();
    keys["target"] = json!({"keys": {"DB": HOSTILE}});
    let mut key = spec();
    key["aws"] = json!({"kmsKeyId": HOSTILE});
    let mut schedule = spec();
    schedule["rotation"] = json!({"schedule": HOSTILE});
    let mut quoted = 0;
    for (name, spec) in [("keys", keys), ("key", key), ("schedule", schedule)] {
        // What the API server refuses at admission needs no condition.
        if stage.world.create(name, spec).await.is_err() {
            continue;
        }
        stage.settle(name).await?;
        let status = stage.status(name).await?;
        let messages = status.conditions.into_iter().map(|condition| condition.message);
        for text in messages.chain(stage.events(name).await?.into_iter().flat_map(|(kind, reason, _)| [kind, reason])) {
            ensure!(!text.chars().any(is_unsafe), "{name}: {text:?}");
            quoted += usize::from(text.contains("x\\n2026"));
        }
    }
    ensure!(quoted > 0, "a message quotes the text");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_with_absurd_times_and_counts_neither_stops_nor_moves_a_rotation() -> Result<()> {
    let stage = Stage::new("untrusted").await?;
    stage.settled("app", spec()).await?;
    let due = stage.next_rotation("app").await?;
    for time in ["0001-01-01T00:00:00Z", "9999-12-30T21:59:59Z"] {
        let forged = json!({
            "nextRotationTime": time, "missedRotations": i32::MIN,
            "failures": {
                "count": i32::MAX, "since": time, "nextAttemptTime": time, "generation": 1,
                "steps": [{
                    "step": "Read", "condition": "Provisioned", "class": "Denied", "reason": "AwsPermissionDenied", "message": HOSTILE,
                    "count": i32::MAX, "since": time, "nextAttemptTime": time,
                }],
            },
            "aws": {"unseen": {"versionId": "00000000-0000-5000-8000-000000000001", "time": time}},
            "requests": {"rotate": HOSTILE},
        });
        stage.forge("app", forged).await?;
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        let status = stage.status("app").await?;
        ensure!(status.next_rotation_time.map(|time| time.0) == due && status.failures.is_none(), "{time}");
        ensure!(status.missed_rotations >= 0 && stage.versions("app") == 1, "{time}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_beyond_the_bounds_of_the_schema_is_not_stored() -> Result<()> {
    let stage = Stage::new("untrusted").await?;
    stage.settled("app", spec()).await?;
    for (field, status) in [
        ("aws.arn", json!({"aws": {"arn": "x".repeat(2049)}})),
        ("aws.retainedVersionIds", json!({"aws": {"retainedVersionIds": ["x".repeat(65)]}})),
        ("schedule.expression", json!({"schedule": {"expression": "x".repeat(1025)}})),
        ("requests.rotate", json!({"requests": {"rotate": "x".repeat(129)}})),
        ("failures.steps", json!({"failures": {"count": 1, "steps": [{"step": "Read", "message": "x".repeat(4097)}]}})),
        ("declared.fields", json!({"declared": {"fields": ["x".repeat(254)]}})),
    ] {
        let refused = stage.forge("app", status).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(refused.contains(field), "{field}: {refused}");
    }
    stage.assert_silence("app").await
}

/// An ARN may lead to another account that lets the operator read, and tags can be copied there. A name leads to the
/// identity's own account only.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_only_its_arn_leads_to_is_not_taken_for_ours() -> Result<()> {
    let mut stage = Stage::new("untrusted").await?;
    stage.settled("app", spec()).await?;
    let before = stage.aws();
    // Another life of the operator, which does not know its account yet, and does not find the secret by its name.
    stage.ctx = stage.operator().await?;
    let absent = Fault::Refuse { code: "ResourceNotFoundException".to_owned(), message: "no".to_owned() };
    stage.world.emulator.set_faults(FaultPlan::none().with("DescribeSecret", When::Nth(1), absent));
    stage.delete_secret("app").await?;
    let ended = stage.reconcile("app").await?;
    ensure!(stage.no_secret("app").await? && stage.aws() == before, "it was taken for ours");
    ensure!(ended.failed && ended.again.is_some(), "it is tried again");

    stage.mend_aws();
    stage.settle("app").await?;
    stage.world.check_agreement("app").await
}

/// The same, with more at stake.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_only_its_arn_leads_to_is_not_deleted() -> Result<()> {
    let mut stage = Stage::new("untrusted").await?;
    let mut deletable = spec();
    deletable["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", deletable).await?;
    let before = stage.aws();
    stage.ctx = stage.operator().await?;
    let absent = Fault::Refuse { code: "ResourceNotFoundException".to_owned(), message: "no".to_owned() };
    stage.world.emulator.set_faults(FaultPlan::none().with("DescribeSecret", When::Nth(1), absent));
    stage.delete_object("app").await?;
    let ended = stage.reconcile("app").await?;
    ensure!(stage.aws() == before && stage.object("app").await.is_ok(), "it was deleted");
    ensure!(ended.failed && ended.again.is_some(), "it is tried again");

    // It is found by its name, so it is in the account of the operator.
    stage.mend_aws();
    stage.advance(HOUR);
    stage.settle("app").await?;
    ensure!(stage.object("app").await.is_err(), "the object remains");
    ensure!(stage.world.aws_secret("app").is_some_and(|secret| secret.deletion_date.is_some()), "the AWS secret remains");
    Ok(())
}
