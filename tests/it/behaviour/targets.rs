//! The password of a user in real servers of MySQL, MariaDB and Redis: changed there and verified before it becomes current
//! and is mirrored.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{ABANDONED_LABEL, ADOPT_BY, ALLOWED_HOSTS, Cause, Outcome, ROLLBACK};
use serde_json::{Value, json};
use testkit::mysql::{Kind, MySql};
use testkit::redis::Redis;
use tokio::net::TcpListener;

use super::stage::{HOUR, MINUTE, Stage};

/// The password that the user has before.
const OLD: &str = "theirs-canary-5mX3";

/// Where the user is.
#[derive(Clone, Copy)]
enum Server {
    MySql(Kind, &'static str),
    Redis,
}

impl Server {
    fn is_here(&self) -> bool {
        !matches!(self, Self::MySql(kind, _) if kind.obstacle().is_some())
    }
}

/// A user, an AWS secret with its password, and the spec of an object that may adopt it.
struct Scene {
    stage: Stage,
    server: Server,
    user: &'static str,
}

impl Scene {
    async fn new(server: Server, user: &'static str) -> Result<Self> {
        let stage = Stage::new("target").await?;
        let scene = Self { stage, server, user };
        scene.reset(OLD)?;
        let value = json!({"username": user, "password": OLD, "engine": "mysql"}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{}/app", scene.stage.world.namespace))].into();
        scene.stage.external_writer().create(&scene.stage.aws_name("app"), &value, &tags)?;
        scene.stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
        Ok(scene)
    }

    /// Makes the user again, with this password only.
    fn reset(&self, password: &str) -> Result<()> {
        let user = self.user;
        match self.server {
            Server::MySql(kind, _) => {
                let mysql = MySql::shared(kind)?;
                mysql.sql(&format!("DROP USER IF EXISTS {user}; CREATE USER {user} IDENTIFIED BY '{password}'"))?;
                if kind == Kind::MySql {
                    mysql.sql(&format!("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {user}"))?;
                }
            }
            Server::Redis => {
                Redis::shared()?.command(&["ACL", "SETUSER", user, "reset", "on", &format!(">{password}"), "+acl"])?;
            }
        }
        Ok(())
    }

    fn spec(&self) -> Result<Value> {
        let target = match self.server {
            Server::MySql(kind, users) => {
                let mysql = MySql::shared(kind)?;
                json!({"mysql": {"host": "127.0.0.1", "port": mysql.port(), "users": users, "tls": {"caBundle": mysql.ca()}, "checkInterval": "1h"}})
            }
            Server::Redis => {
                let redis = Redis::shared()?;
                json!({"redis": {"host": "127.0.0.1", "port": redis.port(), "tls": {"caBundle": redis.ca()}, "checkInterval": "1h"}})
            }
        };
        let mut rotation = json!({"schedule": "rate(12 hours)"});
        rotation.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        Ok(json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": self.user}, "generate": {"password": {}}},
            "rotation": rotation,
        }))
    }

    fn accepts(&self, password: &str) -> Result<bool> {
        match self.server {
            Server::MySql(kind, _) => MySql::shared(kind)?.accepts(self.user, password),
            Server::Redis => Redis::shared()?.accepts(self.user, password),
        }
    }

    /// Whether the password before keeps working.
    fn overlaps(&self) -> bool {
        !matches!(self.server, Server::MySql(_, "SingleUser"))
    }

    /// Pods can log in, and nothing is left behind.
    async fn check(&self, versions: usize) -> Result<String> {
        self.stage.world.check_agreement("app").await?;
        let password = self.stage.data("app").await?["password"].clone();
        ensure!(self.accepts(&password)?, "the mirrored password does not log in");
        let aws = self.stage.world.aws_secret("app").unwrap();
        assert_eq!(aws.versions.len(), versions);
        ensure!(!aws.labels.contains_key("AWSPENDING"), "{:?}", aws.labels);
        Ok(password)
    }

    async fn request(&self, token: &str) -> Result<()> {
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation("app", token).await?;
        self.stage.settle("app").await
    }
}

