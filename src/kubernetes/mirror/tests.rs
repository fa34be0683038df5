//! What the metadata of a Secret tells, from `managedFields` as an API server writes them.

use std::sync::Arc;

use kube::runtime::watcher::Event;
use serde_json::Value;

use super::*;
use crate::api::{AwsSpec, RotatedSecretSpec, SecretType, TargetSpec};
use crate::kubernetes::known::WatchedSecret;
use crate::value::Layout;

const UID: &str = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";
const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf";
const WRITTEN: &str = "2026-11-24T00:30:00Z";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn target() -> Target {
    Target {
        name: "db-admin".to_owned(),
        layout: Layout::default(),
        labels: map(&[("app.kubernetes.io/managed-by", "rotated-secrets"), ("team", "shop")]),
        annotations: map(&[("note", "ours")]),
        pin: crate::desired::Pin::Current,
        with_previous: false,
        retained: false,
        adopts: false,
    }
}

fn object() -> RotatedSecret {
    let spec = RotatedSecretSpec {
        suspend: false,
        aws: AwsSpec::default(),
        value: None,
        rotation: None,
        rollout: None,
        target: TargetSpec::default(),
    };
    let mut object = RotatedSecret::new("db-admin", spec);
    object.metadata.uid = Some(UID.to_owned());
    object.metadata.namespace = Some("shop".to_owned());
    object
}

/// An entry of `managedFields`, with these keys of `data` and what else it owns.
fn entry(manager: &str, operation: &str, time: &str, keys: &[&str], more: &Value) -> Value {
    let data: serde_json::Map<String, Value> = keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
    let mut fields = json!({"f:data": data});
    if keys.is_empty() {
        fields = json!({});
    }
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields, "manager": manager, "operation": operation, "time": time})
}

/// Our own entry after a write.
fn ours(keys: &[&str]) -> Value {
    let metadata = json!({
        "f:annotations": {".": {}, "f:note": {}, "f:rotated-secrets.io/rendering": {}, "f:rotated-secrets.io/secret-arn": {}, "f:rotated-secrets.io/version-id": {}},
        "f:labels": {".": {}, "f:app.kubernetes.io/managed-by": {}, "f:team": {}},
        "f:ownerReferences": {".": {}, "k:{\"uid\":\"0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11\"}": {}},
    });
    let mut entry = entry(FIELD_MANAGER, "Update", WRITTEN, keys, &json!({"f:metadata": metadata, "f:type": {}}));
    entry["fieldsV1"]["f:data"]["."] = json!({});
    entry
}

fn kubectl_edit(keys: &[&str]) -> Value {
    entry("kubectl-edit", "Update", "2026-11-24T09:00:00Z", keys, &json!({}))
}

/// The metadata of a Secret that we wrote with the keys `password` and `username`, and then `change`.
fn found(entries: &[Value], change: impl FnOnce(&mut Value)) -> MirrorMetadata {
    let mut annotations = target().annotations;
    annotations.insert(VERSION_ID.to_owned(), "v1".to_owned());
    annotations.insert(SECRET_ARN.to_owned(), ARN.to_owned());
    annotations.insert(RENDERING.to_owned(), target().rendering(["password", "username"]));
    let mut metadata = json!({
        "name": "db-admin", "namespace": "shop", "uid": "5ec", "resourceVersion": "7", "creationTimestamp": "2026-11-23T00:00:00Z",
        "labels": target().labels,
        "annotations": annotations,
        "ownerReferences": [{"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": "db-admin", "uid": UID, "controller": true}],
        "managedFields": entries,
    });
    change(&mut metadata);
    read(&json!({"metadata": metadata}), &target(), Some(ARN))
}

fn read(secret: &Value, target: &Target, arn: Option<&str>) -> MirrorMetadata {
    let (metadata, writers) = managed_fields::read(&secret.to_string()).unwrap();
    read_metadata(metadata, writers, &object(), target, arn)
}

