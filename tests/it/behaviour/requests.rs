//! What a person asks for by an annotation happens once.

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use rotated_secrets::api::{Cause, REFRESH, ROLLBACK, ROTATE};
use serde_json::json;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

async fn ask(stage: &Stage, token: &str) -> Result<()> {
    stage.advance(MINUTE);
    stage.world.request_rotation("app", token).await?;
    stage.settle("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_rotates_once_and_is_acknowledged() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.settled("app", unscheduled()).await?;
    let mut passwords = vec![stage.value("app")["password"].clone()];
    for (token, versions) in [("a", 2), ("a", 2), ("b", 3), ("c", 4), ("a", 4), ("b", 4), ("d", 5)] {
        ask(&stage, token).await?;
        assert_eq!(stage.versions("app"), versions, "after {token}");
        assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some(token));
        stage.world.check_agreement("app").await?;
        stage.assert_silence("app").await?;
        let password = stage.value("app")["password"].clone();
        if passwords.last() != Some(&password) {
            ensure!(!passwords.contains(&password), "an old password");
            passwords.push(password);
        }
    }
    assert_eq!(passwords.len(), 5, "a new password each time");
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Requested, Cause::Requested, Cause::Requested, Cause::Created]);
    assert_eq!(stage.told("app", "Normal", "Rotated").await?, 4);
    let messages = stage.messages("app", "Rotated").await?;
    let rotated = stage.status("app").await?.history.into_iter().filter(|entry| entry.cause == Cause::Requested);
    for version in rotated.map(|entry| entry.version_id) {
        ensure!(messages.iter().any(|message| message.contains(&version)), "no Event names {version}: {messages:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_with_the_annotation_and_without_status_does_not_rotate_again() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.settled("app", unscheduled()).await?;
    ask(&stage, "old").await?;
    for lookback in 0..3 {
        let before = stage.aws();
        stage.lose_status("app").await?;
        stage.world.request_rotation("app", "old").await?;
        stage.settle("app").await?;
        assert_eq!(stage.aws(), before, "the request's version lies {lookback} versions back");
        assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("old"));
        stage.world.check_agreement("app").await?;
        ask(&stage, &format!("new-{lookback}")).await?;
        stage.advance(3 * MINUTE);
    }
    assert_eq!(stage.versions("app"), 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_while_a_rotation_is_due_makes_one_version() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.settled("app", spec()).await?;
    stage.advance(HOUR);
    stage.world.request_rotation("app", "now").await?;
    let asked = stage.now();
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    assert_eq!(stage.next_rotation("app").await?, Some(asked + HOUR));
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_value_in_which_nothing_is_generated_is_acknowledged_and_changes_nothing() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.settled("app", json!({"value": {"data": {"username": "admin"}}})).await?;
    let before = stage.aws();
    ask(&stage, "now").await?;
    assert_eq!(stage.aws(), before);
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().rotate.as_deref(), Some("now"));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_tokens_are_tokens() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.settled("app", unscheduled()).await?;
    ask(&stage, "").await?;
    assert_eq!(stage.versions("app"), 1, "an empty one asks for nothing");
    let long = "x".repeat(5000);
    for (number, token) in ["2026-01-01T00:00:00Z", "zwölf / ümläute", long.as_str(), &format!("{long}y")].into_iter().enumerate() {
        ask(&stage, token).await?;
        assert_eq!(stage.versions("app"), number + 2, "{number}");
        stage.assert_silence("app").await?;
    }
    stage.world.patch("app", json!({"metadata": {"annotations": {ROTATE: null}}})).await?;
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_refresh_is_acknowledged_and_writes_only_what_differs() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.settled("app", spec()).await?;
    let (before, mirror) = (stage.aws(), stage.secret("app").await?);
    stage.world.patch("app", json!({"metadata": {"annotations": {REFRESH: "one"}}})).await?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"]);
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().refresh.as_deref(), Some("one"));
    assert_eq!((stage.aws(), stage.secret("app").await?), (before, mirror));
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_keeps_the_ten_newest_versions() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.settled("app", unscheduled()).await?;
    for token in 0..12 {
        ask(&stage, &token.to_string()).await?;
    }
    let aws = stage.world.aws_secret("app").unwrap();
    let newest: Vec<&str> = aws.versions.iter().rev().take(10).map(|version| version.id.as_str()).collect();
    let status = stage.status("app").await?;
    assert_eq!(status.history.iter().map(|entry| entry.version_id.as_str()).collect::<Vec<_>>(), newest);
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_created_with_a_rotate_request_records_the_first_version_and_the_requested_one() -> Result<()> {
    let stage = Stage::new("requests").await?;
    stage.world.create("app", spec()).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 2);
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Created]);
    stage.assert_silence("app").await?;
    Ok(())
}

/// With the limit of requests that the operator has by default.
async fn limited() -> Result<Stage> {
    let mut stage = Stage::new("requests").await?;
    stage.ctx.policy.request_interval = SignedDuration::from_mins(10);
    stage.settled("app", unscheduled()).await?;
    Ok(stage)
}

