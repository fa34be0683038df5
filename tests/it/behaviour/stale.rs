//! AWS shows a state that is not the newest any more.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

const BOTH: [&str; 2] = ["DescribeSecret", "GetSecretValue"];

fn show_old_state(stage: &Stage, operations: &[&str], seconds: u64) {
    let plan =
        operations.iter().fold(FaultPlan::none(), |plan, operation| plan.with(operation, When::Always, Fault::StaleRead { seconds }));
    stage.world.emulator.set_faults(plan);
}

/// Every version that was sent to Kubernetes is younger than the one before.
fn assert_forwards(stage: &Stage, name: &str) {
    let versions: Vec<String> = stage.world.aws_secret(name).unwrap().versions.into_iter().map(|version| version.id).collect();
    let order: Vec<_> = stage.mirrored.lock().unwrap().iter().map(|id| versions.iter().position(|version| version == id)).collect();
    assert!(order.is_sorted() && !order.contains(&None), "the mirror went backwards: {order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_aws_does_not_show_yet_is_created_once() -> Result<()> {
    for operations in [&BOTH[..1], &BOTH[..]] {
        let stage = Stage::in_step("stale").await?;
        show_old_state(&stage, operations, 30);
        stage.world.create("app", spec()).await?;
        stage.reconcile("app").await?;
        stage.expect("app", "Provisioned", "False", "Creating").await?;
        stage.expect("app", "Reconciling", "True", "Creating").await?;
        assert_eq!(stage.versions("app"), 1);
        stage.live("app", MINUTE).await?;
        stage.world.check_agreement("app").await?;
        assert_eq!((stage.aws().len(), stage.versions("app")), (1, 1));
        assert_eq!(stage.world.emulator.counters().count("CreateSecret", "ok"), 1);
        assert_forwards(&stage, "app");
    }
    Ok(())
}

/// Something calls for a version, which AWS then does not show for a while.
async fn written_and_not_shown(causes: &[&str]) -> Result<()> {
    for operations in [&BOTH[..1], &BOTH[..]] {
        for cause in causes.iter().copied() {
            let stage = Stage::in_step("stale").await?;
            stage.settled("app", if cause == "due" { spec() } else { unscheduled() }).await?;
            stage.advance(HOUR);
            match cause {
                "asked" => drop(stage.world.request_rotation("app", "now").await?),
                "generated" => drop(stage.world.patch("app", json!({"spec": {"value": {"generate": {"key": {}}}}})).await?),
                "fixed" => drop(stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?),
                _ => {}
            }
            show_old_state(&stage, operations, 45);
            stage.reconcile("app").await?;
            assert_eq!(stage.versions("app"), 2, "{cause}");
            stage.live("app", 5 * MINUTE).await?;
            stage.world.check_agreement("app").await?;
            assert_eq!(stage.versions("app"), 2, "{cause}");
            assert_forwards(&stage, "app");
            stage.mend_aws();
            stage.assert_silence("app").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_aws_does_not_show_yet_is_written_once() -> Result<()> {
    written_and_not_shown(&["due", "asked", "generated"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_nothing_random_in_it_that_aws_does_not_show_yet_is_written_once() -> Result<()> {
    written_and_not_shown(&["fixed"]).await
}

/// Rotated by request and mirrored; then AWS shows the state before that.
async fn shown_the_state_before(operations: &[&str]) -> Result<Stage> {
    let stage = Stage::in_step("stale").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(30 * Duration::from_secs(1));
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    show_old_state(&stage, operations, 10);
    Ok(stage)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_does_not_go_back_to_what_was_current_before() -> Result<()> {
    for operations in [&BOTH[..1], &BOTH[..]] {
        let stage = shown_the_state_before(operations).await?;
        let (before, mirror) = (stage.aws(), stage.secret("app").await?);
        stage.reconcile("app").await?;
        assert_eq!((stage.aws(), stage.secret("app").await?), (before.clone(), mirror.clone()));
        stage.expect("app", "Mirrored", "False", "Progressing").await?;
        stage.expect("app", "Reconciling", "True", "Progressing").await?;
        ensure!(!stage.has("app", "Stalled").await?, "nobody has to act");
        stage.settle("app").await?;
        assert_eq!((stage.aws(), stage.secret("app").await?), (before, mirror));
        stage.world.check_agreement("app").await?;
        assert_forwards(&stage, "app");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_reads_being_old_for_longer_than_aws_ever_needs_moves_nothing() -> Result<()> {
    let stage = shown_the_state_before(&BOTH[..1]).await?;
    let mirror = stage.secret("app").await?;
    // The state of that moment for good, however late it gets.
    for _ in 0..5 {
        stage.advance(MINUTE);
        let since = stage.now().as_second() - stage.status("app").await?.history[1].time.0.as_second();
        show_old_state(&stage, &BOTH[..1], u64::try_from(since)? - 1);
        stage.reconcile("app").await?;
        assert_eq!(stage.secret("app").await?, mirror);
        stage.expect("app", "Ready", "False", "Progressing").await?;
    }
    stage.mend_aws();
    stage.advance(MINUTE);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.secret("app").await?, mirror);
    assert_eq!(stage.versions("app"), 2);
    Ok(())
}
