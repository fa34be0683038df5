//! Where an AWS secret becomes an object's is recorded before that, and counts whatever the flags or the spec say afterwards.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use rotated_secrets::api::RotatedSecret;
use rotated_secrets::reconcile::reconcile;
use serde_json::{Value, json};
use testkit::emulator::Fault;
use testkit::fixtures::spec;
use testkit::{PREFIX, REGION};

use super::stage::{HOUR, MINUTE, Stage};

const OTHER: &str = "us-east-1";

impl Stage {
    async fn write_status(&self, name: &str, status: Value) -> Result<()> {
        self.world.objects().patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
        Ok(())
    }

    /// The status of an object whose secret was about to be created at this place.
    async fn record(&self, name: &str, region: &str, secret_name: &str) -> Result<()> {
        let place = json!({"region": region, "secretName": secret_name, "time": self.now().to_string()});
        self.write_status(name, json!({"aws": {"place": place}})).await
    }

    /// As after the operator was stopped between `CreateSecret` and its report.
    async fn stopped_after_creation(&self, name: &str, spec: Value) -> Result<()> {
        self.settled(name, spec).await?;
        self.delete_secret(name).await?;
        self.lose_status(name).await?;
        self.record(name, REGION, &self.aws_name(name)).await
    }

    fn secrets_are_at(&self) -> Vec<(String, String)> {
        self.world.emulator.secrets().into_iter().map(|secret| (secret.region, secret.name)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_created_and_not_reported_is_found_under_other_flags() -> Result<()> {
    for (prefix, region) in [("prod", REGION), (PREFIX, OTHER), ("prod", OTHER)] {
        let mut stage = Stage::new("place").await?;
        stage.stopped_after_creation("app", spec()).await?;
        let before = stage.aws();
        stage.with_flags(prefix, region).await?;
        stage.settle("app").await?;
        stage.expect("app", "Provisioned", "True", "Moved").await?;
        stage.expect("app", "Ready", "True", "Succeeded").await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.aws(), before, "{prefix} {region}");
        let aws = stage.status("app").await?.aws.context("a report")?;
        ensure!(aws.arn.is_some() && aws.place.is_none(), "the ARN says it from now on: {aws:?}");
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_created_and_not_reported_goes_with_its_object_under_other_flags() -> Result<()> {
    let mut stage = Stage::new("place").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.stopped_after_creation("app", spec).await?;
    stage.with_flags("prod", OTHER).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    ensure!(stage.world.aws_secret("app").context("a secret")?.deletion_date.is_some(), "orphaned");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_created_nothing_is_waited_for_and_then_the_flags_count() -> Result<()> {
    let mut stage = Stage::new("place").await?;
    stage.break_aws("CreateSecret", Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() });
    stage.settled("app", spec()).await?;
    stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    let place = stage.status("app").await?.aws.and_then(|aws| aws.place).context("a place")?;
    assert_eq!((place.region.as_str(), place.secret_name), (REGION, stage.aws_name("app")));
    stage.mend_aws();
    stage.with_flags("prod", OTHER).await?;
    stage.live("app", 2 * MINUTE).await?;
    let message = stage.expect("app", "Provisioned", "False", "Creating").await?;
    ensure!(message.contains(&stage.aws_name("app")) && message.contains("prod/"), "{message}");
    assert_eq!(stage.secrets_are_at(), []);
    stage.live("app", 10 * MINUTE).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.secrets_are_at(), [(OTHER.to_owned(), format!("prod/{}/app", stage.world.namespace))]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_place_is_neither_read_nor_used_nor_does_it_keep_an_object_from_its_own_secret() -> Result<()> {
    let stage = Stage::new("place").await?;
    let (victim, namesake) = ("k8s/victim/app".to_owned(), format!("old/{}/app", stage.world.namespace));
    for name in [&victim, &namesake] {
        stage.external_writer().create(name, r#"{"password":"theirs"}"#, &BTreeMap::new())?;
    }
    let theirs = stage.aws();
    stage.settled("app", spec()).await?;
    for forged in [&victim, &namesake] {
        stage.record("app", REGION, forged).await?;
        stage.settle("app").await?;
        stage.expect("app", "Ready", "True", "Succeeded").await?;
        stage.world.check_agreement("app").await?;
    }
    stage.world.emulator.counters().reset();
    let mut adopting = spec();
    adopting["aws"] = json!({"adoptionPolicy": "Always"});
    stage.world.create("new", adopting).await?;
    stage.record("new", REGION, &format!("old/{}/new", stage.world.namespace)).await?;
    stage.settle("new").await?;
    stage.expect("new", "Provisioned", "False", "Creating").await?;
    assert_eq!(stage.world.emulator.counters().total("GetSecretValue"), 0);
    stage.advance(HOUR);
    stage.settle("new").await?;
    stage.world.check_agreement("new").await?;
    let now: Vec<_> = stage.aws().into_iter().filter(|secret| theirs.contains(secret)).collect();
    assert_eq!(now, theirs, "what is not the object's stays as it was");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_cache_creates_no_second_secret_under_other_flags() -> Result<()> {
    let mut stage = Stage::new("place").await?;
    stage.world.create("app", spec()).await?;
    let old = stage.object("app").await?;
    stage.settle("app").await?;
    let before = stage.secrets_are_at();
    stage.with_flags("prod", OTHER).await?;
    let _ = reconcile(&old, &stage.ctx).await;
    assert_eq!(stage.secrets_are_at(), before, "the write of the place conflicts");
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "True", "Moved").await?;
    Ok(())
}

type Change = fn(&mut RotatedSecret);

/// Reconciles the object with a spec that the API server would not accept.
async fn around_the_api_server(stage: &Stage, name: &str, change: Change) -> Result<()> {
    let mut object = stage.object(name).await?;
    change(&mut object);
    let _ = reconcile(&object, &stage.ctx).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_was_changed_around_the_api_server_creates_no_second_secret() -> Result<()> {
    let changes: [(Value, Change); 4] = [
        (json!({"region": REGION}), |object| object.spec.aws.region = Some(OTHER.to_owned())),
        (json!({"secretName": "shared/app"}), |object| object.spec.aws.secret_name = Some("shared/other".to_owned())),
        (json!({"secretName": "shared/app"}), |object| object.spec.aws.secret_name = None),
        (json!({}), |object| object.spec.aws.secret_name = Some("shared/other".to_owned())),
    ];
    for (row, (aws, change)) in changes.into_iter().enumerate() {
        let stage = Stage::new("place").await?;
        stage.allow_names(Some("shared/*")).await?;
        let mut named = spec();
        named["aws"] = aws;
        stage.settled("app", named).await?;
        let (before, secret, arn) = (stage.aws(), stage.secret("app").await?, stage.arn("app").await?);
        around_the_api_server(&stage, "app", change).await?;
        let message = stage.expect("app", "Provisioned", "False", "Moved").await?;
        ensure!(message.contains(&arn) && message.contains("cannot be changed"), "{row}: {message}");
        stage.expect("app", "Ready", "False", "Moved").await?;
        assert_eq!((stage.aws(), stage.secret("app").await?, stage.arn("app").await?), (before, secret, arn), "{row}");
        // With the spec as it was, all is as before.
        stage.settle("app").await?;
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradicting_record_that_is_not_the_objects_is_not_waited_for() -> Result<()> {
    let stage = Stage::new("place").await?;
    stage.settled("app", spec()).await?;
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    around_the_api_server(&stage, "app", |object| object.spec.aws.region = Some(OTHER.to_owned())).await?;
    assert_eq!(stage.secrets_are_at(), [(OTHER.to_owned(), stage.aws_name("app"))], "what is gone is created where the spec says");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_renamed_around_the_api_server_gets_no_second_secret_until_the_first_one_is_gone() -> Result<()> {
    let stage = Stage::new("place").await?;
    stage.settled("app", spec()).await?;
    let rename = |object: &mut RotatedSecret| object.spec.target.name = Some("other".to_owned());
    around_the_api_server(&stage, "app", rename).await?;
    let message = stage.expect("app", "Ready", "False", "InvalidSpec").await?;
    ensure!(message.contains("spec.target.name cannot be changed"), "{message}");
    ensure!(stage.no_secret("other").await?, "a second Secret");
    stage.delete_secret("app").await?;
    around_the_api_server(&stage, "app", rename).await?;
    ensure!(!stage.no_secret("other").await?, "the first one is gone");
    // A forged name that is not the object's Secret changes nothing.
    stage.settled("own", spec()).await?;
    stage.make_secret(json!({"metadata": {"name": "theirs"}})).await?;
    stage.write_status("own", json!({"mirror": {"secretName": "theirs"}})).await?;
    stage.settle("own").await?;
    stage.expect("own", "Ready", "True", "Succeeded").await?;
    Ok(())
}