#[test]
fn a_watch_tells_whose_secret_was_edited_or_deleted() {
    let known = Arc::new(Known::default());
    let mut object = object();
    object.status = serde_json::from_value(json!({"mirror": {"secretName": "db-admin", "versionId": "v1"}})).unwrap();
    let shows = |entries: &[Value], version: &str| {
        let controller = json!([{"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": "db-admin", "uid": UID, "controller": true}]);
        let annotations = json!({VERSION_ID: version});
        let metadata = json!({"name": "db-admin", "namespace": "shop", "annotations": annotations, "ownerReferences": controller, "managedFields": entries});
        serde_json::from_str::<WatchedSecret>(&json!({"metadata": metadata}).to_string()).unwrap()
    };
    let mut sees = known.sees_secrets(None);
    assert!(!was_edited(&known, &object), "no watch has shown anything");
    sees(&Ok(Event::Init));
    assert!(!was_edited(&known, &object), "the list is not complete");
    sees(&Ok(Event::InitApply(shows(&[ours(&BOTH)], "v1"))));
    sees(&Ok(Event::InitDone));
    assert!(!was_edited(&known, &object));
    sees(&Ok(Event::Apply(shows(&[ours(&["username"]), kubectl_edit(&["password"])], "v1"))));
    assert!(was_edited(&known, &object), "another client wrote a key");
    sees(&Ok(Event::Apply(shows(&[ours(&BOTH)], "v0"))));
    assert!(was_edited(&known, &object), "another version than the status says");
    sees(&Ok(Event::Delete(shows(&[ours(&BOTH)], "v1"))));
    assert!(was_edited(&known, &object), "it was deleted");
    object.status = None;
    assert!(!was_edited(&known, &object), "the object has never had one");
}

const BOTH: [&str; 2] = ["password", "username"];

#[test]
fn a_secret_that_only_we_wrote_is_ours_and_intact() {
    let found = found(&[ours(&BOTH)], |_| ());
    assert!(found.facts.ours && found.facts.intact);
    assert_eq!((found.facts.version, found.facts.written), (Some(VersionId::from("v1")), Some(WRITTEN.parse().unwrap())));
}

#[test]
fn a_version_id_that_aws_cannot_have_given_is_not_read() {
    let long = "x".repeat(65);
    for text in ["", "v 1", "v1\n", "\u{1}", "vä", long.as_str()] {
        let found = found(&[ours(&BOTH)], |metadata| metadata["annotations"][VERSION_ID] = json!(text));
        assert_eq!(found.facts.version, None, "{text:?}");
    }
    let longest = "x".repeat(64);
    let found = found(&[ours(&BOTH)], |metadata| metadata["annotations"][VERSION_ID] = json!(longest));
    assert_eq!(found.facts.version, Some(VersionId::from(longest)));
}

#[test]
fn an_edit_of_the_data_shows_in_who_owns_its_keys() {
    let table = [
        ("a value edited: its key is the editor's now", vec![ours(&["username"]), kubectl_edit(&["password"])], false),
        ("all values edited", vec![ours(&[]), kubectl_edit(&BOTH)], false),
        ("a key added", vec![ours(&BOTH), kubectl_edit(&["extra"])], false),
        ("a key removed", vec![ours(&["username"])], false),
        ("a key replaced", vec![ours(&["username"]), kubectl_edit(&["pass"])], false),
        (
            "a value edited by one and taken over by another",
            vec![ours(&["username"]), entry("argocd", "Apply", WRITTEN, &["password"], &json!({}))],
            false,
        ),
        ("nobody of that name ever wrote", vec![kubectl_edit(&BOTH)], false),
        ("no record at all", vec![], false),
        ("the same value applied by another too", vec![ours(&BOTH), entry("argocd", "Apply", WRITTEN, &["password"], &json!({}))], true),
        ("ours in two entries", vec![ours(&["username"]), entry(FIELD_MANAGER, "Apply", WRITTEN, &["password"], &json!({}))], true),
        ("made immutable", vec![ours(&BOTH), entry("kubectl-patch", "Update", WRITTEN, &[], &json!({"f:immutable": {}}))], false),
        (
            "a foreign label",
            vec![ours(&BOTH), entry("kubectl-label", "Update", WRITTEN, &[], &json!({"f:metadata": {"f:labels": {"f:x": {}}}}))],
            true,
        ),
        ("an entry without fields", vec![ours(&BOTH), json!({"manager": "old", "operation": "Update"})], true),
        ("fields of no known form", vec![ours(&BOTH), json!({"manager": "x", "fieldsV1": {"f:data": "odd", "f:metadata": []}})], true),
    ];
    for (case, entries, intact) in table {
        let found = found(&entries, |_| ());
        assert_eq!(found.facts.intact, intact, "{case}");
        assert!(found.facts.ours, "{case}");
    }
}

#[test]
fn a_value_applied_as_string_data_is_an_edit_too() {
    let apply = entry("kubectl", "Apply", "2026-11-24T09:00:00Z", &[], &json!({"f:stringData": {"f:password": {}}}));
    assert!(!found(&[ours(&BOTH), apply], |_| ()).facts.intact);
}

