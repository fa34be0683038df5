//! Replicas in other regions.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::REGION;
use testkit::fixtures::spec;

const WEST: &str = "eu-west-1";
const NORTH: &str = "eu-north-1";

fn with(replicas: &Value) -> Value {
    let mut spec = spec();
    spec["aws"] = json!({"replicaRegions": replicas});
    spec
}

impl Stage {
    async fn replicate(&self, replicas: Value) -> Result<()> {
        self.world.patch("app", json!({"spec": {"aws": {"replicaRegions": replicas}}})).await?;
        self.settle("app").await
    }

    /// Where the AWS secret lives, with the key of each place.
    fn places(&self) -> BTreeMap<String, Option<String>> {
        let name = self.aws_name("app");
        self.world
            .emulator
            .secrets()
            .into_iter()
            .filter(|secret| secret.name == name)
            .map(|secret| (secret.region, secret.kms_key))
            .collect()
    }

    /// Region, status and message of each replica as reported.
    async fn reported(&self) -> Result<Vec<(String, String, Option<String>)>> {
        let replicas = self.status("app").await?.aws.unwrap_or_default().replicas;
        Ok(replicas.into_iter().map(|replica| (replica.region, replica.status, replica.message)).collect())
    }
}

fn at(places: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
    places.iter().map(|(region, key)| ((*region).to_owned(), key.map(str::to_owned))).collect()
}

