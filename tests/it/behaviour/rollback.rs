//! Labels are moved back manually.

use std::time::Duration;

use anyhow::{Result, ensure};
use rotated_secrets::api::Cause;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

/// Created, rotated on time. Gives both versions.
async fn rotated_once(stage: &Stage) -> Result<(String, String)> {
    stage.settled("app", spec()).await?;
    let first = stage.mirrored_version("app").await?.unwrap();
    stage.advance(HOUR);
    stage.settle("app").await?;
    let second = stage.mirrored_version("app").await?.unwrap();
    ensure!(first != second && stage.versions("app") == 2, "rotated once");
    Ok((first, second))
}

fn go_back(stage: &Stage, to: &str) -> Result<()> {
    Ok(stage.external_writer().move_label(&stage.aws_name("app"), "AWSCURRENT", Some(to))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_mirrored_recorded_and_not_rotated_away_by_the_slot_that_was_served() -> Result<()> {
    let stage = Stage::new("rollback").await?;
    let (first, second) = rotated_once(&stage).await?;
    stage.advance(10 * MINUTE);
    go_back(&stage, &first)?;
    let back = stage.now();
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.mirrored_version("app").await?.as_ref(), Some(&first));
    assert_eq!(stage.causes("app").await?, [Cause::RolledBack, Cause::Scheduled, Cause::Created]);
    assert_eq!(stage.told("app", "Normal", "RolledBack").await?, 1);
    assert_eq!(stage.next_rotation("app").await?, Some(back + HOUR));
    stage.assert_silence("app").await?;

    stage.advance(59 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2, "the served slot is not served again");
    stage.advance(MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 3);
    let current = stage.mirrored_version("app").await?.unwrap();
    ensure!(current != first && current != second, "a third version");
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_the_status_does_not_know_of_is_not_rotated_away_either() -> Result<()> {
    let stage = Stage::new("rollback").await?;
    let (first, _) = rotated_once(&stage).await?;
    stage.advance(10 * MINUTE);
    go_back(&stage, &first)?;
    stage.lose_status("app").await?;
    let before = stage.aws();
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.mirrored_version("app").await?.as_ref(), Some(&first));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_version_two_before_is_not_rotated_away_by_slots_that_carry_no_label() -> Result<()> {
    let stage = Stage::new("rollback").await?;
    let (first, _) = rotated_once(&stage).await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 4);
    for lost in [false, true] {
        stage.advance(10 * MINUTE);
        go_back(&stage, &first)?;
        if lost {
            stage.lose_status("app").await?;
        }
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 4, "status lost: {lost}");
        assert_eq!(stage.mirrored_version("app").await?.as_ref(), Some(&first));
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_looks_older_than_the_mirror_is_mirrored_after_the_settling_time_and_a_second_read() -> Result<()> {
    let stage = Stage::in_step("rollback").await?;
    let start = stage.now();
    stage.settled("app", unscheduled()).await?;
    let first = stage.mirrored_version("app").await?.unwrap();
    stage.advance(10 * MINUTE);
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    let second = stage.secret("app").await?;
    // By AWS's clock the labels went back before the mirror was written: it could as well be an old state.
    stage.world.emulator.clock().set(start - Duration::from_secs(5));
    go_back(&stage, &first)?;
    stage.world.emulator.clear_log();
    stage.reconcile("app").await?;
    stage.expect("app", "Ready", "False", "Progressing").await?;
    stage.expect("app", "Mirrored", "False", "Progressing").await?;
    stage.expect("app", "Reconciling", "True", "Progressing").await?;
    ensure!(!stage.has("app", "Stalled").await?, "nobody has to act");
    assert_eq!(stage.secret("app").await?, second, "not yet");
    assert_eq!(stage.told("app", "Warning", "Progressing").await?, 0);

    stage.advance(3 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.mirrored_version("app").await?.as_ref(), Some(&first));
    assert_eq!(stage.causes("app").await?, [Cause::RolledBack, Cause::Requested, Cause::Created]);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let confirmed = stage
        .world
        .emulator
        .log()
        .iter()
        .any(|call| call.operation == "GetSecretValue" && call.request.get("VersionStage").is_some_and(|stage| stage == "AWSCURRENT"));
    ensure!(confirmed, "AWS was not asked a second time");
    assert_eq!(stage.versions("app"), 2);
    Ok(())
}
