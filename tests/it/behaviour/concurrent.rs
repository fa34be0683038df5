//! Two operators at work on one object: one version for each cause, and late writes do no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::future::BoxFuture;
use rotated_secrets::api::{ADOPT_BY, Cause};
use rotated_secrets::reconcile::{Context, reconcile};
use serde_json::{Value, json};
use testkit::emulator::{Fault, Moment, WriteBarrier};
use tokio::sync::{Barrier, Notify};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

/// Lets the first two that come to a write go on together.
struct Together {
    effect: &'static str,
    came: AtomicUsize,
    barrier: Barrier,
    met: AtomicBool,
}

impl Together {
    fn at(effect: &'static str) -> Arc<Self> {
        Arc::new(Self { effect, came: AtomicUsize::new(0), barrier: Barrier::new(2), met: AtomicBool::new(false) })
    }
}

impl WriteBarrier for Together {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if effect == self.effect && moment == Moment::Before && self.came.fetch_add(1, Ordering::SeqCst) < 2 {
                // The other may have come too late to want the same.
                if tokio::time::timeout(Duration::from_secs(20), self.barrier.wait()).await.is_ok() {
                    self.met.store(true, Ordering::SeqCst);
                } else {
                    self.came.fetch_sub(1, Ordering::SeqCst);
                }
            }
        })
    }
}

/// Reconciles of both at the same time, until neither has anything to do.
async fn settle_both(stage: &Stage, one: &Context, other: &Context) -> Result<()> {
    for _ in 0..40 {
        let object = stage.object("app").await?;
        let (left, right) = tokio::join!(reconcile(&object, one), reconcile(&object, other));
        if left.changed || right.changed {
            continue;
        }
        match left.again.into_iter().chain(right.again).min() {
            Some(wait) if wait < MINUTE => stage.advance(wait),
            _ => return Ok(()),
        }
    }
    bail!("they do not settle: {:?}", stage.status("app").await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_that_write_at_the_same_moment_make_one_version_for_each_cause() -> Result<()> {
    for (effect, rounds) in [
        // Only one of them gets to CreateSecret: the record of the place conflicts for the other.
        ("PUT rotatedsecrets/status", &["create"][..]),
        ("POST secrets", &["deleted"]),
        ("PutSecretValue", &["due"]),
        ("PutSecretValue", &["asked"]),
        ("PutSecretValue", &["declared"]),
        ("PUT secrets", &["due"]),
        ("PUT secrets", &["edited"]),
        ("PUT rotatedsecrets/status", &["due"]),
        ("none", &["create", "due", "asked", "declared", "edited", "due"]),
    ] {
        let stage = Stage::new("concurrent").await?;
        if !rounds.contains(&"create") {
            stage.settled("app", spec()).await?;
        }
        let gate = Together::at(effect);
        stage.world.emulator.set_write_barrier(Some(Arc::clone(&gate) as Arc<dyn WriteBarrier>));
        let one = stage.operator_through(Arc::clone(&gate) as Arc<dyn WriteBarrier>).await?;
        let other = stage.operator_through(Arc::clone(&gate) as Arc<dyn WriteBarrier>).await?;
        // The operator that loses an earlier write has no status to write. Then they meet in a later round.
        let repetitions = if *rounds == ["due"] { 5 } else { 1 };
        for round in rounds.iter().cycle().take(rounds.len() * repetitions) {
            if repetitions > 1 && gate.met.load(Ordering::SeqCst) {
                break;
            }
            let before = stage.versions("app");
            match *round {
                "create" => drop(stage.world.create("app", spec()).await?),
                "asked" => drop(stage.world.request_rotation("app", "now").await?),
                "declared" => drop(stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?),
                "deleted" => stage.delete_secret("app").await?,
                "edited" => drop(stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?),
                _ => stage.advance(HOUR),
            }
            settle_both(&stage, &one, &other).await?;
            stage.world.check_agreement("app").await?;
            assert_eq!(
                stage.versions("app"),
                before + usize::from(!["edited", "deleted"].contains(round)),
                "{round}, together at {effect}"
            );
        }
        ensure!(effect == "none" || gate.met.load(Ordering::SeqCst), "they never met at {effect}");
        stage.assert_silence("app").await?;
    }
    Ok(())
}

/// Holds the first that comes to a write until it is released.
struct Hold {
    effect: &'static str,
    used: AtomicBool,
    reached: Notify,
    released: Notify,
}

impl Hold {
    fn at(effect: &'static str) -> Arc<Self> {
        Arc::new(Self { effect, used: AtomicBool::new(false), reached: Notify::new(), released: Notify::new() })
    }
}

impl WriteBarrier for Hold {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if effect == self.effect && moment == Moment::Before && !self.used.swap(true, Ordering::SeqCst) {
                self.reached.notify_one();
                self.released.notified().await;
            }
        })
    }
}

