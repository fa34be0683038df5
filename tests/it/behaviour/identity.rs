//! An object is its uid: neither its name nor its namespace alone.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use rotated_secrets::api::TAG_UID;
use serde_json::json;

use super::stage::Stage;
use testkit::control_plane;
use testkit::fixtures::spec;

/// Longer than the garbage collector needs to find out about a new kind.
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_object_made_anew_under_the_same_name_takes_over_the_aws_secret_and_waits_until_the_old_mirror_is_collected() -> Result<()> {
    let stage = Stage::new("identity").await?;
    stage.settled("app", spec()).await?;
    let (old, value) = (stage.secret("app").await?, stage.value("app"));
    stage.delete_object("app").await?;
    let anew = stage.settled("app", spec()).await?;
    assert_eq!(stage.world.aws_secret("app").unwrap().tags.get(TAG_UID), anew.uid().as_ref());

    // What the predecessor mirrored is garbage, and neither touched nor taken over.
    let waiting = std::time::Instant::now();
    while let Some(secret) = stage.world.secrets().get_opt("app").await? {
        if secret.uid() != old.uid() {
            break;
        }
        assert_eq!(secret.data, old.data);
        ensure!(waiting.elapsed() < PATIENCE, "the garbage is not collected");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!((stage.value("app"), stage.versions("app")), (value, 1));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_one_name_in_two_namespaces_do_not_touch_each_other() -> Result<()> {
    let mut stage = Stage::new("identity").await?;
    let first = stage.world.namespace.clone();
    let second = control_plane().await?.namespace("identity").await?;
    stage.settled("app", spec()).await?;
    let before = (stage.aws(), stage.secret("app").await?, stage.status("app").await?);

    stage.world.namespace.clone_from(&second);
    stage.settled("app", spec()).await?;
    stage.world.request_rotation("app", "now").await?;
    stage.settle("app").await?;
    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 2);
    stage.delete_object("app").await?;

    stage.world.namespace = first;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.versions("app"), 1);
    assert_eq!((stage.secret("app").await?, stage.status("app").await?), (before.1, before.2));
    ensure!(stage.aws().starts_with(&before.0) || stage.aws().ends_with(&before.0), "the first one's AWS secret changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_objects_that_name_the_same_aws_secret_or_the_same_secret_only_the_first_has_it() -> Result<()> {
    let stage = Stage::new("identity").await?;
    stage.settled("first", spec()).await?;
    let before = (stage.aws(), stage.secret("first").await?);

    let mut same_aws = spec();
    same_aws["aws"] = json!({"secretName": stage.aws_name("first"), "deletionPolicy": "Delete"});
    stage.settled("same-aws", same_aws).await?;
    stage.expect("same-aws", "Provisioned", "False", "NotOwned").await?;
    ensure!(stage.no_secret("same-aws").await?, "mirrored what is not its own");

    let mut same_target = spec();
    same_target["target"] = json!({"name": "first", "deletionPolicy": "Retain"});
    stage.settled("same-target", same_target).await?;
    stage.expect("same-target", "Mirrored", "False", "SecretNotOwned").await?;

    for name in ["same-aws", "same-target"] {
        stage.delete_object(name).await?;
        stage.settle(name).await?;
        ensure!(stage.world.objects().get_opt(name).await?.is_none(), "{name} is held back");
    }
    assert_eq!((stage.aws(), stage.secret("first").await?), before);
    stage.settle("first").await?;
    stage.world.check_agreement("first").await?;
    Ok(())
}
