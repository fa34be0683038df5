//! A refresh has the target asked at once, and the status says what it answered.

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{ALLOWED_HOSTS, AdministratorState, REFRESH, RotationTrial, TargetOutcome, TargetStatus};
use serde_json::{Value, json};
use testkit::postgres::Postgres;

use super::postgres::{OLD, Scene};
use super::postgres_alternating::Pair;
use super::stage::{HOUR, MINUTE, Stage};

const THEIRS: &str = "changed by another person";

/// What the target answers to this refresh.
async fn asked(stage: &Stage, token: &str) -> Result<TargetStatus> {
    stage.advance(MINUTE);
    stage.world.annotate("app", REFRESH, token).await?;
    stage.settle("app").await?;
    let status = stage.status("app").await?;
    assert_eq!(status.requests.and_then(|requests| requests.refresh).as_deref(), Some(token));
    let answer = status.target.context("the status has an answer")?;
    assert_eq!((answer.check_time.0, answer.refresh.as_deref()), (stage.now(), Some(token)), "it is the answer to this request");
    Ok(answer)
}

fn with_interval(mut spec: Value, interval: &str) -> Value {
    spec["rotation"]["schedule"] = json!("rate(30 days)");
    spec["rotation"]["postgres"]["checkInterval"] = json!(interval);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_has_the_target_asked_at_once_and_nothing_else_is_written_for_it() -> Result<()> {
    let scene = Scene::new("asked").await?;
    let stage = &scene.stage;
    stage.settled("app", with_interval(scene.spec(), "1h")).await?;
    assert_eq!(stage.status("app").await?.target, None, "what nobody asked for and is well is not recorded");
    stage.writes.take();
    let answer = asked(stage, "one").await?;
    let host = format!("127.0.0.1:{}", scene.postgres.port());
    assert_eq!((answer.host.as_str(), answer.outcome, answer.user.as_deref()), (&*host, TargetOutcome::Accepted, Some("asked")));
    assert_eq!((answer.reason, answer.message, answer.administrator), (None, None, None));
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"]);
    // The same token asks for nothing, and the periodic check writes nothing.
    let before = stage.status("app").await?;
    stage.live("app", 2 * HOUR).await?;
    assert_eq!(stage.status("app").await?.target, before.target);
    assert_eq!(stage.writes.take(), Vec::<String>::new());

    // A refusal that a periodic check finds is recorded, once, and so is the end of it.
    scene.postgres.set_password("asked", THEIRS)?;
    stage.live("app", HOUR).await?;
    let refused = stage.status("app").await?.target.context("an answer")?;
    assert_eq!((refused.outcome, refused.reason.as_deref()), (TargetOutcome::Refused, Some("PasswordRefused")));
    ensure!(refused.message.as_deref().is_some_and(|message| message.contains("refuses the password") && !message.contains(OLD)));
    stage.live("app", HOUR).await?;
    assert_eq!(stage.status("app").await?.target, Some(refused));
    stage.expect("app", "Ready", "False", "TargetDiverged").await?;
    scene.postgres.set_password("asked", OLD)?;
    stage.live("app", 2 * HOUR).await?;
    assert_eq!(stage.status("app").await?.target.map(|target| target.outcome), Some(TargetOutcome::Accepted));
    // Another server has not answered.
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"host": "127.0.0.2"}}}})).await?;
    stage.annotate_namespace(json!({ALLOWED_HOSTS: null})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.status("app").await?.target, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_periodic_checks_a_refresh_is_answered_and_leaves_no_condition() -> Result<()> {
    let mut scene = Scene::new("asked_never").await?;
    let own: &'static Postgres = Box::leak(Box::new(Postgres::start()?));
    own.sql("postgres", "CREATE ROLE asked_never LOGIN")?;
    own.set_password("asked_never", THEIRS)?;
    scene.postgres = own;
    let stage = &scene.stage;
    stage.settled("app", with_interval(scene.spec(), "0s")).await?;
    let answer = asked(stage, "refused").await?;
    assert_eq!((answer.outcome, answer.reason.as_deref()), (TargetOutcome::Refused, Some("PasswordRefused")));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    own.kill()?;
    let answer = asked(stage, "silent").await?;
    assert_eq!((answer.outcome, answer.reason.as_deref()), (TargetOutcome::Unanswered, Some("Unreachable")));
    ensure!(answer.message.as_deref().is_some_and(|message| message.contains("cannot be reached (Unreachable)")));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    own.revive()?;
    own.set_password("asked_never", OLD)?;
    assert_eq!(asked(stage, "well").await?.outcome, TargetOutcome::Accepted);
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_says_whether_the_administrator_can_be_used() -> Result<()> {
    let pair = Pair::with_admin(
        "asked_pair",
        "asked_pair_admin",
        "CREATE ROLE asked_pair_admin LOGIN CREATEROLE; GRANT asked_pair TO asked_pair_admin WITH ADMIN OPTION",
    )
    .await?;
    let stage = &pair.scene.stage;
    stage.settled("app", with_interval(pair.spec(), "1h")).await?;
    let answer = asked(stage, "usable").await?;
    assert_eq!((answer.outcome, answer.administrator), (TargetOutcome::Accepted, Some(AdministratorState::Usable)));
    assert_eq!(answer.rotation, Some(RotationTrial::Possible), "{:?}", answer.message);
    stage.world.patch("admin", json!({"metadata": {"annotations": {ALLOWED_HOSTS: null}}})).await?;
    let answer = asked(stage, "another server").await?;
    assert_eq!((answer.outcome, answer.administrator), (TargetOutcome::Accepted, Some(AdministratorState::Unusable)));
    ensure!(answer.message.as_deref().is_some_and(|message| message.contains("does not name the host")), "{:?}", answer.message);
    assert_eq!(answer.rotation, None, "nothing was tried");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_says_that_the_administrator_lacks_a_privilege_before_a_rotation_fails_for_it() -> Result<()> {
    let pair = Pair::with_admin(
        "asked_may",
        "asked_may_admin",
        "CREATE ROLE asked_may_admin LOGIN CREATEROLE; GRANT asked_may TO asked_may_admin WITH ADMIN OPTION; \
         ALTER ROLE asked_may_admin NOCREATEROLE",
    )
    .await?;
    let stage = &pair.scene.stage;
    stage.settled("app", with_interval(pair.spec(), "1h")).await?;
    let answer = asked(stage, "one").await?;
    assert_eq!((answer.outcome, answer.rotation), (TargetOutcome::Accepted, Some(RotationTrial::Impossible)));
    let said = answer.message.context("a message")?;
    ensure!(said.contains("a rotation would fail") && said.contains("CREATEROLE") && said.contains("(AdminNotPermitted)"), "{said}");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.expect("app", "Rotated", "True", "Succeeded").await?;
    pair.scene.postgres.sql("postgres", "ALTER ROLE asked_may_admin CREATEROLE")?;
    let answer = asked(stage, "two").await?;
    assert_eq!((answer.rotation, answer.message), (Some(RotationTrial::Possible), None));
    Ok(())
}