#[test]
fn metadata_that_is_not_as_we_wrote_it_is_an_edit_and_what_others_add_is_not() {
    type Change = fn(&mut Value);
    let table: [(&str, Change, bool); 13] = [
        ("label changed", |m| m["labels"]["team"] = json!("other"), false),
        ("label gone", |m| drop(m["labels"].as_object_mut().unwrap().remove("team")), false),
        ("our label changed", |m| m["labels"]["app.kubernetes.io/managed-by"] = json!("Helm"), false),
        ("no labels", |m| m["labels"] = Value::Null, false),
        ("foreign label", |m| m["labels"]["x"] = json!("y"), true),
        ("annotation changed", |m| m["annotations"]["note"] = json!("theirs"), false),
        ("annotation gone", |m| drop(m["annotations"].as_object_mut().unwrap().remove("note")), false),
        ("no annotations", |m| m["annotations"] = Value::Null, false),
        ("foreign annotation", |m| m["annotations"]["x"] = json!("y"), true),
        ("another ARN", |m| m["annotations"][SECRET_ARN] = json!("arn:other"), false),
        ("no ARN", |m| drop(m["annotations"].as_object_mut().unwrap().remove(SECRET_ARN)), false),
        ("another rendering", |m| m["annotations"][RENDERING] = json!("0123456789abcdef"), false),
        ("no rendering", |m| drop(m["annotations"].as_object_mut().unwrap().remove(RENDERING)), false),
    ];
    for (case, change, intact) in table {
        assert_eq!(found(&[ours(&BOTH)], change).facts.intact, intact, "{case}");
    }
}

#[test]
fn a_secret_laid_out_for_another_target_is_not_intact_for_this_one() {
    let found = found(&[ours(&BOTH)], |_| ());
    let intact = |target: &Target, arn| read_metadata(found.metadata.clone(), found.writers.clone(), &object(), target, arn).facts.intact;
    assert!(intact(&target(), Some(ARN)) && intact(&target(), None), "an ARN that is not known is not asked for");
    assert!(!intact(&target(), Some("arn:other")));
    let fewer = Target { labels: map(&[("app.kubernetes.io/managed-by", "rotated-secrets")]), ..target() };
    let without = Target { annotations: BTreeMap::new(), ..target() };
    let mapped =
        Target { layout: Layout { keys: map(&[("password", "password"), ("username", "username")]), ..target().layout }, ..target() };
    let typed = Target { layout: Layout { kind: SecretType::BasicAuth, ..target().layout }, ..target() };
    for changed in [fewer, without, mapped, typed] {
        assert!(!intact(&changed, Some(ARN)), "{changed:?}");
    }
}

#[test]
fn only_a_secret_whose_controller_is_this_very_object_is_ours() {
    let owner =
        |uid: &str, controller: Value| json!({"apiVersion": "a/v1", "kind": "K", "name": "db-admin", "uid": uid, "controller": controller});
    let table = [
        (json!([owner(UID, json!(true))]), true),
        (json!([owner("other", json!(false)), owner(UID, json!(true))]), true),
        (json!([owner("other", json!(true))]), false),
        (json!([owner("other", json!(true)), owner(UID, json!(false))]), false),
        (json!([owner(UID, json!(false))]), false),
        (json!([owner(UID, Value::Null)]), false),
        (json!([owner("", json!(true))]), false),
        (json!([]), false),
        (Value::Null, false),
    ];
    for (owners, expected) in table {
        assert_eq!(found(&[ours(&BOTH)], |m| m["ownerReferences"] = owners.clone()).facts.ours, expected, "{owners}");
    }
}

#[test]
fn the_version_and_the_time_are_those_of_our_last_write() {
    let entries = [
        entry(FIELD_MANAGER, "Apply", "2026-11-24T02:00:00Z", &[], &json!({})),
        ours(&BOTH),
        entry("kubectl-label", "Update", "2026-11-24T05:00:00Z", &[], &json!({})),
    ];
    assert_eq!(found(&entries, |_| ()).facts.written, Some("2026-11-24T02:00:00Z".parse().unwrap()));
    let unknown = found(&[kubectl_edit(&BOTH)], |m| m["annotations"] = json!({}));
    assert_eq!((unknown.facts.version, unknown.facts.written), (None, None));
}

