//! A staged version is abandoned: the server gets the current password back, and pods can log in all the time.

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{ABANDONED_LABEL, ALLOWED_HOSTS, Outcome, ROLLBACK, StagedStep};
use serde_json::{Value, json};

use super::postgres::{OLD, Scene};
use super::stage::{HOUR, MINUTE};

impl Scene {
    /// The query works with the password that the role has now and with no other one.
    pub(super) fn make_verify_fail(&self) -> Result<()> {
        let role = self.role;
        self.postgres.sql(
            "postgres",
            &format!(
                "DROP TABLE IF EXISTS known_{role}; CREATE TABLE known_{role} AS SELECT rolpassword FROM pg_authid WHERE rolname = '{role}';
                 CREATE OR REPLACE FUNCTION works_{role}() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 / count(*) FROM \
                 known_{role} JOIN pg_authid USING (rolpassword) $$"
            ),
        )?;
        Ok(())
    }

    pub(super) fn make_verify_work(&self) -> Result<()> {
        let role = self.role;
        self.postgres
            .sql(
                "postgres",
                &format!(
                    "CREATE OR REPLACE FUNCTION works_{role}() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1::bigint $$"
                ),
            )
            .map(drop)
    }

    /// With a query that works with the password of the role as it is now.
    pub(super) async fn with_query(role: &'static str) -> Result<Self> {
        let scene = Self::new(role).await?;
        scene.make_verify_fail()?;
        let mut spec = scene.spec();
        spec["rotation"]["postgres"]["verify"]["sql"] = json!(format!("SELECT works_{role}()"));
        scene.stage.settled("app", spec).await?;
        Ok(scene)
    }

    /// A version is staged and the server has its password, as after a crash of the operator. It is not promoted, because
    /// the operator cannot know that.
    pub(super) async fn with_applied(role: &'static str) -> Result<(Self, String)> {
        let scene = Self::settled(role).await?;
        scene.postgres.set_password(role, "set by another person")?;
        scene.request("now").await?;
        let aws = scene.stage.world.aws_secret("app").context("the AWS secret")?;
        let value: Value = serde_json::from_str(aws.labelled("AWSPENDING").and_then(|v| v.value()?.as_str()).context("a value")?)?;
        let staged = value["password"].as_str().context("a password")?.to_owned();
        scene.postgres.set_password(role, &staged)?;
        Ok((scene, staged))
    }

    /// The server and pods have the first password, and no version is staged.
    pub(super) async fn is_back(&self, staged: Option<&str>) -> Result<()> {
        ensure!(self.postgres.accepts(self.role, OLD)?, "the current password logs in");
        if let Some(staged) = staged {
            ensure!(!self.postgres.accepts(self.role, staged)?, "the staged one does not");
        }
        assert_eq!((self.pending(), self.mirrored().await?.as_str()), (None, OLD));
        Ok(())
    }

