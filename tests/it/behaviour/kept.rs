//! The newest versions keep a staging label, so that AWS never removes them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::RETENTION_LABEL;
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

fn ours(stage: &Stage) -> BTreeMap<String, String> {
    let labels = stage.world.aws_secret("app").unwrap().labels;
    labels.into_iter().filter(|(label, _)| label.starts_with(RETENTION_LABEL)).collect()
}

/// The newest `count` versions, newest first.
fn newest(stage: &Stage, count: usize) -> BTreeSet<String> {
    stage.world.aws_secret("app").unwrap().versions.iter().rev().take(count).map(|version| version.id.clone()).collect()
}

async fn rotate(stage: &Stage, token: u32) -> Result<Vec<String>> {
    stage.advance(MINUTE);
    stage.world.request_rotation("app", &token.to_string()).await?;
    stage.writes.take();
    stage.settle("app").await?;
    Ok(stage.writes.take())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_versions_carry_a_label_which_costs_one_call_in_the_life_of_a_secret() -> Result<()> {
    let stage = Stage::new("kept").await?;
    stage.settled("app", unscheduled()).await?;
    ensure!(ours(&stage).is_empty(), "CreateSecret takes no label");
    let one_write = ["PutSecretValue", "PUT secrets", "PUT rotatedsecrets/status"];
    for rotation in 1..=15 {
        let writes = rotate(&stage, rotation).await?;
        if rotation == 2 {
            assert_eq!(writes, ["UpdateSecretVersionStage", "PutSecretValue", "PUT secrets", "PUT rotatedsecrets/status"]);
        } else {
            assert_eq!(writes, one_write, "rotation {rotation}");
        }
        let labels = ours(&stage);
        let expected = if rotation == 1 { 1 } else { usize::try_from(rotation)?.min(4) + 1 };
        assert_eq!(labels.len(), expected, "{labels:?}");
        assert_eq!(labels.values().cloned().collect::<BTreeSet<_>>(), newest(&stage, expected), "after rotation {rotation}");
        let status = stage.status("app").await?;
        assert_eq!(status.aws.context("aws")?.retained_version_ids.into_iter().collect::<BTreeSet<_>>(), newest(&stage, expected));
    }
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_status_and_restarts_cost_no_label() -> Result<()> {
    let stage = Stage::new("kept").await?;
    stage.settled("app", unscheduled()).await?;
    for rotation in 0..14 {
        rotate(&stage, rotation).await?;
        stage.lose_status("app").await?;
        stage.settle("app").await?;
    }
    assert_eq!(ours(&stage).into_values().collect::<BTreeSet<_>>(), newest(&stage, 5), "the ring tells what the history forgot");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_somebody_else_is_kept_too_and_his_labels_are_left_alone() -> Result<()> {
    let stage = Stage::new("kept").await?;
    stage.settled("app", unscheduled()).await?;
    rotate(&stage, 0).await?;
    stage.advance(MINUTE);
    let theirs = stage.external_writer().put_value(&stage.aws_name("app"), r#"{"password":"theirs"}"#)?;
    stage.external_writer().move_label(&stage.aws_name("app"), "golden", Some(&theirs))?;
    stage.external_writer().move_label(&stage.aws_name("app"), "rotated-secrets/of-mine", Some(&theirs))?;
    stage.settle("app").await?;
    for rotation in 1..=3 {
        rotate(&stage, rotation).await?;
    }
    ensure!(ours(&stage).iter().any(|(label, version)| *version == theirs && label != "rotated-secrets/of-mine"), "{:?}", ours(&stage));
    let labels = stage.world.aws_secret("app").unwrap().labels;
    assert_eq!((&labels["golden"], &labels["rotated-secrets/of-mine"]), (&theirs, &theirs));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_to_keep_takes_labels_off_and_more_takes_effect_by_and_by() -> Result<()> {
    let stage = Stage::new("kept").await?;
    stage.settled("app", unscheduled()).await?;
    for rotation in 0..6 {
        rotate(&stage, rotation).await?;
    }
    stage.world.patch("app", json!({"spec": {"aws": {"keepVersions": 3}}})).await?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), ["UpdateSecretVersionStage", "UpdateSecretVersionStage", "PUT rotatedsecrets/status"]);
    assert_eq!(ours(&stage).len(), 3);
    for rotation in 6..10 {
        rotate(&stage, rotation).await?;
    }
    assert_eq!(ours(&stage).into_values().collect::<BTreeSet<_>>(), newest(&stage, 3));
    stage.world.patch("app", json!({"spec": {"aws": {"keepVersions": 10}}})).await?;
    stage.settle("app").await?;
    for rotation in 10..20 {
        rotate(&stage, rotation).await?;
    }
    assert_eq!(ours(&stage).into_values().collect::<BTreeSet<_>>(), newest(&stage, 10));
    stage.world.patch("app", json!({"spec": {"aws": {"keepVersions": 0}}})).await?;
    stage.settle("app").await?;
    ensure!(ours(&stage).is_empty(), "{:?}", ours(&stage));
    assert_eq!(rotate(&stage, 20).await?[0], "PutSecretValue");
    ensure!(ours(&stage).is_empty(), "{:?}", ours(&stage));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_full_of_somebody_elses_labels_rotates_all_the_same() -> Result<()> {
    let stage = Stage::new("kept").await?;
    stage.settled("app", unscheduled()).await?;
    let (name, first) = (stage.aws_name("app"), stage.mirrored_version("app").await?.unwrap());
    for label in 0..18 {
        stage.external_writer().move_label(&name, &format!("theirs-{label}"), Some(&first))?;
    }
    for rotation in 0..4 {
        assert_eq!(rotate(&stage, rotation).await?[0], "PutSecretValue");
        stage.world.check_agreement("app").await?;
    }
    ensure!(ours(&stage).is_empty(), "there was no room: {:?}", ours(&stage));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_cannot_be_moved_holds_no_rotation_up() -> Result<()> {
    let stage = Stage::new("kept").await?;
    stage.settled("app", unscheduled()).await?;
    rotate(&stage, 0).await?;
    stage.break_aws("UpdateSecretVersionStage", Fault::Refuse { code: "InvalidParameterException".to_owned(), message: "no".to_owned() });
    rotate(&stage, 1).await?;
    assert_eq!(stage.versions("app"), 3);
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_reads_two_values_its_predecessor_and_itself() -> Result<()> {
    let stage = Stage::new("kept").await?;
    stage.settled("app", spec()).await?;
    for hour in 0..4 {
        stage.world.emulator.counters().reset();
        stage.advance(HOUR);
        stage.settle("app").await?;
        let counters = stage.world.emulator.counters();
        assert_eq!((counters.total("GetSecretValue"), counters.total("PutSecretValue")), (2, 1), "hour {hour}");
    }
    assert_eq!(stage.versions("app"), 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_aws_does_not_show_yet_is_waited_for_and_not_sent_again() -> Result<()> {
    let stage = Stage::in_step("kept").await?;
    stage.settled("app", spec()).await?;
    stage.advance(HOUR);
    let old = Fault::StaleRead { seconds: 45 };
    stage.world.emulator.set_faults(FaultPlan::none().with("DescribeSecret", When::Always, old.clone()).with(
        "GetSecretValue",
        When::Always,
        old,
    ));
    stage.reconcile("app").await?;
    let unseen = stage.status("app").await?.aws.context("aws")?.unseen.context("told")?;
    assert_eq!(unseen.version_id, stage.world.aws_secret("app").unwrap().labels["AWSCURRENT"]);
    for _ in 0..8 {
        stage.advance(std::time::Duration::from_secs(5));
        stage.reconcile("app").await?;
    }
    assert_eq!(stage.world.emulator.counters().total("PutSecretValue"), 1, "sent once");
    stage.live("app", 5 * MINUTE).await?;
    stage.world.check_agreement("app").await?;
    assert_eq!((stage.versions("app"), stage.status("app").await?.aws.context("aws")?.unseen), (2, None));
    assert_eq!(stage.world.emulator.counters().total("PutSecretValue"), 1);
    Ok(())
}
