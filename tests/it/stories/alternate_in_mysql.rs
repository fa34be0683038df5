//! Two users in a real MySQL take turns: the rotation is for the second one.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use kube::api::{Api, ObjectMeta, PostParams};
use rotated_secrets::api::{ADOPT_BY, RotatedSecret};
use serde_json::{Value, json};
use testkit::REGION;
use testkit::mysql::{Kind, MySql};

use super::apply_to_mysql::{arrange_target, user};
use super::apply_to_postgres::OLD;
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    check: |case| check(case).boxed(),
    obstacle: || Kind::MySql.obstacle(),
    ..Story::of_target("alternate-in-mysql")
};

const ADMIN: &str = "of the administrator";

async fn arrange(case: &Case) -> Result<()> {
    let (mysql, user, world) = (MySql::shared(Kind::MySql)?, user(case), &case.world);
    let (admin, object) = (format!("{user}_a"), format!("{}-admin", case.name));
    mysql.sql(&format!(
        "CREATE USER {user} IDENTIFIED BY '{OLD}'; GRANT SELECT ON {user}.* TO {user}; CREATE USER {admin} IDENTIFIED BY '{ADMIN}'; GRANT CREATE USER \
         ON *.* TO {admin}; GRANT SELECT ON mysql.* TO {admin}; GRANT SELECT ON {user}.* TO {admin} WITH GRANT OPTION"
    ))?;
    let tags = [(ADOPT_BY.to_owned(), format!("{}/{object}", world.namespace))].into();
    let value = json!({"username": admin, "password": ADMIN}).to_string();
    world.emulator.external_writer().create(&world.aws_name(&object), &value, &tags)?;
    let target = |more: Value| {
        let mut target = json!({"host": "127.0.0.1", "port": mysql.port(), "tls": {"caBundle": mysql.ca()}, "checkInterval": "0s"});
        target.as_object_mut().context("a target")?.extend(more.as_object().context("fields")?.clone());
        anyhow::Ok(json!({"mysql": target}))
    };
    let mut rotation = target(json!({}))?;
    rotation["schedule"] = json!("rate(1 day)");
    let mut declared: RotatedSecret = serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1",
        "kind": "RotatedSecret",
        "metadata": {},
        "spec": {
            "aws": {"region": REGION, "adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": admin}, "generate": {"password": {}}},
            "rotation": rotation,
            "target": {"creationPolicy": "None"},
        },
    }))?;
    declared.metadata = ObjectMeta { name: Some(object.clone()), ..ObjectMeta::default() };
    Api::<RotatedSecret>::namespaced(world.admin.clone(), &world.namespace).create(&PostParams::default(), &declared).await?;
    case.settle_object(&object).await?;
    arrange_target(case, &user, target(json!({"users": "AlternatingUsers", "adminRef": {"name": object}}))?).await
}

async fn check(case: &Case) -> Result<()> {
    case.world.check_agreement(&case.name).await?;
    let (mysql, user, aws) = (MySql::shared(Kind::MySql)?, user(case), case.aws()?);
    ensure!(!aws.labels.contains_key("AWSPENDING"), "it is settled: {:?}", aws.labels);
    let value: Value = serde_json::from_str(aws.current().context("a value")?)?;
    let password = value["password"].as_str().context("a password")?;
    ensure!(value["username"] == json!(format!("{user}_clone")), "it is the turn of the second user: {}", value["username"]);
    ensure!(mysql.accepts(&format!("{user}_clone"), password)?, "the mirrored password logs in");
    ensure!(mysql.accepts(&user, OLD)?, "the one before still does");
    Ok(())
}
