//! Secrets that AWS's rotation functions for MySQL and MariaDB have rotated are rotated by the operator from then on, with the
//! object of docs/rotation-mysql.md. What pods have logs in at every write of the operator.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS, Cause};
use serde_json::{Value, json};
use testkit::emulator::{Moment, WriteBarrier};
use testkit::mysql::{Kind, MySql};
use uuid::Uuid;

use super::stage::{MINUTE, Stage};

const PAGE: &str = include_str!("../../../docs/rotation-mysql.md");
const OLD: &str = "theirs-canary-6jW4";
const ADMIN: &str = "of-the-admin-canary-1nZ8";

/// Sees at every write whether what pods have logs in.
struct Watch {
    secrets: Api<Secret>,
    name: String,
    mysql: &'static MySql,
    looks: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

impl WriteBarrier for Watch {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Ok(Some(secret)) = self.secrets.get_opt(&self.name).await else { return };
            let data = secret.data.unwrap_or_default();
            let of = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
            self.looks.fetch_add(1, Ordering::SeqCst);
            if !self.mysql.accepts(&of("username"), &of("password")).unwrap_or_default() {
                self.refused.lock().unwrap().push(format!("{moment:?} {effect}"));
            }
        })
    }
}

/// A user of AWS's templates and its secret, rotated by them only.
struct Scene {
    stage: Stage,
    mysql: &'static MySql,
    user: &'static str,
    watch: Arc<Watch>,
}

impl Scene {
    async fn new(kind: Kind, user: &'static str) -> Result<Self> {
        let (mut stage, mysql) = (Stage::new("migration").await?, MySql::shared(kind)?);
        mysql.sql(&format!(
            "CREATE SCHEMA {user}; CREATE TABLE {user}.t (a INT); CREATE USER {user} IDENTIFIED BY '{OLD}'; \
             GRANT SELECT, INSERT ON {user}.* TO {user}; CREATE USER {user}_a IDENTIFIED BY '{ADMIN}'; GRANT CREATE USER ON *.* TO {user}_a; \
             GRANT SELECT ON mysql.* TO {user}_a; GRANT ALL PRIVILEGES ON {user}.* TO {user}_a WITH GRANT OPTION"
        ))?;
        if kind == Kind::MySql {
            mysql.sql(&format!("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {user}"))?;
        }
        let namespace = stage.world.namespace.clone();
        stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
        // The secret of AWS's template has another name than the operator would give it.
        stage.allow_names(Some("prod/*")).await?;
        let name = format!("{user}-db");
        let (looks, refused) = (AtomicUsize::default(), Mutex::default());
        let watch = Arc::new(Watch { secrets: stage.world.secrets(), name: name.clone(), mysql, looks, refused });
        stage.ctx = stage.operator_through(Arc::clone(&watch) as Arc<dyn WriteBarrier>).await?;
        stage.world.emulator.set_write_barrier(Some(Arc::clone(&watch) as Arc<dyn WriteBarrier>));
        let scene = Self { stage, mysql, user, watch };
        let tags = [(ADOPT_BY.to_owned(), format!("{namespace}/{name}"))].into();
        scene.stage.external_writer().create(&scene.secret(), &scene.json(OLD).to_string(), &tags)?;
        Ok(scene)
    }

    /// The secret in AWS.
    fn secret(&self) -> String {
        format!("prod/{}-db", self.user)
    }

    fn name(&self) -> String {
        format!("{}-db", self.user)
    }

    /// The fields of AWS's templates.
    fn json(&self, password: &str) -> Value {
        let engine = if self.mysql.kind() == Kind::MySql { "mysql" } else { "mariadb" };
        json!({
            "engine": engine, "host": "db.example.com", "port": 3306, "dbname": self.user, "username": self.user, "password": password,
            "masterarn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/main-AbCdEf", "dbInstanceIdentifier": "prod",
        })
    }

