//! Another writer puts a value into AWS while a version is on its way to the server. That value wins, in the server too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use rotated_secrets::api::{ABANDONED_LABEL, AWSPENDING, Outcome, STAGED_LABEL};
use serde_json::{Value, json};
use testkit::emulator::{Emulator, Fault, FaultPlan, Moment, When, WriteBarrier};

use super::postgres::{OLD, Scene};
use super::stage::MINUTE;

const THEIRS: &str = "put by another client";
/// A lock of the shared server that no other client uses.
const GATE: u32 = 74_331;

/// The server has the password of a staged version, and AWS refused to make that current. Returns the password.
pub(super) async fn in_force(scene: &Scene) -> Result<String> {
    let stage = &scene.stage;
    let before = scene.mirrored().await?;
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    stage.break_aws("UpdateSecretVersionStage", denied);
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "now").await?;
    // It is tried again every few seconds, so nothing settles.
    stage.live("app", MINUTE).await?;
    stage.mend_aws();
    let aws = stage.world.aws_secret("app").context("the AWS secret")?;
    let value: Value = serde_json::from_str(aws.labelled("AWSPENDING").and_then(|v| v.value()?.as_str()).context("a value")?)?;
    let staged = value["password"].as_str().context("a password")?.to_owned();
    let (postgres, role) = (scene.postgres, scene.role);
    ensure!(postgres.accepts(role, &staged)? && !postgres.accepts(role, &before)?, "the server has the staged password");
    Ok(staged)
}

