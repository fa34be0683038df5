//! Two users in a real PostgreSQL take turns. Whatever happens, what pods have logs in, at every write of the operator.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use rotated_secrets::api::{ALLOWED_HOSTS, Cause, MIRROR_NAMES, Outcome, REFRESH, ROLLBACK};
use serde_json::{Value, json};
use testkit::emulator::{Moment, WriteBarrier};
use testkit::postgres::Postgres;

use super::postgres::{OLD, Scene};
use super::stage::{HOUR, MINUTE, Stage};

const ADMIN: &str = "of-the-admin-canary-7Qe2";

/// Sees at every write that what pods have logs in.
struct Watch {
    secrets: Api<Secret>,
    postgres: &'static Postgres,
    looks: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

impl WriteBarrier for Watch {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Ok(Some(secret)) = self.secrets.get_opt("app").await else { return };
            let data = secret.data.unwrap_or_default();
            let of = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
            self.looks.fetch_add(1, Ordering::SeqCst);
            if !self.postgres.accepts(&of("username"), &of("password")).unwrap_or_default() {
                self.refused.lock().unwrap().push(format!("{moment:?} {effect}"));
            }
        })
    }
}

/// A base user, an administrator who may create roles, and its object.
pub(super) struct Pair {
    pub(super) scene: Scene,
    watch: Arc<Watch>,
}

impl Pair {
    pub(super) async fn new(role: &'static str) -> Result<Self> {
        Self::with_admin(
            role,
            &format!("{role}_admin"),
            &format!("CREATE ROLE {role}_admin LOGIN CREATEROLE; GRANT {role} TO {role}_admin WITH ADMIN OPTION"),
        )
        .await
    }

    /// `sql` makes the administrator.
    pub(super) async fn with_admin(role: &'static str, admin: &str, sql: &str) -> Result<Self> {
        let mut scene = Scene::new(role).await?;
        let (stage, postgres) = (&scene.stage, scene.postgres);
        postgres.sql("postgres", sql)?;
        postgres.set_password(admin, ADMIN)?;
        let secret = format!("admins/{}", stage.world.namespace);
        let value = json!({"username": admin, "password": ADMIN}).to_string();
        stage.external_writer().create(&secret, &value, &[].into())?;
        stage.annotate_namespace(json!({MIRROR_NAMES: "admins/*"})).await?;
        stage.world.create("admin", json!({"aws": {"secretName": secret}, "target": {"creationPolicy": "None"}})).await?;
        stage.world.annotate("admin", ALLOWED_HOSTS, &format!("127.0.0.1:{}", postgres.port())).await?;
        let (looks, refused) = (AtomicUsize::default(), Mutex::default());
        let watch = Arc::new(Watch { secrets: stage.world.secrets(), postgres, looks, refused });
        scene.stage.ctx = scene.stage.operator_through(Arc::clone(&watch) as Arc<dyn WriteBarrier>).await?;
        scene.stage.world.emulator.set_write_barrier(Some(Arc::clone(&watch) as Arc<dyn WriteBarrier>));
        Ok(Self { scene, watch })
    }

    pub(super) fn spec(&self) -> Value {
        let mut spec = self.scene.spec();
        spec["rotation"]["postgres"]["users"] = json!("AlternatingUsers");
        spec["rotation"]["postgres"]["adminRef"] = json!({"name": "admin"});
        spec
    }

    async fn settled(role: &'static str) -> Result<Self> {
        let pair = Self::new(role).await?;
        pair.scene.stage.settled("app", pair.spec()).await?;
        ensure!(pair.check(1).await? == (role.to_owned(), OLD.to_owned()), "an adopted value stays until a rotation is due");
        Ok(pair)
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.scene.stage
    }

    pub(super) fn accepts(&self, user: &str, password: &str) -> Result<bool> {
        self.scene.postgres.accepts(user, password)
    }

    pub(super) fn twin(&self) -> String {
        format!("{}_clone", self.scene.role)
    }

    /// What pods have.
    pub(super) async fn mirrored(&self) -> Result<(String, String)> {
        let data = self.stage().data("app").await?;
        Ok((data["username"].clone(), data["password"].clone()))
    }

    /// The two users with their passwords and rights.
    pub(super) fn users(&self) -> Result<String> {
        let (role, twin) = (self.scene.role, self.twin());
        self.scene.postgres.sql(
            "postgres",
            &format!(
                "SELECT string_agg(concat_ws(' ', rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, md5(rolpassword), \
                 shobj_description(oid, 'pg_authid'), (SELECT string_agg(roleid::regrole::text, ',') FROM pg_auth_members WHERE member = oid)), ';' \
                 ORDER BY rolname) FROM pg_authid WHERE rolname IN ('{role}', '{twin}')"
            ),
        )
    }

