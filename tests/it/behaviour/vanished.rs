//! The AWS secret of the object is deleted externally.

use anyhow::{Result, ensure};
use rotated_secrets::api::Cause;
use testkit::emulator::Fault;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::spec;

#[tokio::test(flavor = "multi_thread")]
async fn while_our_aws_secret_is_scheduled_for_deletion_and_cannot_be_restored_pods_keep_theirs_and_nothing_is_written() -> Result<()> {
    let stage = Stage::new("vanished").await?;
    stage.settled("app", spec()).await?;
    let mirror = stage.secret("app").await?;
    stage.external_writer().delete(&stage.aws_name("app"), 7)?;
    stage.break_aws("RestoreSecret", Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() });
    let before = stage.aws();
    stage.advance(HOUR);
    stage.settle("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    ensure!(message.contains("RestoreSecret"), "{message}");
    stage.expect("app", "Rotated", "False", "Overdue").await?;
    assert_eq!(stage.told("app", "Warning", "AccessDenied").await?, 1);
    assert_eq!((stage.aws(), stage.secret("app").await?), (before, mirror));

    stage.mend_aws();
    stage.external_writer().restore(&stage.aws_name("app"))?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 2, "the rotation that was due");
    Ok(())
}

/// Rotated so often, fifty minutes pass, and the AWS secret is gone for good.
async fn gone(rotations: u32) -> Result<Stage> {
    let stage = Stage::new("vanished").await?;
    stage.settled("app", spec()).await?;
    for _ in 0..rotations {
        stage.advance(HOUR);
        stage.settle("app").await?;
    }
    stage.advance(50 * MINUTE);
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    stage.settle("app").await?;
    Ok(stage)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_that_is_gone_for_good_is_made_anew_and_mirrored() -> Result<()> {
    for rotations in [0, 1, 2] {
        let stage = gone(rotations).await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.versions("app"), 1, "after {rotations} rotations");
        assert_eq!(stage.value("app")["username"], "admin");
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_period_of_a_value_made_anew_starts_then() -> Result<()> {
    for rotations in [0, 1, 2] {
        let stage = gone(rotations).await?;
        assert_eq!(stage.next_rotation("app").await?, Some(stage.now() + HOUR), "after {rotations} rotations");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_made_anew_is_not_called_a_rollback() -> Result<()> {
    for rotations in [0, 1, 2] {
        let stage = gone(rotations).await?;
        assert_eq!(stage.causes("app").await?[0], Cause::Created, "after {rotations} rotations");
        assert_eq!(stage.told("app", "Normal", "RolledBack").await?, 0, "after {rotations} rotations");
    }
    Ok(())
}
