//! Pods on a real node log in to real databases with what they mounted, while their credentials are rotated, they are restarted, the
//! previous credentials are retired, and the operator is killed at random: no login fails.
//!
//! `ROTATIONS` (default 10) is the number of rotations with each server, `LOGIN_PERIOD_MS` (default 100) the time between two logins of
//! a pod, `LOGIN_USERS=SingleUser` measures the gap with one user of PostgreSQL. AWS takes about 100 versions of a secret in a day, so
//! after so many rotations another object, user and Deployment follow.

mod application;
mod collector;

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS, MIRROR_NAMES, RETIRING_LABEL, RolloutPhase};
use serde_json::{Value, json};
use testkit::image::{Needs, operator};
use testkit::mysql::{Kind, MySql};
use testkit::node::{self, Node};
use testkit::postgres::Postgres;
use testkit::{prepare, until};

use self::application::{MOUNT, READY_PORT};
use self::collector::Collector;
use crate::operator::Operator;
use crate::stage::Stage;

const REPLICAS: usize = 4;
/// Rotations of one object.
const MOST: usize = 90;
const IMAGE: &str = "rotated-secrets.test/application:1";
const OLD: &str = "theirs-canary-8wQ1";
const ADMIN: &str = "of-the-admin-canary-7Qe2";

fn number(name: &str, default: usize) -> Result<usize> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_of_a_pod_fails_while_credentials_are_rotated_and_retired() -> Result<()> {
    if let Some(obstacle) = node::obstacle() {
        println!("no real node here: {obstacle}");
        return Ok(());
    }
    let (rotations, period) = (number("ROTATIONS", 10)?, number("LOGIN_PERIOD_MS", 100)?);
    let scene = Scene::set(period).await?;
    let one_user = std::env::var("LOGIN_USERS").is_ok_and(|users| users == "SingleUser");
    scene.administer().await?;
    let mut servers = vec![Server::Postgres { one_user }];
    match Kind::MySql.obstacle() {
        None => servers.push(Server::MySql),
        Some(obstacle) => println!("{obstacle}"),
    }
    let kills = AtomicUsize::new(0);
    let stories = futures::future::try_join_all(servers.iter().map(|server| scene.rotate_all(*server, rotations)));
    let times = tokio::select! {
        times = stories => times?,
        ended = scene.operate(&kills) => return ended.context("the operator"),
    };
    println!("the operator was killed {} times", kills.load(Ordering::SeqCst));
    for (server, times) in servers.iter().zip(times) {
        let reached = async || Ok((scene.collector.told(server.kind()).pods >= REPLICAS * (rotations + 1)).then_some(()));
        until("each version has reached every pod, and was told", reached).await?;
        let (kind, told) = (server.kind(), scene.collector.told(server.kind()));
        let Times { rolled_out, retired } = times;
        println!("{kind}: {} rotations, {} pods, {} logins, {} failed", rolled_out.len(), told.pods, told.logins, told.failures.len());
        println!("{kind}: from the request to rolled out {}, to retired {}", spread(rolled_out), spread(retired));
        if server.overlaps() {
            ensure!(told.failures.is_empty(), "{kind}: failed logins: {:?}", told.failures);
        }
        ensure!(told.logins > told.pods * 2, "the pods logged in all the while");
    }
    Ok(())
}

/// Median and maximum.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let [median, last] = [times.len() / 2, times.len().saturating_sub(1)].map(|at| times.get(at).copied().unwrap_or_default());
    format!("{:.1} s (median), {:.1} s (maximum)", median.as_secs_f64(), last.as_secs_f64())
}

/// How long each rotation took.
#[derive(Default)]
struct Times {
    rolled_out: Vec<Duration>,
    retired: Vec<Duration>,
}

/// Where pods log in.
#[derive(Clone, Copy)]
enum Server {
    /// Two users that take turns, or one.
    Postgres { one_user: bool },
    /// One user with two passwords.
    MySql,
}

impl Server {
    /// Its name in the pods' variables.
    fn kind(self) -> &'static str {
        match self {
            Self::Postgres { .. } => "postgres",
            Self::MySql => "mysql",
        }
    }

    /// The previous credential works until it is retired.
    fn overlaps(self) -> bool {
        !matches!(self, Self::Postgres { one_user: true })
    }
}

struct Scene {
    stage: Stage,
    collector: Collector,
    /// Where pods find it.
    collector_inside: String,
    period: usize,
}

