//! A step that fails waits. The rest of the object does not.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{ALLOWED_NAMES, RotatedSecret, StepFailure};
use rotated_secrets::reconcile::reconcile;
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

const SECOND: Duration = Duration::from_secs(1);
const THEIRS: &str = r#"{"username":"admin","password":"theirs"}"#;

fn refuse(code: &str) -> Fault {
    Fault::Refuse { code: code.to_owned(), message: "no".to_owned() }
}

async fn steps(stage: &Stage) -> Result<Vec<StepFailure>> {
    Ok(stage.status("app").await?.failures.map(|failures| failures.steps).unwrap_or_default())
}

fn calls(stage: &Stage, operation: &str) -> u64 {
    stage.world.emulator.counters().total(operation)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_is_repaired_and_follows_aws_while_aws_refuses_a_write() -> Result<()> {
    for code in ["AccessDeniedException", "EncryptionFailure", "LimitExceededException"] {
        let stage = Stage::new("backoff").await?;
        stage.settled("app", spec()).await?;
        stage.advance(HOUR);
        stage.break_aws("PutSecretValue", refuse(code));
        stage.reconcile("app").await?;
        let failed = steps(&stage).await?;
        assert_eq!(failed.iter().map(|step| (step.step.as_str(), step.count)).collect::<Vec<_>>(), [("Put", 1)], "{code}");

        let data = stage.data("app").await?;
        stage.delete_secret("app").await?;
        stage.reconcile("app").await?;
        assert_eq!(stage.data("app").await?, data, "{code}: the Secret is there again");
        stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
        stage.reconcile("app").await?;
        assert_eq!(stage.data("app").await?, data, "{code}: and as declared");
        stage.expect("app", "Mirrored", "True", "Succeeded").await?;
        stage.expect("app", "Rotated", "False", "Overdue").await?;
        assert_eq!((calls(&stage, "PutSecretValue"), steps(&stage).await?), (1, failed), "{code}: the step waits");

        stage.advance(SECOND);
        stage.external_writer().put_value(&stage.aws_name("app"), THEIRS)?;
        stage.reconcile("app").await?;
        assert_eq!(stage.data("app").await?["password"], "theirs", "{code}: what a person puts in AWS arrives");
        assert_eq!(calls(&stage, "PutSecretValue"), 1, "{code}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_fails_for_whatever_reason_holds_up_no_rotation() -> Result<()> {
    for fault in [Fault::Throttle, Fault::ServerError { status: 503 }, refuse("AccessDeniedException"), refuse("InvalidParameterException")]
    {
        let stage = Stage::new("backoff").await?;
        stage.settled("app", spec()).await?;
        stage.advance(HOUR);
        stage.world.patch("app", json!({"spec": {"aws": {"description": "new"}}})).await?;
        stage.break_aws("UpdateSecret", fault.clone());
        stage.reconcile("app").await?;
        assert_eq!(stage.versions("app"), 2, "{fault:?}");
        stage.expect("app", "Mirrored", "True", "Succeeded").await?;
        ensure!(!ready_for_wait(&stage.object("app").await?), "{fault:?}: the description is not set");
        let asked = calls(&stage, "UpdateSecret");
        stage.reconcile("app").await?;
        assert_eq!(calls(&stage, "UpdateSecret"), asked, "{fault:?}: it waits");
        stage.mend_aws();
        stage.live("app", 30 * MINUTE).await?;
        stage.world.check_agreement("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_namespace_ends_the_wait() -> Result<()> {
    let stage = Stage::new("backoff").await?;
    stage.settled("app", spec()).await?;
    stage.break_aws("DescribeSecret", refuse("AccessDeniedException"));
    stage.reconcile("app").await?;
    stage.world.emulator.counters().reset();
    stage.reconcile("app").await?;
    assert_eq!(calls(&stage, "DescribeSecret"), 0);
    stage.annotate_namespace(json!({"example.org/note": "nothing to do with us"})).await?;
    stage.reconcile("app").await?;
    assert_eq!(calls(&stage, "DescribeSecret"), 0);
    stage.annotate_namespace(json!({ALLOWED_NAMES: "shared/*"})).await?;
    stage.reconcile("app").await?;
    assert_eq!(calls(&stage, "DescribeSecret"), 1);
    stage.reconcile("app").await?;
    assert_eq!(calls(&stage, "DescribeSecret"), 1, "it ends one wait");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_deleted_while_aws_cannot_be_read_is_reported_and_comes_back() -> Result<()> {
    let stage = Stage::new("backoff").await?;
    stage.settled("app", spec()).await?;
    stage.break_aws("DescribeSecret", refuse("AccessDeniedException"));
    stage.reconcile("app").await?;
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    stage.delete_secret("app").await?;
    stage.world.emulator.counters().reset();
    stage.reconcile("app").await?;
    assert_eq!(stage.world.emulator.counters().calls(), 0);
    let message = stage.expect("app", "Mirrored", "False", "AccessDenied").await?;
    ensure!(message.contains("app does not exist"), "{message}");
    stage.expect("app", "Ready", "False", "AccessDenied").await?;
    stage.expect("app", "Stalled", "True", "AccessDenied").await?;
    let status = stage.status("app").await?;
    stage.reconcile("app").await?;
    assert_eq!(stage.status("app").await?, status, "nothing more is written");
    stage.mend_aws();
    stage.advance(2 * MINUTE);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_failure_in_passing_changes_neither_status_nor_events_nor_ready_and_the_second_is_reported() -> Result<()> {
    for (operation, fault) in [
        ("DescribeSecret", Fault::Throttle),
        ("DescribeSecret", Fault::ServerError { status: 503 }),
        ("PutSecretValue", Fault::Throttle),
        ("PutSecretValue", Fault::ServerError { status: 500 }),
    ] {
        let stage = Stage::new("backoff").await?;
        stage.settled("app", spec()).await?;
        stage.advance(HOUR);
        let (object, events) = (stage.object("app").await?, stage.events("app").await?);
        stage.world.emulator.set_faults(FaultPlan::none().with(operation, When::First(1), fault.clone()));
        let ended = stage.reconcile("app").await?;
        ensure!(ended.failed && ended.again.is_some_and(|again| again < MINUTE), "{operation}: {ended:?}");
        let after = stage.object("app").await?;
        assert_eq!((after.metadata.resource_version, after.status), (object.metadata.resource_version, object.status), "{operation}");
        assert_eq!(stage.events("app").await?, events, "{operation}");
        stage.advance(ended.again.context("another attempt")?);
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        assert_eq!((stage.versions("app"), stage.told("app", "Normal", "Recovered").await?), (2, 0), "{operation}");

        stage.advance(HOUR);
        stage.break_aws(operation, fault);
        for count in 1..=2 {
            let ended = stage.reconcile("app").await?;
            assert_eq!(stage.status("app").await?.failures.map(|failures| failures.count), (count > 1).then_some(count), "{operation}");
            stage.advance(ended.again.context("another attempt")?);
        }
        ensure!(!ready_for_wait(&stage.object("app").await?), "{operation}");
    }
    Ok(())
}

/// What `kubectl wait --for=condition=Ready` takes for done.
fn ready_for_wait(object: &RotatedSecret) -> bool {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True" && c.observed_generation >= object.metadata.generation)
}

/// Every fault at every call that the change needs, also several times in a row: `kubectl wait` is done only when AWS and
/// the Secret have what was applied.
#[tokio::test(flavor = "multi_thread")]
async fn apply_and_wait_is_right_in_every_interleaving() -> Result<()> {
    let faults = [
        refuse("ResourceNotFoundException"),
        refuse("AccessDeniedException"),
        Fault::Throttle,
        Fault::ServerError { status: 503 },
        Fault::LoseAnswer,
        Fault::StaleRead { seconds: 20 },
    ];
    for operation in ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecret"] {
        for fault in &faults {
            if matches!(fault, Fault::StaleRead { .. }) && !["DescribeSecret", "GetSecretValue"].contains(&operation) {
                continue;
            }
            let stage = Stage::in_step("backoff").await?;
            stage.settled("app", unscheduled()).await?;
            stage.advance(MINUTE);
            stage.world.patch("app", json!({"spec": {"aws": {"description": "new"}, "value": {"data": {"host": "db"}}}})).await?;
            for times in [5, 0] {
                let plan = FaultPlan::none();
                stage.world.emulator.set_faults(if times > 0 { plan.with(operation, When::First(times), fault.clone()) } else { plan });
                for _ in 0..8 {
                    let again = stage.reconcile("app").await?.again;
                    let done = stage.value("app").get("host").is_some()
                        && stage.data("app").await?.contains_key("host")
                        && stage.world.aws_secret("app").is_some_and(|secret| secret.description.as_deref() == Some("new"));
                    ensure!(done || !ready_for_wait(&stage.object("app").await?), "{operation} {fault:?}: wait ends before the work");
                    stage.advance(again.unwrap_or(SECOND));
                }
            }
            stage.live("app", HOUR).await?;
            ensure!(ready_for_wait(&stage.object("app").await?), "{operation} {fault:?}: wait never ends");
            stage.world.check_agreement("app").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_read_is_reported_under_provisioned_wherever_it_was_needed() -> Result<()> {
    for needed_for in ["the first mirror", "a mirror that was deleted", "an external change", "a lost status"] {
        let stage = Stage::new("backoff").await?;
        if needed_for == "the first mirror" {
            stage.break_aws("GetSecretValue", refuse("AccessDeniedException"));
            stage.world.create("app", unscheduled()).await?;
        } else {
            stage.settled("app", unscheduled()).await?;
            stage.advance(MINUTE);
            match needed_for {
                "a mirror that was deleted" => stage.delete_secret("app").await?,
                "an external change" => drop(stage.external_writer().put_value(&stage.aws_name("app"), THEIRS)?),
                _ => stage.lose_status("app").await?,
            }
            stage.break_aws("GetSecretValue", refuse("AccessDeniedException"));
        }
        stage.reconcile("app").await?;
        for of in ["Provisioned", "Ready"] {
            let message = stage.expect("app", of, "False", "AccessDenied").await.context(needed_for)?;
            ensure!(message.starts_with("GetSecretValue: AWS answered AccessDeniedException"), "{needed_for}: {message}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_with_a_clock_a_year_ahead_wrote_delays_nothing() -> Result<()> {
    for (operation, fault) in [("DescribeSecret", refuse("RequestTimeTooSkewed")), ("PutSecretValue", refuse("AccessDeniedException"))] {
        let stage = Stage::in_step("backoff").await?;
        stage.settled("app", spec()).await?;
        let right = stage.now();
        stage.advance(365 * 24 * HOUR);
        stage.break_aws(operation, fault);
        stage.reconcile("app").await?;
        ensure!(!steps(&stage).await?.is_empty(), "{operation} failed");
        stage.mend_aws();
        stage.world.emulator.clock().set(right);
        stage.delete_secret("app").await?;
        reconcile(&stage.object("app").await?, &stage.operator().await?).await;
        ensure!(!stage.no_secret("app").await?, "{operation}: the Secret comes back at once");
        stage.expect("app", "Ready", "True", "Succeeded").await?;
        assert_eq!(stage.status("app").await?.failures, None, "{operation}");
    }
    Ok(())
}