fn told(region: &str, status: &str, message: Option<&str>) -> (String, String, Option<String>) {
    (region.to_owned(), status.to_owned(), message.map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_made_rekeyed_and_removed_as_the_spec_says() -> Result<()> {
    let stage = Stage::new("regions").await?;
    stage.settled("app", with(&json!([{"region": WEST, "kmsKeyId": "alias/west"}]))).await?;
    assert_eq!(stage.places(), at(&[(REGION, None), (WEST, Some("alias/west"))]));
    assert_eq!(stage.reported().await?, [told(WEST, "InSync", None)]);
    stage.world.check_agreement("app").await?;

    stage.writes.take();
    stage.replicate(json!([{"region": WEST, "kmsKeyId": "alias/new"}, {"region": NORTH}])).await?;
    assert_eq!(stage.places(), at(&[(REGION, None), (WEST, Some("alias/new")), (NORTH, None)]));
    // The replica gets its new key in place, and readers in its Region are not interrupted.
    assert_eq!(stage.writes.take(), ["ReplicateSecretToRegions", "UpdateSecret", "PUT rotatedsecrets/status"]);

    stage.replicate(json!([{"region": WEST}, {"region": NORTH}])).await?;
    assert_eq!(stage.places(), at(&[(REGION, None), (WEST, None), (NORTH, None)]), "back to the default key of that region");

    stage.replicate(json!([{"region": NORTH}])).await?;
    assert_eq!(stage.places(), at(&[(REGION, None), (NORTH, None)]));
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await?;

    // Absent is not none: what is there stays.
    stage.replicate(Value::Null).await?;
    assert_eq!(stage.places(), at(&[(REGION, None), (NORTH, None)]));
    stage.replicate(json!([])).await?;
    assert_eq!(stage.places(), at(&[(REGION, None)]));
    assert_eq!(stage.reported().await?, []);
    assert_eq!(stage.versions("app"), 1);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_follows_a_rotation_and_is_made_again_when_somebody_removes_it() -> Result<()> {
    let stage = Stage::new("regions").await?;
    stage.settled("app", with(&json!([{"region": WEST}]))).await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    let there = stage.external_writer().in_region(WEST);
    assert_eq!(there.value(&stage.aws_name("app"))?, stage.external_writer().value(&stage.aws_name("app"))?);
    stage
        .external_writer()
        .act("RemoveRegionsFromReplication", &json!({"SecretId": stage.aws_name("app"), "RemoveReplicaRegions": [WEST]}))?;
    stage
        .external_writer()
        .act("ReplicateSecretToRegions", &json!({"SecretId": stage.aws_name("app"), "AddReplicaRegions": [{"Region": NORTH}]}))?;
    stage.settle("app").await?;
    assert_eq!(stage.places(), at(&[(REGION, None), (WEST, None)]));
    stage.world.check_agreement("app").await?;
    // An object that declares no replicas reports none.
    stage.settled("other", spec()).await?;
    let other = stage.aws_name("other");
    stage.external_writer().act("ReplicateSecretToRegions", &json!({"SecretId": other, "AddReplicaRegions": [{"Region": NORTH}]}))?;
    stage.advance(HOUR);
    stage.settle("other").await?;
    ensure!(stage.external_writer().in_region(NORTH).describe(&other).is_ok(), "a foreign replica was removed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_fails_is_said_holds_up_nothing_and_is_made_when_its_name_is_free() -> Result<()> {
    let stage = Stage::new("regions").await?;
    let there = stage.external_writer().in_region(WEST);
    there.create(&stage.aws_name("app"), "theirs", &BTreeMap::new())?;
    stage.settled("app", with(&json!([{"region": WEST}, {"region": NORTH}]))).await?;
    let message = stage.expect("app", "Provisioned", "False", "ReplicaFailed").await?;
    ensure!(message.contains(WEST) && message.contains("NameExists"), "{message}");
    stage.expect("app", "Ready", "False", "ReplicaFailed").await?;
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(stage.reported().await?, [told(NORTH, "InSync", None), told(WEST, "Failed", Some("NameExists"))]);
    assert_eq!(there.value(&stage.aws_name("app"))?, "theirs", "nothing is overwritten");

    stage.world.emulator.counters().reset();
    stage.live("app", 30 * MINUTE).await?;
    let tries = stage.world.emulator.counters().total("ReplicateSecretToRegions");
    ensure!((1..=3).contains(&tries), "{tries} tries in half an hour");
    assert_eq!(stage.told("app", "Warning", "SettingsRepaired").await?, 0, "nobody changed it");
    stage.advance(30 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2, "the rotation goes on");

    ensure!(there.purge(&stage.aws_name("app")));
    stage.world.patch("app", json!({"metadata": {"annotations": {"rotated-secrets.io/refresh": "now"}}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(there.value(&stage.aws_name("app"))?, stage.external_writer().value(&stage.aws_name("app"))?);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_under_way_is_said_until_it_is_in_sync() -> Result<()> {
    let stage = Stage::new("regions").await?;
    stage.world.emulator.set_replication_lag(Duration::from_mins(2));
    stage.world.create("app", with(&json!([{"region": WEST}]))).await?;
    stage.reconcile("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "Progressing").await?;
    ensure!(message.contains(WEST) && message.contains("InProgress"), "{message}");
    stage.expect("app", "Reconciling", "True", "Progressing").await?;
    ensure!(!stage.has("app", "Stalled").await?, "nobody need act");
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.reported().await?, [told(WEST, "InSync", None)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_go_only_where_the_administrator_allows() -> Result<()> {
    let mut stage = Stage::new("regions").await?;
    stage.ctx.policy.allowed_regions = vec![REGION.to_owned(), WEST.to_owned()];
    stage.ctx.policy.allowed_kms_keys = vec!["alias/shop".to_owned(), "aws/secretsmanager".to_owned()];
    stage.settled("app", with(&json!([{"region": WEST}, {"region": NORTH}]))).await?;
    let message = stage.expect("app", "Provisioned", "False", "RegionNotAllowed").await?;
    ensure!(message.contains(NORTH), "{message}");
    assert_eq!(stage.places(), at(&[(REGION, None)]), "all or nothing");
    stage.replicate(json!([{"region": WEST, "kmsKeyId": "alias/theirs"}])).await?;
    stage.expect("app", "Provisioned", "False", "KeyNotAllowed").await?;
    stage.replicate(json!([{"region": REGION}])).await?;
    let message = stage.expect("app", "Provisioned", "False", "InvalidSpec").await?;
    ensure!(message.contains("list other regions only"), "{message}");
    stage.replicate(json!([{"region": WEST, "kmsKeyId": "alias/shop"}])).await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.places(), at(&[(REGION, None), (WEST, Some("alias/shop"))]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_replicas_is_deleted_without_force_its_replicas_first() -> Result<()> {
    let stage = Stage::new("regions").await?;
    let mut spec = with(&json!([{"region": WEST}, {"region": NORTH}]));
    spec["aws"]["deletionPolicy"] = json!("Delete");
    stage.settled("app", spec).await?;
    stage.writes.take();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    assert_eq!(stage.writes.take(), ["RemoveRegionsFromReplication", "DeleteSecret", "PATCH rotatedsecrets"]);
    assert_eq!(stage.places(), at(&[(REGION, None)]));
    ensure!(stage.world.aws_secret("app").unwrap().deletion_date.is_some(), "scheduled for deletion");
    Ok(())
}
