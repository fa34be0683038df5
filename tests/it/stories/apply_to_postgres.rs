//! The password of a user in a real PostgreSQL is rotated on request.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS};
use serde_json::{Value, json};
use testkit::postgres::Postgres;

use super::{Case, Story};

pub(super) const OLD: &str = "theirs";

pub(crate) static STORY: Story =
    Story { arrange: |case| arrange(case).boxed(), check: |case| check(case).boxed(), ..Story::of_target("apply-to-postgres") };

/// Each case has a role of its own.
pub(super) fn role(case: &Case) -> String {
    format!("{}_{}", case.world.namespace, case.name).replace('-', "_")
}

async fn arrange(case: &Case) -> Result<()> {
    arrange_with(case, "SELECT 1", &json!({})).await
}

/// A role, an AWS secret with its password, and an object that adopted that and verifies with this query. `more`: fields of
/// the target.
pub(super) async fn arrange_with(case: &Case, query: &str, more: &Value) -> Result<()> {
    let (postgres, role) = (Postgres::shared()?, role(case));
    postgres.sql("postgres", &format!("CREATE ROLE {role} LOGIN"))?;
    postgres.set_password(&role, OLD)?;
    // A query that works with this password and with no other one.
    postgres.sql(
        "postgres",
        &format!(
            "CREATE TABLE known_{role} AS SELECT rolpassword FROM pg_authid WHERE rolname = '{role}';
             CREATE FUNCTION works_{role}() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 / count(*) FROM known_{role} JOIN \
             pg_authid USING (rolpassword) $$"
        ),
    )?;
    let allowed = json!({"metadata": {"annotations": {ALLOWED_HOSTS: "127.0.0.1:*"}}});
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(case.world.admin.clone());
    namespaces.patch(&case.world.namespace, &PatchParams::default(), &Patch::Merge(allowed)).await?;
    let value = json!({"username": role, "password": OLD}).to_string();
    let tags = [(ADOPT_BY.to_owned(), format!("{}/{}", case.world.namespace, case.name))].into();
    case.world.emulator.external_writer().create(&case.world.aws_name(&case.name), &value, &tags)?;
    let mut target = json!({"host": "127.0.0.1", "port": postgres.port(), "database": "postgres", "tls": {"caBundle": postgres.ca()}, "verify": {"sql": query}, "checkInterval": "0s"});
    target.as_object_mut().context("a target")?.extend(more.as_object().context("fields")?.clone());
    case.settled(json!({
        "aws": {"adoptionPolicy": "IfTagged"},
        "value": {"data": {"username": role}, "generate": {"password": {}}},
        "rotation": {"schedule": "rate(1 day)", "postgres": target},
    }))
    .await
}

async fn check(case: &Case) -> Result<()> {
    case.world.check_agreement(&case.name).await?;
    let (postgres, role, aws) = (Postgres::shared()?, role(case), case.aws()?);
    ensure!(!aws.labels.contains_key("AWSPENDING"), "it is settled: {:?}", aws.labels);
    let value: Value = serde_json::from_str(aws.current().context("a value")?)?;
    let password = value["password"].as_str().context("a password")?;
    ensure!(password != OLD && postgres.accepts(&role, password)?, "the mirrored password logs in");
    ensure!(!postgres.accepts(&role, OLD)?, "the old one does not");
    Ok(())
}