    /// The newest entry of the history: its outcome and reason.
    pub(super) async fn last(&self) -> Result<(Outcome, Option<String>)> {
        let entry = self.stage.status("app").await?.history.into_iter().next().context("a history")?;
        Ok((entry.outcome, entry.reason))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_not_work_is_abandoned_and_the_next_request_makes_another_one() -> Result<()> {
    let scene = Scene::with_query("abandoned_role").await?;
    let stage = &scene.stage;
    scene.request("now").await?;
    scene.is_back(None).await?;
    let message = stage.expect("app", "Rotated", "False", "VerifyFailed").await?;
    ensure!(message.contains("abandoned") && message.contains("kubectl rotatedsecret rotate app"), "{message}");
    assert_eq!(scene.last().await?, (Outcome::Abandoned, Some("VerifyFailed".to_owned())));
    assert_eq!(stage.told("app", "Warning", "VersionAbandoned").await?, 1);
    let status = stage.status("app").await?;
    assert_eq!((status.staged, status.requests.and_then(|requests| requests.rotate).as_deref()), (None, Some("now")));
    let abandoned = status.history[0].version_id.clone();
    let labels = stage.world.aws_secret("app").context("the AWS secret")?.labels;
    assert_eq!(labels.get(ABANDONED_LABEL), Some(&abandoned), "AWS keeps what a late replica could still set");
    stage.assert_silence("app").await?;
    // The due time makes another version, once. The server has a new verifier of the same password.
    scene.make_verify_fail()?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    scene.is_back(None).await?;
    assert_eq!(stage.versions("app"), 3);
    stage.assert_silence("app").await?;

    scene.make_verify_work()?;
    scene.request("again").await?;
    scene.check(4).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let labels = stage.world.aws_secret("app").context("the AWS secret")?.labels;
    assert_eq!(labels.get(ABANDONED_LABEL), None, "no replica can set it any more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_version_is_abandoned_at_the_server_that_the_spec_named_before() -> Result<()> {
    let (scene, staged) = Scene::with_applied("removed_target").await?;
    let stage = &scene.stage;
    let recorded = stage.status("app").await?.staged.context("a record")?;
    assert_eq!((recorded.step, recorded.postgres.map(|server| server.port)), (StagedStep::Apply, Some(scene.postgres.port().into())));
    // The administrator decides about the host also if it is in the status.
    stage.annotate_namespace(json!({ALLOWED_HOSTS: null})).await?;
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": null}}})).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "HostNotAllowed").await?;
    ensure!(message.contains("--remove-from-version-id"), "{message}");
    ensure!(scene.postgres.accepts(scene.role, &staged)?, "nothing was changed there");
    assert!(stage.object("app").await?.metadata.finalizers.is_some_and(|finalizers| finalizers.len() == 1));

    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    stage.settle("app").await?;
    scene.is_back(Some(&staged)).await?;
    assert_eq!(scene.last().await?, (Outcome::Abandoned, Some("TargetRemoved".to_owned())));
    stage.settle("app").await?;
    assert!(stage.object("app").await?.metadata.finalizers.is_none_or(|finalizers| finalizers.is_empty()), "nothing is left to clean up");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.status("app").await?.staged, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_version_is_abandoned_before_its_object_is_gone() -> Result<()> {
    let (scene, staged) = Scene::with_applied("deleted_object").await?;
    let stage = &scene.stage;
    stage.annotate_namespace(json!({ALLOWED_HOSTS: null})).await?;
    stage.delete_object("app").await?;
    stage.reconcile("app").await?;
    let message = stage.expect("app", "Ready", "False", "HostNotAllowed").await?;
    ensure!(message.contains("the deletion waits"), "{message}");
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    stage.advance(10 * MINUTE);
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is gone");
    let aws = stage.world.aws_secret("app").context("the AWS secret stays")?;
    ensure!(!aws.labels.contains_key("AWSPENDING") && aws.deletion_date.is_none(), "{:?}", aws.labels);
    ensure!(scene.postgres.accepts(scene.role, OLD)? && !scene.postgres.accepts(scene.role, &staged)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_server_does_not_answer_is_released_in_the_end_and_says_what_is_left() -> Result<()> {
    let (scene, _) = Scene::with_applied("released_object").await?;
    let stage = &scene.stage;
    stage.annotate_namespace(json!({ALLOWED_HOSTS: null})).await?;
    stage.delete_object("app").await?;
    for _ in 0..200 {
        if stage.world.objects().get_opt("app").await?.is_none() {
            break;
        }
        stage.reconcile("app").await?;
        stage.advance(10 * MINUTE);
    }
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is gone");
    assert_eq!(stage.told("app", "Warning", "VersionLeftStaged").await?, 1);
    let aws = stage.world.aws_secret("app").context("the AWS secret stays")?;
    ensure!(aws.labels.contains_key("AWSPENDING"), "what the server may accept keeps a label");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_the_current_version_withdraws_what_is_staged() -> Result<()> {
    let (scene, staged) = Scene::with_applied("withdrawn").await?;
    let stage = &scene.stage;
    // The operator finds the password in force at its next attempt, so the request comes before that.
    let current = stage.world.aws_secret("app").context("the AWS secret")?.labels["AWSCURRENT"].clone();
    stage.world.annotate("app", ROLLBACK, &format!("stay:{current}")).await?;
    stage.settle("app").await?;
    scene.is_back(Some(&staged)).await?;
    assert_eq!(scene.last().await?, (Outcome::Abandoned, Some("Withdrawn".to_owned())));
    let requests = stage.status("app").await?.requests.context("requests")?;
    assert_eq!((requests.rollback.as_deref(), requests.rollback_refused), (Some("stay"), None));
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.assert_silence("app").await?;
    scene.request("later").await?;
    scene.check(3).await?;
    Ok(())
}
