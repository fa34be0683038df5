//! The periodic check: whether the server still accepts what pods have.

use anyhow::{Result, ensure};
use rotated_secrets::api::REFRESH;
use serde_json::{Value, json};
use testkit::postgres::Postgres;

use super::postgres::{OLD, Scene};
use super::postgres_alternating::Pair;
use super::stage::{HOUR, MINUTE, Stage};

const THEIRS: &str = "changed by another person";

/// With the default interval of one hour, and no rotation in the time of a test.
fn checked(mut spec: Value) -> Value {
    spec["rotation"]["schedule"] = json!("rate(30 days)");
    spec["rotation"]["postgres"].as_object_mut().unwrap().remove("checkInterval");
    spec
}

/// Logins of this user that the server accepted, and that it refused.
fn logins(postgres: &Postgres, user: &str) -> Result<(usize, usize)> {
    let log = postgres.log()?;
    let count = |words: String| log.matches(&words).count();
    Ok((count(format!("connection authorized: user={user} ")), count(format!("password authentication failed for user \"{user}\""))))
}

/// How often this reason was counted.
fn errors(stage: &Stage, reason: &str) -> Result<u64> {
    let page = stage.ctx.metrics.render()?;
    let line = format!("rotated_secrets_errors_total{{reason=\"{reason}\"}} ");
    Ok(page.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_another_client_changed_is_reported_and_recovers() -> Result<()> {
    let scene = Scene::new("diverged").await?;
    let (stage, postgres) = (&scene.stage, scene.postgres);
    stage.settled("app", checked(scene.spec())).await?;
    stage.live("app", HOUR).await?;
    let before = logins(postgres, "diverged")?.0;
    ensure!((1..=2).contains(&before), "the first check comes within the interval: {before}");
    stage.writes.take();
    stage.live("app", 3 * HOUR).await?;
    assert_eq!(logins(postgres, "diverged")?, (before + 3, 0), "one login in each interval");
    assert_eq!(stage.writes.take(), Vec::<String>::new(), "a check writes nothing");

    postgres.set_password("diverged", THEIRS)?;
    stage.live("app", HOUR).await?;
    let message = stage.expect("app", "Rotated", "False", "TargetDiverged").await?;
    ensure!(message.contains("PasswordRefused; user diverged") && message.contains("kubectl rotatedsecret refresh app"), "{message}");
    ensure!(!message.contains(OLD) && !message.contains(THEIRS), "{message}");
    stage.expect("app", "Ready", "False", "TargetDiverged").await?;
    stage.expect("app", "Stalled", "True", "TargetDiverged").await?;
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Warning", "TargetDiverged").await?, 1);
    ensure!(errors(stage, "TargetDiverged")? > 0);
    // Few logins, so that nobody is locked out, and nothing is set back.
    let refused = logins(postgres, "diverged")?.1;
    stage.live("app", 2 * HOUR).await?;
    let later = logins(postgres, "diverged")?.1;
    ensure!(refused >= 1 && later <= 12, "{refused}, {later}");
    ensure!(postgres.accepts("diverged", THEIRS)? && stage.versions("app") == 1 && scene.mirrored().await? == OLD);

    // Neither does a restart hide it, nor a refresh while the password is wrong.
    stage.advance(2 * HOUR);
    stage.world.settle(&stage.operator().await?, "app").await?;
    stage.expect("app", "Ready", "False", "TargetDiverged").await?;
    stage.world.annotate("app", REFRESH, "look").await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "False", "TargetDiverged").await?;

    let recovered = stage.told("app", "Normal", "Recovered").await?;
    postgres.set_password("diverged", OLD)?;
    stage.world.annotate("app", REFRESH, "again").await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.expect("app", "Rotated", "True", "Succeeded").await?;
    assert_eq!(stage.told("app", "Normal", "Recovered").await?, recovered + 1);
    scene.request("now").await?;
    scene.check(2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_corrected_in_aws_is_checked_at_once() -> Result<()> {
    let scene = Scene::new("corrected").await?;
    let (stage, postgres) = (&scene.stage, scene.postgres);
    stage.settled("app", checked(scene.spec())).await?;
    postgres.set_password("corrected", THEIRS)?;
    stage.live("app", 2 * HOUR).await?;
    stage.expect("app", "Ready", "False", "TargetDiverged").await?;
    stage.advance(MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), &json!({"username": "corrected", "password": THEIRS}).to_string())?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(scene.mirrored().await?, THEIRS);
    // What is in the field may be anything.
    stage.advance(MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), &json!({"username": "canary-9sQ4", "password": "p"}).to_string())?;
    stage.live("app", 2 * HOUR).await?;
    let message = stage.expect("app", "Ready", "False", "TargetDiverged").await?;
    ensure!(message.contains("PasswordRefused") && !message.contains("canary"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_a_check_leaves_the_object_ready() -> Result<()> {
    let mut scene = Scene::new("silent").await?;
    // Its own server, which this test stops.
    let own: &'static Postgres = Box::leak(Box::new(Postgres::start()?));
    own.sql("postgres", "CREATE ROLE silent LOGIN")?;
    own.set_password("silent", OLD)?;
    scene.postgres = own;
    let stage = &scene.stage;
    stage.settled("app", checked(scene.spec())).await?;
    stage.live("app", HOUR).await?;
    own.kill()?;
    stage.writes.take();
    stage.live("app", 2 * HOUR).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.writes.take(), Vec::<String>::new());
    let tries = errors(stage, "TargetUnreachable")?;
    ensure!((3..=30).contains(&tries), "it is asked again, less and less often: {tries}");

    // What was refused before is not well because the server is silent.
    own.revive()?;
    own.set_password("silent", THEIRS)?;
    stage.live("app", HOUR).await?;
    stage.expect("app", "Ready", "False", "TargetDiverged").await?;
    own.kill()?;
    stage.live("app", 2 * HOUR).await?;
    let message = stage.expect("app", "Ready", "False", "TargetUnreachable").await?;
    ensure!(message.contains("refused the current version"), "{message}");
    own.revive()?;
    own.set_password("silent", OLD)?;
    stage.live("app", HOUR).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_users_the_one_in_use_is_asked_and_the_administrator_is_not_needed() -> Result<()> {
    let pair = Pair::with_admin(
        "check_turns",
        "check_turns_admin",
        "CREATE ROLE check_turns_admin LOGIN CREATEROLE; GRANT check_turns TO check_turns_admin WITH ADMIN OPTION",
    )
    .await?;
    let (stage, postgres, twin) = (&pair.scene.stage, pair.scene.postgres, pair.twin());
    stage.settled("app", checked(pair.spec())).await?;
    pair.scene.request("now").await?;
    pair.check(2).await?;
    postgres.sql("postgres", "ALTER ROLE check_turns_admin NOLOGIN; ALTER ROLE check_turns NOLOGIN")?;
    let before = logins(postgres, &twin)?.0;
    stage.live("app", 3 * HOUR).await?;
    assert_eq!(logins(postgres, &twin)?.0, before + 3, "the rotation ended with a login, and the next one is an hour later");
    stage.expect("app", "Ready", "True", "Succeeded").await?;

    postgres.sql("postgres", &format!("ALTER ROLE {twin} NOLOGIN"))?;
    stage.live("app", HOUR).await?;
    let message = stage.expect("app", "Ready", "False", "TargetDiverged").await?;
    ensure!(message.contains(&format!("LoginNotPermitted; user {twin}")), "{message}");
    postgres.sql("postgres", &format!("ALTER ROLE {twin} LOGIN"))?;
    stage.live("app", HOUR).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_while_the_rotation_is_suspended_or_without_an_interval() -> Result<()> {
    let scene = Scene::new("unasked").await?;
    let stage = &scene.stage;
    stage.settled("app", checked(scene.spec())).await?;
    for rotation in [json!({"suspend": true}), json!({"suspend": false, "postgres": {"checkInterval": "0s"}})] {
        stage.world.patch("app", json!({"spec": {"rotation": rotation}})).await?;
        stage.settle("app").await?;
        let before = logins(scene.postgres, "unasked")?;
        stage.live("app", 2 * HOUR).await?;
        assert_eq!(logins(scene.postgres, "unasked")?, before, "{rotation}");
    }
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"checkInterval": "5m"}}}})).await?;
    let before = logins(scene.postgres, "unasked")?.0;
    stage.live("app", HOUR).await?;
    let asked = logins(scene.postgres, "unasked")?.0 - before;
    ensure!((12..=13).contains(&asked), "{asked}");
    Ok(())
}
