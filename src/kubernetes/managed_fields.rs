//! The writers of a Secret, from `managedFields`. An edit of a value moves the ownership of its key to the editor, so an
//! edit is detected without reading the value.
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>
//!
//! A client that may update the Secret may write any `managedFields`, with any time. Each entry is therefore decoded
//! separately, and an entry that cannot be decoded is ignored.

#![allow(clippy::zero_sized_map_values, reason = "the values are skipped, at any depth")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::stored::time;
use crate::api::FIELD_MANAGER;

/// What the operator and other writers own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writers {
    /// Keys of `data` that we wrote last.
    pub(crate) our_keys: BTreeSet<String>,
    /// Keys of `data` that another client wrote last.
    pub(crate) foreign_keys: BTreeSet<String>,
    /// The other client that wrote one of these, or `immutable`, or `stringData`, last.
    pub(crate) foreign_manager: Option<String>,
    /// Another client wrote `immutable`.
    pub(crate) foreign_form: bool,
    /// When another client last applied `stringData`, which changes a value without owning its key.
    pub(crate) string_data: Option<Timestamp>,
    /// Labels that we wrote.
    pub(crate) our_labels: BTreeSet<String>,
    /// Annotations that we wrote.
    pub(crate) our_annotations: BTreeSet<String>,
    /// When we last wrote.
    pub(crate) written: Option<Timestamp>,
}

/// Maximum size of the annotations that are decoded, in bytes of JSON. The API server stores at most 256 KiB of them, before
/// characters are escaped, each to six bytes at most.
const LARGEST_ANNOTATIONS: usize = (6 * 256 + 64) * 1024;
/// The same for `managedFields`. A value of 64 KiB has 150 KiB of them at most.
const LARGEST_MANAGED_FIELDS: usize = 512 * 1024;
/// The same for each other field, such as the owner references. Decoded they need many times that size.
const LARGEST_OTHER: usize = 64 * 1024;

/// The metadata of the object in this JSON without `managedFields`, and the writers. `None` if the metadata could not be
/// written back, or is larger than a Secret of the operator has it.
pub(crate) fn read(text: &str) -> Option<(ObjectMeta, Writers)> {
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(borrow)]
        metadata: BTreeMap<String, &'a RawValue>,
    }
    let Parts { mut metadata } = serde_json::from_str(text).ok()?;
    let most = |field: &str| match field {
        "annotations" => LARGEST_ANNOTATIONS,
        "managedFields" => LARGEST_MANAGED_FIELDS,
        _ => LARGEST_OTHER,
    };
    if metadata.iter().any(|(field, json)| json.get().len() > most(field)) {
        return None;
    }
    let entries = metadata.remove("managedFields").map(RawValue::get);
    // The API server sets these two itself and ignores what a client writes.
    let (created, deleted) = (metadata.remove("creationTimestamp"), metadata.remove("deletionTimestamp"));
    let rest: serde_json::Map<String, Value> =
        metadata.into_iter().map(|(key, raw)| serde_json::from_str(raw.get()).map(|value| (key, value))).collect::<Result<_, _>>().ok()?;
    let mut metadata = ObjectMeta::deserialize(Value::Object(rest)).ok()?;
    metadata.creation_timestamp = created.and_then(time).map(Time);
    metadata.deletion_timestamp = deleted.and_then(time).map(Time);
    let entries: Vec<&RawValue> = match entries {
        None | Some("null") => Vec::new(),
        Some(list) => serde_json::from_str(list).ok()?,
    };
    Some((metadata, Writers::read(&entries)))
}

/// The same from the answer to a write, if it is the metadata that were asked for.
pub(super) fn read_partial(text: &str) -> Option<(ObjectMeta, Writers)> {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    let Kind { kind } = serde_json::from_str(text).ok()?;
    let (metadata, writers) = read(text).filter(|_| kind == "PartialObjectMetadata")?;
    (metadata.name.is_some() && metadata.resource_version.is_some()).then_some((metadata, writers))
}

/// The field manager that owns this annotation, from the JSON of the object of this uid, if the text of the annotation
/// passes the test; `None`: none does, or `managedFields` cannot be read. If several own it, the one that wrote last.
pub(super) fn annotator(object: &str, uid: &str, annotation: &str, is: impl Fn(&str) -> bool) -> Option<String> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: Metadata<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata<'a> {
        uid: String,
        #[serde(default)]
        annotations: BTreeMap<String, String>,
        #[serde(borrow)]
        managed_fields: &'a RawValue,
    }
    let Object { metadata } = serde_json::from_str(object).ok()?;
    if metadata.uid != uid || !metadata.annotations.get(annotation).is_some_and(|text| is(text)) {
        return None;
    }
    let list = Some(metadata.managed_fields.get()).filter(|list| list.len() <= LARGEST_MANAGED_FIELDS)?;
    let entries: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    entries.into_iter().rev().find_map(|entry| {
        let Entry { manager, fields, .. } = serde_json::from_str(entry.get()).ok()?;
        let mut owned = names(fields?.metadata.annotations);
        manager.filter(|_| owned.any(|name| name == annotation))
    })
}

#[derive(Deserialize)]
struct Entry<'a> {
    manager: Option<String>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(rename = "fieldsV1")]
    fields: Option<Fields>,
}

