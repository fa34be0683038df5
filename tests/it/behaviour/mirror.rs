//! The mirrored Secret: what belongs to us is put right, once; what belongs to others stays.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use rotated_secrets::api::{MANAGED_BY, RENDERING, SECRET_ARN, VERSION_ID};
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

fn annotation(key: &str, value: Option<&str>) -> Value {
    json!({"metadata": {"annotations": {key: value}}})
}

/// The operator wrote the Secret once and nothing in AWS, and is done.
async fn assert_put_right_once(stage: &Stage, what: &str) -> Result<()> {
    let before = stage.aws();
    stage.writes.take();
    stage.settle("app").await?;
    let mut writes = stage.writes.take();
    writes.retain(|effect| effect != "PUT rotatedsecrets/status");
    assert_eq!(writes, ["PUT secrets"], "{what}");
    assert_eq!(stage.aws(), before, "{what}");
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_edit_of_what_is_ours_is_put_right_by_one_write() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    let mut spec = unscheduled();
    spec["target"] = json!({"labels": {"team": "shop"}, "annotations": {"example.com/note": "ours"}});
    stage.settled("app", spec).await?;
    let before = stage.secret("app").await?;
    let edits = [
        ("a value", json!({"stringData": {"password": "edited"}})),
        ("a fixed value", json!({"stringData": {"username": "root"}})),
        ("another key", json!({"stringData": {"added": "x"}})),
        ("a key taken away", json!({"data": {"password": null}})),
        ("all keys taken away", json!({"data": null})),
        ("our label", json!({"metadata": {"labels": {MANAGED_BY.0: "somebody"}}})),
        ("no label of ours", json!({"metadata": {"labels": {MANAGED_BY.0: null}}})),
        ("a declared label", json!({"metadata": {"labels": {"team": "other"}}})),
        ("a declared annotation", annotation("example.com/note", None)),
        ("another version", annotation(VERSION_ID, Some("0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11"))),
        ("no version", annotation(VERSION_ID, None)),
        ("another ARN", annotation(SECRET_ARN, Some("arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf"))),
        ("no ARN", annotation(SECRET_ARN, None)),
        ("another rendering", annotation(RENDERING, Some("0000000000000000"))),
        ("no rendering", annotation(RENDERING, None)),
    ];
    let count = edits.len();
    for (what, edit) in edits {
        // Many edits in a short time are a conflict, and the operator slows down.
        stage.advance(10 * MINUTE);
        stage.edit_secret("app", edit).await?;
        assert_put_right_once(&stage, what).await?;
        let after = stage.secret("app").await?;
        assert_eq!(after.data, before.data, "{what}");
        assert_eq!((after.labels(), after.annotations()), (before.labels(), before.annotations()), "{what}");
        assert_eq!(after.uid(), before.uid(), "{what}");
    }
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, i32::try_from(count)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_another_tool_applies_by_force_is_put_right() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    stage.settled("app", spec()).await?;
    let before = stage.data("app").await?;
    let applied = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "data": {"password": "ZWRpdGVk"}});
    stage.world.secrets().patch("app", &PatchParams::apply("gitops").force(), &Patch::Apply(applied)).await?;
    assert_put_right_once(&stage, "applied").await?;
    assert_eq!(stage.data("app").await?, before);
    let messages = stage.messages("app", "MirrorRepaired").await?;
    assert_eq!(messages, ["the field manager gitops edited the Secret, and the operator has written it again"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_mirror_is_made_anew() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    stage.settled("app", spec()).await?;
    let before = stage.data("app").await?;
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?, before);
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 1);
    let messages = stage.messages("app", "MirrorRepaired").await?;
    let told = "the Secret was deleted, and the operator has created it again: the audit log of the API server says by whom";
    assert_eq!(messages, [told], "who deletes is not known");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_annotations_of_others_cause_no_write_and_survive_ours() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    stage.settled("app", spec()).await?;
    let theirs = json!({"metadata": {
        "labels": {"their": "label"},
        "annotations": {"their/annotation": "x"},
        "finalizers": ["example.com/theirs"],
    }});
    stage.edit_secret("app", theirs).await?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), Vec::<String>::new());
    stage.assert_silence("app").await?;

    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    let secret = stage.secret("app").await?;
    assert_eq!(secret.labels().get("their").map(String::as_str), Some("label"));
    assert_eq!(secret.annotations().get("their/annotation").map(String::as_str), Some("x"));
    assert_eq!(secret.finalizers(), ["example.com/theirs"]);
    stage.edit_secret("app", json!({"metadata": {"finalizers": null}})).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_owner_that_is_no_controller_is_kept() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    stage.settled("app", spec()).await?;
    let map = json!({"metadata": {"name": "owner"}});
    let maps: Api<ConfigMap> = Api::namespaced(stage.world.admin.clone(), &stage.world.namespace);
    let map = maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
    let mut owners = serde_json::to_value(stage.secret("app").await?.owner_references())?;
    owners.as_array_mut().unwrap().push(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": map.uid()}));
    let edited = stage.edit_secret("app", json!({"metadata": {"ownerReferences": owners}})).await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.secret("app").await?.owner_references(), edited.owner_references());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_keys_labels_and_annotations_of_the_target_are_written_and_old_ones_go() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    let mut spec = spec();
    spec["target"] = json!({"labels": {"old": "l", "both": "1"}, "annotations": {"old": "a", "both": "1"}});
    stage.settled("app", spec).await?;
    stage.edit_secret("app", json!({"metadata": {"labels": {"their": "label"}, "annotations": {"their": "annotation"}}})).await?;
    let target = json!({"labels": {"old": null, "both": "2", "new": "l"}, "annotations": {"old": null, "both": "2", "new": "a"}});
    stage.world.patch("app", json!({"spec": {"target": target}})).await?;
    assert_put_right_once(&stage, "labels").await?;
    let secret = stage.secret("app").await?;
    let ours = |map: &std::collections::BTreeMap<String, String>| -> Vec<(String, String)> {
        map.iter().filter(|(key, _)| !key.contains('/')).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let expected = |of: &str, their: &str| {
        [("both", "2"), ("new", of), ("their", their)].map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
    };
    assert_eq!(ours(secret.labels()), expected("l", "label"));
    assert_eq!(ours(secret.annotations()), expected("a", "annotation"));

    stage
        .world
        .patch("app", json!({"spec": {"target": {"keys": {"DB_USER": "username", "DB_PASSWORD": "password", "PASSWORD": "password"}}}}))
        .await?;
    assert_put_right_once(&stage, "keys").await?;
    let (data, value) = (stage.data("app").await?, stage.value("app"));
    assert_eq!(data.keys().collect::<Vec<_>>(), ["DB_PASSWORD", "DB_USER", "PASSWORD"]);
    ensure!(value["password"] == data["DB_PASSWORD"] && value["password"] == data["PASSWORD"] && value["username"] == data["DB_USER"]);

    stage.world.patch("app", json!({"spec": {"target": {"keys": null}}})).await?;
    assert_put_right_once(&stage, "no keys").await?;
    stage.world.check_agreement("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mirror_there_is_no_secret_and_the_object_is_ready() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    let mut spec = spec();
    spec["target"] = json!({"creationPolicy": "None"});
    stage.settled("app", spec).await?;
    ensure!(stage.no_secret("app").await?, "mirrored");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(!stage.has("app", "Mirrored").await?, "there is no mirror to speak of");
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    ensure!(stage.no_secret("app").await?, "mirrored");
    stage.assert_silence("app").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_whose_status_cannot_be_written_is_told_once() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    stage.settled("app", spec()).await?;
    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    stage.world.refusals.status.set(true);
    stage.reconcile("app").await?;
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 1);
    let uid = stage.object("app").await?.metadata.uid.unwrap_or_default();
    assert!(stage.ctx.memory.is_unwritable(&uid));
    stage.world.refusals.status.set(false);
    stage.advance(10 * MINUTE);
    stage.settle("app").await?;
    assert!(!stage.ctx.memory.is_unwritable(&uid));
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 1);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_refused_before_is_no_repair_of_a_contested_secret() -> Result<()> {
    let stage = Stage::new("mirror").await?;
    stage.settled("app", spec()).await?;
    let repairs = async || stage.status("app").await.map(|status| status.mirror.and_then(|mirror| mirror.repairs).map(|found| found.count));
    stage.delete_secret("app").await?;
    stage.world.refusals.quota.set(true);
    stage.settle("app").await?;
    stage.expect("app", "Mirrored", "False", "AccessDenied").await?;
    stage.world.refusals.quota.set(false);
    stage.advance(HOUR / 2);
    stage.settle("app").await?;
    assert_eq!(repairs().await?, None, "written late");
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    assert_eq!(repairs().await?, Some(1), "repaired");
    Ok(())
}
