//! AWS shows a state that is not the newest any more.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use kube::ResourceExt;
use rotated_secrets::api::{Cause, ROLLBACK};
use rotated_secrets::version_id::VersionIds;
use serde_json::{Value, json};
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

const SECOND: Duration = Duration::from_secs(1);

fn unmirrored(mut spec: Value) -> Value {
    spec["target"] = json!({"creationPolicy": "None"});
    spec
}

async fn rotate(stage: &Stage, token: &str) -> Result<Timestamp> {
    stage.world.request_rotation("app", token).await?;
    let asked = stage.now();
    stage.settle("app").await?;
    Ok(asked)
}

/// The newest change, which AWS then does not show, and the Secret that would tell.
async fn change_and_hide(stage: &Stage, change: &str, mirror: &str) -> Result<()> {
    let spec = if mirror == "none" { unmirrored(unscheduled()) } else { unscheduled() };
    let object = stage.settled("app", spec).await?;
    let first = VersionIds::of(&object.uid().unwrap()).creation().to_string();
    if mirror == "pinned" {
        stage.world.patch("app", json!({"spec": {"target": {"versionId": first}}})).await?;
    }
    stage.advance(30 * SECOND);
    rotate(stage, "now").await?;
    let name = stage.aws_name("app");
    match change {
        "external" => {
            stage.advance(30 * SECOND);
            stage.external_writer().put_value(&name, r#"{"username": "admin", "password": "theirs"}"#)?;
        }
        "moved back" => {
            stage.advance(30 * SECOND);
            stage.external_writer().move_label(&name, "AWSCURRENT", Some(&first))?;
        }
        _ => {}
    }
    stage.settle("app").await?;
    stage.advance(3 * SECOND);
    if mirror == "deleted" {
        stage.delete_secret("app").await?;
    }
    show_old_state(stage, &BOTH[..1], 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_declaration_is_never_written_on_top_of_an_old_state() -> Result<()> {
    for change in ["rotation", "external", "moved back"] {
        for mirror in ["none", "pinned", "deleted"] {
            let stage = Stage::in_step("stale").await?;
            change_and_hide(&stage, change, mirror).await?;
            let (before, history, value) = (stage.aws(), stage.status("app").await?.history, stage.value("app"));
            stage.world.patch("app", json!({"spec": {"value": {"data": {"mode": "B"}}}})).await?;
            for _ in 0..2 {
                stage.reconcile("app").await?;
                assert_eq!(stage.aws(), before, "{change}, {mirror}");
                assert_eq!(stage.status("app").await?.history, history, "{change}, {mirror}");
                stage.expect("app", "Ready", "False", "Progressing").await?;
                ensure!(mirror != "deleted" || stage.no_secret("app").await?, "{change}: the Secret has an old value");
            }
            stage.mend_aws();
            stage.settle("app").await?;
            let expected = json!({"username": "admin", "password": value["password"], "mode": "B"});
            assert_eq!(stage.value("app"), expected, "{change}, {mirror}");
            let status = stage.status("app").await?;
            assert_eq!((status.history[0].cause, &status.history[1..]), (Cause::SpecChanged, &history[..]), "{change}, {mirror}");
            stage.expect("app", "Ready", "True", if mirror == "pinned" { "Pinned" } else { "Succeeded" }).await?;
            stage.assert_silence("app").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_does_not_count_from_an_old_state() -> Result<()> {
    let stage = Stage::in_step("stale").await?;
    stage.settled("app", unmirrored(spec())).await?;
    stage.advance(HOUR.saturating_sub(10 * SECOND));
    let rotated = rotate(&stage, "now").await?;
    // What was current before is due now.
    stage.advance(20 * SECOND);
    show_old_state(&stage, &BOTH[..1], 40);
    stage.reconcile("app").await?;
    assert_eq!((stage.versions("app"), stage.next_rotation("app").await?), (2, Some(rotated + HOUR)));
    stage.mend_aws();
    stage.settle("app").await?;
    assert_eq!((stage.versions("app"), stage.next_rotation("app").await?), (2, Some(rotated + HOUR)));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_to_the_version_before_the_newest_and_not_before_an_old_one() -> Result<()> {
    let stage = Stage::in_step("stale").await?;
    stage.settled("app", unmirrored(unscheduled())).await?;
    let mut values = Vec::new();
    for token in ["one", "two"] {
        stage.advance(20 * SECOND);
        rotate(&stage, token).await?;
        values.push(stage.value("app"));
    }
    let previous = stage.status("app").await?.history[1].version_id.clone();
    show_old_state(&stage, &BOTH[..1], 12);
    stage.world.annotate("app", ROLLBACK, "back:AWSPREVIOUS").await?;
    stage.reconcile("app").await?;
    assert_eq!(stage.versions("app"), 3, "nothing is written on top of an old state");
    stage.mend_aws();
    stage.settle("app").await?;
    assert_eq!(stage.value("app"), values[0]);
    let status = stage.status("app").await?;
    assert_eq!((status.history[0].cause, status.history[0].copy_of.as_ref()), (Cause::RolledBack, Some(&previous)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_secret_does_not_come_back_with_an_old_value_and_a_later_rollback_is_carried_out() -> Result<()> {
    for operations in [&BOTH[..1], &BOTH[..]] {
        let stage = Stage::in_step("stale").await?;
        change_and_hide(&stage, "rotation", "deleted").await?;
        show_old_state(&stage, operations, 10);
        let before = stage.status("app").await?;
        stage.reconcile("app").await?;
        ensure!(stage.no_secret("app").await?, "the Secret has an old value");
        stage.expect("app", "Mirrored", "False", "Progressing").await?;
        stage.mend_aws();
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        assert_forwards(&stage, "app");
        let after = stage.status("app").await?;
        assert_eq!((after.history, after.last_rotation_time), (before.history, before.last_rotation_time));
        stage.advance(MINUTE);
        stage.world.annotate("app", ROLLBACK, "back:AWSPREVIOUS").await?;
        stage.settle("app").await?;
        assert_eq!(stage.causes("app").await?, [Cause::RolledBack, Cause::Requested, Cause::Created]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn external_changes_one_after_another_are_recorded_at_once() -> Result<()> {
    let stage = Stage::in_step("stale").await?;
    stage.settled("app", unmirrored(unscheduled())).await?;
    let put = |value: &str| stage.external_writer().put_value(&stage.aws_name("app"), value);
    stage.advance(MINUTE);
    put("{}")?;
    stage.reconcile("app").await?;
    for change in ["a", "b", "c"] {
        stage.advance(SECOND);
        for nth in 0..2 {
            put(&json!({"password": format!("{change}{nth}")}).to_string())?;
        }
        stage.reconcile("app").await?;
        let current = stage.world.aws_secret("app").unwrap().labels["AWSCURRENT"].clone();
        assert_eq!(stage.status("app").await?.history[0].version_id, current, "two changes, of which the first is not seen");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_secret_is_not_created_again_with_a_value_that_another_read_contradicts() -> Result<()> {
    let stage = Stage::in_step("stale").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(HOUR);
    // No status has recorded it, so nothing but the second read tells that the first one is old.
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
    stage.advance(SECOND);
    show_old_state(&stage, &BOTH[..1], 10);
    stage.delete_secret("app").await?;
    stage.reconcile("app").await?;
    ensure!(stage.no_secret("app").await?, "the Secret has an old value");
    stage.live("app", MINUTE).await?;
    assert_eq!(stage.data("app").await?["password"], "theirs");
    assert_forwards(&stage, "app");
    stage.world.check_agreement("app").await
}