/// The annotations that a write of version `v2` adds.
const STAMPS: [(&str, &str); 3] = [(VERSION_ID, "v2"), (SECRET_ARN, ARN), (RENDERING, "r2")];

fn stamped(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    map(&[&STAMPS, more].concat())
}

#[test]
fn a_new_secret_has_what_is_asked_for_and_our_object_as_its_controller() {
    let made = metadata(&object(), &target(), None, &STAMPS);
    assert_eq!((made.labels, made.annotations), (Some(target().labels), Some(stamped(&[("note", "ours")]))));
    assert_eq!((made.uid, made.resource_version), (None, None));
    let owners = made.owner_references.unwrap();
    let expected =
        json!([{"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": "db-admin", "uid": UID, "controller": true}]);
    assert_eq!(serde_json::to_value(owners).unwrap(), expected);
}

#[test]
fn a_write_takes_away_what_we_wrote_once_and_do_not_want_and_leaves_what_is_of_others() {
    let before = found(
        &[
            ours(&BOTH),
            entry(
                "helm",
                "Update",
                WRITTEN,
                &[],
                &json!({"f:metadata": {"f:labels": {"f:theirs": {}}, "f:annotations": {"f:theirs": {}}}}),
            ),
        ],
        |m| {
            m["labels"]["theirs"] = json!("stays");
            m["annotations"]["theirs"] = json!("stays");
            m["finalizers"] = json!(["example.org/theirs"]);
        },
    );
    let fewer = Target { labels: map(&[("app.kubernetes.io/managed-by", "rotated-secrets")]), annotations: BTreeMap::new(), ..target() };
    let next = metadata(&object(), &fewer, Some(&before), &STAMPS);
    assert_eq!(next.labels, Some(map(&[("app.kubernetes.io/managed-by", "rotated-secrets"), ("theirs", "stays")])));
    assert_eq!(next.annotations, Some(stamped(&[("theirs", "stays")])));
    assert_eq!(next.finalizers, Some(vec!["example.org/theirs".to_owned()]));
    assert_eq!(next.owner_references, before.metadata.owner_references);
    assert_eq!(next.managed_fields, None, "an empty list would wipe the record of who wrote what");
}

#[test]
fn a_write_wins_over_a_changed_label_and_only_replaces_the_secret_that_was_seen() {
    let before = found(&[ours(&BOTH)], |m| {
        m["labels"]["team"] = json!("edited");
        m["annotations"]["note"] = json!("edited");
        m["annotations"][VERSION_ID] = json!("edited");
    });
    let next = metadata(&object(), &target(), Some(&before), &STAMPS);
    assert_eq!((next.labels, next.annotations), (Some(target().labels), Some(stamped(&[("note", "ours")]))));
    assert_eq!((next.uid.as_deref(), next.resource_version.as_deref()), (Some("5ec"), Some("7")));
}

#[test]
fn what_was_written_reads_as_intact() {
    let keys = ["password", "username"];
    let rendering = target().rendering(keys);
    let stamps = [
        (VERSION_ID, "v2"),
        (SECRET_ARN, ARN),
        (RENDERING, &rendering),
        (LAST_CHANGED, "2026-11-24T02:00:00.123Z"),
        (NOT_AFTER, "2026-12-01T00:00:00Z"),
    ];
    let mut made = metadata(&object(), &target(), None, &stamps);
    made.managed_fields = Some(vec![serde_json::from_value(ours(&keys)).unwrap()]);
    let read = read(&json!({"metadata": made}), &target(), Some(ARN));
    assert!(read.facts.ours && read.facts.intact);
    assert_eq!(read.facts.version, Some(VersionId::from("v2")));
    assert_eq!(read.facts.changed, Some("2026-11-24T02:00:00.123Z".parse().unwrap()));
    assert_eq!(read.facts.not_after, Some("2026-12-01T00:00:00Z".parse().unwrap()));
}

