//! Versions that do not become current: one that AWS has already, one that nobody waits for any more, and many that fail.

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{Cause, Outcome, ROLLBACK};
use rotated_secrets::version_id::VersionIds;
use serde_json::json;
use testkit::emulator::Fault;

use super::postgres::{OLD, Scene};
use super::postgres_overtaken::in_force;
use super::stage::{HOUR, MINUTE};

#[tokio::test(flavor = "multi_thread")]
async fn a_due_time_whose_version_aws_has_already_is_passed_over_once_and_the_next_one_is_kept() -> Result<()> {
    let scene = Scene::settled("passed_over").await?;
    let stage = &scene.stage;
    let due = stage.next_rotation("app").await?.context("a due time")?;
    let uid = stage.object("app").await?.metadata.uid.context("a uid")?;
    let version = VersionIds::of(&uid).slot(due);
    // As after a backup of the object: the version was made and abandoned before, and the status does not say so.
    let (client, secret) = (stage.client().await, stage.aws_name("app"));
    let value = json!({"username": scene.role, "password": "of no use"}).to_string();
    let put = client.put_secret_value().secret_id(&secret).client_request_token(version.as_str()).secret_string(value);
    put.version_stages("theirs").send().await?;
    let label = client.update_secret_version_stage().secret_id(&secret).version_stage("theirs");
    label.remove_from_version_id(version.as_str()).send().await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    let status = stage.status("app").await?;
    let entry = status.history.first().context("a history")?;
    assert_eq!(
        (entry.outcome, entry.reason.as_deref(), entry.version_id.as_str()),
        (Outcome::Abandoned, Some("AlreadyExists"), version.as_str())
    );
    assert_eq!((entry.due_time.clone().map(|due| due.0), status.staged), (Some(due), None));
    assert_eq!(scene.check(2).await?, OLD);
    let next = stage.next_rotation("app").await?.context("the next due time")?;
    ensure!(next > stage.now(), "{next}");
    stage.live("app", HOUR / 2).await?;
    assert_eq!(stage.world.emulator.counters().total("PutSecretValue"), 2, "that of the test, and one attempt");
    stage.assert_silence("app").await?;

    stage.advance(HOUR / 2);
    stage.settle("app").await?;
    ensure!(scene.check(3).await? != OLD, "the next due time has its rotation");
    let status = stage.status("app").await?;
    assert_eq!((status.history[0].cause, status.history[0].due_time.clone().map(|due| due.0)), (Cause::Scheduled, Some(next)));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_version_is_given_up_if_the_secret_is_pinned_to_the_current_one() -> Result<()> {
    let scene = Scene::settled("pinned_role").await?;
    let stage = &scene.stage;
    let staged = in_force(&scene).await?;
    let current = stage.world.aws_secret("app").context("the AWS secret")?.labels["AWSCURRENT"].clone();
    stage.world.patch("app", json!({"spec": {"target": {"versionId": current}}})).await?;
    stage.settle("app").await?;
    scene.is_back(Some(&staged)).await?;
    assert_eq!(scene.last().await?, (Outcome::Abandoned, Some("Pinned".to_owned())));
    stage.assert_silence("app").await?;
    // The next one would be refused to pods as well.
    stage.advance(HOUR);
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "Overdue").await?;
    ensure!(message.contains("spec.target.versionId"), "{message}");
    assert_eq!(stage.versions("app"), 2);
    scene.is_back(Some(&staged)).await?;

    stage.world.patch("app", json!({"spec": {"target": {"versionId": null}}})).await?;
    stage.settle("app").await?;
    ensure!(scene.check(3).await? != OLD);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_another_client_made_current_meanwhile_is_not_given_up() -> Result<()> {
    let (scene, staged) = Scene::with_applied("current_meanwhile").await?;
    let stage = &scene.stage;
    let labels = stage.world.aws_secret("app").context("the AWS secret")?.labels;
    stage.advance(2 * MINUTE);
    stage.world.annotate("app", ROLLBACK, &format!("stay:{}", labels["AWSCURRENT"])).await?;
    let (client, secret) = (stage.client().await, stage.aws_name("app"));
    let current = client.update_secret_version_stage().secret_id(&secret).version_stage("AWSCURRENT");
    current.move_to_version_id(&labels["AWSPENDING"]).remove_from_version_id(&labels["AWSCURRENT"]).send().await?;
    // AWS still shows the former version as the current one.
    stage.break_aws("DescribeSecret", Fault::StaleRead { seconds: 60 });
    for _ in 0..3 {
        stage.reconcile("app").await?;
    }
    assert_eq!(scene.last().await?, (Outcome::Abandoned, Some("Withdrawn".to_owned())));
    ensure!(scene.postgres.accepts(scene.role, &staged)? && !scene.postgres.accepts(scene.role, OLD)?, "the server has the current one");

    stage.mend_aws();
    stage.live("app", 5 * MINUTE).await?;
    // The rollback follows, by a version of its own.
    assert_eq!(scene.check(3).await?, OLD);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fail_do_not_bring_back_a_due_time_that_is_over() -> Result<()> {
    let scene = Scene::with_query("failing_requests").await?;
    let stage = &scene.stage;
    let current = stage.status("app").await?.history[0].version_id.clone();
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!(scene.last().await?, (Outcome::Abandoned, Some("VerifyFailed".to_owned())));
    let next = stage.next_rotation("app").await?.context("the next due time")?;
    for token in 0..7 {
        // The server has a new verifier of the same password.
        scene.make_verify_fail()?;
        scene.request(&format!("{token}")).await?;
        assert_eq!(scene.last().await?, (Outcome::Abandoned, Some("VerifyFailed".to_owned())), "{token}");
    }
    assert_eq!(stage.next_rotation("app").await?, Some(next));
    let history = stage.status("app").await?.history;
    ensure!(history.iter().any(|entry| entry.version_id == current), "{history:?}");
    let abandoned = history.iter().filter(|entry| entry.outcome == Outcome::Abandoned).count();
    ensure!(abandoned <= 6, "{history:?}");
    scene.is_back(None).await?;
    assert_eq!(stage.versions("app"), 9);

    scene.make_verify_work()?;
    stage.advance(53 * MINUTE);
    stage.settle("app").await?;
    ensure!(scene.check(10).await? != OLD);
    let status = stage.status("app").await?;
    assert_eq!((status.history[0].cause, status.history[0].due_time.clone().map(|due| due.0)), (Cause::Scheduled, Some(next)));
    Ok(())
}
