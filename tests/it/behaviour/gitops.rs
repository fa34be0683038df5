//! What Argo CD and Flux say of an object in each state that the operator reports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS};
use serde_json::{Value, json};
use testkit::emulator::Fault;
use testkit::fixtures::{scheduled, spec};
use testkit::jobs::{self, Exit, Service};
use testkit::lua::health;
use testkit::redis::Redis;

use super::stage::{HOUR, MINUTE, Stage};
use crate::gitops::{Flux, LUA, kstatus, table};
use crate::workloads::Workloads;

/// The password of a service before its first rotation.
const OLD: &str = "theirs-canary-6hV2";
const SECOND: Duration = Duration::from_secs(1);

/// What was said of each state.
type Said = BTreeMap<String, [String; 3]>;

/// A stage, and what was said of objects on it.
struct Scene {
    stage: Stage,
    flux: Flux,
    said: Said,
}

impl Scene {
    async fn new() -> Result<Self> {
        Self::on(Stage::new("health").await?).await
    }

    async fn on(stage: Stage) -> Result<Self> {
        let flux = Flux::new(&stage.world).await?;
        Ok(Self { stage, flux, said: Said::new() })
    }

    /// Notes what is said of the object now.
    async fn note(&mut self, state: &str, name: &str) -> Result<()> {
        let object = serde_json::to_value(self.stage.world.dynamic().get(name).await?)?;
        let argo = health(LUA, &object)?;
        ensure!(!argo.message.is_empty(), "{state}");
        testkit::commands::check(&argo.message)?;
        let flux = self.flux.status(name, &object).await?;
        self.said.insert(state.to_owned(), [argo.status, flux, kstatus(&object).to_owned()]);
        Ok(())
    }
}

fn denied() -> Fault {
    Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() }
}

async fn in_peace() -> Result<Said> {
    let mut scene = Scene::new().await?;
    scene.stage.world.create("new", spec()).await?;
    scene.note("not reconciled yet", "new").await?;
    scene.stage.settled("app", spec()).await?;
    scene.note("created and mirrored", "app").await?;
    scene.stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    scene.note("spec edited, not reconciled yet", "app").await?;
    scene.stage.settle("app").await?;
    let version = scene.stage.mirrored_version("app").await?;
    scene.stage.world.patch("app", json!({"spec": {"target": {"versionId": version}}})).await?;
    scene.stage.settle("app").await?;
    scene.note("pinned to a version", "app").await?;
    Ok(scene.said)
}

async fn in_trouble() -> Result<Said> {
    let mut scene = Scene::new().await?;
    for (state, name, spec) in [
        ("name not allowed in this namespace", "name", json!({"aws": {"secretName": "shared/db"}, "value": spec()["value"]})),
        ("schedule that is not possible", "schedule", scheduled("0 0 31 2-6/2 *")),
    ] {
        scene.stage.settled(name, spec).await?;
        scene.note(state, name).await?;
    }
    scene.stage.break_aws("CreateSecret", Fault::ServerError { status: 500 });
    scene.stage.world.create("app", spec()).await?;
    scene.stage.live("app", 10 * SECOND).await?;
    scene.note("first version fails, a few times", "app").await?;
    scene.stage.live("app", 5 * MINUTE).await?;
    scene.note("first version fails, five times or more", "app").await?;
    scene.stage.mend_aws();
    scene.stage.live("app", HOUR).await?;
    scene.stage.expect("app", "Ready", "True", "Succeeded").await?;
    scene.stage.break_aws("DescribeSecret", denied());
    scene.stage.settle("app").await?;
    scene.note("AWS denies a call", "app").await?;
    Ok(scene.said)
}

