//! The spec is corrected while a version is on its way to the server, or while the server is to get the version before back.

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{ALLOWED_HOSTS, Outcome, ROLLBACK};
use serde_json::{Value, json};
use testkit::emulator::Fault;
use testkit::mysql::{Kind, MySql};

use super::postgres::{OLD, Scene};
use super::postgres_alternating::Pair;
use super::postgres_overtaken::in_force;
use super::stage::{MINUTE, Stage};

/// A rollback to the current version is requested.
async fn withdraw(stage: &Stage) -> Result<()> {
    let current = stage.world.aws_secret("app").context("the AWS secret")?.labels["AWSCURRENT"].clone();
    stage.advance(MINUTE);
    stage.world.annotate("app", ROLLBACK, &format!("stay:{current}")).await?;
    stage.settle("app").await
}

async fn correct(stage: &Stage, target: Value) -> Result<()> {
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": target}}})).await?;
    stage.settle("app").await
}

/// Another object of the administrator.
async fn administrator(stage: &Stage, name: &str, port: u16) -> Result<()> {
    let secret = format!("admins/{}", stage.world.namespace);
    stage.world.create(name, json!({"aws": {"secretName": secret}, "target": {"creationPolicy": "None"}})).await?;
    stage.world.annotate(name, ALLOWED_HOSTS, &format!("127.0.0.1:{port}")).await?;
    Ok(())
}

/// The reason of the newest entry of the history, which is one of an abandoned version.
async fn abandoned_for(stage: &Stage) -> Result<Option<String>> {
    let entry = stage.status("app").await?.history.into_iter().next().context("a history")?;
    ensure!(entry.outcome == Outcome::Abandoned, "{entry:?}");
    Ok(entry.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_withdrawn_while_the_authority_was_wrong_is_abandoned_when_it_is_corrected() -> Result<()> {
    let scene = Scene::settled("wrong_authority").await?;
    let stage = &scene.stage;
    let kind = Kind::here().into_iter().next().context("a kind of MySQL")?;
    correct(stage, json!({"tls": {"caBundle": MySql::shared(kind)?.ca()}})).await?;
    scene.request("now").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("CertificateRefused"), "{message}");
    withdraw(stage).await?;
    stage.expect("app", "Rotated", "False", "AbandonFailed").await?;
    correct(stage, json!({"tls": {"caBundle": scene.postgres.ca()}})).await?;
    scene.is_back(None).await?;
    assert_eq!(abandoned_for(stage).await?.as_deref(), Some("Withdrawn"));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_withdrawn_after_its_administrator_was_renamed_is_abandoned_by_the_one_of_the_spec() -> Result<()> {
    let pair = Pair::new("renamed_admin").await?;
    let (stage, port) = (pair.stage(), pair.scene.postgres.port());
    stage.settled("app", pair.spec()).await?;
    administrator(stage, "chief", port).await?;
    stage.delete_object("admin").await?;
    stage.settle("admin").await?;
    pair.scene.request("now").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("the RotatedSecret admin does not exist"), "{message}");
    withdraw(stage).await?;
    stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(pair.scene.pending().is_some(), "it waits for the administrator");
    correct(stage, json!({"adminRef": {"name": "chief"}})).await?;
    assert_eq!((pair.scene.pending(), pair.mirrored().await?), (None, ("renamed_admin".to_owned(), OLD.to_owned())));
    assert_eq!(abandoned_for(stage).await?.as_deref(), Some("Withdrawn"));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_changed_is_not_the_one_at_which_a_withdrawn_version_is_abandoned() -> Result<()> {
    let scene = Scene::settled("changed_host").await?;
    let stage = &scene.stage;
    let staged = in_force(&scene).await?;
    stage.annotate_namespace(json!({ALLOWED_HOSTS: null})).await?;
    withdraw(stage).await?;
    stage.expect("app", "Rotated", "False", "HostNotAllowed").await?;
    // Nothing listens there.
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    correct(stage, json!({"port": 1})).await?;
    scene.is_back(Some(&staged)).await?;
    assert_eq!(abandoned_for(stage).await?.as_deref(), Some("Withdrawn"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_staged_for_a_second_user_of_another_name_is_withdrawn_from_that_one() -> Result<()> {
    let pair = Pair::new("renamed_twin").await?;
    let stage = pair.stage();
    stage.settled("app", pair.spec()).await?;
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    stage.break_aws("UpdateSecretVersionStage", denied);
    pair.scene.request("now").await?;
    stage.mend_aws();
    let aws = stage.world.aws_secret("app").context("the AWS secret")?;
    let value: Value = serde_json::from_str(aws.labelled("AWSPENDING").and_then(|v| v.value()?.as_str()).context("a value")?)?;
    let password = value["password"].as_str().context("a password")?;
    ensure!(value["username"] == pair.twin() && pair.accepts(&pair.twin(), password)?, "the second user has it");
    correct(stage, json!({"alternate": {"suffix": "_other"}})).await?;
    assert_eq!((pair.scene.pending(), pair.mirrored().await?), (None, ("renamed_twin".to_owned(), OLD.to_owned())));
    ensure!(!pair.accepts(&pair.twin(), password)?, "the second user of the name before does not have it any more");
    assert_eq!(abandoned_for(stage).await?.as_deref(), Some("TargetRemoved"));
    // The next version is for the user of the new name.
    pair.scene.request("again").await?;
    assert_eq!(pair.check(3).await?.0, "renamed_twin_other");
    Ok(())
}
