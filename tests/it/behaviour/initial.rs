//! The first value is read once from a Secret that names the object.

use anyhow::{Result, ensure};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS, Cause, INITIAL_VALUE_FOR};
use serde_json::{Value, json};
use testkit::postgres::Postgres;

use super::postgres::OLD;
use super::postgres_alternating::Pair;
use super::stage::{MINUTE, Stage};

const THEIRS: &str = "theirs-canary-7hK2";

fn secret(annotations: &Value, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders", "annotations": annotations}, "stringData": data,
    })
}

fn spec() -> Value {
    json!({"value": {
        "data": {"username": "orders"}, "generate": {"password": {}}, "initialRef": {"secretName": "orders", "key": "DB_PASSWORD"},
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_use_is_taken_from_a_secret_and_rotated_in_the_database() -> Result<()> {
    const ROLE: &str = "initial_role";
    let (stage, postgres) = (Stage::new("initial").await?, Postgres::shared()?);
    postgres.sql("postgres", &format!("DROP ROLE IF EXISTS {ROLE}; CREATE ROLE {ROLE} LOGIN"))?;
    postgres.set_password(ROLE, THEIRS)?;
    stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
    stage.make_secret(secret(&json!({INITIAL_VALUE_FOR: "app"}), &json!({"password": THEIRS, "other": "x"}))).await?;
    let spec = json!({
        "value": {"data": {"username": ROLE}, "generate": {"password": {}}, "initialRef": {"secretName": "orders"}},
        "rotation": {"schedule": "rate(1 hour)", "postgres": {
            "host": "127.0.0.1", "port": postgres.port(), "database": "postgres", "tls": {"caBundle": postgres.ca()},
        }},
    });
    stage.settled("app", spec).await?;
    assert_eq!(stage.value("app"), json!({"username": ROLE, "password": THEIRS}));
    assert_eq!(stage.data("app").await?["password"], THEIRS);
    assert_eq!(stage.causes("app").await?, [Cause::Created]);
    // It is read once.
    stage.delete_secret("orders").await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    let password = stage.data("app").await?["password"].clone();
    ensure!(password != THEIRS && postgres.accepts(ROLE, &password)? && !postgres.accepts(ROLE, THEIRS)?);
    assert_eq!(stage.causes("app").await?, [Cause::Requested, Cause::Created]);
    stage.assert_silence("app").await
}

/// The administrator could set one. Then a person who names a user would get its password.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sets_no_first_password_and_one_from_a_secret_begins_the_turns() -> Result<()> {
    let pair = Pair::new("first_of_two").await?;
    let (stage, users) = (pair.stage(), pair.users()?);
    stage.settled("fresh", pair.spec()).await?;
    let message = stage.expect("fresh", "Provisioned", "False", "SecretNotFound").await?;
    ensure!(message.contains("only for a user whose password the object has") && message.contains("spec.value.initialRef"), "{message}");
    ensure!(stage.world.aws_secret("fresh").is_none() && stage.no_secret("fresh").await?);
    assert_eq!(pair.users()?, users, "nothing was changed in the server");

    stage.make_secret(secret(&json!({INITIAL_VALUE_FOR: "fresh"}), &json!({"password": OLD}))).await?;
    stage.world.patch("fresh", json!({"spec": {"value": {"initialRef": {"secretName": "orders"}}}})).await?;
    stage.settle("fresh").await?;
    let first = stage.data("fresh").await?;
    assert_eq!((first["username"].as_str(), first["password"].as_str()), ("first_of_two", OLD));
    stage.advance(MINUTE);
    stage.world.request_rotation("fresh", "now").await?;
    stage.settle("fresh").await?;
    let next = stage.data("fresh").await?;
    assert_eq!(next["username"], pair.twin());
    ensure!(pair.accepts(&next["username"], &next["password"])? && pair.accepts("first_of_two", OLD)?);
    assert_eq!(stage.causes("fresh").await?, [Cause::Requested, Cause::Created]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_secret_has_a_value_for_this_object_nothing_is_created() -> Result<()> {
    let stage = Stage::new("initial").await?;
    stage.world.create("app", spec()).await?;
    let waits = async |words: &str| -> Result<()> {
        stage.advance(11 * MINUTE);
        stage.reconcile("app").await?;
        let message = stage.expect("app", "Provisioned", "False", "InitialValueMissing").await?;
        ensure!(message.contains(words) && !message.contains(THEIRS), "{message}");
        ensure!(stage.world.aws_secret("app").is_none() && stage.no_secret("app").await?);
        Ok(())
    };
    waits("orders (key DB_PASSWORD) does not exist").await?;
    stage.make_secret(secret(&json!({}), &json!({"DB_PASSWORD": THEIRS}))).await?;
    waits("kubectl annotate secret orders").await?;
    stage.edit_secret("orders", json!({"metadata": {"annotations": {INITIAL_VALUE_FOR: "another"}}})).await?;
    waits("does not name this object").await?;
    stage.edit_secret("orders", json!({"metadata": {"annotations": {INITIAL_VALUE_FOR: "app"}}})).await?;
    for (content, words) in [(Value::Null, "does not have this key"), (json!(""), "empty"), (json!("/w=="), "not UTF-8 text")] {
        stage.edit_secret("orders", json!({"data": {"DB_PASSWORD": content}})).await?;
        waits(words).await?;
    }
    stage.edit_secret("orders", json!({"stringData": {"DB_PASSWORD": THEIRS}})).await?;
    stage.advance(11 * MINUTE);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.data("app").await?["password"], THEIRS);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_that_pods_mount_already_is_taken_over_with_its_value() -> Result<()> {
    let stage = Stage::new("initial").await?;
    let both = json!({INITIAL_VALUE_FOR: "app", ADOPT_BY: "app"});
    stage.make_secret(secret(&both, &json!({"DB_PASSWORD": THEIRS}))).await?;
    let mut spec = spec();
    spec["target"] = json!({"name": "orders", "adoptionPolicy": "IfAnnotated", "keys": {"DB_PASSWORD": "password"}});
    stage.settled("app", spec).await?;
    let data = stage.data("orders").await?;
    assert_eq!((data["DB_PASSWORD"].as_str(), stage.versions("app")), (THEIRS, 1));
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    ensure!(stage.data("orders").await?["DB_PASSWORD"] != THEIRS);
    Ok(())
}

/// The Secret stays where manifests are kept in Git.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_value_that_was_rotated_away_does_not_come_back_when_the_aws_secret_is_gone() -> Result<()> {
    let stage = Stage::new("initial").await?;
    stage.make_secret(secret(&json!({INITIAL_VALUE_FOR: "app"}), &json!({"DB_PASSWORD": THEIRS}))).await?;
    stage.settled("app", spec()).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    ensure!(stage.data("app").await?["password"] != THEIRS);
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    stage.advance(10 * MINUTE);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    ensure!(stage.data("app").await?["password"] != THEIRS && stage.value("app")["password"] != THEIRS, "the value that was rotated away");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_text_is_taken_as_it_is_also_if_it_is_json() -> Result<()> {
    let stage = Stage::new("initial").await?;
    let text = format!("{{\"key\": \"{THEIRS}\"}}\n");
    stage.make_secret(secret(&json!({INITIAL_VALUE_FOR: "app"}), &json!({"DB_PASSWORD": text}))).await?;
    stage.settled("app", json!({"value": {"plainText": {}, "initialRef": {"secretName": "orders", "key": "DB_PASSWORD"}}})).await?;
    assert_eq!(stage.data("app").await?["value"], text);
    Ok(())
}