async fn without_a_value() -> Result<Said> {
    let mut scene = Scene::new().await?;
    let shared = scene.stage.aws_name("shared");
    scene.stage.settled("app", json!({"aws": {"secretName": shared}})).await?;
    scene.note("AWS secret to mirror does not exist yet", "app").await?;
    scene.stage.external_writer().create(&shared, r#"{"user":"a"}"#, &BTreeMap::new())?;
    scene.stage.live("app", HOUR).await?;
    scene.stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(scene.stage.external_writer().purge(&shared));
    scene.stage.live("app", HOUR).await?;
    scene.note("AWS secret to mirror is gone", "app").await?;
    Ok(scene.said)
}

async fn suspended() -> Result<Said> {
    let mut scene = Scene::new().await?;
    let suspend = json!({"spec": {"suspend": true}});
    scene.stage.settled("app", spec()).await?;
    scene.stage.world.patch("app", suspend.clone()).await?;
    scene.stage.settle("app").await?;
    scene.note("suspended", "app").await?;
    scene.stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
    scene.stage.settle("app").await?;
    scene.note("suspended, and edited since", "app").await?;

    let mut from_the_start = spec();
    from_the_start["suspend"] = json!(true);
    scene.stage.settled("new", from_the_start).await?;
    scene.note("suspended before it was created", "new").await?;

    scene.stage.external_writer().create(&scene.stage.aws_name("trouble"), "theirs", &BTreeMap::new())?;
    scene.stage.settled("trouble", spec()).await?;
    scene.stage.world.patch("trouble", suspend).await?;
    scene.stage.settle("trouble").await?;
    scene.note("suspended while something fails", "trouble").await?;

    scene.stage.settled("rotation", spec()).await?;
    scene.stage.world.patch("rotation", json!({"spec": {"rotation": {"suspend": true}}})).await?;
    scene.stage.settle("rotation").await?;
    scene.stage.advance(5 * HOUR);
    scene.stage.settle("rotation").await?;
    scene.note("rotation suspended, and due", "rotation").await?;
    Ok(scene.said)
}

async fn rolled_out() -> Result<Said> {
    let mut scene = Scene::on(Stage::in_step("health").await?).await?;
    let deployments = Workloads::of(&scene.stage.world, "Deployment");
    deployments.create("api", "db").await?;
    let mut spec = scheduled("rate(12 hours)");
    spec["rollout"] = json!({"timeout": "10m"});
    scene.stage.settled("db", spec).await?;
    scene.stage.expect("db", "RolledOut", "True", "Succeeded").await?;
    deployments.fail("api").await?;
    scene.stage.advance(12 * HOUR);
    scene.stage.live("db", 3 * SECOND).await?;
    scene.stage.expect("db", "Ready", "False", "Overdue").await?;
    scene.note("rotation waits for unhealthy workloads", "db").await?;
    scene.stage.world.request_rotation("db", "now").await?;
    scene.stage.live("db", 3 * SECOND).await?;
    scene.stage.expect("db", "RolledOut", "False", "Waiting").await?;
    scene.note("workloads take up a new version", "db").await?;
    scene.stage.live("db", 11 * MINUTE).await?;
    scene.stage.expect("db", "RolledOut", "False", "RolloutFailed").await?;
    scene.note("rollout failed", "db").await?;
    Ok(scene.said)
}

async fn deleted() -> Result<Said> {
    let mut scene = Scene::new().await?;
    let mut spec: Value = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete", "recoveryWindowInDays": 7});
    scene.stage.settled("app", spec).await?;
    scene.stage.break_aws("DeleteSecret", denied());
    scene.stage.delete_object("app").await?;
    scene.stage.reconcile("app").await?;
    scene.note("deletion waits for AWS", "app").await?;
    Ok(scene.said)
}

/// An AWS secret with this login, which the object `app` may adopt.
fn adoptable(stage: &Stage, user: &str) -> Result<()> {
    let value = json!({"username": user, "password": OLD}).to_string();
    let tags = [(ADOPT_BY.to_owned(), format!("{}/app", stage.world.namespace))].into();
    Ok(stage.external_writer().create(&stage.aws_name("app"), &value, &tags).map(drop)?)
}

fn adopting(user: &str, strategy: &str, target: &Value) -> Value {
    json!({
        "aws": {"adoptionPolicy": "IfTagged"},
        "value": {"data": {"username": user}, "generate": {"password": {}}},
        "rotation": {"schedule": "rate(12 hours)", strategy: target},
    })
}

async fn in_rotation() -> Result<Said> {
    let mut scene = Scene::new().await?;
    let (service, runs) = (Service::new(OLD), Arc::new(AtomicBool::new(false)));
    jobs::template(&scene.stage.world.admin, &scene.stage.world.namespace, "rotate", "app").await?;
    let holds = Arc::clone(&runs);
    scene.stage.world.jobs.set(move |files| if holds.load(Ordering::SeqCst) { Exit::Runs } else { service.program(files) });
    adoptable(&scene.stage, "orders")?;
    let template = json!({"templateRef": {"kind": "CronJob", "name": "rotate"}});
    scene.stage.settled("app", adopting("orders", "job", &template)).await?;
    runs.store(true, Ordering::SeqCst);
    scene.stage.world.request_rotation("app", "now").await?;
    for _ in 0..8 {
        scene.stage.reconcile("app").await?;
    }
    ensure!(scene.stage.status("app").await?.staged.is_some(), "the Job of the rotation runs");
    scene.note("rotation in progress", "app").await?;
    Ok(scene.said)
}

async fn not_retired() -> Result<Said> {
    let mut scene = Scene::on(Stage::in_step("health").await?).await?;
    let (redis, user) = (Redis::shared()?, scene.stage.world.namespace.replace('-', "_"));
    redis.command(&["ACL", "SETUSER", &user, "on", &format!(">{OLD}"), "+acl"])?;
    adoptable(&scene.stage, &user)?;
    scene.stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    let target = json!({"host": "127.0.0.1", "port": redis.port(), "tls": {"caBundle": redis.ca()}, "checkInterval": "0s"});
    let mut spec = adopting(&user, "redis", &target);
    spec["rollout"] = json!({"workloads": [], "retireAfter": "10m"});
    scene.stage.settled("app", spec).await?;
    scene.stage.advance(MINUTE);
    scene.stage.world.request_rotation("app", "now").await?;
    scene.stage.live("app", MINUTE).await?;
    // Another client takes the right away that retirement needs.
    redis.command(&["ACL", "SETUSER", &user, "-acl"])?;
    scene.stage.live("app", 20 * MINUTE).await?;
    scene.stage.expect("app", "RolledOut", "False", "RetirementFailed").await?;
    scene.note("previous credential not retired", "app").await?;
    Ok(scene.said)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_has_the_health_in_argo_cd_and_flux_that_the_page_says() -> Result<()> {
    let scenes = futures::future::try_join_all([
        in_peace().boxed_local(),
        in_trouble().boxed_local(),
        without_a_value().boxed_local(),
        suspended().boxed_local(),
        rolled_out().boxed_local(),
        in_rotation().boxed_local(),
        not_retired().boxed_local(),
        deleted().boxed_local(),
    ]);
    let said: Said = scenes.await?.into_iter().flatten().collect();
    let told = table();
    let differing: Vec<_> = said.iter().filter(|(state, health)| told.get(*state) != Some(health)).collect();
    ensure!(differing.is_empty(), "docs/gitops.md says otherwise: {differing:#?}");
    ensure!(told.keys().eq(said.keys()), "states without a test: {:?}", told.keys().filter(|state| !said.contains_key(*state)));
    Ok(())
}
