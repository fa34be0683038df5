//! Two users in a real MySQL and a real MariaDB take turns, and the one that is not in use is locked once every workload has the
//! other one.

use std::time::Duration;

use anyhow::{Result, ensure};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS, ROLLBACK};
use serde_json::json;
use testkit::mysql::{Kind, MySql};

use super::stage::{MINUTE, Stage};
use crate::workloads::Workloads;

const OLD: &str = "theirs-canary-8wQ1";
const ADMIN: &str = "of-the-admin-canary-7Qe2";
/// Not long enough for a second look at the workloads.
const SECONDS: Duration = Duration::from_secs(3);

/// A base user, an administrator that is an object too, an object with this user, and a Deployment that uses its Secret.
struct Scene {
    stage: Stage,
    mysql: &'static MySql,
    deployments: Workloads,
}

impl Scene {
    async fn new(kind: Kind, user: &'static str) -> Result<Self> {
        let (stage, mysql) = (Stage::in_step("mysql-pair").await?, MySql::shared(kind)?);
        let admin = format!("{user}_a");
        mysql.sql(&format!(
            "CREATE SCHEMA {user}; CREATE USER {user} IDENTIFIED BY '{OLD}', {admin} IDENTIFIED BY '{ADMIN}'; GRANT SELECT ON {user}.* TO {user}; \
             GRANT CREATE USER ON *.* TO {admin}; GRANT SELECT ON mysql.* TO {admin}; GRANT SELECT ON {user}.* TO {admin} WITH GRANT OPTION"
        ))?;
        for (name, user, password) in [("app", user, OLD), ("admin", &admin, ADMIN)] {
            let value = json!({"username": user, "password": password}).to_string();
            let tags = [(ADOPT_BY.to_owned(), format!("{}/{name}", stage.world.namespace))].into();
            stage.external_writer().create(&stage.aws_name(name), &value, &tags)?;
        }
        stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
        let deployments = Workloads::of(&stage.world, "Deployment");
        deployments.create("api", "app").await?;
        let scene = Self { stage, mysql, deployments };
        scene.declare("admin", &admin, json!({}), json!({"target": {"creationPolicy": "None"}})).await?;
        let pair = json!({"users": "AlternatingUsers", "adminRef": {"name": "admin"}});
        scene.declare("app", user, pair, json!({"rollout": {"retireAfter": "10m"}})).await?;
        Ok(scene)
    }

    async fn declare(&self, name: &str, user: &str, of_target: serde_json::Value, of_spec: serde_json::Value) -> Result<()> {
        let mut spec = json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": user}, "generate": {"password": {}}},
            "rotation": {
                "schedule": "rate(1 day)",
                "mysql": {"host": "127.0.0.1", "port": self.mysql.port(), "tls": {"caBundle": self.mysql.ca()}, "checkInterval": "0s"},
            },
        });
        spec["rotation"]["mysql"]
            .as_object_mut()
            .into_iter()
            .for_each(|target| target.extend(of_target.as_object().cloned().unwrap_or_default()));
        spec.as_object_mut().into_iter().for_each(|spec| spec.extend(of_spec.as_object().cloned().unwrap_or_default()));
        self.stage.settled(name, spec).await.map(drop)
    }

    /// What pods get.
    async fn mirrored(&self) -> Result<(String, String)> {
        let data = self.stage.data("app").await?;
        Ok((data["username"].clone(), data["password"].clone()))
    }

    async fn rotate(&self, token: &str) -> Result<(String, String)> {
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation("app", token).await?;
        self.stage.live("app", SECONDS).await?;
        self.mirrored().await
    }

    async fn roll_out(&self) -> Result<()> {
        self.deployments.settle("api").await?;
        self.stage.live("app", 15 * MINUTE).await
    }

    fn accepts(&self, (user, password): &(String, String)) -> Result<bool> {
        self.mysql.accepts(user, password)
    }
}

async fn take_turns(kind: Kind, user: &'static str) -> Result<()> {
    let scene = Scene::new(kind, user).await?;
    let stage = &scene.stage;
    let adopted = (user.to_owned(), OLD.to_owned());
    ensure!(scene.mirrored().await? == adopted, "an adopted value stays until a rotation is due");
    let first = scene.rotate("now").await?;
    assert_eq!(first.0, format!("{user}_clone"));
    ensure!(scene.accepts(&adopted)? && scene.accepts(&first)?, "pods may have either");
    scene.roll_out().await?;
    ensure!(!scene.accepts(&adopted)? && scene.accepts(&first)?);

    // The turn of the base user unlocks it.
    let second = scene.rotate("again").await?;
    ensure!(second.0 == user && scene.accepts(&first)? && scene.accepts(&second)?);
    scene.roll_out().await?;
    ensure!(!scene.accepts(&first)? && scene.accepts(&second)?);
    assert_eq!(stage.told("app", "Normal", "Retired").await?, 2);

    // So does a rollback to the version of the locked user.
    stage.advance(MINUTE);
    stage.world.annotate("app", ROLLBACK, "back:AWSPREVIOUS").await?;
    stage.live("app", SECONDS).await?;
    assert_eq!(scene.mirrored().await?, first);
    ensure!(scene.accepts(&first)? && scene.accepts(&second)?);
    scene.roll_out().await?;
    ensure!(scene.accepts(&first)? && !scene.accepts(&second)?);
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_of_mysql_take_turns_and_the_other_one_is_locked_after_the_rollout() -> Result<()> {
    if let Some(obstacle) = Kind::MySql.obstacle() {
        println!("{obstacle}");
        return Ok(());
    }
    take_turns(Kind::MySql, "turns_mysql").await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_of_mariadb_take_turns_and_the_other_one_is_locked_after_the_rollout() -> Result<()> {
    take_turns(Kind::MariaDb, "turns_maria").await
}
