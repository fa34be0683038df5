//! What has to be cleaned up, and where.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::desired::tests::{object, policy};

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf";

fn going(spec: Value, arn: Option<&str>) -> RotatedSecret {
    let mut object = object(spec);
    object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    object.status = serde_json::from_value(json!({"aws": {"arn": arn}})).unwrap();
    object
}

fn deletable(aws: &Value) -> Value {
    let mut spec = json!({"aws": {"deletionPolicy": "Delete"}, "value": {"generate": {"password": {}}}});
    for (key, value) in aws.as_object().unwrap() {
        spec["aws"][key] = value.clone();
    }
    spec
}

fn places(aws: &Value, arn: Option<&str>, policy: &Policy) -> Vec<(String, String, bool)> {
    let removal = Removal::of(&going(deletable(aws), arn), policy).aws.unwrap();
    let places = removal.places(removal.recorded.as_ref());
    places.into_iter().map(|place| (place.region, place.name, place.own_name)).collect()
}

fn place(region: &str, name: &str, own: bool) -> (String, String, bool) {
    (region.to_owned(), name.to_owned(), own)
}

#[test]
fn aws_matters_only_if_the_secret_is_deleted_with_the_object() {
    let value = json!({"generate": {"password": {}}});
    for (spec, aws, mirror) in [
        (json!({"value": value}), false, None),
        (json!({"value": value, "aws": {"deletionPolicy": "Delete"}}), true, None),
        (json!({"aws": {"deletionPolicy": "Delete"}}), false, None),
        (json!({"target": {"deletionPolicy": "Retain"}}), false, Some("db-admin")),
        (json!({"target": {"deletionPolicy": "Retain", "name": "other"}}), false, Some("other")),
    ] {
        let removal = Removal::of(&going(spec.clone(), None), &policy());
        assert_eq!((removal.aws.is_some(), removal.mirror.as_deref()), (aws, mirror), "{spec}");
    }
    let mut nobody = going(deletable(&json!({})), None);
    nobody.metadata.uid = None;
    assert!(Removal::of(&nobody, &policy()).aws.is_none(), "without a uid nothing can be proved");
}

#[test]
fn an_object_that_had_a_value_still_has_an_aws_secret_to_report() {
    let spec = json!({"aws": {"deletionPolicy": "Delete"}});
    let mut object = going(spec, Some(ARN));
    object.status.as_mut().unwrap().declared = Some(serde_json::from_value(json!({"hash": "h", "fields": []})).unwrap());
    let aws = Removal::of(&object, &policy()).aws.unwrap();
    assert!(!aws.managed && aws.recorded.is_some());
    assert!(Removal::of(&going(deletable(&json!({})), None), &policy()).aws.unwrap().managed);
}

#[test]
fn a_reported_adoption_is_known_until_the_secret_has_an_arn() {
    let entry = |cause: &str| json!([{"versionId": "v", "time": "2026-01-01T00:00:00Z", "cause": cause, "outcome": "Succeeded"}]);
    for (arn, cause, adopting) in [(None, "Adopted", true), (Some(ARN), "Adopted", false), (None, "Created", false)] {
        let mut object = going(deletable(&json!({})), arn);
        object.status.as_mut().unwrap().history = serde_json::from_value(entry(cause)).unwrap();
        assert_eq!(Removal::of(&object, &policy()).aws.unwrap().adopting, adopting, "{arn:?} {cause}");
    }
}

#[test]
fn a_former_secret_has_our_names_and_the_uid_of_this_namespace() {
    let removal = Removal::of(&going(deletable(&json!({})), None), &policy()).aws.unwrap();
    let mut tags = removal.tags.clone();
    tags.insert(TAG_NAMESPACE_UID.to_owned(), "ns".to_owned());
    assert_eq!(removal.owner(&tags, Some("ns")), Owner::This);
    tags.insert(TAG_UID.to_owned(), "earlier".to_owned());
    assert_eq!(removal.owner(&tags, Some("ns")), Owner::Former);
    assert_eq!(removal.owner(&tags, Some("other")), Owner::Another);
    assert_eq!(removal.owner(&tags, None), Owner::Another);
    for key in [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAME, TAG_NAMESPACE_UID] {
        let mut other = tags.clone();
        other.insert(key.to_owned(), "other".to_owned());
        assert_eq!(removal.owner(&other, Some("ns")), Owner::Another, "{key}");
    }
}

