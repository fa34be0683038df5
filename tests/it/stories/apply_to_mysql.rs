//! The password of a user in a real MariaDB is rotated on request.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::mysql::{Kind, MySql};

use super::apply_to_postgres::OLD;
use super::{Case, Story};

pub(crate) static STORY: Story =
    Story { arrange: |case| arrange(case).boxed(), check: |case| check(case).boxed(), ..Story::of_target("apply-to-mysql") };

/// Each case has a user of its own. MySQL allows 32 characters.
pub(super) fn user(case: &Case) -> String {
    let digest = Sha256::digest(format!("{}/{}", case.world.namespace, case.name));
    digest.iter().take(10).fold("u".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

async fn arrange(case: &Case) -> Result<()> {
    let (mysql, user) = (MySql::shared(Kind::MariaDb)?, user(case));
    mysql.sql(&format!("CREATE USER {user} IDENTIFIED BY '{OLD}'"))?;
    let target = json!({"host": "127.0.0.1", "port": mysql.port(), "tls": {"caBundle": mysql.ca()}, "verify": {"sql": "SELECT 1"}, "checkInterval": "0s"});
    arrange_target(case, &user, json!({"mysql": target})).await
}

/// An AWS secret with the password of a user, and an object with this target that adopted it.
pub(super) async fn arrange_target(case: &Case, user: &str, target: Value) -> Result<()> {
    let allowed = json!({"metadata": {"annotations": {ALLOWED_HOSTS: "127.0.0.1:*"}}});
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(case.world.admin.clone());
    namespaces.patch(&case.world.namespace, &PatchParams::default(), &Patch::Merge(allowed)).await?;
    let value = json!({"username": user, "password": OLD}).to_string();
    let tags = [(ADOPT_BY.to_owned(), format!("{}/{}", case.world.namespace, case.name))].into();
    case.world.emulator.external_writer().create(&case.world.aws_name(&case.name), &value, &tags)?;
    let mut rotation = json!({"schedule": "rate(1 day)"});
    rotation.as_object_mut().context("fields")?.extend(target.as_object().context("a target")?.clone());
    case.settled(json!({
        "aws": {"adoptionPolicy": "IfTagged"},
        "value": {"data": {"username": user}, "generate": {"password": {}}},
        "rotation": rotation,
    }))
    .await
}

/// The password that is current, if nothing is left behind.
pub(super) async fn current(case: &Case) -> Result<String> {
    case.world.check_agreement(&case.name).await?;
    let aws = case.aws()?;
    ensure!(!aws.labels.contains_key("AWSPENDING"), "it is settled: {:?}", aws.labels);
    let value: Value = serde_json::from_str(aws.current().context("a value")?)?;
    let password = value["password"].as_str().context("a password")?;
    ensure!(password != OLD, "it was rotated");
    Ok(password.to_owned())
}

async fn check(case: &Case) -> Result<()> {
    let (mysql, user, password) = (MySql::shared(Kind::MariaDb)?, user(case), current(case).await?);
    ensure!(mysql.accepts(&user, &password)?, "the mirrored password logs in");
    ensure!(!mysql.accepts(&user, OLD)?, "the old one does not");
    Ok(())
}
