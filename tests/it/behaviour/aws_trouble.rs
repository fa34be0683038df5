//! AWS refuses, throttles or does not answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use rotated_secrets::api::{FailureStatus, REFRESH};
use rotated_secrets::reconcile::reconcile;
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::spec;

struct Trouble {
    operation: &'static str,
    fault: Fault,
    reason: &'static str,
    requires_user_action: bool,
}

fn refuse(code: &str) -> Fault {
    Fault::Refuse { code: code.to_owned(), message: "no".to_owned() }
}

fn trouble(operation: &'static str, fault: Fault, reason: &'static str, requires_user_action: bool) -> Trouble {
    Trouble { operation, fault, reason, requires_user_action }
}

async fn failures(stage: &Stage) -> Result<FailureStatus> {
    stage.status("app").await?.failures.context("failures in the status")
}

/// An object in peace, then something to do, then trouble with it.
async fn begin(trouble: &Trouble) -> Result<Stage> {
    let stage = Stage::new("trouble").await?;
    stage.settled("app", spec()).await?;
    match trouble.operation {
        "GetSecretValue" => {
            stage.advance(MINUTE);
            stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
        }
        "PutSecretValue" => stage.advance(HOUR),
        _ => {}
    }
    stage.break_aws(trouble.operation, trouble.fault.clone());
    Ok(stage)
}