/// Then another client put a value.
async fn overtaken(role: &'static str) -> Result<(Scene, String)> {
    let scene = Scene::settled(role).await?;
    let staged = in_force(&scene).await?;
    put_theirs(&scene)?;
    assert_eq!(scene.pending(), None, "AWS takes the label away");
    Ok((scene, staged))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_another_client_puts_after_the_server_got_a_new_one_wins_in_the_server_too() -> Result<()> {
    for (role, lost, rotator) in [("overtaken", false, false), ("overtaken_lost", true, false), ("overtaken_twice", false, true)] {
        let (scene, staged) = overtaken(role).await?;
        let stage = &scene.stage;
        if lost {
            stage.lose_status("app").await?;
        }
        if rotator {
            let theirs = json!({"username": role, "password": "of a rotator"}).to_string();
            stage.external_writer().put_pending(&stage.aws_name("app"), &theirs)?;
        }
        stage.settle("app").await?;
        ensure!(scene.postgres.accepts(role, THEIRS)? && !scene.postgres.accepts(role, &staged)?, "{role}");
        assert_eq!(scene.mirrored().await?, THEIRS, "{role}");
        let status = stage.status("app").await?;
        let entry = status.history.iter().find(|entry| entry.outcome == Outcome::Abandoned).context("an abandoned version")?;
        assert_eq!(entry.reason.as_deref(), Some("Overtaken"), "{role}");
        assert_eq!((status.staged, scene.pending().is_some()), (None, rotator), "{role}");
        let labels = stage.world.aws_secret("app").context("the AWS secret")?.labels;
        assert_eq!(labels.get(STAGED_LABEL), None, "{role}");
        assert_eq!(stage.told("app", "Warning", "VersionAbandoned").await?, 1, "{role}");
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_after_a_value_of_another_client_leaves_that_in_the_server() -> Result<()> {
    let (scene, staged) = overtaken("overtaken_deleted").await?;
    let stage = &scene.stage;
    stage.delete_object("app").await?;
    stage.advance(10 * MINUTE);
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is gone");
    ensure!(scene.postgres.accepts(scene.role, THEIRS)? && !scene.postgres.accepts(scene.role, &staged)?);
    let labels = stage.world.aws_secret("app").context("the AWS secret stays")?.labels;
    assert_eq!(labels.get(STAGED_LABEL), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_suspended_while_the_server_has_a_staged_password_is_not_ready_and_goes_on_when_resumed() -> Result<()> {
    let scene = Scene::settled("suspended_role").await?;
    in_force(&scene).await?;
    let stage = &scene.stage;
    stage.world.patch("app", json!({"spec": {"suspend": true}})).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Ready", "False", "Suspended").await?;
    ensure!(message.contains("is on its way to 127.0.0.1:"), "{message}");
    stage.assert_silence("app").await?;
    stage.world.patch("app", json!({"spec": {"suspend": false}})).await?;
    stage.settle("app").await?;
    scene.check(2).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

/// Another client puts a value of this user into AWS only.
fn put_theirs(scene: &Scene) -> Result<()> {
    scene.stage.advance(MINUTE);
    let theirs = json!({"username": scene.role, "password": THEIRS}).to_string();
    scene.stage.external_writer().put_value(&scene.stage.aws_name("app"), &theirs)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_had_the_staged_password_gets_the_one_of_the_other_client() -> Result<()> {
    let scene = Scene::settled("never_applied").await?;
    let stage = &scene.stage;
    scene.postgres.set_password(scene.role, "set by another person")?;
    scene.request("now").await?;
    stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    scene.postgres.set_password(scene.role, OLD)?;
    put_theirs(&scene)?;
    stage.settle("app").await?;
    ensure!(scene.postgres.accepts(scene.role, THEIRS)?, "by the password before");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_in_the_message_end_an_abandonment_that_cannot_succeed() -> Result<()> {
    let scene = Scene::settled("given_up").await?;
    let stage = &scene.stage;
    scene.postgres.set_password(scene.role, "set by another person")?;
    scene.request("now").await?;
    let staged = scene.pending().context("a staged version")?;
    put_theirs(&scene)?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "AbandonFailed").await?;
    for label in ["AWSPENDING", STAGED_LABEL] {
        let words = format!("--version-stage {label} --remove-from-version-id {staged}");
        ensure!(message.contains(&words), "{words}: {message}");
    }
    stage.external_writer().move_label(&stage.aws_name("app"), STAGED_LABEL, None)?;
    scene.postgres.set_password(scene.role, THEIRS)?;
    scene.request("again").await?;
    scene.check(4).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_target_is_not_known_keeps_its_label_and_is_reported() -> Result<()> {
    let scene = Scene::settled("unknown_target").await?;
    let staged = in_force(&scene).await?;
    let stage = &scene.stage;
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": null}}})).await?;
    stage.lose_status("app").await?;
    put_theirs(&scene)?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "ForeignPending").await?;
    ensure!(message.contains("restore the target in spec.rotation") && message.contains(STAGED_LABEL), "{message}");
    let labels = stage.world.aws_secret("app").context("the AWS secret")?.labels;
    ensure!(labels.contains_key(STAGED_LABEL), "the server may accept it only");
    stage.world.patch("app", json!({"spec": {"rotation": scene.spec()["rotation"]}})).await?;
    stage.settle("app").await?;
    ensure!(scene.postgres.accepts(scene.role, THEIRS)? && !scene.postgres.accepts(scene.role, &staged)?);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_left_behind_by_a_function_is_abandoned_at_the_server_that_the_status_names() -> Result<()> {
    let scene = Scene::settled("left_behind").await?;
    let staged = in_force(&scene).await?;
    let stage = &scene.stage;
    let function = "arn:aws:lambda:eu-central-1:000000000000:function:any";
    stage.annotate_namespace(json!({rotated_secrets::api::ALLOWED_FUNCTIONS: function})).await?;
    stage
        .world
        .patch("app", json!({"spec": {"rotation": {"schedule": "rate(30 days)", "postgres": null, "lambda": {"functionArn": function}}}}))
        .await?;
    stage.settle("app").await?;
    ensure!(
        scene.postgres.accepts(scene.role, OLD)? && !scene.postgres.accepts(scene.role, &staged)?,
        "the server has the password in use"
    );
    let status = stage.status("app").await?;
    let reason = status.history.first().and_then(|entry| entry.reason.clone());
    assert_eq!((reason.as_deref(), status.staged), (Some("TargetRemoved"), None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_another_replica_abandons_while_it_is_verified_is_not_promoted() -> Result<()> {
    let role = "abandoned_meanwhile";
    let scene = Scene::new(role).await?;
    let (stage, postgres) = (&scene.stage, scene.postgres);
    // It waits until the test releases the lock.
    let verification = format!("SELECT pg_advisory_lock_shared({GATE}), '{role}'");
    let mut spec = scene.spec();
    spec["rotation"]["postgres"]["verify"]["sql"] = json!(verification);
    stage.settled("app", spec).await?;
    let lock = format!("pg_advisory_lock({GATE}), pg_sleep(3600)");
    let holding = tokio::task::spawn_blocking({
        let lock = lock.clone();
        move || postgres.sql("postgres", &format!("SELECT {lock}"))
    });
    let held = format!("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT {lock}' AND wait_event = 'PgSleep'");
    testkit::until("the lock is held", async || Ok((postgres.sql("postgres", &held)? == "1").then_some(()))).await?;
    let abandons = async || -> Result<()> {
        let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND wait_event = 'advisory'");
        testkit::until("the version is being verified", async || Ok((postgres.sql("postgres", &waits)? != "0").then_some(()))).await?;
        let staged = scene.pending().context("a staged version")?;
        stage.external_writer().move_label(&stage.aws_name("app"), ABANDONED_LABEL, Some(&staged))?;
        postgres.end_sessions(&lock)
    };
    let (rotated, abandoned) = tokio::join!(scene.request("now"), abandons());
    rotated?;
    abandoned?;
    ensure!(holding.await?.is_err(), "the lock was held until then");
    // The operator reads the labels after each step. It gives the server the current password back.
    assert_eq!(scene.check(2).await?, OLD);
    let moved =
        stage.world.emulator.log().into_iter().filter(|call| call.request.get("VersionStage").is_some_and(|label| label == "AWSCURRENT"));
    assert_eq!(moved.filter(|call| call.operation == "UpdateSecretVersionStage").count(), 0);
    Ok(())
}

/// As soon as the first version is staged, reads of values take long.
struct SlowReads(Emulator, AtomicBool);

impl WriteBarrier for SlowReads {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if (effect, moment) == ("PutSecretValue", Moment::After) && !self.1.swap(true, Ordering::SeqCst) {
                self.0.set_faults(FaultPlan::none().with("GetSecretValue", When::Always, Fault::Delay { millis: 3_600_000 }));
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_labels_have_moved_since_they_were_read_is_not_given_to_the_server() -> Result<()> {
    let role = "moved_meanwhile";
    let scene = Scene::settled(role).await?;
    let (stage, postgres) = (&scene.stage, scene.postgres);
    let stored = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'");
    let before = postgres.sql("postgres", &stored)?;
    stage.emulator.set_write_barrier(Some(Arc::new(SlowReads(stage.emulator.clone(), AtomicBool::new(false)))));
    let moves = async || -> Result<()> {
        let waits = async || Ok((stage.emulator.delayed() > 0).then_some(()));
        testkit::until("the operator has read the labels, and waits for the values", waits).await?;
        ensure!(scene.pending().is_some(), "a version is staged");
        for label in [AWSPENDING, STAGED_LABEL] {
            stage.external_writer().move_label(&stage.aws_name("app"), label, None)?;
        }
        // This ends the delay.
        stage.mend_aws();
        Ok(())
    };
    let (requested, taken) = tokio::join!(scene.request("now"), moves());
    requested?;
    taken?;
    assert_eq!(postgres.sql("postgres", &stored)?, before, "the password was never changed");
    assert_eq!(scene.check(2).await?, OLD);
    Ok(())
}