/// One reconcile of an operator that is held between its read and its write. `others` act meanwhile.
async fn meanwhile<T>(stage: &Stage, effect: &'static str, others: impl Future<Output = Result<T>>) -> Result<T> {
    let hold = Hold::at(effect);
    stage.world.emulator.set_write_barrier(Some(Arc::clone(&hold) as Arc<dyn WriteBarrier>));
    let late = stage.operator_through(Arc::clone(&hold) as Arc<dyn WriteBarrier>).await?;
    let object = stage.object("app").await?;
    let (_, acted) = tokio::join!(reconcile(&object, &late), async {
        hold.reached.notified().await;
        let acted = others.await;
        hold.released.notify_one();
        acted
    });
    stage.world.emulator.set_write_barrier(None);
    acted
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_value_that_came_just_before_the_first_one_of_the_operator_is_current_again() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    let external = stage.external_writer();
    external.act("CreateSecret", &json!({"Name": stage.aws_name("app"), "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11"}))?;
    let adopter = json!({"Key": ADOPT_BY, "Value": format!("{}/app", stage.world.namespace)});
    external.act("TagResource", &json!({"SecretId": stage.aws_name("app"), "Tags": [adopter]}))?;
    let mut spec = spec();
    spec["aws"] = json!({"adoptionPolicy": "IfTagged"});
    stage.world.create("app", spec).await?;
    meanwhile(&stage, "PutSecretValue", async {
        let theirs = json!({"SecretId": stage.aws_name("app"), "SecretString": r#"{"username":"admin","password":"theirs"}"#, "ClientRequestToken": "5d1c7f0a-9b0e-4a53-8c1f-3c1a9f6e2b77"});
        external.act("PutSecretValue", &theirs)?;
        Ok(())
    })
    .await?;
    stage.settle("app").await?;
    ensure!(stage.value("app")["password"] == "theirs", "it was lost");
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_written_late_does_not_go_backwards() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "one").await?;
    let newest = meanwhile(&stage, "PUT secrets", async {
        stage.settle("app").await?;
        stage.advance(MINUTE);
        stage.world.request_rotation("app", "two").await?;
        stage.settle("app").await?;
        stage.secret("app").await
    })
    .await?;
    assert_eq!(stage.secret("app").await?, newest);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 3);
    assert_eq!(stage.secret("app").await?, newest);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_written_late_is_one_that_was_done_long_ago() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    stage.settled("app", spec()).await?;
    stage.advance(HOUR);
    let newest = meanwhile(&stage, "PutSecretValue", async {
        for _ in 0..2 {
            stage.settle("app").await?;
            stage.advance(HOUR);
        }
        stage.settle("app").await?;
        Ok((stage.aws(), stage.data("app").await?))
    })
    .await?;
    assert_eq!((stage.aws(), stage.data("app").await?), newest);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_written_late_finds_the_secret_there() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    stage.world.create("app", spec()).await?;
    let newest = meanwhile(&stage, "CreateSecret", async {
        stage.settle("app").await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        Ok(stage.aws())
    })
    .await?;
    assert_eq!(stage.aws(), newest);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_written_late_is_refused() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    stage.settled("app", spec()).await?;
    stage.advance(HOUR);
    let newest = meanwhile(&stage, "PUT rotatedsecrets/status", async {
        stage.settle("app").await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        stage.status("app").await
    })
    .await?;
    assert_eq!(stage.status("app").await?, newest);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 3);
    Ok(())
}

/// An external value is put in AWS while the operator is between its read and its write.
async fn overtaken(stage: &Stage) -> Result<()> {
    meanwhile(stage, "PutSecretValue", async {
        stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
        Ok(())
    })
    .await?;
    stage.settle("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_put_in_aws_between_look_and_rotation_is_not_overwritten() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    stage.settled("app", spec()).await?;
    stage.advance(HOUR);
    overtaken(&stage).await?;
    assert_eq!(stage.value("app")["password"], "theirs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_put_in_aws_between_look_and_a_change_of_the_spec_keeps_its_fields() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    stage.settled("app", unscheduled()).await?;
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    overtaken(&stage).await?;
    let value: Value = stage.value("app");
    assert_eq!((&value["password"], &value["host"]), (&json!("theirs"), &json!("db")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_value_that_arrives_during_a_change_of_the_declaration_is_recorded_before_the_declaration_follows_it() -> Result<()> {
    let theirs = json!({"username": "admin", "password": "theirs"});
    let stage = Stage::new("concurrent").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(10 * MINUTE);
    stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    meanwhile(&stage, "PutSecretValue", async { Ok(stage.external_writer().put_value(&stage.aws_name("app"), &theirs.to_string())?) })
        .await?;
    stage.advance(MINUTE);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::SpecChanged, Cause::External, Cause::Created]);
    assert_eq!(stage.versions("app"), 4, "the first, the one that was taken back, theirs, and the declaration again");
    let value = stage.value("app");
    assert_eq!((&value["host"], &value["password"]), (&json!("db"), &theirs["password"]));
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_aws_refuses_to_give_an_external_value_back_the_secret_is_repaired_and_the_value_is_not_forgotten() -> Result<()> {
    let stage = Stage::new("concurrent").await?;
    stage.settled("app", spec()).await?;
    let before = stage.data("app").await?;
    stage.advance(HOUR);
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    stage.break_aws("UpdateSecretVersionStage", denied);
    meanwhile(&stage, "PutSecretValue", async {
        stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#)?;
        Ok(())
    })
    .await?;
    ensure!(stage.value("app")["password"] != "theirs", "the write of the operator came last");
    stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    for _ in 0..2 {
        stage.delete_secret("app").await?;
        stage.reconcile("app").await?;
        assert_eq!(stage.data("app").await?, before, "pods get the value that they had");
    }
    stage.mend_aws();
    stage.advance(20 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.value("app")["password"], "theirs");
    assert_eq!(stage.data("app").await?["password"], "theirs");
    assert_eq!(stage.causes("app").await?[0], Cause::External);
    stage.world.check_agreement("app").await
}
