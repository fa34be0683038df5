//! The status is a report, not a memory.

use anyhow::Result;
use jiff::Timestamp;
use rotated_secrets::api::{Cause, RotatedSecretStatus};
use serde_json::json;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::spec;

/// Without the transition times of conditions, which cannot be derived again.
fn comparable(mut status: RotatedSecretStatus) -> RotatedSecretStatus {
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_status_comes_back_the_same_and_nothing_else_is_written() -> Result<()> {
    let stage = Stage::new("status-lost").await?;
    stage.settled("app", spec()).await?;
    let (status, aws, mirror) = (stage.status("app").await?, stage.aws(), stage.secret("app").await?);
    stage.advance(10 * MINUTE);
    stage.lose_status("app").await?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"]);
    assert_eq!((stage.aws(), stage.secret("app").await?), (aws, mirror));
    assert_eq!(comparable(stage.status("app").await?), comparable(status));
    Ok(())
}

/// A life with rotations; then the status is lost in the middle of a period.
async fn rotated_thrice(schedule: &str) -> Result<(Stage, RotatedSecretStatus)> {
    let stage = Stage::new("status-lost").await?;
    // Far from the moment that the cron expression below names.
    let half_past = Timestamp::from_second((stage.now().as_second() / 3600 + 1) * 3600 + 1800)?;
    stage.world.emulator.clock().set(half_past);
    let mut spec = spec();
    spec["rotation"] = json!({"schedule": schedule});
    stage.settled("app", spec).await?;
    for _ in 0..3 {
        stage.advance(HOUR);
        stage.settle("app").await?;
    }
    assert_eq!(stage.versions("app"), 4);
    let status = stage.status("app").await?;
    stage.advance(10 * MINUTE);
    stage.lose_status("app").await?;
    Ok((stage, status))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_lost_after_rotations_costs_no_rotation_and_comes_back_but_for_older_history() -> Result<()> {
    for schedule in ["rate(1 hour)", "7 * * * *"] {
        let (stage, before) = rotated_thrice(schedule).await?;
        let (aws, mirror) = (stage.aws(), stage.secret("app").await?);
        stage.settle("app").await?;
        assert_eq!((stage.aws(), stage.secret("app").await?), (aws, mirror), "{schedule}");
        let after = stage.status("app").await?;
        let mut expected = comparable(before);
        expected.history.truncate(1);
        // The cause is checked below.
        expected.history[0].cause = after.history[0].cause;
        // Nothing else says when the rotation was due.
        expected.history[0].due_time = None;
        assert_eq!(comparable(after), expected, "{schedule}");
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_rotation_is_not_called_somebody_elses_change_when_the_status_was_lost() -> Result<()> {
    for schedule in ["rate(1 hour)", "7 * * * *"] {
        let (stage, _) = rotated_thrice(schedule).await?;
        stage.settle("app").await?;
        assert_eq!(stage.causes("app").await?, [Cause::Scheduled], "{schedule}");
        assert_eq!(stage.told("app", "Normal", "ChangedInAws").await?, 0, "{schedule}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_lost_while_a_rotation_is_due_costs_one_rotation_not_two() -> Result<()> {
    let stage = Stage::new("status-lost").await?;
    stage.settled("app", spec()).await?;
    stage.advance(HOUR);
    stage.lose_status("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    stage.lose_status("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_lost_with_somebody_elses_value_current_overwrites_nothing() -> Result<()> {
    let stage = Stage::new("status-lost").await?;
    stage.settled("app", spec()).await?;
    stage.advance(10 * MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
    let put = stage.now();
    stage.advance(10 * MINUTE);
    stage.lose_status("app").await?;
    let before = stage.aws();
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);
    assert_eq!(stage.causes("app").await?, [Cause::External]);
    assert_eq!(stage.next_rotation("app").await?, Some(put + HOUR));
    assert_eq!(stage.data("app").await?["password"], "theirs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_spec_that_comes_with_the_loss_of_the_status_is_not_overlooked() -> Result<()> {
    for rotations in [0, 1] {
        let stage = Stage::new("status-lost").await?;
        stage.settled("app", spec()).await?;
        for _ in 0..rotations {
            stage.advance(HOUR);
            stage.settle("app").await?;
        }
        stage.lose_status("app").await?;
        stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
        stage.settle("app").await?;
        assert_eq!(stage.value("app")["host"], "db", "Ready without what is declared, after {rotations} rotations");
    }
    Ok(())
}
