//! An AWS secret that is not ours is never written, nor its value read.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use rotated_secrets::api::{TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_UID};

use super::stage::{HOUR, Stage};
use testkit::fixtures::spec;

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_aws_secret_stays_as_it_is_and_is_not_mirrored() -> Result<()> {
    let stage = Stage::new("foreign-aws").await?;
    let kinds = [
        ("no-tags", "AlreadyExists", &[][..]),
        ("other-tags", "AlreadyExists", &[("team", "shop")]),
        ("cluster", "NotOwned", &[(TAG_CLUSTER, "another")]),
        ("namespace", "NotOwned", &[(TAG_NAMESPACE, "another")]),
        ("name", "NotOwned", &[(TAG_NAME, "another")]),
        ("incomplete", "NotOwned", &[(TAG_UID, "")]),
    ];
    for (name, reason, other) in kinds {
        let object = stage.world.create(name, spec()).await?;
        let uid = object.uid().unwrap_or_default();
        let mut tags: BTreeMap<String, String> = other.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        if reason == "NotOwned" {
            for (key, ours) in
                [(TAG_CLUSTER, "test"), (TAG_NAMESPACE, stage.world.namespace.as_str()), (TAG_NAME, name), (TAG_UID, uid.as_str())]
            {
                tags.entry(key.to_owned()).or_insert_with(|| ours.to_owned());
            }
            tags.retain(|_, value| !value.is_empty());
        }
        stage.external_writer().create(&stage.aws_name(name), r#"{"username":"root","password":"mine"}"#, &tags)?;
        let before = stage.aws();
        let counters = stage.world.emulator.counters();
        counters.reset();
        stage.settle(name).await?;

        stage.expect(name, "Provisioned", "False", reason).await?;
        stage.expect(name, "Ready", "False", reason).await?;
        stage.expect(name, "Stalled", "True", reason).await?;
        assert_eq!(stage.told(name, "Warning", reason).await?, 1, "{name}");
        assert_eq!(stage.aws(), before, "{name}");
        assert_eq!(stage.aws_write_calls(), 0, "{name}");
        assert_eq!(counters.total("GetSecretValue"), 0, "{name}: its value is nobody's business");
        ensure!(stage.no_secret(name).await?, "{name}: mirrored");

        stage.advance(2 * HOUR);
        stage.settle(name).await?;
        assert_eq!(stage.aws(), before, "{name}: not when a rotation would be due either");
        stage.assert_silence(name).await?;

        ensure!(stage.external_writer().purge(&stage.aws_name(name)));
        stage.settle(name).await?;
        stage.world.check_agreement(name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_whose_tags_were_taken_away_is_not_written_any_more_and_the_mirror_stays() -> Result<()> {
    let stage = Stage::new("foreign-aws").await?;
    stage.settled("app", spec()).await?;
    let mirror = stage.secret("app").await?;
    stage.external_writer().untag(&stage.aws_name("app"), TAG_UID)?;
    let before = stage.aws();
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "NotOwned").await?;
    assert_eq!(stage.aws(), before);
    assert_eq!(stage.secret("app").await?, mirror);

    let uid = stage.object("app").await?.uid().unwrap_or_default();
    stage.external_writer().set_tag(&stage.aws_name("app"), TAG_UID, &uid)?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 2, "the due rotation came");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_object_does_not_delete_an_aws_secret_that_is_not_ours() -> Result<()> {
    let stage = Stage::new("foreign-aws").await?;
    let mut spec = spec();
    spec["aws"] = serde_json::json!({"deletionPolicy": "Delete"});
    stage.external_writer().create(&stage.aws_name("app"), "mine", &BTreeMap::new())?;
    stage.settled("app", spec).await?;
    let before = stage.aws();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    assert_eq!(stage.aws(), before);
    Ok(())
}