/// Ten requests, each with another token, as a program makes them in a loop.
async fn loop_of_ten(stage: &Stage) -> Result<()> {
    for token in 0..10 {
        stage.world.request_rotation("app", &token.to_string()).await?;
        stage.settle("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_requests_in_a_loop_make_three_versions_and_one_more_after_the_interval() -> Result<()> {
    let stage = limited().await?;
    loop_of_ten(&stage).await?;
    assert_eq!(stage.versions("app"), 1 + 3);
    let requests = stage.status("app").await?.requests.unwrap_or_default();
    let until = requests.held_until.context("a request waits")?.0;
    assert_eq!(requests.rotate.as_deref(), Some("2"), "the later ones are not acknowledged");
    let message = stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(message.contains(&format!("waits until {until}")) && message.contains("--minimum-request-interval"), "{message}");
    assert_eq!(stage.told("app", "Normal", "RequestDelayed").await?, 1);
    ensure!(stage.ctx.metrics.render()?.contains("rotated_secrets_requests_delayed_total 1\n"), "{}", stage.ctx.metrics.render()?);
    // Another process has only the status, and this one the memory.
    stage.assert_silence("app").await?;
    stage.lose_status("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 1 + 3);

    stage.live("app", 11 * MINUTE).await?;
    assert_eq!(stage.versions("app"), 1 + 3 + 1);
    let requests = stage.status("app").await?.requests.unwrap_or_default();
    assert_eq!((requests.rotate.as_deref(), requests.held_until), (Some("9"), None), "the last one was carried out");
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_created_again_has_the_limit_of_its_aws_secret() -> Result<()> {
    let stage = limited().await?;
    loop_of_ten(&stage).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    drop(stage.delete_secret("app").await);
    stage.settled("app", unscheduled()).await?;
    loop_of_ten(&stage).await?;
    assert_eq!(stage.versions("app"), 1 + 3);
    Ok(())
}

/// A template with a random text does this at each of its runs.
#[tokio::test(flavor = "multi_thread")]
async fn ten_declarations_in_a_loop_make_three_versions_and_the_last_one_follows_after_the_interval() -> Result<()> {
    let stage = limited().await?;
    for note in 0..10 {
        stage.world.patch("app", json!({"spec": {"value": {"data": {"note": format!("run {note}")}}}})).await?;
        stage.settle("app").await?;
    }
    assert_eq!(stage.versions("app"), 1 + 3);
    let message = stage.expect("app", "Ready", "False", "Progressing").await?;
    ensure!(message.contains("spec.value changes too quickly") && message.contains("--minimum-request-interval"), "{message}");
    stage.assert_silence("app").await?;
    stage.lose_status("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 1 + 3, "another process has only the status, and this one the memory");

    stage.live("app", 11 * MINUTE).await?;
    assert_eq!(stage.versions("app"), 1 + 3 + 1);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(stage.value("app")["note"] == "run 9", "the last one was carried out");
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn rollbacks_share_the_limit_and_the_administrator_can_turn_it_off() -> Result<()> {
    let mut stage = limited().await?;
    for token in ["a", "b"] {
        stage.world.request_rotation("app", token).await?;
        stage.settle("app").await?;
    }
    for token in ["c", "d"] {
        let first = stage.world.aws_secret("app").context("a secret")?.versions[0].id.clone();
        stage.world.patch("app", json!({"metadata": {"annotations": {ROLLBACK: format!("{token}:{first}")}}})).await?;
        stage.settle("app").await?;
    }
    assert_eq!(stage.causes("app").await?, [Cause::RolledBack, Cause::Requested, Cause::Requested, Cause::Created]);
    ensure!(stage.status("app").await?.requests.unwrap_or_default().held_until.is_some(), "the second rollback waits");
    stage.ctx.policy.request_interval = SignedDuration::ZERO;
    stage.settle("app").await?;
    assert_eq!(stage.causes("app").await?[..2], [Cause::RolledBack, Cause::RolledBack]);
    assert_eq!(stage.status("app").await?.requests.unwrap_or_default().held_until, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_together_with_a_new_rotation_that_starts_at_once_rotates_once() -> Result<()> {
    let stage = Stage::new("requests").await?;
    let mut spec = unscheduled();
    spec["target"] = json!({"creationPolicy": "None"});
    stage.settled("app", spec).await?;
    let message = stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(message.ends_with("is current"), "nothing is mirrored: {message}");
    stage.advance(MINUTE);
    let rotation = json!({"schedule": "rate(1 hour)", "rotateImmediately": true});
    stage.world.patch("app", json!({"metadata": {"annotations": {ROTATE: "now"}}, "spec": {"rotation": rotation}})).await?;
    let asked = stage.now();
    stage.settle("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Created]);
    let rotated = stage.status("app").await?.history[0].time.0;
    ensure!(rotated >= asked && stage.next_rotation("app").await? == Some(rotated + HOUR));
    Ok(())
}
