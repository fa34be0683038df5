//! The status cannot be written, or another operator writes it too.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::{Cause, ROTATE};
use rotated_secrets::reconcile::reconcile;
use serde_json::json;
use testkit::emulator::Fault;

use super::stage::{HOUR, Stage};
use testkit::fixtures::spec;

const SECOND: Duration = Duration::from_secs(1);

/// An administrator's policy that denies every write of a status in the namespace.
struct Denial {
    policies: Api<ValidatingAdmissionPolicy>,
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    name: String,
}

impl Denial {
    async fn of(stage: &Stage) -> Result<Self> {
        let (admin, name) = (stage.world.admin.clone(), format!("deny-status-{}", stage.world.namespace));
        let denial = Self { policies: Api::all(admin.clone()), bindings: Api::all(admin), name };
        let metadata = json!({"name": denial.name});
        let rule = json!({"apiGroups": ["rotated-secrets.io"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["rotatedsecrets/status"]});
        let policy = json!({"metadata": metadata, "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "no status here"}],
        }});
        let of_namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": stage.world.namespace}});
        let binding = json!({"metadata": metadata, "spec": {
            "policyName": denial.name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": of_namespace},
        }});
        denial.policies.create(&PostParams::default(), &serde_json::from_value(policy)?).await?;
        denial.bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
        Self::until(stage, true).await?;
        Ok(denial)
    }

    /// Waits until writes of the status are denied, or no longer. The API server applies a change of a policy after a while.
    async fn until(stage: &Stage, denied: bool) -> Result<()> {
        for _ in 0..3000 {
            let same = Patch::Merge(json!({"status": {"missedRotations": 0}}));
            let params = PatchParams { dry_run: true, ..PatchParams::default() };
            if stage.world.objects().patch_status("app", &params, &same).await.is_err() == denied {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::bail!("writes of the status are not as they should be: denied {denied}")
    }

    async fn end(self, stage: &Stage) -> Result<()> {
        self.bindings.delete(&self.name, &DeleteParams::default()).await?;
        self.policies.delete(&self.name, &DeleteParams::default()).await?;
        Self::until(stage, false).await
    }
}

/// The waits of as many attempts. AWS is not called in between.
async fn waits(stage: &Stage, attempts: usize) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    for _ in 0..attempts {
        let again = stage.reconcile("app").await?.again.context("another attempt")?;
        waits.push(again);
        let calls = stage.world.emulator.counters().calls();
        stage.reconcile("app").await?;
        assert_eq!(stage.world.emulator.counters().calls(), calls, "AWS is not called while the object waits");
        stage.advance(again);
    }
    Ok(waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_cannot_be_written_repeats_no_write_and_is_counted() -> Result<()> {
    let stage = Stage::new("status").await?;
    stage.settled("app", spec()).await?;
    let denial = Denial::of(&stage).await?;
    stage.advance(HOUR);
    stage.world.emulator.counters().reset();
    let waits = waits(&stage, 9).await?;
    ensure!(waits[..5].is_sorted() && waits[7..].iter().all(|wait| *wait >= 90 * SECOND), "{waits:?}");
    ensure!(waits.iter().all(|wait| *wait <= 120 * SECOND), "two minutes at most: {waits:?}");
    assert_eq!(stage.versions("app"), 2, "the rotation is made once");
    assert_eq!(stage.world.emulator.counters().total("PutSecretValue"), 1);
    let page = stage.ctx.metrics.render()?;
    ensure!(page.contains(r#"reason="StatusNotWritten"} 9"#), "{page}");
    assert_eq!(stage.told("app", "Warning", "StatusNotWritten").await?, 1, "told once");

    denial.end(&stage).await?;
    stage.advance(120 * SECOND);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_withdrawn_before_its_status_is_written_is_no_external_change() -> Result<()> {
    let stage = Stage::new("status").await?;
    stage.settled("app", spec()).await?;
    let denial = Denial::of(&stage).await?;
    stage.request_rotation("app", "now").await?;
    stage.reconcile("app").await?;
    assert_eq!(stage.versions("app"), 2);
    stage.world.patch("app", json!({"metadata": {"annotations": {ROTATE: null}}})).await?;
    denial.end(&stage).await?;
    stage.advance(120 * SECOND);
    stage.settle("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Created]);
    assert_eq!((stage.told("app", "Normal", "Rotated").await?, stage.told("app", "Normal", "ChangedInAws").await?), (1, 0));
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_with_different_flags_write_a_status_a_few_times_a_minute_and_say_so() -> Result<()> {
    let stage = Stage::new("status").await?;
    let mut other = stage.operator().await?;
    other.policy.minimum_interval = SignedDuration::from_hours(4);
    let mut spec = spec();
    spec["rotation"] = json!({"schedule": "rate(2 hours)"});
    stage.settled("app", spec).await?;
    stage.writes.take();
    for minute in 0..4 {
        let mut writes = 0;
        for _ in 0..60 {
            for operator in [&stage.ctx, &other] {
                reconcile(&stage.object("app").await?, operator).await;
            }
            writes += stage.writes.take().iter().filter(|write| write.ends_with("rotatedsecrets/status")).count();
            stage.advance(SECOND);
        }
        let most = if minute == 0 { 10 } else { 4 };
        ensure!(writes > 0 && writes <= most, "{writes} writes in minute {minute}");
    }
    ensure!(stage.told("app", "Warning", "StatusContested").await? > 0, "nothing was said");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_whose_status_cannot_be_written_waits_as_any_other_object_and_is_counted() -> Result<()> {
    let stage = Stage::new("status").await?;
    let mut deletable = spec();
    deletable["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", deletable).await?;
    stage.break_aws("DescribeSecret", Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() });
    let denial = Denial::of(&stage).await?;
    stage.world.objects().delete("app", &DeleteParams::default()).await?;
    let waits = waits(&stage, 5).await?;
    ensure!(waits[4] > 2 * waits[0], "{waits:?}");
    let page = stage.ctx.metrics.render()?;
    ensure!(page.contains(r#"reason="StatusNotWritten"} 5"#), "{page}");
    // Without a status, the attempts are not counted. The deletion ends nevertheless.
    stage.advance(3 * HOUR);
    stage.reconcile("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    // The end of the policy is tried with an object.
    stage.world.create("app", spec()).await?;
    denial.end(&stage).await
}
