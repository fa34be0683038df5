//! A version is on its way to the server, and something else happens before it is current: a person makes another version
//! current, AWS shows an old state to a new process, or AWS does not answer.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{Cause, Outcome, ROLLBACK, STAGED_LABEL};
use rotated_secrets::reconcile::reconcile;
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};

use super::postgres::{OLD, Scene};
use super::postgres_overtaken::in_force;
use super::stage::MINUTE;

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_person_makes_current_meanwhile_wins_in_the_server_too() -> Result<()> {
    let scene = Scene::settled("chosen_by_hand").await?;
    let stage = &scene.stage;
    let chosen = stage.world.aws_secret("app").context("the AWS secret")?.labels["AWSCURRENT"].clone();
    scene.request("first").await?;
    let first = scene.check(2).await?;
    let staged = in_force(&scene).await?;
    // No backoff of the refused promotion runs any longer.
    stage.advance(5 * MINUTE);
    stage.external_writer().move_label(&stage.aws_name("app"), "AWSCURRENT", Some(&chosen))?;
    assert!(scene.pending().is_some(), "AWS leaves the label");
    stage.settle("app").await?;
    assert_eq!(scene.check(3).await?, OLD);
    for other in [&first, &staged] {
        ensure!(!scene.postgres.accepts(scene.role, other)?, "the server accepts the chosen password only");
    }
    let status = stage.status("app").await?;
    let abandoned = status.history.iter().find(|entry| entry.outcome == Outcome::Abandoned).context("an abandoned version")?;
    assert_eq!((abandoned.reason.as_deref(), status.staged), (Some("Overtaken"), None));
    let labels = stage.world.aws_secret("app").context("the AWS secret")?.labels;
    assert_eq!(labels.get(STAGED_LABEL), None);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_that_reads_an_old_state_makes_no_version_beside_the_one_that_the_server_has() -> Result<()> {
    let scene = Scene::settled("hidden").await?;
    let stage = &scene.stage;
    let before = stage.now();
    let staged = in_force(&scene).await?;
    let version = scene.pending().context("a staged version")?;
    // Another cause, and a new process to which AWS shows the state before the version was staged.
    stage.advance(Duration::from_secs(10));
    stage.world.request_rotation("app", "another").await?;
    let age = u64::try_from(stage.now().duration_since(before).as_secs())? - 30;
    ensure!(age < 120, "AWS shows every write after two minutes: {age}");
    let old_read = || Fault::StaleRead { seconds: age };
    let plan = FaultPlan::none().with("DescribeSecret", When::Always, old_read()).with("GetSecretValue", When::Always, old_read());
    stage.world.emulator.set_faults(plan);
    let restarted = stage.operator().await?;
    for _ in 0..2 {
        let result = reconcile(&stage.object("app").await?, &restarted).await;
        ensure!(result.again.is_some_and(|again| again <= 2 * MINUTE), "{:?}", result.again);
    }
    assert_eq!((stage.versions("app"), scene.pending().as_ref()), (2, Some(&version)), "no other version takes the labels");
    let recorded = stage.status("app").await?.staged.context("the record stays")?;
    assert_eq!(recorded.version_id, version);
    ensure!(scene.postgres.accepts(scene.role, &staged)?);
    // AWS shows it: it is finished first, and then the other one follows.
    stage.mend_aws();
    stage.advance(MINUTE);
    stage.world.settle(&restarted, "app").await?;
    stage.advance(5 * MINUTE);
    stage.world.settle(&restarted, "app").await?;
    scene.check(3).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_does_not_answer_or_denies_after_the_server_has_the_password_is_tried_again_within_seconds() -> Result<()> {
    let refuse = |code: &str, message: &str| Fault::Refuse { code: format!("{code}Exception"), message: message.to_owned() };
    for (role, operation, fault, class) in [
        ("no_answer", "UpdateSecretVersionStage", Fault::ServerError { status: 500 }, "Urgent"),
        ("denied_label", "UpdateSecretVersionStage", refuse("AccessDenied", "no"), "DeniedInForce"),
        ("denied_key", "GetSecretValue", refuse("AccessDenied", "Access to KMS is not allowed"), "DeniedInForce"),
    ] {
        let scene = Scene::settled(role).await?;
        let stage = &scene.stage;
        in_force(&scene).await?;
        stage.break_aws(operation, fault);
        for _ in 0..12 {
            let again = stage.reconcile("app").await?.again.context("it tries again")?;
            ensure!(again <= Duration::from_secs(36), "{role}: {again:?}");
            stage.advance(again);
        }
        let failures = stage.status("app").await?.failures.context("it fails")?;
        let classes: Vec<&str> = failures.steps.iter().map(|step| step.class.as_str()).collect();
        assert_eq!(classes, [class], "{role}: {failures:?}");
        stage.mend_aws();
        stage.settle("app").await?;
        scene.check(2).await?;
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_wait_for_a_version_that_aws_certainly_does_not_have() -> Result<()> {
    let scene = Scene::settled("not_sent").await?;
    let stage = &scene.stage;
    // No server would accept the version that is recorded, so it is not sent to AWS.
    stage.world.patch("app", json!({"spec": {"value": {"data": {"username": "another"}}}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "InvalidSpec").await?;
    stage.world.patch("app", json!({"spec": {"value": {"data": {"username": scene.role}}}})).await?;
    stage.world.request_rotation("app", "now").await?;
    for _ in 0..4 {
        stage.reconcile("app").await?;
    }
    scene.check(2).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_for_a_version_that_aws_may_have_says_so() -> Result<()> {
    let scene = Scene::settled("maybe_sent").await?;
    let stage = &scene.stage;
    stage.break_aws("PutSecretValue", Fault::ServerError { status: 500 });
    stage.world.request_rotation("app", "unanswered").await?;
    stage.live("app", MINUTE).await?;
    let recorded = stage.status("app").await?.staged.context("a record")?.version_id;
    stage.mend_aws();
    stage.world.request_rotation("app", "now").await?;
    for _ in 0..3 {
        stage.reconcile("app").await?;
    }
    assert_eq!(stage.versions("app"), 1);
    let message = stage.expect("app", "Rotated", "False", "Progressing").await?;
    ensure!(message.contains(&recorded) && message.contains("until"), "{message}");
    stage.advance(5 * MINUTE);
    stage.settle("app").await?;
    scene.check(2).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

/// After three rotations the server has the password of the first one again, as after a restore, and a further version cannot
/// be applied. Returns the version whose password it has, and that password.
async fn restored_server(scene: &Scene) -> Result<(String, String)> {
    let stage = &scene.stage;
    scene.request("first").await?;
    let password = scene.check(2).await?;
    let version = stage.status("app").await?.history[0].version_id.clone();
    for token in ["second", "third"] {
        scene.request(token).await?;
    }
    scene.postgres.set_password(scene.role, &password)?;
    scene.request("fourth").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("NoPasswordAccepted"), "{message}");
    stage.advance(MINUTE);
    Ok((version, password))
}

async fn rolls_back(scene: &Scene, version: &str, password: &str) -> Result<()> {
    let stage = &scene.stage;
    stage.world.annotate("app", ROLLBACK, &format!("back:{version}")).await?;
    stage.settle("app").await?;
    assert_eq!(scene.check(6).await?, password);
    let history = stage.status("app").await?.history;
    let abandoned = history.iter().find(|entry| entry.outcome == Outcome::Abandoned).context("an abandoned version")?;
    assert_eq!((abandoned.reason.as_deref(), history[0].cause), (Some("Withdrawn"), Cause::RolledBack));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_version_that_logs_in_ends_a_version_that_cannot_be_applied() -> Result<()> {
    let scene = Scene::settled("restored").await?;
    let (version, password) = restored_server(&scene).await?;
    rolls_back(&scene, &version, &password).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_version_that_logs_in_ends_a_withdrawal_that_failed() -> Result<()> {
    let scene = Scene::settled("restored_twice").await?;
    let stage = &scene.stage;
    let (version, password) = restored_server(&scene).await?;
    let current = stage.world.aws_secret("app").context("the AWS secret")?.labels["AWSCURRENT"].clone();
    stage.world.annotate("app", ROLLBACK, &format!("stay:{current}")).await?;
    stage.settle("app").await?;
    stage.expect("app", "Rotated", "False", "AbandonFailed").await?;
    stage.advance(MINUTE);
    rolls_back(&scene, &version, &password).await
}
