//! What tenants can store, and what comes of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::core::{ObjectList, WatchEvent};
use serde_json::{Value, json};

use super::metadata::ANNOTATIONS;
use super::*;
use crate::api::{FINALIZER, LONGEST_POLICY, ROTATE, ResourcePolicy};

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-AbCdEf";
/// The last moment that RFC 3339 has, and jiff does not.
const BEYOND: &str = "9999-12-31T23:59:59Z";

fn object() -> Value {
    json!({
        "apiVersion": "rotated-secrets.io/v1alpha1",
        "kind": "RotatedSecret",
        "metadata": {
            "name": "db", "namespace": "shop", "uid": "0b7a4c52", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-11-23T00:00:00Z", "deletionTimestamp": "2026-11-24T00:00:00Z",
            "finalizers": [FINALIZER, "example.org/theirs"],
            "labels": {"team": "shop"},
            "annotations": {"rotated-secrets.io/rotate": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [{"manager": "kubectl", "operation": "Update", "time": "2026-11-23T00:00:00Z", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {"value": {"generate": {"password": {}}}},
        "status": {"aws": {"arn": ARN}},
    })
}

/// A list of nothing but this many lists.
fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// The object with JSON of its own in one place, which `serde_json::Value` could not hold.
fn with(pointer: &str, raw: &str) -> String {
    let mut object = object();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = json!("PLACE");
    object.to_string().replace("\"PLACE\"", raw)
}

/// Through a list and through an event, as the API server sends them and kube takes them apart.
fn decoded<K: for<'de> Deserialize<'de> + Clone>(object: &str) -> [K; 2] {
    let list = format!(r#"{{"apiVersion": "v1", "kind": "List", "metadata": {{"resourceVersion": "9"}}, "items": [{object}]}}"#);
    let mut list: ObjectList<K> = serde_json::from_str(&list).unwrap();
    let event: WatchEvent<K> = serde_json::from_str(&format!(r#"{{"type": "MODIFIED", "object": {object}}}"#)).unwrap();
    let WatchEvent::Modified(of_event) = event else { panic!("an event") };
    [list.items.remove(0), of_event]
}

#[test]
fn of_a_readable_object_there_is_all_that_the_operator_uses_and_no_more() {
    for stored in decoded::<Stored>(&object().to_string()) {
        let read = stored.readable().unwrap();
        assert_eq!((read.name_any(), read.metadata.generation), ("db".to_owned(), Some(3)));
        assert_eq!(read.metadata.finalizers.as_ref().map(Vec::len), Some(2));
        assert_eq!(read.annotations().keys().collect::<Vec<_>>(), ["rotated-secrets.io/rotate"]);
        assert!(read.metadata.deletion_timestamp.is_some() && read.metadata.labels.is_none());
        assert_eq!(read.status.as_ref().unwrap().aws.as_ref().unwrap().arn.as_deref(), Some(ARN));
        let writer = &read.managed_fields()[0];
        assert!(writer.manager.as_deref() == Some("kubectl") && writer.time.is_some() && writer.fields_v1.is_none());
    }
}

#[test]
fn an_object_that_cannot_be_used_is_named_and_can_be_deleted() {
    let large = format!("{:?}", "x".repeat(LARGEST));
    let many_fields = format!("{{{}}}", (0..2000).map(|n| format!(r#""p{n}": {{}}"#)).collect::<Vec<_>>().join(","));
    let many_values = format!(r#"{{"odd": [{}]}}"#, vec!["0"; 3000].join(","));
    for (pointer, raw, defect) in [
        ("/spec/odd", nested(DEEPEST).as_str(), Defect::TooDeep("spec")),
        ("/spec/odd", nested(100_000).as_str(), Defect::TooDeep("spec")),
        ("/spec/odd", large.as_str(), Defect::TooLarge("spec")),
        ("/spec/value/generate", &many_fields, Defect::TooMany("spec")),
        ("/spec/aws", &many_values, Defect::TooMany("spec")),
        ("/spec", "null", Defect::Unknown("spec")),
        ("/spec", "7", Defect::Unknown("spec")),
        ("/spec/suspend", "\"perhaps\"", Defect::Unknown("spec")),
        ("/spec/aws", r#"{"deletionPolicy": "Perhaps"}"#, Defect::Unknown("spec")),
        ("/spec/aws", r#"{"resourcePolicy": {"Statement": [{"Effect": "Allow", "Condition": [[[]]]}]}}"#, Defect::Unknown("spec")),
    ] {
        for stored in decoded::<Stored>(&with(pointer, raw)) {
            let unreadable = stored.into_readable().unwrap_err();
            assert_eq!(unreadable.defect, defect, "{pointer}");
            let metadata = &unreadable.metadata;
            assert_eq!((metadata.namespace.as_deref(), metadata.name.as_deref()), (Some("shop"), Some("db")));
            assert_eq!((metadata.uid.as_deref(), metadata.resource_version.as_deref()), (Some("0b7a4c52"), Some("7")));
            assert!(metadata.deletion_timestamp.is_some() && metadata.finalizers.as_ref().is_some_and(|all| all.len() == 2));
            assert_eq!(unreadable.arn.as_deref(), Some(ARN), "{pointer}");
        }
    }
}

/// A policy with this many values, each as short as possible.
fn policy(values: usize) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": ["a"], "Condition": {"k": {"c": vec!["a"; values]}},
    }]})
}

#[test]
fn a_resource_policy_is_kept_as_text_and_only_up_to_the_length_that_aws_accepts() {
    // At the limit of the text, and far beyond it: the object can be used in each case, and its status tells the limit.
    for (values, kept) in [(1, true), (5000, true), (5200, false), (60_000, false)] {
        for stored in decoded::<Stored>(&with("/spec/aws", &json!({"resourcePolicy": policy(values)}).to_string())) {
            match stored.into_readable().unwrap().spec.aws.resource_policy.unwrap() {
                ResourcePolicy::Text(text) => {
                    assert!(kept && text.len() <= LONGEST_POLICY, "{values}");
                    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), policy(values));
                }
                ResourcePolicy::TooLong => assert!(!kept, "{values}"),
            }
        }
    }
}

#[test]
fn the_largest_object_that_the_definition_accepts_can_be_used() {
    let texts = |count: usize, length: usize| json!((0..count).map(|n| (format!("k{n}"), "x".repeat(length))).collect::<BTreeMap<_, _>>());
    let names: Vec<String> = (0..16).map(|n| format!("{n}.example.org")).collect();
    let pair = json!({
        "type": "TlsKeyPair", "dnsNames": names, "commonName": "x", "certificateField": "c", "caField": "a", "validityDays": 90,
        "passwordLength": 32, "excludeCharacters": "", "excludeAmbiguous": false, "excludeUrlUnsafe": false, "excludeNumbers": false,
        "excludePunctuation": false, "excludeUppercase": false, "excludeLowercase": false, "includeSpace": false,
        "requireEachIncludedType": true,
    });
    let generate: BTreeMap<String, Value> = (0..16).map(|n| (format!("p{n}"), pair.clone())).collect();
    let regions: Vec<Value> = (0..20).map(|n| json!({"region": format!("eu-west-{n}"), "kmsKeyId": "alias/key"})).collect();
    let spec = json!({
        "value": {"data": texts(64, 1000), "generate": generate},
        "aws": {"tags": texts(40, 256), "resourcePolicy": policy(5000), "replicaRegions": regions},
        "target": {"labels": texts(32, 63), "annotations": texts(32, 4000), "keys": texts(64, 253)},
    });
    for stored in decoded::<Stored>(&with("/spec", &spec.to_string())) {
        assert!(stored.readable().is_some(), "{:?}", stored.into_readable().unwrap_err().defect);
    }
}

#[test]
fn a_status_that_cannot_be_decoded_is_like_one_that_was_lost_except_for_its_arn() {
    let large = format!("{:?}", "x".repeat(LARGEST));
    for (pointer, raw) in [
        ("/status/odd", nested(100_000).as_str()),
        ("/status/odd", large.as_str()),
        ("/status/lastRotationTime", "\"9999-12-31T23:59:59Z\""),
        ("/status/missedRotations", "1e99"),
    ] {
        for stored in decoded::<Stored>(&with(pointer, raw)) {
            let status = stored.into_readable().unwrap().status.unwrap();
            let aws = AwsStatus { arn: Some(ARN.to_owned()), ..AwsStatus::default() };
            assert_eq!(status, RotatedSecretStatus { aws: Some(aws), ..RotatedSecretStatus::default() }, "{pointer}");
        }
    }
}

#[test]
fn depth_within_the_bound_and_brackets_in_texts_are_no_defect() {
    // The spec itself is one level.
    for raw in [nested(DEEPEST - 1), format!("{:?}", "[".repeat(1000)), r#""\"[[[[""#.to_owned()] {
        for stored in decoded::<Stored>(&with("/spec/odd", &raw)) {
            assert!(stored.readable().is_some(), "{raw}");
        }
    }
}

#[test]
fn nothing_in_the_metadata_keeps_an_object_from_being_used() {
    for (pointer, raw) in [
        ("/metadata/managedFields", format!(r#"[{{"manager": "x", "time": "{BEYOND}"}}]"#)),
        ("/metadata/managedFields", format!(r#"[{{"manager": "x", "fieldsV1": {}}}]"#, nested(100_000))),
        ("/metadata/managedFields", "[7, null, []]".to_owned()),
        ("/metadata/creationTimestamp", format!("{BEYOND:?}")),
        ("/metadata/deletionTimestamp", format!("{BEYOND:?}")),
        ("/metadata/labels", nested(100_000)),
        ("/metadata/odd", nested(100_000)),
    ] {
        for stored in decoded::<Stored>(&with(pointer, &raw)) {
            let object = stored.readable().unwrap();
            assert_eq!((object.name_any().as_str(), object.resource_version().as_deref()), ("db", Some("7")), "{pointer}");
            assert!(object.metadata.deletion_timestamp.is_some(), "{pointer}");
        }
        for brief in decoded::<Brief<Secret>>(&with(pointer, &raw)) {
            assert_eq!((brief.name_any().as_str(), brief.resource_version().as_deref()), ("db", Some("7")), "{pointer}");
            assert!(brief.metadata.deletion_timestamp.is_some(), "{pointer}");
        }
    }
}

#[test]
fn what_looks_like_an_arn_and_is_none_is_not_told() {
    for text in ["arn:aws:x y", "arn:\\nfake log line", "secret", &format!("arn:{}", "x".repeat(2000))] {
        let raw = format!(r#"{{"aws": {{"arn": "{text}"}}, "missedRotations": "many"}}"#);
        for stored in decoded::<Stored>(&with("/status", &raw)) {
            assert_eq!(stored.into_readable().unwrap().status, Some(RotatedSecretStatus::default()), "{text}");
        }
    }
}

#[test]
fn what_is_no_object_at_all_is_unreadable_without_a_name() {
    for text in ["7", "null", "[]", "{}", "\"text\""] {
        for stored in decoded::<Stored>(text) {
            assert_eq!(stored.into_readable().unwrap_err().metadata, ObjectMeta::default(), "{text}");
        }
    }
}

/// The size of what is kept, with the space that is reserved in its lists.
fn kept(metadata: &ObjectMeta) -> usize {
    let owners = metadata.owner_references.as_ref().map_or(0, Vec::capacity);
    let lists = [metadata.finalizers.as_ref().map_or(0, Vec::capacity), owners, metadata.managed_fields.as_ref().map_or(0, Vec::capacity)];
    serde_json::to_string(metadata).unwrap().len() + 256 * lists.into_iter().sum::<usize>()
}

/// Makes the entry of this number.
type Entry<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn what_is_kept_of_the_metadata_does_not_grow_with_what_users_write() {
    let owner = |controller| {
        move |n| {
            format!(
                r#"{{"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": "n{n}", "uid": "{n}", "controller": {controller}}}"#
            )
        }
    };
    let (any, controlling) = (owner(false), owner(true));
    let writer = |n| format!(r#"{{"manager": "m{n}", "time": "2026-11-23T00:00:00Z", "fieldsV1": {{"f:data": {{"f:k{n}": {{}}}}}}}}"#);
    let pair = |prefix: &'static str| move |n| format!(r#""{prefix}{n}": "text {n}""#);
    let (label, ours, theirs) = (pair("example.org/l"), pair("rotated-secrets.io/a"), pair("example.org/a"));
    let finalizer = |n| format!(r#""example.org/f{n}""#);
    let tables: [(&str, [&str; 2], Entry<'_>); 8] = [
        ("/metadata/ownerReferences", ["[", "]"], &any),
        ("/metadata/ownerReferences", ["[", "]"], &controlling),
        ("/metadata/finalizers", ["[", "]"], &finalizer),
        ("/metadata/managedFields", ["[", "]"], &writer),
        ("/metadata/labels", ["{", "}"], &label),
        ("/metadata/annotations", ["{", "}"], &ours),
        ("/metadata/annotations", ["{", "}"], &theirs),
        ("/metadata/odd", ["{", "}"], &theirs),
    ];
    for (pointer, [open, close], entry) in tables {
        let of = |count: usize| format!("{open}{}{close}", (0..count).map(entry).collect::<Vec<_>>().join(","));
        let [few, many] = [100, 10_000].map(|count| {
            let object = with(pointer, &of(count));
            let [stored, event] = decoded::<Stored>(&object).map(|stored| kept(stored.meta()));
            let [brief, brief_event] = decoded::<Brief<Secret>>(&object).map(|brief| kept(&brief.metadata));
            assert!([event, brief, brief_event].iter().all(|size| *size == stored), "{pointer}");
            stored
        });
        assert_eq!(few, many, "{pointer}");
        assert!(many < 64 * 1024, "{pointer}: {many}");
    }
}

#[test]
fn a_field_that_is_longer_than_kubernetes_allows_is_not_kept() {
    let long = "x".repeat(LARGEST);
    for (pointer, raw) in [
        (
            "/metadata/ownerReferences",
            format!(r#"[{{"apiVersion": "v1", "kind": "A", "name": "{long}", "uid": "1", "controller": true}}]"#),
        ),
        ("/metadata/finalizers", format!(r#"["{long}"]"#)),
        ("/metadata/managedFields", format!(r#"[{{"manager": "{long}", "subresource": "{long}", "time": "{long}"}}]"#)),
        ("/metadata/annotations", format!(r#"{{"{ROTATE}": "{long}{long}"}}"#)),
        ("/metadata/annotations", format!(r#"{{"{long}": "1"}}"#)),
        ("/metadata/uid", format!("{long:?}")),
    ] {
        for brief in decoded::<Brief<Secret>>(&with(pointer, &raw)) {
            assert!(kept(&brief.metadata) < 64 * 1024, "{pointer}");
        }
    }
}

#[test]
fn our_finalizer_and_the_controller_are_found_behind_any_number_of_others() {
    let mut finalizers: Vec<String> = (0..10_000).map(|n| format!("example.org/f{n}")).collect();
    finalizers.push(FINALIZER.to_owned());
    let owner = |name: &str, controller| json!({"apiVersion": "v1", "kind": "A", "name": name, "uid": name, "controller": controller});
    let mut owners: Vec<Value> = (0..10_000).map(|n| owner(&n.to_string(), None::<bool>)).collect();
    owners.push(owner("last", Some(true)));
    let mut object = object();
    object["metadata"]["finalizers"] = json!(finalizers);
    object["metadata"]["ownerReferences"] = json!(owners);
    for brief in decoded::<Brief<Secret>>(&object.to_string()) {
        assert_eq!(brief.finalizers().len(), MOST_FINALIZERS + 2, "one more than can be written back, and ours");
        assert!(brief.finalizers().iter().any(|name| name == FINALIZER));
        assert_eq!(brief.owner_references().iter().map(|owner| owner.name.as_str()).collect::<Vec<_>>(), ["last"]);
    }
}

#[test]
fn every_annotation_that_is_read_is_kept() {
    for line in include_str!("../../api/mod.rs").lines() {
        let declared = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": &str = \""));
        let Some((name, text)) = declared.filter(|(_, text)| text.starts_with("rotated-secrets.io/")) else { continue };
        // Tags of AWS secrets, the finalizer, and what the mirrored Secret, Jobs and CronJobs have, which is read separately.
        let elsewhere = name.starts_with("TAG_")
            || ["JOB_OF", "JOB_INPUTS", "JOB_READ", "TEMPLATE_FOR", "INITIAL_VALUE_FOR"].contains(&name)
            || ["FINALIZER", "VERSION_ID", "SECRET_ARN", "RENDERING", "LAST_CHANGED", "NOT_AFTER", "ADOPT_BY", "PREVIOUS_VERSION_ID"]
                .contains(&name);
        let key = text.trim_end_matches("\";");
        assert_eq!(ANNOTATIONS.contains(&key), !elsewhere, "{name}");
    }
}