#[test]
fn a_secret_may_be_adopted_if_it_names_our_object_and_has_no_controller() {
    let offered = |by: Option<&str>, owner: Option<bool>| {
        let mut metadata = ObjectMeta { name: Some("db-admin".to_owned()), ..ObjectMeta::default() };
        metadata.annotations = by.map(|by| map(&[(ADOPT_BY, by)]));
        metadata.owner_references = owner.map(|controller| {
            vec![OwnerReference { uid: "another".to_owned(), controller: Some(controller), ..OwnerReference::default() }]
        });
        read(&json!({"metadata": metadata}), &target(), Some(ARN))
    };
    let name = object().name_any();
    assert!(offered(Some(&name), None).facts.adoptable && offered(Some(&name), Some(false)).facts.adoptable);
    assert!(
        !offered(None, None).facts.adoptable
            && !offered(Some("another"), None).facts.adoptable
            && !offered(Some(&name), Some(true)).facts.adoptable
    );
    // An adopted Secret keeps its other owners, and what other clients wrote, except for the consent.
    let adopted = metadata(&object(), &target(), Some(&offered(Some(&name), Some(false))), &[(VERSION_ID, "v1")]);
    let owners: Vec<_> = adopted.owner_references.iter().flatten().map(|owner| (owner.uid.as_str(), owner.controller)).collect();
    assert_eq!(owners, [("another", Some(false)), (UID, Some(true))]);
    assert!(!adopted.annotations.unwrap().contains_key(ADOPT_BY));
    // A consent for another object is for later.
    let promised = metadata(&object(), &target(), Some(&offered(Some("another"), Some(false))), &[(VERSION_ID, "v1")]);
    assert_eq!(promised.annotations.unwrap()[ADOPT_BY], "another");
}

#[test]
fn no_entry_of_managed_fields_keeps_the_secret_from_being_read() {
    let deep = (0..500).fold(json!({}), |inner, _| json!({"f:deeper": inner}));
    let ancient_to_far = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "soon", "9999-12-30T21:59:59Z"];
    for time in ancient_to_far {
        for entry in [entry("theirs", "Update", time, &[], &json!({})), entry(FIELD_MANAGER, "Update", time, &[], &json!({}))] {
            let found = found(&[ours(&BOTH), entry], |_| ());
            assert!(found.facts.ours && found.facts.intact, "{time}");
        }
    }
    // The JSON is made by hand: a value this deep cannot be parsed.
    let of = |entry: &str| {
        format!(r#"{{"metadata": {{"name": "db-admin", "deletionTimestamp": "9999-12-31T23:59:59Z", "managedFields": [{entry}]}}}}"#)
    };
    let (metadata, writers) =
        managed_fields::read(&of(&entry("theirs", "Update", WRITTEN, &["password"], &json!({"f:x": deep})).to_string())).unwrap();
    assert_eq!((metadata.name.as_deref(), writers.foreign_form), (Some("db-admin"), false));
    assert!(writers.foreign_keys.contains("password"));
    for odd in ["7", "[]", r#"{"manager": 1}"#, r#"{"fieldsV1": "text"}"#, r#"{"fieldsV1": {"f:data": []}}"#] {
        let (_, writers) = managed_fields::read(&of(odd)).unwrap();
        assert!(writers.foreign_keys.is_empty() && writers.our_keys.is_empty() && !writers.foreign_form, "{odd} says nothing");
    }
    for none in ["", "[]", "{}", r#"{"metadata": 7}"#, r#"{"metadata": {"labels": {"a": 1}}}"#] {
        assert!(managed_fields::read(none).is_none(), "{none}");
    }
}

#[test]
fn metadata_that_decoded_would_need_many_times_its_size_is_not_decoded() {
    let many = |count: usize, entry: &dyn Fn(usize) -> String| (0..count).map(entry).collect::<Vec<_>>().join(",");
    let owner = |n| format!(r#"{{"apiVersion":"v1","kind":"A","name":"n{n}","uid":"{n}"}}"#);
    let finalizer = |n| format!(r#""example.org/f{n}""#);
    let pair = |n| format!(r#""example.org/{n}":"x""#);
    let written = |n| format!(r#"{{"manager":"m","fieldsV1":{{"f:data":{{"f:k{n}":{{}}}}}}}}"#);
    let of = |field: &str, list: &str| format!(r#"{{"metadata":{{"name":"x","{field}":{list}}}}}"#);
    for (count, fine) in [(100, true), (20_000, false)] {
        for (field, list) in [
            ("ownerReferences", format!("[{}]", many(count, &owner))),
            ("finalizers", format!("[{}]", many(count, &finalizer))),
            ("labels", format!("{{{}}}", many(count, &pair))),
            ("managedFields", format!("[{}]", many(count, &written))),
        ] {
            assert_eq!(managed_fields::read(&of(field, &list)).is_some(), fine, "{field} {count}");
        }
    }
    for character in ["x", "\\u0001"] {
        let applied = format!(r#"{{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}"#, character.repeat(256 * 1024));
        assert!(managed_fields::read(&of("annotations", &applied)).is_some(), "the most that the API server stores");
    }
}