const SERVERS: [(Server, &str); 4] = [
    (Server::MySql(Kind::MySql, "SingleUser"), "cause_single"),
    (Server::MySql(Kind::MariaDb, "SingleUser"), "cause_maria"),
    (Server::MySql(Kind::MySql, "DualPassword"), "cause_dual"),
    (Server::Redis, "cause_redis"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_changes_the_password_in_the_server_before_pods_get_it() -> Result<()> {
    for (server, user) in SERVERS.into_iter().filter(|(server, _)| server.is_here()) {
        let scene = Scene::new(server, user).await?;
        let stage = &scene.stage;
        stage.settled("app", scene.spec()?).await?;
        assert_eq!(scene.check(1).await?, OLD, "an adopted password stays until a rotation is due");
        scene.request("now").await?;
        let requested = scene.check(2).await?;
        assert_eq!((requested != OLD, scene.accepts(OLD)?), (true, scene.overlaps()), "{user}");
        assert_eq!(stage.value("app")["engine"], "mysql", "what is not declared stays");
        stage.assert_silence("app").await?;

        stage.advance(12 * HOUR);
        stage.settle("app").await?;
        let scheduled = scene.check(3).await?;
        assert_eq!((scheduled != requested, scene.accepts(&requested)?), (true, scene.overlaps()), "{user}");
        ensure!(!scene.accepts(OLD)?, "{user}: two rotations later no server has it");

        stage.advance(5 * MINUTE);
        let earlier = stage.world.aws_secret("app").unwrap().versions[1].id.clone();
        stage.world.annotate("app", ROLLBACK, &format!("back:{earlier}")).await?;
        stage.settle("app").await?;
        assert_eq!(scene.check(4).await?, requested, "{user}: the older password is in force again");
        assert_eq!(scene.accepts(&scheduled)?, scene.overlaps(), "{user}");
        assert_eq!(stage.causes("app").await?, [Cause::RolledBack, Cause::Scheduled, Cause::Requested, Cause::Adopted]);
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_another_client_changed_is_seen_by_the_check_and_nothing_is_set_back() -> Result<()> {
    for (server, user) in [
        (Server::MySql(Kind::MySql, "SingleUser"), "check_single"),
        (Server::MySql(Kind::MariaDb, "SingleUser"), "check_maria"),
        (Server::MySql(Kind::MySql, "DualPassword"), "check_dual"),
        (Server::Redis, "check_redis"),
    ]
    .into_iter()
    .filter(|(server, _)| server.is_here())
    {
        let scene = Scene::new(server, user).await?;
        let stage = &scene.stage;
        stage.settled("app", scene.spec()?).await?;
        scene.reset("another-clients")?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        let message = stage.expect("app", "Rotated", "False", "TargetDiverged").await?;
        ensure!(message.contains("PasswordRefused") && !message.contains("another-clients"), "{message}");
        ensure!(scene.accepts("another-clients")?, "{user}: nothing is set back");
        scene.reset(OLD)?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_be_verified_is_taken_back_in_the_server() -> Result<()> {
    for (kind, users, user) in [
        (Kind::MySql, "SingleUser", "back_single"),
        (Kind::MariaDb, "SingleUser", "back_maria"),
        (Kind::MySql, "DualPassword", "back_dual"),
    ]
    .into_iter()
    .filter(|(kind, ..)| kind.obstacle().is_none())
    {
        let scene = Scene::new(Server::MySql(kind, users), user).await?;
        let stage = &scene.stage;
        let mysql = MySql::shared(kind)?;
        // A query that works with this password and with no other one.
        mysql.sql(&format!(
            "CREATE DATABASE IF NOT EXISTS verified; DROP TABLE IF EXISTS verified.{user}; DROP FUNCTION IF EXISTS verified.works_{user}; \
             CREATE TABLE verified.{user} AS SELECT authentication_string AS known FROM mysql.user WHERE user = '{user}'; \
             CREATE FUNCTION verified.works_{user}() RETURNS INT READS SQL DATA SQL SECURITY DEFINER RETURN (SELECT IF(COUNT(*) = 1, 1, \
             (SELECT 1 UNION SELECT 2)) FROM mysql.user JOIN verified.{user} ON known = authentication_string WHERE user = '{user}'); \
             GRANT EXECUTE ON FUNCTION verified.works_{user} TO {user}"
        ))?;
        let mut spec = scene.spec()?;
        spec["rotation"]["mysql"]["verify"] = json!({"sql": format!("SELECT verified.works_{user}()")});
        stage.settled("app", spec).await?;
        scene.request("now").await?;
        ensure!(scene.accepts(OLD)?, "{user}: pods log in with what they have");
        let aws = stage.world.aws_secret("app").unwrap();
        ensure!(!aws.labels.contains_key("AWSPENDING"), "{user}: {:?}", aws.labels);
        let abandoned = aws.labelled(ABANDONED_LABEL).context("AWS keeps the abandoned version")?;
        let value: Value = serde_json::from_str(abandoned.value().and_then(|value| value.as_str()).context("its value")?)?;
        ensure!(!scene.accepts(value["password"].as_str().context("a password")?)?, "{user}: the abandoned one does not log in");
        let status = stage.status("app").await?;
        assert_eq!(status.history.first().map(|entry| entry.outcome), Some(Outcome::Abandoned), "{user}");
        assert_eq!(status.staged, None, "{user}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_administrator_does_not_allow_is_not_connected_to() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let stage = Stage::new("target").await?;
    for (name, target) in [
        ("mysql", json!({"mysql": {"host": "127.0.0.1", "port": port}})),
        ("redis", json!({"redis": {"host": "127.0.0.1", "port": port}})),
        ("webhook", json!({"webhook": {"url": format!("https://127.0.0.1:{port}/"), "signingKeyRef": {"name": "key"}}})),
        // One of the two is allowed.
        (
            "pooled",
            json!({"postgres": {"host": "127.0.0.1", "port": port, "directHost": "127.0.0.2", "directPort": port, "database": "a"}}),
        ),
        ("direct", json!({"mysql": {"host": "127.0.0.2", "port": port, "directHost": "127.0.0.1", "directPort": port}})),
    ] {
        stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.2:*"})).await?;
        let value = json!({"username": "app", "password": OLD}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{}/{name}", stage.world.namespace))].into();
        stage.external_writer().create(&stage.aws_name(name), &value, &tags)?;
        let mut rotation = json!({"schedule": "rate(12 hours)"});
        rotation.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        stage
            .world
            .create(
                name,
                json!({
                    "aws": {"adoptionPolicy": "IfTagged"},
                    "value": {"data": {"username": "app"}, "generate": {"password": {}}},
                    "rotation": rotation,
                }),
            )
            .await?;
        stage.settle(name).await?;
        stage.advance(HOUR);
        stage.world.request_rotation(name, "now").await?;
        stage.settle(name).await?;
        let message = stage.expect(name, "Rotated", "False", "HostNotAllowed").await?;
        ensure!(message.contains(ALLOWED_HOSTS) && message.contains("127.0.0.1"), "{name}: {message}");
        assert_eq!(stage.versions(name), 1, "{name}: nothing is staged");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    ensure!(nobody.is_err(), "a connection was made");
    Ok(())
}