    /// What pods have logs in, did so at every write, and works as the base user with no other privileges.
    pub(super) async fn check(&self, versions: usize) -> Result<(String, String)> {
        self.stage().world.check_agreement("app").await?;
        let (user, password) = self.mirrored().await?;
        let postgres = self.scene.postgres;
        let rights = "SELECT concat_ws(' ', current_user, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, (SELECT \
                      count(*) FROM pg_auth_members WHERE member = oid AND roleid <> current_user::regrole)) FROM pg_roles WHERE rolname = session_user";
        assert_eq!(postgres.sql_as(&user, &password, rights)?, format!("{} f f f f f 0", self.scene.role));
        let aws = self.stage().world.aws_secret("app").context("the AWS secret")?;
        assert_eq!((aws.versions.len(), aws.labels.get("AWSPENDING")), (versions, None));
        self.check_watch()?;
        Ok((user, password))
    }

    fn check_watch(&self) -> Result<()> {
        let refused = self.watch.refused.lock().unwrap().clone();
        ensure!(refused.is_empty(), "what pods had did not log in at {refused:?}");
        ensure!(self.watch.looks.load(Ordering::SeqCst) > 0, "nothing was looked at");
        Ok(())
    }

    /// Another attempt, without waiting for the backoff.
    async fn again(&self, token: &str) -> Result<()> {
        self.stage().advance(MINUTE);
        self.stage().world.annotate("app", REFRESH, token).await?;
        self.stage().settle("app").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_take_turns_and_what_pods_had_before_keeps_working() -> Result<()> {
    let pair = Pair::settled("two_turns").await?;
    let stage = pair.stage();
    pair.scene.request("now").await?;
    let first = pair.check(2).await?;
    assert_eq!(first.0, pair.twin());
    ensure!(pair.accepts("two_turns", OLD)?, "the password before keeps working");
    stage.assert_silence("app").await?;

    // A field more is a new version with the same user and password: the server is not changed.
    let users = pair.users()?;
    stage.advance(5 * MINUTE);
    stage.world.patch("app", json!({"spec": {"value": {"data": {"port": "5432"}}}})).await?;
    stage.settle("app").await?;
    assert_eq!((pair.check(3).await?, pair.users()?), (first.clone(), users));

    stage.advance(HOUR);
    stage.settle("app").await?;
    let second = pair.check(4).await?;
    assert_eq!(second.0, "two_turns");
    ensure!(pair.accepts(&first.0, &first.1)? && !pair.accepts("two_turns", OLD)?);
    pair.scene.request("third").await?;
    let third = pair.check(5).await?;
    assert_eq!(third.0, first.0);
    ensure!(third.1 != first.1 && pair.accepts(&second.0, &second.1)? && !pair.accepts(&first.0, &first.1)?);
    let causes = [Cause::Requested, Cause::Scheduled, Cause::SpecChanged, Cause::Requested, Cause::Adopted];
    assert_eq!(stage.causes("app").await?, causes);
    stage.assert_silence("app").await?;
    assert_eq!(stage.value("app")["engine"], "postgres", "what is not declared stays");
    let log = pair.scene.postgres.log()?;
    for password in [ADMIN, &first.1, &second.1, &third.1] {
        ensure!(!log.contains(password), "a password is in the server's log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_the_version_before_changes_nothing_in_the_server() -> Result<()> {
    let pair = Pair::settled("back_turn").await?;
    let stage = pair.stage();
    pair.scene.request("now").await?;
    let first = pair.check(2).await?;
    let users = pair.users()?;
    stage.advance(5 * MINUTE);
    stage.world.annotate("app", ROLLBACK, "back:AWSPREVIOUS").await?;
    stage.settle("app").await?;
    assert_eq!(pair.check(3).await?, ("back_turn".to_owned(), OLD.to_owned()));
    assert_eq!(pair.users()?, users);
    ensure!(pair.accepts(&first.0, &first.1)?, "pods that were not reached yet log in");
    pair.scene.request("forward").await?;
    assert_eq!(pair.check(4).await?.0, first.0);
    ensure!(pair.accepts("back_turn", OLD)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_does_not_work_is_abandoned_and_the_user_in_use_is_not_touched() -> Result<()> {
    let pair = Pair::new("left_turn").await?;
    let stage = pair.stage();
    let mut spec = pair.spec();
    let only_base = "SELECT 1 / (CASE session_user WHEN 'left_turn' THEN 1 ELSE 0 END)";
    spec["rotation"]["postgres"]["verify"]["sql"] = json!(only_base);
    stage.settled("app", spec).await?;
    pair.scene.request("now").await?;
    stage.expect("app", "Rotated", "False", "VerifyFailed").await?;
    assert_eq!(pair.mirrored().await?, ("left_turn".to_owned(), OLD.to_owned()));
    ensure!(pair.accepts("left_turn", OLD)? && pair.scene.pending().is_none());
    pair.check_watch()?;
    assert_eq!(stage.status("app").await?.history[0].outcome, Outcome::Abandoned);
    let aws = stage.world.aws_secret("app").context("the AWS secret")?;
    let abandoned: Value = serde_json::from_str(aws.versions[1].value().and_then(|value| value.as_str()).context("a value")?)?;
    assert_eq!(abandoned["username"], json!(pair.twin()));
    ensure!(!pair.accepts(&pair.twin(), abandoned["password"].as_str().context("a password")?)?, "the abandoned password is refused");
    stage.assert_silence("app").await?;
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"verify": {"sql": "SELECT 1"}}}}})).await?;
    pair.scene.request("again").await?;
    assert_eq!(pair.check(3).await?.0, pair.twin());
    ensure!(pair.accepts("left_turn", OLD)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_staged_for_two_users_is_not_given_to_one_and_can_be_withdrawn() -> Result<()> {
    let pair = Pair::settled("one_left").await?;
    let stage = pair.stage();
    pair.scene.postgres.set_password("one_left_admin", "changed by another person")?;
    pair.scene.request("now").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("AdminRefused"), "{message}");
    pair.scene.postgres.set_password("one_left_admin", ADMIN)?;
    let one = json!({"users": "SingleUser", "adminRef": null});
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": one}}})).await?;
    pair.again("one").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("UserChanged"), "{message}");
    let current = stage.world.aws_secret("app").context("the AWS secret")?.labels["AWSCURRENT"].clone();
    let users = pair.users()?;
    stage.world.annotate("app", ROLLBACK, &format!("stay:{current}")).await?;
    stage.settle("app").await?;
    // A login shows that the server does not have it.
    ensure!(pair.scene.pending().is_none());
    assert_eq!((pair.mirrored().await?.1.as_str(), pair.users()?), (OLD, users));
    stage.world.patch("app", json!({"spec": {"rotation": pair.spec()["rotation"]}})).await?;
    pair.again("two").await?;
    ensure!(pair.scene.pending().is_none());
    assert_eq!(pair.mirrored().await?, ("one_left".to_owned(), OLD.to_owned()));
    pair.check_watch()?;
    pair.scene.request("another").await?;
    assert_eq!(pair.check(3).await?.0, pair.twin());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clone_of_a_rotation_function_of_aws_is_taken_over_while_it_is_in_use() -> Result<()> {
    let pair = Pair::new("multi").await?;
    let stage = pair.stage();
    // As AWS's multi-user template leaves it.
    pair.scene.postgres.sql("postgres", "CREATE ROLE multi_clone LOGIN; GRANT multi TO multi_clone")?;
    pair.scene.postgres.set_password("multi_clone", "by-the-template-8uW1")?;
    pair.scene.postgres.let_administer("multi_admin", "multi_clone")?;
    let value = json!({
        "engine": "postgres", "host": "db.example.com", "port": 5432, "username": "multi_clone", "password": "by-the-template-8uW1",
        "masterarn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:main-AbCdEf",
    });
    stage.external_writer().put_value(&stage.aws_name("app"), &value.to_string())?;
    stage.settled("app", pair.spec()).await?;
    assert_eq!(pair.mirrored().await?.0, "multi_clone");
    let versions = stage.versions("app");
    pair.scene.request("now").await?;
    assert_eq!(pair.check(versions + 1).await?.0, "multi");
    ensure!(pair.accepts("multi_clone", "by-the-template-8uW1")?, "what pods had keeps working");
    pair.scene.request("again").await?;
    assert_eq!(pair.check(versions + 2).await?.0, "multi_clone");
    assert_eq!(stage.value("app")["masterarn"], value["masterarn"], "every field of the template stays");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_that_may_not_be_used_changes_nothing_until_it_may() -> Result<()> {
    let pair = Pair::settled("no_admin").await?;
    let (stage, postgres) = (pair.stage(), pair.scene.postgres);
    let (hosts, users) = (format!("127.0.0.1:{}", postgres.port()), pair.users()?);
    let itself = stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"adminRef": {"name": "app"}}}}})).await;
    ensure!(itself.is_err_and(|error| format!("{error:#}").contains("names this object itself")));

    // An object of this name in another namespace is not looked at.
    let elsewhere = Stage::new("postgres").await?;
    elsewhere.world.create("elsewhere", json!({"aws": {"secretName": "admins/x"}})).await?;
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"adminRef": {"name": "elsewhere"}}}}})).await?;
    pair.scene.request("now").await?;
    let seen = postgres.log()?.matches("no_admin_admin").count();
    let expect = async |words: &str| -> Result<()> {
        let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
        ensure!(message.contains(words) && !message.contains(ADMIN), "{message}");
        assert_eq!((pair.mirrored().await?.1.as_str(), pair.users()?), (OLD, users.clone()));
        pair.check_watch()
    };
    expect("does not exist in the namespace").await?;
    // A name that is a path does not lead there either.
    for name in [format!("../../{}/rotatedsecrets/elsewhere", elsewhere.world.namespace), "admin/status".to_owned()] {
        stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"adminRef": {"name": name}}}}})).await?;
        pair.again(&name).await?;
        expect("with this name does not exist").await?;
    }

    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"adminRef": {"name": "admin"}}}}})).await?;
    for hosts in ["", "db.example.com:5432", "127.0.0.1:1"] {
        stage.world.annotate("admin", ALLOWED_HOSTS, hosts).await?;
        pair.again(&format!("host {hosts}")).await?;
        expect("does not name the host").await?;
    }
    stage.world.annotate("admin", ALLOWED_HOSTS, &hosts).await?;
    stage.annotate_namespace(json!({MIRROR_NAMES: null})).await?;
    pair.again("name").await?;
    expect("has no current value").await?;
    stage.annotate_namespace(json!({MIRROR_NAMES: "admins/*"})).await?;
    stage.world.patch("admin", json!({"spec": {"suspend": true}})).await?;
    pair.again("suspended").await?;
    expect("has no current value").await?;
    stage.world.patch("admin", json!({"spec": {"suspend": false}})).await?;
    assert_eq!(postgres.log()?.matches("no_admin_admin").count(), seen, "the credential was not sent");

    postgres.set_password("no_admin_admin", "changed by another person")?;
    pair.again("password").await?;
    expect("AdminRefused").await?;
    postgres.set_password("no_admin_admin", ADMIN)?;
    pair.again("good").await?;
    assert_eq!(pair.check(2).await?.0, pair.twin());
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_names_a_user_without_its_password_gets_nothing_by_the_administrator() -> Result<()> {
    let pair = Pair::new("victim").await?;
    let stage = pair.stage();
    // The value is generated, so it has the name of the user and a password that the server does not accept.
    let value = json!({"data": {"username": "victim"}, "generate": {"password": {}}});
    stage.settled("thief", json!({"value": value})).await?;
    let users = pair.users()?;
    stage.world.patch("thief", json!({"spec": {"rotation": pair.spec()["rotation"]}})).await?;
    stage.settle("thief").await?;
    stage.advance(MINUTE);
    stage.world.request_rotation("thief", "now").await?;
    stage.settle("thief").await?;
    let message = stage.expect("thief", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("NoPasswordAccepted"), "{message}");
    assert_eq!(pair.users()?, users);
    // To abandon the version changes nothing either.
    stage.world.patch("thief", json!({"spec": {"rotation": null}})).await?;
    stage.settle("thief").await?;
    let message = stage.expect("thief", "Ready", "False", "AbandonFailed").await?;
    ensure!(message.contains("NoPasswordAccepted"), "{message}");
    assert_eq!(pair.users()?, users);
    ensure!(pair.accepts("victim", OLD)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_that_rotates_its_own_password_meanwhile_delays_the_users_only() -> Result<()> {
    let pair = Pair::settled("both_turn").await?;
    let (stage, postgres) = (pair.stage(), pair.scene.postgres);
    let tags = [(rotated_secrets::api::ADOPT_BY.to_owned(), format!("{}/root", stage.world.namespace))].into();
    let value = json!({"username": "both_turn_admin", "password": ADMIN}).to_string();
    stage.external_writer().create(&stage.aws_name("root"), &value, &tags)?;
    let mut root = pair.scene.spec();
    root["value"]["data"]["username"] = json!("both_turn_admin");
    stage.settled("root", root).await?;
    stage.world.patch("app", json!({"spec": {"rotation": {"postgres": {"adminRef": {"name": "root"}}}}})).await?;
    for (round, user) in [(2, pair.twin()), (3, "both_turn".to_owned()), (4, pair.twin())] {
        stage.advance(MINUTE);
        let before = pair.mirrored().await?;
        for name in ["app", "root"] {
            stage.world.request_rotation(name, &format!("round {round}")).await?;
        }
        let another = stage.operator().await?;
        let (app, root) = tokio::join!(stage.settle("app"), stage.world.settle(&another, "root"));
        app.and(root)?;
        for attempt in 0..5 {
            if pair.scene.pending().is_none() {
                break;
            }
            let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
            ensure!(message.contains("AdminRefused"), "{message}");
            pair.again(&format!("{round} {attempt}")).await?;
        }
        assert_eq!(pair.check(round).await?.0, user);
        ensure!(pair.accepts(&before.0, &before.1)?, "what pods had keeps working");
        ensure!(!postgres.accepts("both_turn_admin", ADMIN)?, "the administrator has another password");
    }
    Ok(())
}
