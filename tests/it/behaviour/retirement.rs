//! The previous credential is retired once every workload has the current one: in a real Redis and a real MySQL.

use std::time::Duration;

use anyhow::{Result, ensure};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS, RETIRING_LABEL};
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::redis::Redis;

use super::stage::{HOUR, MINUTE, Stage};
use crate::workloads::Workloads;

const OLD: &str = "theirs-canary-8wQ1";
/// Not long enough for a second look at the workloads.
const SECONDS: Duration = Duration::from_secs(3);

/// A user in Redis and the AWS secret with its password. Returns the user, and the spec of the object of this name, which adopts the
/// secret and rotates the password.
pub(super) async fn user_in_redis(stage: &Stage, object: &str, rollout: Value) -> Result<(String, Value)> {
    let redis = Redis::shared()?;
    let user = stage.world.namespace.replace('-', "_");
    redis.command(&["ACL", "SETUSER", &user, "on", &format!(">{OLD}"), "+acl"])?;
    let value = json!({"username": user, "password": OLD}).to_string();
    let tags = [(ADOPT_BY.to_owned(), format!("{}/{object}", stage.world.namespace))].into();
    stage.external_writer().create(&stage.aws_name(object), &value, &tags)?;
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    let target = json!({"host": "127.0.0.1", "port": redis.port(), "tls": {"caBundle": redis.ca()}, "checkInterval": "0s"});
    let mut spec = json!({
        "aws": {"adoptionPolicy": "IfTagged"},
        "value": {"data": {"username": user}, "generate": {"password": {}}},
        "rotation": {"schedule": "rate(12 hours)", "redis": target},
    });
    if !rollout.is_null() {
        spec["rollout"] = rollout;
    }
    Ok((user, spec))
}

/// A user in Redis, an object that rotates its password, and a Deployment that uses it.
struct Scene {
    stage: Stage,
    deployments: Workloads,
    redis: &'static Redis,
    user: String,
}

impl Scene {
    async fn new(prefix: &str, rollout: Value) -> Result<Self> {
        let stage = Stage::in_step(prefix).await?;
        let (user, spec) = user_in_redis(&stage, "app", rollout).await?;
        let deployments = Workloads::of(&stage.world, "Deployment");
        deployments.create("api", "app").await?;
        stage.settled("app", spec).await?;
        Ok(Self { stage, deployments, redis: Redis::shared()?, user })
    }

    async fn rotate(&self, token: &str) -> Result<String> {
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation("app", token).await?;
        self.stage.live("app", SECONDS).await?;
        Ok(self.stage.data("app").await?["password"].clone())
    }

    fn accepts(&self, password: &str) -> Result<bool> {
        self.redis.accepts(&self.user, password)
    }