    fn in_aws(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.stage.external_writer().value(&self.secret()).context("a value")?)?)
    }

    /// The four steps of AWS's template. `multi`: of that for two users. They leave AWSPENDING on the version that is current.
    fn rotate_by_template(&self, multi: bool) -> Result<()> {
        let (writer, secret) = (self.stage.external_writer(), self.secret());
        let current = self.in_aws()?;
        let of = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let holder = self.stage.world.emulator.secrets().into_iter().find(|found| found.name == secret).context("the secret")?;
        let holder = holder.labels["AWSCURRENT"].clone();
        let (mut pending, token) = (current.clone(), Uuid::new_v4().to_string());
        if multi {
            let user = of(&current, "username");
            let other = user.strip_suffix("_clone").map_or_else(|| format!("{user}_clone"), str::to_owned);
            pending["username"] = json!(other);
        }
        pending["password"] = json!(format!("by-the-template-{token}"));
        let staged =
            json!({"SecretId": secret, "ClientRequestToken": token, "SecretString": pending.to_string(), "VersionStages": ["AWSPENDING"]});
        writer.act("PutSecretValue", &staged).map_err(|error| anyhow::anyhow!("{}", error.code))?;
        let (user, password) = (of(&pending, "username"), of(&pending, "password"));
        if multi {
            self.make_clone(&of(&current, "username"), &user, &password)?;
        }
        let new = if self.mysql.kind() == Kind::MySql { format!("'{password}'") } else { format!("PASSWORD('{password}')") };
        self.mysql.sql(&format!("SET PASSWORD FOR '{user}'@'%' = {new}"))?;
        ensure!(self.mysql.accepts(&user, &password)?, "the template tests the login");
        let moved = json!({"SecretId": secret, "VersionStage": "AWSCURRENT", "MoveToVersionId": token, "RemoveFromVersionId": holder});
        writer.act("UpdateSecretVersionStage", &moved).map_err(|error| anyhow::anyhow!("{}", error.code))?;
        Ok(())
    }

    /// A user like another one, for the host `%`: the grants are cut before the user, so that nothing after it is copied.
    fn make_clone(&self, from: &str, to: &str, password: &str) -> Result<()> {
        if self.mysql.sql(&format!("SELECT User FROM mysql.user WHERE User = '{to}'"))?.is_empty() {
            self.mysql.sql(&format!("CREATE USER '{to}' IDENTIFIED BY '{password}'"))?;
        }
        for grant in self.mysql.sql(&format!("SHOW GRANTS FOR '{from}'"))?.lines() {
            let grant = grant.split(" TO ").next().unwrap_or_default();
            self.mysql.sql(&format!("{grant} TO '{to}'"))?;
        }
        self.mysql.sql(&format!("ALTER USER '{to}'@'%' REQUIRE NONE"))?;
        Ok(())
    }

    /// The object of the page, for this user and this server.
    fn object(&self, users: &str) -> Result<Value> {
        let section = PAGE.split("\n## Coming from a rotation function of AWS\n").nth(1).context("a section")?;
        let text = section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).context("an object")?;
        let mut object: Value = serde_saphyr::from_str(&text.replace("orders", self.user))?;
        let target = object["spec"]["rotation"]["mysql"].as_object_mut().context("a target")?;
        // The page is for two users. For one, it says what to change.
        if users != "AlternatingUsers" {
            target.remove("adminRef").context("an administrator")?;
        }
        target.extend([("host".to_owned(), json!("127.0.0.1")), ("port".to_owned(), json!(self.mysql.port()))]);
        target.extend([("users".to_owned(), json!(users)), ("tls".to_owned(), json!({"caBundle": self.mysql.ca()}))]);
        ensure!(object["metadata"]["name"] == self.name() && object["spec"]["aws"]["secretName"] == self.secret(), "{object}");
        Ok(object["spec"].take())
    }

    /// The administrator of the page, which declares the same server.
    async fn administer(&self) -> Result<()> {
        let (stage, admin) = (&self.stage, format!("{}_a", self.user));
        let tags = [(ADOPT_BY.to_owned(), format!("{}/mysql-admin", stage.world.namespace))].into();
        stage.external_writer().create(
            &stage.aws_name("mysql-admin"),
            &json!({"username": admin, "password": ADMIN}).to_string(),
            &tags,
        )?;
        let target = json!({"host": "127.0.0.1", "port": self.mysql.port(), "tls": {"caBundle": self.mysql.ca()}});
        let spec = json!({
            "aws": {"adoptionPolicy": "IfTagged"}, "target": {"creationPolicy": "None"},
            "value": {"data": {"username": admin}, "generate": {"password": {}}},
            "rotation": {"schedule": "0 4 1 * *", "mysql": target},
        });
        stage.settled("mysql-admin", spec).await.map(drop)
    }

    /// What pods have.
    async fn mirrored(&self) -> Result<(String, String)> {
        let data = self.stage.data(&self.name()).await?;
        Ok((data["username"].clone(), data["password"].clone()))
    }

    fn accepts(&self, (user, password): &(String, String)) -> Result<bool> {
        self.mysql.accepts(user, password)
    }

    /// A rotation by the operator. Gives what pods have then; it logs in, and the fields of the template are as they were.
    async fn rotate(&self, token: &str) -> Result<(String, String)> {
        let before = self.in_aws()?;
        self.stage.advance(5 * MINUTE);
        self.stage.world.request_rotation(&self.name(), token).await?;
        self.stage.settle(&self.name()).await?;
        self.stage.expect(&self.name(), "Ready", "True", "Succeeded").await?;
        let (user, password) = self.mirrored().await?;
        ensure!(self.mysql.accepts(&user, &password)?, "pods cannot log in");
        let mut expected = before;
        (expected["username"], expected["password"]) = (json!(user), json!(password));
        assert_eq!(self.in_aws()?, expected, "every other field stays as it was");
        Ok((user, password))
    }

    /// The writes at which pods could not log in.
    fn gaps(&self) -> Vec<String> {
        assert!(self.watch.looks.load(Ordering::SeqCst) > 0, "nothing was looked at");
        std::mem::take(&mut *self.watch.refused.lock().unwrap())
    }

    /// The privileges of a user, without its name and without how it logs in.
    fn grants(&self, user: &str) -> Result<Vec<String>> {
        let text = self.mysql.sql(&format!("SHOW GRANTS FOR '{user}'"))?;
        let lines = text.lines().filter(|line| !line.contains("[rotated-secrets"));
        let mut lines: Vec<String> = lines.map(|line| line.split(" TO ").next().unwrap_or_default().to_owned()).collect();
        lines.sort();
        Ok(lines)
    }
}

