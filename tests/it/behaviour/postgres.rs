//! The password of a user in a real PostgreSQL: changed there and verified before it becomes current and is mirrored.

use anyhow::{Result, ensure};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS, Cause, ROLLBACK, RollbackRefusal};
use serde_json::{Value, json};
use testkit::emulator::Fault;
use testkit::postgres::Postgres;

use super::stage::{HOUR, MINUTE, Stage};

/// The password that the role has before.
pub(super) const OLD: &str = "theirs-canary-2pT9";

/// A role, an AWS secret with its password, and an object that may adopt it.
pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) postgres: &'static Postgres,
    pub(super) role: &'static str,
}

impl Scene {
    pub(super) async fn new(role: &'static str) -> Result<Self> {
        Postgres::shared()?.sql("postgres", &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN"))?;
        Self::of(role).await
    }

    /// The same with a role that exists.
    pub(super) async fn of(role: &'static str) -> Result<Self> {
        let scene = Self { stage: Stage::new("postgres").await?, postgres: Postgres::shared()?, role };
        scene.postgres.set_password(role, OLD)?;
        let value = json!({"username": role, "password": OLD, "engine": "postgres"}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{}/app", scene.stage.world.namespace))].into();
        scene.stage.external_writer().create(&scene.stage.aws_name("app"), &value, &tags)?;
        scene.stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
        Ok(scene)
    }

    pub(super) fn spec(&self) -> Value {
        json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": self.role}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 hour)", "postgres": {
                "host": "127.0.0.1",
                "port": self.postgres.port(),
                "database": "postgres",
                "tls": {"caBundle": self.postgres.ca()},
                "verify": {"sql": "SELECT 1"},
                // A test that counts logins or time declares one.
                "checkInterval": "0s",
            }},
        })
    }

    pub(super) async fn settled(role: &'static str) -> Result<Self> {
        let scene = Self::new(role).await?;
        scene.stage.settled("app", scene.spec()).await?;
        scene.stage.world.check_agreement("app").await?;
        Ok(scene)
    }

    /// What pods have.
    pub(super) async fn mirrored(&self) -> Result<String> {
        Ok(self.stage.data("app").await?["password"].clone())
    }

    /// Pods can log in, and nothing is left behind.
    pub(super) async fn check(&self, versions: usize) -> Result<String> {
        self.stage.world.check_agreement("app").await?;
        let password = self.mirrored().await?;
        ensure!(self.postgres.accepts(self.role, &password)?, "the mirrored password does not log in");
        let aws = self.stage.world.aws_secret("app").unwrap();
        assert_eq!(aws.versions.len(), versions);
        ensure!(!aws.labels.contains_key("AWSPENDING"), "{:?}", aws.labels);
        Ok(password)
    }

    pub(super) fn pending(&self) -> Option<String> {
        self.stage.world.aws_secret("app").unwrap().labels.get("AWSPENDING").cloned()
    }

    pub(super) async fn request(&self, token: &str) -> Result<()> {
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation("app", token).await?;
        self.stage.settle("app").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_secret_cannot_hold_the_value_no_version_is_staged() -> Result<()> {
    let scene = Scene::new("not_mirrored").await?;
    let stage = &scene.stage;
    let mut spec = scene.spec();
    spec["target"] = json!({"keys": {"password": "password", "kind": "engine"}});
    stage.settled("app", spec).await?;
    // The server has this password. The field that the Secret needs is gone.
    stage.external_writer().put_value(&stage.aws_name("app"), &json!({"username": scene.role, "password": OLD}).to_string())?;
    scene.request("now").await?;
    stage.expect("app", "Mirrored", "False", "FieldMissing").await?;
    stage.expect("app", "Rotated", "False", "Overdue").await?;
    assert_eq!((stage.versions("app"), scene.pending()), (2, None));
    ensure!(scene.postgres.accepts(scene.role, &scene.mirrored().await?)?, "pods still log in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_changes_the_password_in_the_server_before_pods_get_it() -> Result<()> {
    let scene = Scene::settled("each_cause").await?;
    let (stage, postgres) = (&scene.stage, scene.postgres);
    assert_eq!(scene.check(1).await?, OLD, "an adopted password stays until a rotation is due");
    stage.writes.take();
    scene.request("now").await?;
    let requested = scene.check(2).await?;
    ensure!(requested != OLD && !postgres.accepts(scene.role, OLD)?, "the old password is refused");
    let order: Vec<String> = stage.writes.take().into_iter().filter(|write| !write.contains("status")).collect();
    let labels = ["UpdateSecretVersionStage"; 3];
    assert_eq!(
        order,
        [&["PutSecretValue"], &labels[..], &["PUT secrets"]].concat(),
        "promoted, and without the two labels of a staged version"
    );
    assert_eq!(stage.value("app")["engine"], "postgres", "what is not declared stays");
    stage.assert_silence("app").await?;

    let due = stage.next_rotation("app").await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    let scheduled = scene.check(3).await?;
    assert_eq!(stage.status("app").await?.history[0].due_time.clone().map(|due| due.0), due, "kept while the version was staged");
    ensure!(scheduled != requested && !postgres.accepts(scene.role, &requested)?);

    stage.advance(5 * MINUTE);
    let earlier = stage.world.aws_secret("app").unwrap().versions[1].id.clone();
    stage.world.annotate("app", ROLLBACK, &format!("back:{earlier}")).await?;
    stage.settle("app").await?;
    assert_eq!(scene.check(4).await?, requested, "the older password is in force again");
    ensure!(!postgres.accepts(scene.role, &scheduled)?);

    // A field more is a new version with the same password.
    stage.advance(5 * MINUTE);
    stage.world.patch("app", json!({"spec": {"value": {"data": {"port": "5432"}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(scene.check(5).await?, requested);
    let causes = [Cause::SpecChanged, Cause::RolledBack, Cause::Scheduled, Cause::Requested, Cause::Adopted];
    assert_eq!(stage.causes("app").await?, causes);
    stage.assert_silence("app").await?;

    // What could not be mirrored is not applied either.
    stage.world.annotate("app", ROLLBACK, &format!("again:{earlier}")).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(message.contains(RollbackRefusal::FieldMissing.sentence()), "{message}");
    assert_eq!((stage.versions("app"), scene.pending()), (5, None));
    ensure!(postgres.accepts(scene.role, &scene.mirrored().await?)?, "pods still log in");
    let log = postgres.log()?;
    for password in [&requested, &scheduled] {
        ensure!(!log.contains(password.as_str()), "a password is in the server's log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_server_keeps_the_staged_version_and_is_retried_rarely() -> Result<()> {
    let scene = Scene::settled("refused_role").await?;
    let stage = &scene.stage;
    scene.postgres.set_password(scene.role, "changed by another person")?;
    let spec = json!({"schedule": "rate(1 hour)", "suspend": true});
    stage.world.patch("app", json!({"spec": {"rotation": spec}})).await?;
    scene.request("now").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("NoPasswordAccepted") && !message.contains(OLD), "{message}");
    stage.expect("app", "Stalled", "True", "ApplyFailed").await?;
    assert_eq!(scene.mirrored().await?, OLD);
    let pending = scene.pending();
    ensure!(pending.is_some(), "what the server may have keeps a label");
    let acknowledged = stage.status("app").await?.requests.unwrap_or_default().rotate;
    assert_eq!(acknowledged, None, "the request is not handled before its version is current");
    // A reconcile before the backoff is over asks the server nothing.
    let logins = scene.postgres.log()?.matches(scene.role).count();
    stage.reconcile("app").await?;
    assert_eq!(scene.postgres.log()?.matches(scene.role).count(), logins);

    scene.postgres.set_password(scene.role, OLD)?;
    stage.world.annotate("app", rotated_secrets::api::REFRESH, "look").await?;
    stage.settle("app").await?;
    scene.check(2).await?;
    assert_eq!(Some(stage.world.aws_secret("app").unwrap().labels["AWSCURRENT"].clone()), pending, "the same version");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let acknowledged = stage.status("app").await?.requests.unwrap_or_default().rotate;
    assert_eq!(acknowledged.as_deref(), Some("now"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_holds_up_the_rotation_only_and_the_staged_version_is_finished_when_it_returns() -> Result<()> {
    let mut scene = Scene::settled("down_role").await?;
    // Its own server, which this test stops.
    let own: &'static Postgres = Box::leak(Box::new(Postgres::start()?));
    own.sql("postgres", "CREATE ROLE down_role LOGIN")?;
    own.set_password("down_role", OLD)?;
    scene.postgres = own;
    let target = scene.spec()["rotation"].clone();
    scene.stage.world.patch("app", json!({"spec": {"rotation": target}})).await?;
    scene.stage.settle("app").await?;
    own.kill()?;
    scene.stage.world.request_rotation("app", "now").await?;
    // One failure that passes by itself is not reported.
    scene.stage.live("app", 3 * MINUTE).await?;
    let stage = &scene.stage;
    let message = stage.expect("app", "Rotated", "False", "TargetUnreachable").await?;
    let words = format!("127.0.0.1:{} cannot be reached (Unreachable)", scene.postgres.port());
    ensure!(message.contains(&words), "{message}");
    ensure!(!stage.has("app", "Stalled").await?, "it may pass by itself");
    assert_eq!(scene.mirrored().await?, OLD);
    let pending = scene.pending();
    // The mirror is kept as declared meanwhile.
    stage.delete_secret("app").await?;
    stage.reconcile("app").await?;
    assert_eq!(scene.mirrored().await?, OLD);
    own.revive()?;
    stage.live("app", HOUR / 3).await?;
    scene.check(2).await?;
    assert_eq!(Some(stage.world.aws_secret("app").unwrap().labels["AWSCURRENT"].clone()), pending);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_version_is_finished_also_if_status_and_cause_are_lost() -> Result<()> {
    let scene = Scene::settled("lost_cause").await?;
    let stage = &scene.stage;
    scene.postgres.set_password(scene.role, "changed by another person")?;
    scene.request("now").await?;
    let pending = scene.pending();
    scene.postgres.set_password(scene.role, OLD)?;
    stage.world.annotate("app", rotated_secrets::api::ROTATE, "").await?;
    stage.lose_status("app").await?;
    stage.settle("app").await?;
    scene.check(2).await?;
    assert_eq!(Some(stage.world.aws_secret("app").unwrap().labels["AWSCURRENT"].clone()), pending);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_aws_does_not_show_yet_is_waited_for_and_made_once() -> Result<()> {
    let scene = Scene::settled("stale_reads").await?;
    let stage = &scene.stage;
    for (token, operations) in
        [("a", vec!["GetSecretValue"]), ("b", vec!["DescribeSecret"]), ("c", vec!["GetSecretValue", "DescribeSecret"])]
    {
        stage.advance(5 * MINUTE);
        let versions = stage.versions("app");
        for operation in &operations {
            stage.break_aws(operation, Fault::StaleRead { seconds: 40 });
        }
        stage.world.request_rotation("app", token).await?;
        stage.live("app", 10 * MINUTE).await?;
        stage.mend_aws();
        stage.live("app", 5 * MINUTE).await?;
        scene.check(versions + 1).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_staged_that_the_server_could_not_accept_and_no_value_is_made_without_one_that_it_does() -> Result<()> {
    let scene = Scene::settled("other_user").await?;
    let stage = &scene.stage;
    stage.world.patch("app", json!({"spec": {"value": {"data": {"username": "another"}}}})).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "InvalidSpec").await?;
    ensure!(message.contains("spec.value.data.username"), "{message}");
    assert_eq!((stage.versions("app"), scene.pending()), (1, None));
    stage.world.patch("app", json!({"spec": {"value": {"data": {"username": scene.role}}}})).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    scene.check(2).await?;

    stage.world.create("fresh", scene.spec()).await?;
    stage.settle("fresh").await?;
    let message = stage.expect("fresh", "Provisioned", "False", "SecretNotFound").await?;
    ensure!(message.contains("adopt-by"), "{message}");
    ensure!(stage.world.aws_secret("fresh").is_none() && stage.no_secret("fresh").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_administrator_does_not_allow_is_not_connected_to() -> Result<()> {
    let scene = Scene::settled("not_allowed").await?;
    let stage = &scene.stage;
    for hosts in [json!(null), json!("db.example.com:*, 127.0.0.1:1"), json!("127.0.0.1")] {
        stage.annotate_namespace(json!({ALLOWED_HOSTS: hosts})).await?;
        let logins = scene.postgres.log()?.matches(scene.role).count();
        scene.request(&format!("{hosts}")).await?;
        let message = stage.expect("app", "Rotated", "False", "HostNotAllowed").await?;
        ensure!(message.contains(ALLOWED_HOSTS), "{message}");
        assert_eq!(scene.postgres.log()?.matches(scene.role).count(), logins);
        assert_eq!(scene.pending(), None);
    }
    // The operator of a cluster does not connect to its own machine, also if that is allowed.
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "*"})).await?;
    let mut strict = stage.operator().await?;
    strict.policy.local_targets = false;
    stage.world.settle(&strict, "app").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("AddressRefused"), "{message}");
    Ok(())
}
