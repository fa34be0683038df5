//! Tables of what was seen and what is said of it.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

const UID: &str = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";

fn object() -> RotatedSecret {
    serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1",
        "kind": "RotatedSecret",
        "metadata": {"name": "db", "namespace": "shop", "uid": UID, "generation": 1},
        "spec": {"value": {"generate": {"password": {}}}},
        "status": {"observedGeneration": 1, "aws": {"arn": "arn:x", "currentVersionId": "v2"}, "mirror": {"secretName": "db", "versionId": "v2"}},
    }))
    .unwrap()
}

fn description() -> AwsSecret {
    let tags = [(TAG_NAMESPACE, "shop"), (TAG_NAME, "db"), (TAG_UID, UID)];
    AwsSecret {
        arn: "arn:x".to_owned(),
        name: "k8s/shop/db".to_owned(),
        description: None,
        kms_key_id: None,
        tags: tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        deleted: false,
        rotation: crate::facts::RotationFacts::default(),
        owning_service: None,
        labels: BTreeMap::from([("AWSCURRENT".to_owned(), "v2".into())]),
        last_changed: None,
        replicas: Vec::new(),
        primary_region: None,
    }
}

fn flags() -> Flags {
    Flags::default().within("shop")
}

fn reads() -> Reads {
    Reads { object: object(), suspension: None, aws: Some(Ok(Some(description()))), mirror: Mirror::Unwanted, values: None }
}

fn differing(reads: &Reads) -> Vec<&'static str> {
    compare(reads, &flags()).iter().filter(|check| check.result != Finding::Agree).map(|check| check.check).collect()
}

#[test]
fn what_agrees_agrees() {
    assert_eq!(differing(&reads()), Vec::<&str>::new());
    assert_eq!(worst(&compare(&reads(), &flags())), Finding::Agree);
}

#[test]
fn each_difference_is_told_under_its_own_name() {
    let with = |change: fn(&mut AwsSecret)| {
        let mut reads = reads();
        let mut found = description();
        change(&mut found);
        reads.aws = Some(Ok(Some(found)));
        differing(&reads)
    };
    assert_eq!(with(|found| found.deleted = true), ["aws"]);
    assert_eq!(with(|found| found.arn = "arn:y".to_owned()), ["aws"]);
    assert_eq!(with(|found| drop(found.tags.remove(TAG_UID))), ["aws"]);
    assert_eq!(with(|found| drop(found.labels.insert("AWSCURRENT".to_owned(), "v3".into()))), ["awsVersion"]);
    assert_eq!(with(|found| found.labels.clear()), ["awsVersion"]);
    assert_eq!(differing(&Reads { aws: Some(Ok(None)), ..reads() }), ["aws"]);
    assert_eq!(differing(&Reads { mirror: Mirror::Absent("db".to_owned()), ..reads() }), ["mirror"]);
    assert_eq!(differing(&Reads { values: Some(Ok(false)), ..reads() }), ["values"]);
    let mut lagging = reads();
    lagging.object.metadata.generation = Some(2);
    assert_eq!(differing(&lagging), ["status"]);
}

#[test]
fn a_pinned_secret_is_to_hold_what_it_is_pinned_to() {
    let mut found = description();
    found.labels.insert("golden".to_owned(), "v1".into());
    for (pin, version) in [
        (Pin::Current, Some("v2")),
        (Pin::Stage("golden".to_owned()), Some("v1")),
        (Pin::Stage("nowhere".to_owned()), None),
        (Pin::Version("v0".into()), Some("v0")),
    ] {
        assert_eq!(labelled(&pin, &found), version.map(VersionId::from), "{pin:?}");
    }
}

#[test]
fn somebody_elses_secret_needs_no_tags_of_ours() {
    let mut reads = reads();
    reads.object.spec.value = None;
    reads.aws = Some(Ok(Some(AwsSecret { tags: BTreeMap::new(), ..description() })));
    assert_eq!(differing(&reads), Vec::<&str>::new());
}

#[test]
fn what_could_not_be_asked_is_unknown_and_a_difference_is_worse() {
    let blind = || Reads { aws: Some(Err("denied".to_owned())), ..reads() };
    assert_eq!(worst(&compare(&blind(), &flags())), Finding::Unknown);
    assert_eq!(worst(&compare(&Reads { mirror: Mirror::Absent("db".to_owned()), ..blind() }, &flags())), Finding::Differ);
    assert_eq!(worst(&compare(&Reads { aws: None, ..reads() }, &flags())), Finding::Agree, "not asked for is not unknown");
}

#[test]
fn the_screen_says_which_half_was_read() {
    let report = |checked_aws, checked_mirror| Report {
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        result: Finding::Unknown,
        checked_aws,
        checked_mirror,
        checked_values: false,
        checks: vec![Line { check: "aws", result: Finding::Unknown, message: "denied".to_owned() }],
    };
    assert_eq!(
        screen(&report(false, true), false, false).text(),
        "CHECK   RESULT    WHAT\naws     Unknown   denied\n\ndb: not all could be checked (only the mirror and the status were compared; AWS could not \
         be read)\n"
    );
    assert!(screen(&report(false, true), true, false).text().contains("AWS was not read"));
    assert!(screen(&report(true, false), false, false).text().contains("the mirror could not be read"));
    assert_eq!(
        serde_json::to_value(report(true, true)).unwrap(),
        json!({"namespace": "shop", "name": "db", "result": "Unknown", "checkedAws": true, "checkedMirror": true, "checkedValues": false,
            "checks": [{"check": "aws", "result": "Unknown", "message": "denied"}]})
    );
}

#[test]
fn a_suspended_object_is_resumed_and_not_refreshed() {
    let absent = |change: fn(&mut Reads)| {
        let mut reads = Reads { aws: Some(Ok(None)), ..reads() };
        change(&mut reads);
        let checks = compare(&reads, &flags());
        checks.into_iter().find(|check| check.check == "aws").map(|check| check.message).unwrap_or_default()
    };
    assert!(absent(|_| ()).contains("kubectl rotatedsecret refresh db -n shop"));
    for (change, command) in [
        ((|reads| reads.object.spec.suspend = true) as fn(&mut Reads), "kubectl rotatedsecret resume db -n shop"),
        (|reads| reads.suspension = Some("INC-1".to_owned()), "kubectl rotatedsecret resume --namespace-wide -n shop"),
    ] {
        let message = absent(change);
        assert!(message.contains(command) && !message.contains("refresh"), "{message}");
    }
}