/// Only the fields that are used. All others are skipped, at any depth.
#[derive(Deserialize, Default)]
struct Fields {
    #[serde(rename = "f:data", default)]
    data: BTreeMap<String, IgnoredAny>,
    #[serde(rename = "f:metadata", default)]
    metadata: MetadataFields,
    #[serde(rename = "f:immutable")]
    immutable: Option<IgnoredAny>,
    #[serde(rename = "f:stringData")]
    string_data: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
struct MetadataFields {
    #[serde(rename = "f:labels", default)]
    labels: BTreeMap<String, IgnoredAny>,
    #[serde(rename = "f:annotations", default)]
    annotations: BTreeMap<String, IgnoredAny>,
}

impl Writers {
    fn read(entries: &[&RawValue]) -> Self {
        let mut writers = Self::default();
        for entry in entries {
            let Ok(Entry { manager, time: at, fields: Some(fields) }) = serde_json::from_str(entry.get()) else { continue };
            if manager.as_deref() == Some(FIELD_MANAGER) {
                writers.ours(fields, at);
            } else {
                let changed = !fields.data.is_empty() || fields.immutable.is_some() || fields.string_data.is_some();
                // The API server keeps the entries in the order of their times.
                writers.foreign_manager = manager.filter(|_| changed).or(writers.foreign_manager.take());
                writers.foreign(fields, at);
            }
        }
        writers
    }

    fn ours(&mut self, fields: Fields, at: Option<&RawValue>) {
        self.our_keys.extend(names(fields.data));
        self.our_labels.extend(names(fields.metadata.labels));
        self.our_annotations.extend(names(fields.metadata.annotations));
        self.written = self.written.max(at.and_then(time));
    }

    fn foreign(&mut self, fields: Fields, at: Option<&RawValue>) {
        self.foreign_keys.extend(names(fields.data));
        self.foreign_form |= fields.immutable.is_some();
        if fields.string_data.is_some() {
            // A time that cannot be read is ignored: its writer could as well have written an old time.
            self.string_data = self.string_data.max(at.and_then(time));
        }
    }
}

fn names(fields: BTreeMap<String, IgnoredAny>) -> impl Iterator<Item = String> {
    fields.into_keys().filter_map(|key| key.strip_prefix("f:").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{ROLLBACK, ROTATE};

    #[test]
    fn only_the_metadata_that_were_asked_for_are_read_from_an_answer() {
        let answer = |kind: &str, metadata: Value| json!({"kind": kind, "metadata": metadata}).to_string();
        let whole = json!({"name": "db", "resourceVersion": "7"});
        let (read, _) = read_partial(&answer("PartialObjectMetadata", whole.clone())).unwrap();
        assert_eq!((read.name.as_deref(), read.resource_version.as_deref()), (Some("db"), Some("7")));
        assert!(read_partial(&answer("Secret", whole)).is_none(), "a proxy ignores the header Accept");
        for metadata in [json!({}), json!({"name": "db"}), json!({"resourceVersion": "7"})] {
            assert!(read_partial(&answer("PartialObjectMetadata", metadata.clone())).is_none(), "{metadata}");
        }
        for none in ["", "{}", r#"{"kind": "PartialObjectMetadata"}"#, r#"{"kind": 7, "metadata": {}}"#] {
            assert!(read_partial(none).is_none(), "{none}");
        }
    }

    #[test]
    fn the_last_owner_of_an_annotation_is_found_and_forged_entries_are_passed_over() {
        let entry = |manager: &str, annotation: &str| {
            let annotations = json!({".": {}, (format!("f:{annotation}")): {}});
            json!({"manager": manager, "operation": "Update", "fieldsV1": {"f:metadata": {"f:annotations": annotations}, "f:spec": {"f:aws": {}}}})
        };
        let of = |entries: &Value| {
            let annotations = json!({ROTATE: "please", ROLLBACK: "undo"});
            json!({"metadata": {"name": "db", "uid": "u1", "annotations": annotations, "managedFields": entries}}).to_string()
        };
        let owner = |object: &str, annotation: &str| annotator(object, "u1", annotation, |_| true);
        let entries = json!([
            entry("argocd", ROTATE),
            entry("kubectl-annotate", ROTATE),
            {"manager": 7},
            {"manager": "no-fields"},
            {"fieldsV1": {"f:metadata": {"f:annotations": {(format!("f:{ROTATE}")): {}}}}},
            {"manager": "status", "subresource": "status", "fieldsV1": {"f:status": {}}},
        ]);
        assert_eq!(owner(&of(&entries), ROTATE).as_deref(), Some("kubectl-annotate"));
        assert_eq!(annotator(&of(&entries), "u1", ROTATE, |text| text == "another"), None, "the request was replaced");
        assert_eq!(annotator(&of(&entries), "u2", ROTATE, |text| text == "please"), None, "another object of that name");
        assert!(annotator(&of(&entries), "u1", ROTATE, |text| text == "please").is_some());
        assert_eq!(owner(&of(&entries), ROLLBACK), None);
        for none in ["", "7", "{}", r#"{"metadata": {}}"#, r#"{"metadata": {"managedFields": 7}}"#, &of(&json!([]))] {
            assert_eq!(owner(none, ROTATE), None, "{none}");
        }
        let many: Vec<Value> = (0..10_000).map(|n| entry(&format!("m{n}"), ROTATE)).collect();
        assert_eq!(owner(&of(&json!(many)), ROTATE), None, "larger than what is decoded");
    }
}