impl Scene {
    async fn set(period: usize) -> Result<Self> {
        let node = Node::start().await?;
        node.import(&program()?, IMAGE).await?;
        prepare(node.plane()).await?;
        let kubeconfig = node.plane().service_account_kubeconfig("rotated-secrets", "rotated-secrets").await?;
        let mut stage = Stage::on_node(node, "logins").await?;
        stage.kubeconfig = kubeconfig;
        let annotations = json!({"metadata": {"annotations": {ALLOWED_HOSTS: "127.0.0.1:*", MIRROR_NAMES: "admins/*"}}});
        let namespaces = Api::<Namespace>::all(stage.plane().admin());
        namespaces.patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(annotations)).await?;
        let collector = Collector::start().await?;
        let collector_inside = stage.node().context("a node")?.lead_pods_to(collector.address)?.to_string();
        Ok(Self { stage, collector, collector_inside, period })
    }

    /// The object with the password of the administrator of PostgreSQL.
    async fn administer(&self) -> Result<()> {
        let postgres = Postgres::shared()?;
        postgres.sql("postgres", "CREATE ROLE pods_admin LOGIN CREATEROLE")?;
        postgres.set_password("pods_admin", ADMIN)?;
        let (secret, target) = ("admins/postgres", json!({"creationPolicy": "None"}));
        let value = json!({"username": "pods_admin", "password": ADMIN}).to_string();
        self.stage.emulator.external_writer().create(secret, &value, &[].into())?;
        self.stage.create("admin", json!({"aws": {"secretName": secret}, "target": target})).await?;
        self.stage.annotate("admin", ALLOWED_HOSTS, &format!("127.0.0.1:{}", postgres.port())).await.map(drop)
    }

    /// A user of this name, an object with its credential, and pods that use it.
    async fn serve(&self, server: Server, name: &str, user: &str) -> Result<()> {
        match server {
            Server::Postgres { one_user } => {
                let postgres = Postgres::shared()?;
                postgres.sql("postgres", &format!("CREATE ROLE {user} LOGIN; GRANT {user} TO pods_admin WITH ADMIN OPTION"))?;
                postgres.set_password(user, OLD)?;
                let mut target = json!({
                    "host": "127.0.0.1", "port": postgres.port(), "database": "postgres", "tls": {"caBundle": postgres.ca()},
                    "checkInterval": "0s",
                });
                if !one_user {
                    target["users"] = json!("AlternatingUsers");
                    target["adminRef"] = json!({"name": "admin"});
                }
                self.deploy(server, [name, user], json!({"postgres": target}), (postgres.port(), postgres.ca())).await
            }
            Server::MySql => {
                let mysql = MySql::shared(Kind::MySql)?;
                mysql.sql(&format!("CREATE USER {user} IDENTIFIED BY '{OLD}'; GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {user}"))?;
                let target = json!({
                    "host": "127.0.0.1", "port": mysql.port(), "users": "DualPassword", "tls": {"caBundle": mysql.ca()},
                    "checkInterval": "0s",
                });
                self.deploy(server, [name, user], json!({"mysql": target}), (mysql.port(), mysql.ca())).await
            }
        }
    }

    /// The object of this name, and a Deployment that mounts its Secret.
    async fn deploy(&self, server: Server, [name, user]: [&str; 2], target: Value, (port, authority): (u16, String)) -> Result<()> {
        let value = json!({"username": user, "password": OLD}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{}/{name}", self.stage.namespace))].into();
        self.stage.emulator.external_writer().create(&self.stage.aws_name(name), &value, &tags)?;
        let mut rotation = json!({"schedule": "rate(30 days)"});
        rotation.as_object_mut().context("fields")?.extend(target.as_object().context("a target")?.clone());
        self.stage
            .create(
                name,
                json!({
                    "aws": {"adoptionPolicy": "IfTagged"},
                    "value": {"data": {"username": user}, "generate": {"password": {}}},
                    "rotation": rotation,
                    "rollout": {"timeout": "10m"},
                }),
            )
            .await?;
        let address = self.stage.node().context("a node")?.lead_pods_to(([127, 0, 0, 1], port).into())?.to_string();
        let variables = json!([
            {"name": "KIND", "value": server.kind()},
            {"name": "SERVER", "value": address},
            {"name": "AUTHORITY", "value": authority},
            {"name": "COLLECTOR", "value": self.collector_inside},
            {"name": "PERIOD_MS", "value": self.period.to_string()},
        ]);
        self.stage.plane().apply_yaml_in(&self.stage.namespace, &deployment(name, &variables).to_string()).await?;
        Ok(())
    }

    /// So many rotations, with as many objects as they need.
    async fn rotate_all(&self, server: Server, rotations: usize) -> Result<Times> {
        let mut times = Times::default();
        while times.retired.len() < rotations {
            let so_far = times.retired.len();
            let (name, pods) = (format!("{}-{so_far}", server.kind()), self.collector.told(server.kind()).pods);
            self.serve(server, &name, &format!("pods_{so_far}")).await?;
            let first = async || Ok((self.collector.told(server.kind()).pods >= pods + REPLICAS).then_some(()));
            until("the first pods log in", first).await?;
            self.rotate(server, &name, so_far + 1..=rotations.min(so_far + MOST), &mut times).await?;
            self.stage.kubectl(&["delete", "deployment", &name, "--wait=false"]).await?;
            let told = self.collector.told(server.kind());
            // The long form takes more than an hour. What was seen until an interruption counts too.
            let retired = times.retired.len();
            println!("{}: {retired} rotations, {} pods, {} logins, {} failed", server.kind(), told.pods, told.logins, told.failures.len());
        }
        Ok(times)
    }

    /// Rotates on request, again and again, each time until the previous credential is retired.
    async fn rotate(&self, server: Server, name: &str, rotations: RangeInclusive<usize>, times: &mut Times) -> Result<()> {
        let kind = server.kind();
        self.rolled_out(name, None).await?;
        for rotation in rotations {
            let token = rotation.to_string();
            let begun = Instant::now();
            self.stage.request_rotation(name, &token).await?;
            self.rolled_out(name, Some(&token)).await?;
            times.rolled_out.push(begun.elapsed());
            until(&format!("{name}: the previous credential is retired"), async || {
                Ok(self.stage.aws_secret(name).filter(|aws| !aws.labels.contains_key(RETIRING_LABEL)).map(drop))
            })
            .await?;
            times.retired.push(begun.elapsed());
            let told = self.collector.told(kind);
            if server.overlaps() {
                ensure!(told.failures.is_empty(), "{name}: failed logins in rotation {rotation}: {:?}", told.failures);
            }
        }
        Ok(())
    }

    /// Waits until the current version is rolled out, which this request asked for.
    async fn rolled_out(&self, name: &str, token: Option<&str>) -> Result<()> {
        let waited = until(&format!("{name}: every pod has the version of {token:?}"), async || {
            let Some(agreed) = self.stage.agreed(name).await? else { return Ok(None) };
            let rollout = agreed.object.status.as_ref().and_then(|status| status.rollout.clone());
            let current = agreed.aws.labels.get("AWSCURRENT").cloned();
            let done = rollout.is_some_and(|rollout| rollout.phase == RolloutPhase::Completed && Some(rollout.version_id) == current);
            Ok((done && token.is_none_or(|token| agreed.acknowledges(token))).then_some(()))
        })
        .await;
        self.stage.explained(name, waited).await
    }

    /// The operator, which is killed 2 to 12 seconds after each start.
    async fn operate(&self, kills: &AtomicUsize) -> Result<()> {
        loop {
            let operator = Operator::start_with(&self.stage, &["--log", "info"]).await?;
            let random = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_micros();
            let life = Duration::from_millis(2_000 + u64::from(random % 10_000));
            tokio::time::sleep(life).await;
            operator.check()?;
            operator.kill().await?;
            kills.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// This test program, in an image with the libraries that it needs.
fn program() -> Result<testkit::image::Image> {
    let (itself, dir) = (std::env::current_exe()?, tempfile::tempdir()?);
    let small = dir.path().join("application");
    let stripped = Command::new("strip").arg("-o").arg(&small).arg(&itself).status().is_ok_and(|status| status.success());
    let program: &Path = if stripped { &small } else { &itself };
    let mut image = operator(program, Needs::Libraries, 0)?;
    image.entrypoint.extend(["logins::application::logs_in_until_it_is_killed", "--exact", "--ignored", "--nocapture"].map(str::to_owned));
    Ok(image)
}

fn deployment(name: &str, variables: &Value) -> Value {
    let labels = json!({"app": name});
    let container = json!({
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "env": variables,
        "readinessProbe": {"tcpSocket": {"port": READY_PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "db", "mountPath": MOUNT, "readOnly": true}],
    });
    let pod = json!({
        "automountServiceAccountToken": false,
        // The program goes on logging in until it is killed.
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": "db", "secret": {"secretName": name}}],
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    })
}