    fn is_marked(&self) -> bool {
        self.stage.world.aws_secret("app").is_some_and(|secret| secret.labels.contains_key(RETIRING_LABEL))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_credential_is_retired_once_after_the_rollout_and_the_declared_time() -> Result<()> {
    let scene = Scene::new("retire", json!({"retireAfter": "30m"})).await?;
    let stage = &scene.stage;
    let first = scene.rotate("now").await?;
    ensure!(first != OLD && scene.is_marked(), "what is left to do is recorded in AWS");
    stage.live("app", 5 * MINUTE).await?;
    ensure!(scene.accepts(OLD)? && scene.accepts(&first)?, "both are valid while pods are replaced");
    scene.deployments.settle("api").await?;
    stage.live("app", 20 * MINUTE).await?;
    let message = stage.expect("app", "RolledOut", "True", "Succeeded").await?;
    ensure!(message.contains("the previous credential is retired at "), "{message}");
    ensure!(scene.accepts(OLD)?, "the declared time has not passed");
    assert_eq!(scene.rotate("again").await?, first, "no rotation takes the place of a credential that is still in use");
    stage.live("app", 15 * MINUTE).await?;
    let second = stage.data("app").await?["password"].clone();
    ensure!(!scene.accepts(OLD)? && second != first, "the credential is retired, and the request follows");
    ensure!(scene.accepts(&first)? && scene.accepts(&second)?);
    scene.deployments.settle("api").await?;
    stage.live("app", HOUR).await?;
    ensure!(!scene.accepts(&first)? && scene.accepts(&second)? && !scene.is_marked());
    assert_eq!(stage.told("app", "Normal", "Retired").await?, 2);
    stage.assert_silence("app").await?;
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_fails_keeps_the_previous_credential_valid_and_a_rollback_retires_the_new_one() -> Result<()> {
    let scene = Scene::new("keep", json!({"timeout": "10m", "onFailure": "RollBack"})).await?;
    let stage = &scene.stage;
    let failed = scene.rotate("now").await?;
    stage.live("app", 11 * MINUTE).await?;
    assert_eq!(stage.data("app").await?["password"], OLD, "pods get the previous password back");
    ensure!(scene.accepts(OLD)? && scene.accepts(&failed)?);
    scene.deployments.settle("api").await?;
    stage.live("app", 2 * MINUTE).await?;
    stage.expect("app", "RolledOut", "False", "RolloutRolledBack").await?;
    ensure!(scene.accepts(OLD)? && !scene.accepts(&failed)?, "the one that did not work is retired");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_retires_the_previous_credential_without_waiting_for_pods() -> Result<()> {
    for (prefix, rollout) in [("leak", json!({"retireAfter": "24h"})), ("leak-bare", Value::Null)] {
        let scene = Scene::new(prefix, rollout).await?;
        let leaked = scene.rotate("now").await?;
        ensure!(scene.accepts(OLD)?);
        let current = scene.rotate("leaked:emergency").await?;
        ensure!(current != leaked, "{prefix}: it does not wait for the rollout in progress");
        ensure!(scene.accepts(&current)? && !scene.accepts(&leaked)? && !scene.accepts(OLD)?, "{prefix}");
        ensure!(!scene.is_marked());
    }
    Ok(())
}

/// The label says what is left to retire: without it, the request would be carried out and the leaked credential would work.
#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_is_not_carried_out_without_the_label_of_the_leaked_credential() -> Result<()> {
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    // One of the moves of labels is that of the leaked version.
    for nth in 1..=4 {
        let scene = Scene::new("leak-label", Value::Null).await?;
        let leaked = scene.rotate("now").await?;
        scene.stage.world.emulator.set_faults(FaultPlan::none().with("UpdateSecretVersionStage", When::Nth(nth), denied.clone()));
        scene.rotate("leaked:emergency").await?;
        scene.stage.live("app", HOUR).await?;
        let current = scene.stage.data("app").await?["password"].clone();
        ensure!(current != leaked && scene.accepts(&current)? && !scene.accepts(&leaked)?, "move {nth} is denied");
        ensure!(!scene.is_marked(), "move {nth} is denied");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_holds_the_previous_value_until_it_is_retired() -> Result<()> {
    let scene = Scene::new("both", json!({"retireAfter": "10m"})).await?;
    let stage = &scene.stage;
    stage.world.patch("app", json!({"spec": {"target": {"includePrevious": true}}})).await?;
    stage.settle("app").await?;
    scene.rotate("now").await?;
    assert_eq!(stage.data("app").await?["password.previous"], OLD);
    scene.deployments.settle("api").await?;
    stage.live("app", 5 * MINUTE).await?;
    ensure!(stage.data("app").await?.contains_key("password.previous") && scene.accepts(OLD)?);
    stage.live("app", 10 * MINUTE).await?;
    ensure!(!stage.data("app").await?.contains_key("password.previous") && !scene.accepts(OLD)?);
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 0, "nobody edited it");
    assert_eq!(stage.told("app", "Normal", "RolledOut").await?, 1, "it is the same version");
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rollout_the_previous_credential_stays_until_the_next_rotation() -> Result<()> {
    let scene = Scene::new("stays", Value::Null).await?;
    let first = scene.rotate("now").await?;
    scene.stage.live("app", HOUR).await?;
    ensure!(scene.accepts(OLD)? && scene.accepts(&first)? && !scene.is_marked());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_give_a_credential_up_is_asked_again() -> Result<()> {
    let scene = Scene::new("silent", json!({"retireAfter": "10m"})).await?;
    let stage = &scene.stage;
    let first = scene.rotate("now").await?;
    scene.deployments.settle("api").await?;
    stage.live("app", MINUTE).await?;
    // Another client takes the right away that retirement needs.
    scene.redis.command(&["ACL", "SETUSER", &scene.user, "-acl"])?;
    stage.live("app", 20 * MINUTE).await?;
    stage.expect("app", "RolledOut", "False", "RetirementFailed").await?;
    stage.expect("app", "Ready", "False", "RetirementFailed").await?;
    ensure!(scene.accepts(OLD)? && scene.accepts(&first)? && scene.is_marked());
    scene.redis.command(&["ACL", "SETUSER", &scene.user, "+acl"])?;
    stage.live("app", HOUR).await?;
    ensure!(!scene.accepts(OLD)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_another_field_keeps_the_password_and_retires_nothing() -> Result<()> {
    let scene = Scene::new("field", json!({})).await?;
    let stage = &scene.stage;
    stage.advance(MINUTE);
    let data = json!({"username": scene.user, "realm": "shop"});
    stage.world.patch("app", json!({"spec": {"value": {"data": data}}})).await?;
    stage.live("app", MINUTE).await?;
    scene.deployments.settle("api").await?;
    stage.live("app", 5 * MINUTE).await?;
    stage.expect("app", "RolledOut", "True", "Succeeded").await?;
    ensure!(scene.accepts(OLD)? && !scene.is_marked());
    ensure!(scene.rotate("now").await? != OLD, "and nothing is held up");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_allowed_any_more_is_not_called_to_retire_a_credential() -> Result<()> {
    let scene = Scene::new("host", json!({"retireAfter": "10m"})).await?;
    let stage = &scene.stage;
    scene.rotate("now").await?;
    scene.deployments.settle("api").await?;
    stage.live("app", MINUTE).await?;
    stage.annotate_namespace(json!({ALLOWED_HOSTS: null})).await?;
    stage.live("app", HOUR).await?;
    ensure!(scene.accepts(OLD)? && scene.is_marked());
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    stage.live("app", HOUR).await?;
    ensure!(!scene.accepts(OLD)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_is_added_before_the_retirement_is_restarted_first() -> Result<()> {
    let scene = Scene::new("added", json!({"workloads": [], "retireAfter": "10m"})).await?;
    let stage = &scene.stage;
    scene.rotate("now").await?;
    stage.world.patch("app", json!({"spec": {"rollout": {"workloads": null}}})).await?;
    stage.live("app", 15 * MINUTE).await?;
    ensure!(scene.accepts(OLD)?, "its pods still have the previous credential");
    stage
        .expect("app", "RolledOut", "False", "Waiting")
        .await
        .map(drop)
        .or(stage.expect("app", "RolledOut", "False", "RolloutFailed").await.map(drop))?;
    scene.deployments.settle("api").await?;
    stage.live("app", 15 * MINUTE).await?;
    ensure!(!scene.accepts(OLD)?);
    Ok(())
}
