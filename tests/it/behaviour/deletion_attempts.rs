//! How often a deletion is attempted before the object is released, however long the operator was away.

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::fixtures::spec;

use super::stage::{HOUR, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_night_without_an_operator_one_failure_is_no_reason_to_keep_the_aws_secret() -> Result<()> {
    for failures in [1, 2, 3] {
        let stage = Stage::in_step("attempts").await?;
        let mut deletable = spec();
        deletable["aws"] = json!({"deletionPolicy": "Delete", "recoveryWindowInDays": 7});
        stage.settled("app", deletable).await?;
        stage.delete_object("app").await?;
        stage.advance(12 * HOUR);
        let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
        stage.world.emulator.set_faults(FaultPlan::none().with("DescribeSecret", When::Always, denied));
        for attempt in 0..6 {
            if stage.world.objects().get_opt("app").await?.is_none() {
                break;
            }
            if attempt == failures {
                stage.world.emulator.set_faults(FaultPlan::none());
            }
            if let Some(again) = stage.reconcile("app").await?.again {
                stage.advance(again);
            }
        }
        ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the deletion ends");
        let scheduled = stage.world.aws_secret("app").is_some_and(|secret| secret.deletion_date.is_some());
        ensure!(scheduled == (failures < 3), "{failures} failures: it is kept after three attempts, and not before");
        let kept = stage.told("app", "Warning", "AwsSecretKept").await?;
        ensure!(kept == i32::from(failures == 3), "{failures} failures: {kept} Events");
    }
    Ok(())
}
