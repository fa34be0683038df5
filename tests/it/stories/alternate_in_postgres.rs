//! Two users in a real PostgreSQL take turns: the rotation is for the second one.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use rotated_secrets::api::{ALLOWED_HOSTS, MIRROR_NAMES, RotatedSecret};
use serde_json::{Value, json};
use testkit::REGION;
use testkit::postgres::Postgres;

use super::apply_to_postgres::{OLD, arrange_with, role};
use super::{Case, Story};

pub(crate) static STORY: Story =
    Story { arrange: |case| arrange(case).boxed(), check: |case| check(case).boxed(), ..Story::of_target("alternate-in-postgres") };

const ADMIN: &str = "of the administrator";

async fn arrange(case: &Case) -> Result<()> {
    let (postgres, world) = (Postgres::shared()?, &case.world);
    let (admin, secret) = (format!("{}_admin", role(case)), format!("admins/{}/{}", world.namespace, case.name));
    postgres.sql("postgres", &format!("CREATE ROLE {admin} LOGIN CREATEROLE"))?;
    postgres.set_password(&admin, ADMIN)?;
    world.emulator.external_writer().create(&secret, &json!({"username": admin, "password": ADMIN}).to_string(), &[].into())?;
    let allowed = json!({"metadata": {"annotations": {MIRROR_NAMES: "admins/*"}}});
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(world.admin.clone());
    namespaces.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(allowed)).await?;
    let mut object: RotatedSecret = serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1",
        "kind": "RotatedSecret",
        "metadata": {},
        "spec": {"aws": {"secretName": secret, "region": REGION}, "target": {"creationPolicy": "None"}},
    }))?;
    object.metadata = ObjectMeta {
        name: Some(format!("{}-admin", case.name)),
        annotations: Some([(ALLOWED_HOSTS.to_owned(), format!("127.0.0.1:{}", postgres.port()))].into()),
        ..ObjectMeta::default()
    };
    Api::<RotatedSecret>::namespaced(world.admin.clone(), &world.namespace).create(&PostParams::default(), &object).await?;
    let users = json!({"users": "AlternatingUsers", "adminRef": {"name": format!("{}-admin", case.name)}});
    arrange_with(case, "SELECT 1", &users).await?;
    // PostgreSQL 16 and later require it.
    postgres.sql("postgres", &format!("GRANT {} TO {admin} WITH ADMIN OPTION", role(case))).map(drop)
}

async fn check(case: &Case) -> Result<()> {
    case.world.check_agreement(&case.name).await?;
    let (postgres, role, aws) = (Postgres::shared()?, role(case), case.aws()?);
    ensure!(!aws.labels.contains_key("AWSPENDING"), "it is settled: {:?}", aws.labels);
    let value: Value = serde_json::from_str(aws.current().context("a value")?)?;
    let password = value["password"].as_str().context("a password")?;
    ensure!(value["username"] == json!(format!("{role}_clone")), "it is the turn of the second user: {}", value["username"]);
    ensure!(postgres.accepts(&format!("{role}_clone"), password)?, "the mirrored password logs in");
    ensure!(postgres.accepts(&role, OLD)?, "the one before still does");
    Ok(())
}