/// Three failures in a row, with a new life of the operator in each of the waits; then it passes.
async fn live_through(trouble: &Trouble) -> Result<()> {
    let stage = begin(trouble).await?;
    let (aws, mirror) = (stage.aws(), stage.secret("app").await?);
    let start = stage.now();
    let mut waited = SignedDuration::ZERO;
    let expired = matches!(&trouble.fault, Fault::Refuse { code, .. } if code == "ExpiredTokenException");
    let transient = expired || ["Throttled", "AwsUnavailable"].contains(&trouble.reason);
    for count in 1..=3 {
        let ended = stage.reconcile("app").await?;
        ensure!(ended.failed);
        if transient && count == 1 {
            // The first one that may pass by itself is not reported.
            ensure!(stage.status("app").await?.failures.is_none() && !ended.changed);
            stage.advance(ended.again.context("another attempt")?);
            continue;
        }
        let failures = failures(&stage).await?;
        assert_eq!((failures.count, failures.since.as_ref().map(|since| since.0)), (count, Some(start)));
        let next = failures.next_attempt_time.context("a next attempt")?.0;
        let wait = next.duration_since(stage.now());
        ensure!(ended.again.is_some_and(|again| again <= wait.unsigned_abs()), "the queue waits no longer than the status says");
        match trouble.reason {
            "LimitExceeded" => ensure!(wait >= SignedDuration::from_hours(1), "again after {wait}"),
            _ => ensure!(wait > waited, "again after {wait}, before it was {waited}"),
        }
        waited = wait;

        stage.world.emulator.clock().set(next - SignedDuration::from_secs(1));
        stage.world.emulator.counters().reset();
        stage.writes.take();
        let early = reconcile(&stage.object("app").await?, &stage.operator().await?).await;
        // A step that failed holds up no reconcile. It is not tried, and AWS is not read if that is what failed.
        let calls = stage.world.emulator.counters().total(trouble.operation);
        assert_eq!(calls, 0, "a restart keeps the wait");
        assert_eq!(stage.writes.take(), Vec::<String>::new());
        assert_eq!((early.again, early.changed), (Some(Duration::from_secs(1)), false));
        stage.world.emulator.clock().set(next);
    }
    for of in ["Provisioned", "Ready"] {
        let message = stage.expect("app", of, "False", trouble.reason).await?;
        ensure!(message.starts_with(&format!("{}: AWS ", trouble.operation)), "{message}");
    }
    assert_eq!(stage.has("app", "Stalled").await?, trouble.requires_user_action);
    assert_eq!(stage.has("app", "Reconciling").await?, !trouble.requires_user_action);
    if trouble.operation == "PutSecretValue" {
        stage.expect("app", "Rotated", "False", "Overdue").await?;
    }
    assert_eq!(stage.told("app", "Warning", trouble.reason).await?, 1, "an Event for the trouble, not for each attempt");
    assert_eq!((stage.aws(), stage.secret("app").await?), (aws, mirror));

    stage.mend_aws();
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    ensure!(!stage.has("app", "Stalled").await? && !stage.has("app", "Reconciling").await?, "all is over");
    assert_eq!(stage.told("app", "Normal", "Recovered").await?, 1);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_has_its_word_is_told_once_and_is_retried_ever_more_rarely_across_restarts() -> Result<()> {
    for trouble in [
        trouble("DescribeSecret", Fault::Throttle, "Throttled", false),
        trouble("DescribeSecret", refuse("AccessDeniedException"), "AccessDenied", true),
        trouble("DescribeSecret", refuse("ExpiredTokenException"), "AccessDenied", true),
        trouble("DescribeSecret", Fault::ServerError { status: 500 }, "AwsUnavailable", false),
        trouble("DescribeSecret", Fault::ServerError { status: 503 }, "AwsUnavailable", false),
        trouble("DescribeSecret", Fault::LoseAnswer, "AwsUnavailable", false),
        trouble("GetSecretValue", refuse("AccessDeniedException"), "AccessDenied", true),
        trouble("GetSecretValue", refuse("DecryptionFailure"), "KeyUnusable", true),
        trouble("PutSecretValue", Fault::Throttle, "Throttled", false),
        trouble("PutSecretValue", refuse("AccessDeniedException"), "AccessDenied", true),
        trouble("PutSecretValue", refuse("EncryptionFailure"), "KeyUnusable", true),
        trouble("PutSecretValue", refuse("LimitExceededException"), "LimitExceeded", true),
    ] {
        live_through(&trouble).await.with_context(|| format!("{} {:?}", trouble.operation, trouble.fault))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_an_unusable_key_keeps_its_last_value() -> Result<()> {
    let stage = begin(&trouble("GetSecretValue", refuse("DecryptionFailure"), "KeyUnusable", true)).await?;
    let before = stage.data("app").await?;
    stage.reconcile("app").await?;
    stage.expect("app", "Provisioned", "False", "KeyUnusable").await?;
    assert_eq!(stage.data("app").await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_at_creation_leaves_nothing_half_made() -> Result<()> {
    let stage = Stage::new("trouble").await?;
    stage.break_aws("CreateSecret", refuse("AccessDeniedException"));
    stage.world.create("app", spec()).await?;
    stage.reconcile("app").await?;
    stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    ensure!(stage.aws().is_empty() && stage.no_secret("app").await?, "something was made");
    stage.mend_aws();
    stage.advance(2 * MINUTE);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_request_ends_the_wait_once_and_so_does_every_change_of_the_spec() -> Result<()> {
    let stage = begin(&trouble("DescribeSecret", refuse("AccessDeniedException"), "AccessDenied", true)).await?;
    let counters = stage.world.emulator.counters();
    stage.reconcile("app").await?;
    for (number, patch) in [
        json!({"metadata": {"annotations": {REFRESH: "one"}}}),
        json!({"spec": {"aws": {"description": "new"}}}),
        json!({"metadata": {"annotations": {REFRESH: "two"}}}),
    ]
    .into_iter()
    .enumerate()
    {
        stage.world.patch("app", patch.clone()).await?;
        counters.reset();
        stage.reconcile("app").await?;
        assert_eq!(counters.total("DescribeSecret"), 1, "{patch}");
        assert_eq!(failures(&stage).await?.count, i32::try_from(number)? + 2);
        stage.reconcile("app").await?;
        assert_eq!(counters.calls(), 1, "{patch} ends one wait, not every one");
    }
    stage.mend_aws();
    stage.world.patch("app", json!({"metadata": {"annotations": {REFRESH: "three"}}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().refresh.as_deref(), Some("three"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_and_a_suspension_do_not_wait_for_the_next_attempt() -> Result<()> {
    let stage = Stage::new("trouble").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", spec).await?;
    stage.break_aws("DescribeSecret", refuse("AccessDeniedException"));
    stage.reconcile("app").await?;
    stage.world.patch("app", json!({"spec": {"suspend": true}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "False", "Suspended").await?;
    assert_eq!(stage.status("app").await?.failures, None);

    stage.world.patch("app", json!({"spec": {"suspend": false}})).await?;
    stage.reconcile("app").await?;
    stage.expect("app", "Ready", "False", "AccessDenied").await?;
    stage.mend_aws();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    ensure!(stage.world.aws_secret("app").unwrap().deletion_date.is_some(), "scheduled for deletion");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_held_back_while_aws_cannot_be_reached_and_says_so() -> Result<()> {
    let stage = Stage::new("trouble").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", spec).await?;
    stage.break_aws("DeleteSecret", refuse("AccessDeniedException"));
    stage.delete_object("app").await?;
    stage.reconcile("app").await?;
    stage.expect("app", "Ready", "False", "AccessDenied").await?;
    stage.mend_aws();
    stage.advance(2 * MINUTE);
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_write_makes_no_second_version() -> Result<()> {
    let stage = Stage::new("trouble").await?;
    for operation in ["CreateSecret", "PutSecretValue"] {
        stage.world.emulator.set_faults(FaultPlan::none().with(operation, When::First(1), Fault::LoseAnswer));
        match operation {
            "CreateSecret" => drop(stage.world.create("app", spec()).await?),
            _ => stage.advance(HOUR),
        }
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
    }
    assert_eq!(stage.versions("app"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failure_in_passing_is_nobodys_business() -> Result<()> {
    let stage = Stage::new("trouble").await?;
    stage.settled("app", spec()).await?;
    let (status, events) = (stage.status("app").await?, stage.events("app").await?);
    // As in production, with the SDK's own retries.
    let ctx = stage.world.operator(None, Arc::default()).await?;
    stage.world.emulator.set_faults(FaultPlan::none().with("DescribeSecret", When::First(1), Fault::ServerError { status: 503 }));
    let ended = reconcile(&stage.object("app").await?, &ctx).await;
    ensure!(!ended.failed && !ended.changed, "it was noticed");
    assert_eq!((stage.status("app").await?, stage.events("app").await?), (status, events));
    assert_eq!(stage.world.emulator.counters().count("DescribeSecret", "ServiceUnavailable"), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_stays_stalled_while_aws_throttles_and_since_it_began() -> Result<()> {
    let stage = Stage::new("trouble").await?;
    stage.settled("app", spec()).await?;
    stage.delete_secret("app").await?;
    stage.make_secret(json!({"metadata": {"name": "app"}, "stringData": {"password": "theirs"}})).await?;
    stage.settle("app").await?;
    let stalled = async || -> Result<_> {
        let found = stage.status("app").await?.conditions.into_iter().find(|condition| condition.type_ == "Stalled");
        found.map(|found| (found.reason, found.message, found.last_transition_time)).context("Stalled")
    };
    let before = stalled().await?;
    assert_eq!(before.0, "SecretNotOwned");
    stage.break_aws("DescribeSecret", Fault::Throttle);
    for _ in 0..3 {
        stage.advance(10 * MINUTE);
        stage.reconcile("app").await?;
        stage.expect("app", "Ready", "False", "Throttled").await?;
        assert_eq!(stalled().await?, before);
        ensure!(!stage.has("app", "Reconciling").await?, "a retry is not what it waits for");
    }
    stage.mend_aws();
    stage.advance(10 * MINUTE);
    stage.settle("app").await?;
    stage.expect("app", "Ready", "False", "SecretNotOwned").await?;
    assert_eq!(stalled().await?, before);
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    ensure!(!stage.has("app", "Stalled").await?, "it is resolved");
    Ok(())
}