async fn from_two_users(kind: Kind, user: &'static str, rotations: usize) -> Result<()> {
    let scene = Scene::new(kind, user).await?;
    for _ in 0..rotations {
        scene.rotate_by_template(true)?;
    }
    let clone = format!("{user}_clone");
    let (current, next) = if rotations % 2 == 1 { (&*clone, user) } else { (user, &*clone) };
    scene.administer().await?;
    scene.stage.settled(&scene.name(), scene.object("AlternatingUsers")?).await?;
    let adopted = scene.mirrored().await?;
    ensure!(adopted.0 == current && scene.accepts(&adopted)?, "pods have what the template has left: {}", adopted.0);
    let first = scene.rotate("now").await?;
    ensure!(first.0 == next && scene.accepts(&adopted)?, "what pods had keeps working");
    let second = scene.rotate("again").await?;
    ensure!(second.0 == current && scene.accepts(&first)? && !scene.accepts(&adopted)?);
    assert_eq!(scene.gaps(), Vec::<String>::new(), "pods could log in at every write");
    assert_eq!(scene.grants(&clone)?, scene.grants(user)?);
    assert_eq!(scene.stage.causes(&scene.name()).await?, [Cause::Requested, Cause::Requested, Cause::Adopted]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clone_of_a_rotation_function_of_aws_is_taken_over_whichever_user_is_current() -> Result<()> {
    for (kind, user, rotations) in
        [(Kind::MySql, "migclone", 1), (Kind::MySql, "migbase", 2), (Kind::MariaDb, "migclone", 1), (Kind::MariaDb, "migbase", 2)]
            .into_iter()
            .filter(|(kind, ..)| kind.obstacle().is_none())
    {
        from_two_users(kind, user, rotations).await.with_context(|| format!("{kind:?} {user}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_rotation_function_of_aws_is_rotated_with_one_password_or_two() -> Result<()> {
    for (kind, user, users) in
        [(Kind::MySql, "migone", "SingleUser"), (Kind::MariaDb, "migone", "SingleUser"), (Kind::MySql, "migtwo", "DualPassword")]
            .into_iter()
            .filter(|(kind, ..)| kind.obstacle().is_none())
    {
        let scene = Scene::new(kind, user).await?;
        scene.rotate_by_template(false)?;
        scene.stage.settled(&scene.name(), scene.object(users)?).await?;
        let adopted = scene.mirrored().await?;
        ensure!(adopted.0 == user && scene.accepts(&adopted)?, "pods have what the template has left");
        let first = scene.rotate("now").await?;
        let second = scene.rotate("again").await?;
        ensure!(first.0 == user && second.0 == user && !scene.accepts(&adopted)?);
        let overlaps = users == "DualPassword";
        assert_eq!(scene.accepts(&first)?, overlaps, "{kind:?} {users}");
        let mut gaps = scene.gaps();
        assert_eq!(gaps.is_empty(), overlaps, "{kind:?} {users}: {gaps:?}");
        // With one password, from the change in the server to the write of the Secret.
        gaps.retain(|gap| !gap.ends_with("UpdateSecretVersionStage") && gap != "Before PUT secrets");
        assert_eq!(gaps, Vec::<String>::new(), "{kind:?} {users}");
    }
    Ok(())
}
