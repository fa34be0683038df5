//! A deletion always ends: with the AWS secret scheduled for deletion, or with a report of what remains.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::{HOME, until};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::spec;

fn deletable() -> Value {
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete", "recoveryWindowInDays": 7});
    spec
}

fn denied() -> Fault {
    Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() }
}

async fn is_gone(stage: &Stage, name: &str) -> Result<bool> {
    Ok(stage.world.objects().get_opt(name).await?.is_none())
}

fn scheduled(stage: &Stage, name: &str) -> bool {
    stage.world.aws_secret(name).is_some_and(|secret| secret.deletion_date.is_some())
}

/// Reconciles whenever the operator asks for it, until the object is gone or `time` has passed. Gives the waits in seconds.
async fn pass(stage: &Stage, name: &str, time: std::time::Duration) -> Result<Vec<u64>> {
    let (end, mut waits) = (stage.now() + time, Vec::new());
    while stage.now() < end && !is_gone(stage, name).await? {
        let ended = stage.reconcile(name).await?;
        if let Some(again) = ended.again {
            waits.push(again.as_secs());
            stage.advance(again);
        }
    }
    Ok(waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_was_narrowed_does_not_hold_a_deletion_up() -> Result<()> {
    let mut stage = Stage::new("deletion").await?;
    for name in ["region", "prefix"] {
        stage.settled(name, deletable()).await?;
    }
    stage.ctx.policy.allowed_regions = vec!["us-east-1".to_owned()];
    let before = stage.aws();
    stage.delete_object("region").await?;
    stage.settle("region").await?;
    ensure!(is_gone(&stage, "region").await?, "the region is not allowed any more");
    assert_eq!(stage.aws(), before);
    assert_eq!(stage.told("region", "Warning", "AwsSecretKept").await?, 1);

    stage.ctx.policy.allowed_regions.clear();
    stage.ctx.policy.name_prefix = "p".repeat(512);
    stage.delete_object("prefix").await?;
    stage.settle("prefix").await?;
    ensure!(is_gone(&stage, "prefix").await? && scheduled(&stage, "prefix"), "the recorded name is still a possible one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_reads_no_value() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    stage.break_aws("GetSecretValue", denied());
    stage.world.create("app", deletable()).await?;
    stage.reconcile("app").await?;
    stage.reconcile("app").await?;
    ensure!(stage.world.aws_secret("app").is_some(), "it was created, and its value cannot be read");
    stage.world.emulator.counters().reset();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(is_gone(&stage, "app").await? && scheduled(&stage, "app"), "the object is held back");
    assert_eq!(stage.world.emulator.counters().total("GetSecretValue"), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_changes_nothing_in_aws_does_not_call_it() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    let mut retained = spec();
    retained["target"] = json!({"deletionPolicy": "Retain"});
    stage.settled("app", retained).await?;
    stage.break_aws("*", denied());
    stage.world.emulator.counters().reset();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(is_gone(&stage, "app").await?, "the object is held back");
    assert_eq!(stage.world.emulator.counters().calls(), 0);
    let owners = stage.secret("app").await?.metadata.owner_references;
    ensure!(owners.is_none_or(|owners| owners.is_empty()), "the Secret stays");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waits_for_aws_says_how_to_end_it_and_that_ends_it() -> Result<()> {
    let stage = Stage::in_step("deletion").await?;
    stage.settled("app", deletable()).await?;
    stage.break_aws("*", denied());
    stage.delete_object("app").await?;
    stage.reconcile("app").await?;
    let message = stage.expect("app", "Ready", "False", "AccessDenied").await?;
    ensure!(message.contains("the deletion waits") && message.contains(r#"{"aws":{"deletionPolicy":"Retain"}}"#), "{message}");
    stage.expect("app", "Stalled", "True", "AccessDenied").await?;
    stage.world.patch("app", json!({"spec": {"aws": {"deletionPolicy": "Retain"}}})).await?;
    stage.reconcile("app").await?;
    ensure!(is_gone(&stage, "app").await?, "nothing is to be done in AWS any more");
    ensure!(!scheduled(&stage, "app"), "and nothing was done");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waits_is_told_also_if_the_object_was_not_ready_for_the_same_reason() -> Result<()> {
    let stage = Stage::in_step("deletion").await?;
    stage.settled("app", deletable()).await?;
    stage.break_aws("*", denied());
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Ready", "False", "AccessDenied").await?;
    assert_eq!(stage.told("app", "Warning", "AccessDenied").await?, 1);
    stage.delete_object("app").await?;
    for time in ["at once", "and once"] {
        pass(&stage, "app", 5 * MINUTE).await?;
        assert_eq!(stage.told("app", "Warning", "AccessDenied").await?, 2, "{time}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_for_longer_than_the_timeout_is_kept_and_reported() -> Result<()> {
    for (operation, attempts) in [("DescribeSecret", 10), ("DeleteSecret", 10)] {
        let stage = Stage::in_step("deletion").await?;
        stage.settled("app", deletable()).await?;
        let before = stage.aws();
        stage.break_aws(operation, denied());
        stage.delete_object("app").await?;
        let waits = pass(&stage, "app", 59 * MINUTE).await?;
        ensure!(!is_gone(&stage, "app").await?, "{operation}: it waits");
        ensure!(waits.len() >= attempts && waits.iter().all(|wait| *wait <= 360), "{operation}: retries are capped: {waits:?}");
        pass(&stage, "app", 10 * MINUTE).await?;
        ensure!(is_gone(&stage, "app").await?, "{operation}: it is released");
        assert_eq!(stage.aws(), before);
        assert_eq!(stage.told("app", "Warning", "AwsSecretKept").await?, 1, "{operation}");
        // Only what AWS showed is known to be of this object.
        let note = note(&stage, "app", "AwsSecretKept").await?;
        assert_eq!(note.contains("aws secretsmanager delete-secret"), operation == "DeleteSecret", "{note}");
        assert_eq!(note.contains("aws secretsmanager describe-secret"), operation == "DescribeSecret", "{note}");
        ensure!(stage.ctx.metrics.render()?.contains("rotated_secrets_aws_secrets_kept_total 1"), "{operation}");
    }
    Ok(())
}

/// The text of the Event about this object with this reason.
async fn note(stage: &Stage, name: &str, reason: &str) -> Result<String> {
    let all = Api::<Event>::namespaced(stage.world.admin.clone(), &stage.world.namespace).list(&ListParams::default()).await?;
    let about = |event: &Event| event.involved_object.name.as_deref() == Some(name) && event.reason.as_deref() == Some(reason);
    all.into_iter().find(about).and_then(|event| event.message).with_context(|| format!("{reason} of {name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_deletes_an_aws_secret_that_only_the_object_names() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    let theirs = format!("{}/payments/db", testkit::PREFIX);
    stage.external_writer().create(&theirs, r#"{"password":"theirs"}"#, &std::collections::BTreeMap::new())?;
    let before = stage.aws();
    for suspend in [false, true] {
        let name = format!("app-{suspend}");
        let mut spec = deletable();
        spec["suspend"] = json!(suspend);
        spec["aws"]["secretName"] = json!(theirs);
        stage.world.create(&name, spec).await?;
        // As a user may who can create objects.
        stage.world.patch(&name, json!({"metadata": {"finalizers": [rotated_secrets::api::FINALIZER]}})).await?;
        stage.delete_object(&name).await?;
        stage.settle(&name).await?;
        ensure!(is_gone(&stage, &name).await?, "{name}");
        let note = note(&stage, &name, "AwsSecretKept").await?;
        ensure!(note.contains("if there is one") && note.contains("describe-secret") && !note.contains("delete-secret"), "{note}");
    }
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_was_away_makes_several_attempts_before_it_gives_up() -> Result<()> {
    let stage = Stage::in_step("deletion").await?;
    stage.settled("app", deletable()).await?;
    stage.delete_object("app").await?;
    stage.advance(HOUR + MINUTE);
    let unavailable = FaultPlan::none().with("DescribeSecret", When::First(2), Fault::ServerError { status: 503 });
    stage.world.emulator.set_faults(unavailable);
    pass(&stage, "app", 10 * MINUTE).await?;
    ensure!(is_gone(&stage, "app").await? && scheduled(&stage, "app"), "two answers of an outage are no reason to give up");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_or_tags_that_aws_does_not_show_yet_are_not_forgotten() -> Result<()> {
    for adopted in [false, true] {
        let stage = Stage::in_step("deletion").await?;
        let mut spec = deletable();
        if adopted {
            let value = r#"{"username":"admin","password":"theirs"}"#;
            stage.external_writer().create(&stage.aws_name("app"), value, &std::collections::BTreeMap::new())?;
            stage.advance(10 * MINUTE);
            stage.world.emulator.clock().set(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 5)?);
            spec["aws"]["adoptionPolicy"] = json!("Always");
        }
        stage.settled("app", spec).await?;
        stage.delete_object("app").await?;
        // The state before the secret or its tags existed.
        stage.break_aws("DescribeSecret", Fault::StaleRead { seconds: 30 });
        stage.reconcile("app").await?;
        ensure!(!is_gone(&stage, "app").await?, "{adopted}: a stale read released the object");
        let message = stage.expect("app", "Ready", "False", "Progressing").await?;
        ensure!(message.contains("the deletion waits: AWS may show an old state"), "{message}");
        pass(&stage, "app", 3 * MINUTE).await?;
        ensure!(is_gone(&stage, "app").await? && scheduled(&stage, "app"), "{adopted}: the secret is orphaned");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_really_gone_is_waited_for_once() -> Result<()> {
    let stage = Stage::in_step("deletion").await?;
    stage.settled("app", deletable()).await?;
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    stage.delete_object("app").await?;
    pass(&stage, "app", 3 * MINUTE).await?;
    ensure!(is_gone(&stage, "app").await?, "the object is held back");
    assert_eq!(stage.told("app", "Warning", "AwsSecretKept").await?, 0, "nothing is kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_aws_does_not_show_yet_is_not_an_error() -> Result<()> {
    let stage = Stage::in_step("deletion").await?;
    stage.settled("app", deletable()).await?;
    stage.advance(MINUTE);
    // The operator ended between DeleteSecret and the finalizer, or a person was faster.
    stage.external_writer().delete(&stage.aws_name("app"), 7)?;
    stage.break_aws("DescribeSecret", Fault::StaleRead { seconds: 20 });
    stage.delete_object("app").await?;
    let ended = stage.reconcile("app").await?;
    ensure!(!ended.failed && is_gone(&stage, "app").await?, "the deletion that was asked for is done");
    ensure!(scheduled(&stage, "app"), "and stays");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_aws_shows_too_long_do_not_hold_a_deletion_up() -> Result<()> {
    let stage = Stage::in_step("deletion").await?;
    let mut spec = deletable();
    spec["aws"]["replicaRegions"] = json!([{"region": "eu-west-1"}]);
    stage.settled("app", spec).await?;
    stage.advance(5 * MINUTE);
    stage.break_aws("DescribeSecret", Fault::StaleRead { seconds: 20 });
    stage.delete_object("app").await?;
    let waits = pass(&stage, "app", 2 * MINUTE).await?;
    ensure!(is_gone(&stage, "app").await? && scheduled(&stage, "app"), "{waits:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_arn_deletes_nothing_else() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    stage.settled("victim", spec()).await?;
    stage.settled("app", deletable()).await?;
    let victim = stage.status("victim").await?.aws.and_then(|aws| aws.arn).context("an ARN")?;
    let status = json!({"status": {"aws": {"arn": victim}}});
    let params = kube::api::PatchParams::default();
    stage.world.objects().patch_status("app", &params, &kube::api::Patch::Merge(status)).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(is_gone(&stage, "app").await? && scheduled(&stage, "app"), "its own secret is found by name");
    ensure!(!scheduled(&stage, "victim"), "a status is no proof");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_namespace_that_ends_the_report_is_in_the_namespace_of_the_operator() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    let mut retained = deletable();
    retained["target"] = json!({"deletionPolicy": "Retain"});
    stage.settled("app", retained).await?;
    stage.settled("kept", deletable()).await?;
    stage.external_writer().untag(&stage.aws_name("kept"), rotated_secrets::api::TAG_UID)?;
    let namespace = stage.world.namespace.clone();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(stage.world.admin.clone());
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    for name in ["app", "kept"] {
        until("the deletion reaches the object", async || {
            let object = stage.world.objects().get_opt(name).await?;
            Ok(object.is_none_or(|object| object.metadata.deletion_timestamp.is_some()).then_some(()))
        })
        .await?;
        stage.settle(name).await?;
        ensure!(is_gone(&stage, name).await?, "{name} holds the namespace up");
    }
    ensure!(scheduled(&stage, "app") && !scheduled(&stage, "kept"), "as declared, and as proved");
    let events = Api::<Event>::namespaced(stage.world.admin.clone(), HOME).list(&ListParams::default()).await?;
    // The tags of the second one do not prove whose it is.
    for (name, reason, begin) in [("app", "DeletionScheduled", "arn:"), ("kept", "AwsSecretKept", "is kept, if there is one")] {
        let about = format!("RotatedSecret {namespace}/{name}: the AWS secret {begin}");
        let told = events.iter().any(|event| {
            event.reason.as_deref() == Some(reason) && event.message.as_deref().is_some_and(|message| message.starts_with(&about))
        });
        ensure!(told, "{reason}: the report on {name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_deleted_during_its_adoption_takes_the_restored_aws_secret_along() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    stage.settled("app", deletable()).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(is_gone(&stage, "app").await? && scheduled(&stage, "app"), "the first object");
    drop(stage.delete_secret("app").await);
    stage.advance(HOUR);
    stage.break_aws("TagResource", denied());
    stage.settled("app", deletable()).await?;
    ensure!(!scheduled(&stage, "app"), "the second object restored it and cannot tag it");
    stage.delete_object("app").await?;
    pass(&stage, "app", 5 * MINUTE).await?;
    ensure!(is_gone(&stage, "app").await? && scheduled(&stage, "app"), "the AWS secret goes with the object");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_of_an_earlier_object_that_was_not_adopted_is_reported() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    stage.settled("app", spec()).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    drop(stage.delete_secret("app").await);
    stage.advance(HOUR);
    stage.world.create("app", deletable()).await?;
    let finalizer = json!({"metadata": {"finalizers": [rotated_secrets::api::FINALIZER]}});
    stage.world.patch("app", finalizer).await?;
    stage.delete_object("app").await?;
    pass(&stage, "app", 5 * MINUTE).await?;
    ensure!(is_gone(&stage, "app").await? && !scheduled(&stage, "app"), "the earlier object retained it");
    assert_eq!(stage.told("app", "Warning", "AwsSecretKept").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_becomes_delete_counts_at_once_even_if_aws_cannot_be_read() -> Result<()> {
    let mut stage = Stage::new("deletion").await?;
    let delete = json!({"spec": {"aws": {"deletionPolicy": "Delete"}}});
    for name in ["unreadable", "suspended", "refused"] {
        stage.settled(name, spec()).await?;
        ensure!(stage.object(name).await?.metadata.finalizers.is_none(), "{name}");
    }
    stage.break_aws("DescribeSecret", denied());
    // The second reconcile waits for the end of the backoff.
    stage.advance(HOUR);
    stage.reconcile("unreadable").await?;
    stage.world.patch("unreadable", delete.clone()).await?;
    stage.reconcile("unreadable").await?;
    stage.mend_aws();
    stage.world.patch("suspended", json!({"spec": {"suspend": true}})).await?;
    stage.settle("suspended").await?;
    stage.world.patch("suspended", delete.clone()).await?;
    stage.reconcile("suspended").await?;
    stage.ctx.policy.allowed_regions = vec!["us-east-1".to_owned()];
    stage.settle("refused").await?;
    stage.world.patch("refused", delete).await?;
    stage.reconcile("refused").await?;
    stage.ctx.policy.allowed_regions.clear();
    for (name, deleted) in [("unreadable", true), ("suspended", false), ("refused", true)] {
        ensure!(stage.object(name).await?.metadata.finalizers.is_some(), "{name} can go without a word");
        stage.delete_object(name).await?;
        pass(&stage, name, 5 * MINUTE).await?;
        ensure!(is_gone(&stage, name).await?, "{name}");
        assert_eq!(
            (scheduled(&stage, name), stage.told(name, "Warning", "AwsSecretKept").await?),
            (deleted, i32::from(!deleted)),
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_becomes_retain_releases_a_suspended_object() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    stage.settled("app", deletable()).await?;
    stage.world.patch("app", json!({"spec": {"suspend": true, "aws": {"deletionPolicy": "Retain"}}})).await?;
    stage.settle("app").await?;
    ensure!(stage.object("app").await?.metadata.finalizers.is_none(), "nothing is to be cleaned up");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_lost_its_value_reports_the_aws_secret_that_it_leaves() -> Result<()> {
    let stage = Stage::new("deletion").await?;
    stage.settled("app", deletable()).await?;
    stage.world.patch("app", json!({"spec": {"value": null, "rotation": null}})).await?;
    stage.settle("app").await?;
    let before = stage.aws();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(is_gone(&stage, "app").await?, "the object is held back");
    assert_eq!((stage.aws(), stage.told("app", "Warning", "AwsSecretKept").await?), (before, 1));
    let notes = stage.events("app").await?;
    ensure!(!notes.is_empty(), "{notes:?}");
    // One that never had a value has nothing to report.
    stage.external_writer().create(&stage.aws_name("mirror"), "theirs", &std::collections::BTreeMap::new())?;
    stage.settled("mirror", json!({"aws": {"deletionPolicy": "Delete"}})).await?;
    stage.delete_object("mirror").await?;
    stage.settle("mirror").await?;
    ensure!(is_gone(&stage, "mirror").await?, "the object is held back");
    assert_eq!(stage.told("mirror", "Warning", "AwsSecretKept").await?, 0);
    Ok(())
}