#[test]
fn the_secret_is_looked_for_where_it_was_recorded_and_where_the_flags_put_it() {
    let here = place("eu-central-1", "k8s/shop/db-admin", true);
    assert_eq!(places(&json!({}), None, &policy()), vec![here.clone()]);
    assert_eq!(places(&json!({}), Some(ARN), &policy()), vec![here.clone()]);
    let moved = Policy { name_prefix: "prod".to_owned(), default_region: "us-east-1".to_owned(), ..policy() };
    assert_eq!(places(&json!({}), Some(ARN), &moved), [here, place("us-east-1", "prod/shop/db-admin", true)]);
    let named = json!({"secretName": "shared/db", "region": "eu-west-1"});
    let shared = place("eu-west-1", "shared/db", false);
    let contradicts = place("eu-central-1", "k8s/shop/db-admin", true);
    assert_eq!(places(&named, Some(ARN), &policy()), [shared.clone(), contradicts], "the spec comes first, and the tags decide");
    assert_eq!(
        places(&named, Some(&ARN.replace("eu-central-1", "eu-west-1").replace("k8s/shop/db-admin", "shared/db")), &policy()),
        [shared]
    );
}

#[test]
fn the_secret_is_looked_for_where_the_last_attempt_was() {
    let mut object = going(deletable(&json!({})), None);
    let attempt = json!({"region": "us-east-1", "secretName": "old/shop/db-admin", "time": "2026-11-27T12:00:00Z"});
    object.status = serde_json::from_value(json!({"aws": {"place": attempt}})).unwrap();
    let places = Removal::of(&object, &policy()).aws.unwrap().places(None);
    let places: Vec<_> = places.into_iter().map(|place| (place.region, place.name, place.own_name)).collect();
    assert_eq!(places, [place("us-east-1", "old/shop/db-admin", true), place("eu-central-1", "k8s/shop/db-admin", true)]);
}

#[test]
fn an_earlier_name_needs_no_permission_only_if_the_status_says_it() {
    let earlier = SecretArn::parse(&ARN.replace("k8s/", "old/")).unwrap();
    for (status, own) in [(Some(earlier.text.as_str()), true), (None, false)] {
        let removal = Removal::of(&going(deletable(&json!({})), status), &policy()).aws.unwrap();
        let first = removal.places(Some(&earlier)).into_iter().next().unwrap();
        assert_eq!((first.name.as_str(), first.own_name), ("old/shop/db-admin", own), "{status:?}");
    }
}

#[test]
fn a_forged_arn_is_not_followed_to_a_name_that_cannot_be_the_objects() {
    for name in ["k8s/other/db-admin", "k8s/shop/other", "shared/db"] {
        let forged = ARN.replace("k8s/shop/db-admin", name);
        // The tags of this object are never there, and AWS is asked only about names that the namespace may use.
        let own = name.starts_with("k8s/shop/");
        let expected = [place("eu-central-1", "k8s/shop/db-admin", true), place("eu-central-1", name, own)];
        assert_eq!(places(&json!({}), Some(&forged), &policy()), expected, "{name}");
    }
    let injected = ARN.replace("db-admin", "db-admin\nERROR");
    assert!(Removal::of(&going(deletable(&json!({})), Some(&injected)), &policy()).aws.unwrap().recorded.is_none());
}

#[test]
fn no_flag_makes_parsing_fail() {
    let long = Policy { name_prefix: "p".repeat(512), allowed_regions: vec!["eu-west-1".to_owned()], ..policy() };
    assert_eq!(places(&json!({}), None, &long), []);
    assert_eq!(places(&json!({}), Some(ARN), &long), [place("eu-central-1", "k8s/shop/db-admin", true)]);
}

#[test]
fn an_invalid_generator_does_not_hold_a_deletion_up() {
    let spec = json!({"value": {"generate": {"password": {"passwordLength": 2}}}, "aws": {"deletionPolicy": "Delete"}});
    assert!(crate::desired::Desired::parse(&object(spec.clone()), &policy()).is_err());
    assert!(Removal::of(&going(spec, None), &policy()).aws.is_some());
}

#[test]
fn only_all_four_tags_prove_ownership() {
    let removal = Removal::of(&going(deletable(&json!({})), None), &policy()).aws.unwrap();
    let tags = removal.tags.clone();
    assert!(removal.owns(&tags));
    for key in tags.keys() {
        let mut without = tags.clone();
        without.remove(key);
        assert!(!removal.owns(&without), "{key} is missing");
        without.insert(key.clone(), "other".to_owned());
        assert!(!removal.owns(&without), "{key} differs");
    }
}
