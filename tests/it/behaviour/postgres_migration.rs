//! A secret that AWS's rotation function for a single PostgreSQL user has rotated is rotated by the operator from then on.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rotated_secrets::api::{AWSCURRENT, Cause};
use serde_json::{Value, json};
use testkit::emulator::function::KeepUsername;
use testkit::emulator::{ExternalWriter, Invocation, RotationFunction, RotationStep};
use testkit::postgres::Postgres;
use uuid::Uuid;

use super::postgres::{OLD, Scene};
use super::stage::MINUTE;

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:SecretsManagerRDSPostgreSQLRotationSingleUser";

/// The four steps of AWS's template: it keeps the fields, changes the password in the server, and logs in with it.
struct SingleUserTemplate {
    in_aws: Arc<KeepUsername>,
    postgres: &'static Postgres,
    role: &'static str,
}

impl SingleUserTemplate {
    fn in_the_server(&self, account: &ExternalWriter, call: &Invocation) -> Result<(), String> {
        let pending = json!({"SecretId": call.secret_arn, "VersionId": call.token, "VersionStage": "AWSPENDING"});
        let read = account.act("GetSecretValue", &pending).map_err(|error| error.code.into_owned())?;
        let value: Value = serde_json::from_str(read["SecretString"].as_str().unwrap_or_default()).map_err(|_| "no JSON")?;
        let password = value["password"].as_str().ok_or("no password")?;
        let done = match call.step {
            RotationStep::SetSecret => self.postgres.set_password(self.role, password).is_ok(),
            _ => self.postgres.accepts(self.role, password).unwrap_or_default(),
        };
        if done { Ok(()) } else { Err("the server refused it".to_owned()) }
    }
}

impl RotationFunction for SingleUserTemplate {
    fn invoke<'a>(&'a self, account: &'a ExternalWriter, call: &'a Invocation) -> BoxFuture<'a, Result<(), String>> {
        async move {
            if matches!(call.step, RotationStep::SetSecret | RotationStep::TestSecret) {
                self.in_the_server(account, call)?;
            }
            self.in_aws.invoke(account, call).await
        }
        .boxed()
    }
}

/// The role, and a secret as the template has rotated it, with the rotation turned on.
async fn rotated_by_the_template(role: &'static str) -> Result<(Scene, Arc<KeepUsername>, Value)> {
    let scene = Scene::new(role).await?;
    let (stage, name) = (&scene.stage, scene.stage.aws_name("app"));
    let template = SingleUserTemplate { in_aws: KeepUsername::new(), postgres: scene.postgres, role };
    let in_aws = Arc::clone(&template.in_aws);
    stage.world.emulator.set_rotation_function(FUNCTION, Some(Arc::new(template)));
    let value = json!({
        "engine": "postgres", "host": "db.example.com", "port": 5432, "dbname": "orders", "username": role, "password": OLD,
    });
    stage.external_writer().put_value(&name, &value.to_string())?;
    rotate(&scene).await?;
    ensure!(!scene.postgres.accepts(role, OLD)?, "the template has changed the password");
    Ok((scene, in_aws, value))
}

async fn rotate(scene: &Scene) -> Result<()> {
    let rules = json!({"AutomaticallyAfterDays": 30});
    let token = Uuid::new_v4().to_string();
    let name = scene.stage.aws_name("app");
    let rotation = json!({"SecretId": name, "ClientRequestToken": token, "RotationLambdaARN": FUNCTION, "RotationRules": rules});
    scene.stage.external_writer().act("RotateSecret", &rotation)?;
    scene.stage.world.emulator.run_rotations().await;
    Ok(())
}

fn cancel(scene: &Scene) -> Result<()> {
    scene.stage.external_writer().act("CancelRotateSecret", &json!({"SecretId": scene.stage.aws_name("app")}))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_rotation_function_of_aws_has_rotated_keeps_its_fields() -> Result<()> {
    let (scene, _, mut expected) = rotated_by_the_template("from_template").await?;
    let stage = &scene.stage;
    stage.world.create("app", scene.spec()).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "ForeignRotation").await?;
    ensure!(message.contains("cancel-rotate-secret"), "{message}");

    cancel(&scene)?;
    stage.advance(5 * MINUTE);
    stage.settle("app").await?;
    let by_template = scene.mirrored().await?;
    ensure!(scene.postgres.accepts(scene.role, &by_template)?, "pods log in with what the template has set");
    scene.request("now").await?;
    let password = scene.check(4).await?;
    ensure!(password != by_template && !scene.postgres.accepts(scene.role, &by_template)?);
    expected["password"] = json!(password);
    assert_eq!(stage.value("app"), expected, "every field of the template stays as it was");
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Adopted]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_the_function_that_was_interrupted_is_ended_by_a_person_and_not_by_the_operator() -> Result<()> {
    let (scene, function, _) = rotated_by_the_template("interrupted_template").await?;
    let stage = &scene.stage;
    // The server has the new password, and AWS has it as AWSPENDING only.
    function.fail_at(Some(RotationStep::TestSecret));
    stage.advance(5 * MINUTE);
    rotate(&scene).await?;
    cancel(&scene)?;
    let pending = scene.pending().context("a version of the function")?;
    stage.world.create("app", scene.spec()).await?;
    stage.settle("app").await?;
    scene.request("now").await?;
    let message = stage.expect("app", "Rotated", "False", "ForeignPending").await?;
    ensure!(message.contains("let that rotation end"), "{message}");
    assert_eq!(scene.pending().as_ref(), Some(&pending), "it is not touched");

    // The server accepts the password of that version, so it is the current one.
    let versions = stage.versions("app");
    stage.external_writer().move_label(&stage.aws_name("app"), AWSCURRENT, Some(&pending))?;
    stage.advance(5 * MINUTE);
    stage.settle("app").await?;
    scene.check(versions + 1).await?;
    Ok(())
}
