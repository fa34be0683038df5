//! The part of the metadata that the operator uses, and no more. The API server limits the number of owner references,
//! finalizers, labels and `managedFields` only by the size of the object, and decoded they need several times that size.
//! Lists are read entry by entry, and what is kept does not grow with them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time};
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::{
    ALLOWED_FUNCTIONS, ALLOWED_HOSTS, ALLOWED_NAMES, EXCLUDE_PERIODS, EXTERNAL_ID, FINALIZER, MIRROR_NAMES, REFRESH, ROLE_ARN, ROLLBACK,
    ROTATE, SERVICE_ACCOUNT_ROLE_ARN, SUSPEND, SUSPEND_MESSAGE, TICKET,
};

/// Maximum number of finalizers that are kept, apart from ours. An object with one more than this number has too many to
/// be written back.
pub const MOST_FINALIZERS: usize = 16;
/// Maximum number of entries of `managedFields` that are read. Typical objects have fewer than ten.
const MOST_WRITERS: usize = 64;
/// Maximum size of a field and of an entry of a list that are kept, in bytes of JSON. Names have at most 317 characters.
const LARGEST_ENTRY: usize = 1024;
/// Maximum size of an annotation, in bytes of JSON. The API server stores at most 256 KiB, before characters are escaped.
const LARGEST_ANNOTATION: usize = 512 * 1024;
/// The annotations that the operator and the plugin read, on any kind of object.
pub(super) const ANNOTATIONS: [&str; 14] = [
    ROTATE,
    ROLLBACK,
    REFRESH,
    SUSPEND,
    SUSPEND_MESSAGE,
    TICKET,
    ALLOWED_NAMES,
    MIRROR_NAMES,
    ALLOWED_FUNCTIONS,
    ALLOWED_HOSTS,
    EXCLUDE_PERIODS,
    ROLE_ARN,
    EXTERNAL_ID,
    SERVICE_ACCOUNT_ROLE_ARN,
];

/// The metadata in this JSON. A field that cannot be decoded is absent. Of the owner references only the controller is
/// kept.
pub(super) fn metadata(text: &str) -> ObjectMeta {
    let slim: Slim<'_> = serde_json::from_str(text).unwrap_or_default();
    ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        generation: slim.generation,
        creation_timestamp: slim.creation_timestamp.and_then(time).map(Time),
        // Only its presence matters.
        deletion_timestamp: slim.deletion_timestamp.map(|raw| Time(time(raw).unwrap_or(Timestamp::MAX))),
        finalizers: slim.finalizers.map(finalizers),
        annotations: slim.annotations.map(annotations),
        owner_references: slim.owner_references.and_then(controller).map(|owner| vec![owner]),
        managed_fields: slim.managed_fields.map(writers),
        ..ObjectMeta::default()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Slim<'a> {
    #[serde(deserialize_with = "if_readable")]
    name: Option<String>,
    #[serde(deserialize_with = "if_readable")]
    namespace: Option<String>,
    #[serde(deserialize_with = "if_readable")]
    uid: Option<String>,
    #[serde(deserialize_with = "if_readable")]
    resource_version: Option<String>,
    #[serde(deserialize_with = "if_readable")]
    generation: Option<i64>,
    #[serde(borrow)]
    creation_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    deletion_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    finalizers: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    owner_references: Option<&'a RawValue>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

/// Ours, and of the others one more than can be written back.
fn finalizers(list: &RawValue) -> Vec<String> {
    let (mut kept, mut others, mut ours) = (Vec::new(), 0_usize, false);
    entries(list, |_, entry| {
        // The API server stores no name that cannot be read, and would reject the empty one.
        let name = small::<String>(entry).unwrap_or_default();
        if name == FINALIZER {
            if !std::mem::replace(&mut ours, true) {
                kept.push(name);
            }
        } else if others <= MOST_FINALIZERS {
            others = others.saturating_add(1);
            kept.push(name);
        }
    });
    kept
}

fn annotations(map: &RawValue) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    entries(map, |key, value| {
        if ANNOTATIONS.contains(&key) && value.get().len() <= LARGEST_ANNOTATION {
            kept.extend(serde_json::from_str(value.get()).map(|text: String| (key.to_owned(), text)));
        }
    });
    kept
}

/// The owner that controls the object. The API server stores at most one.
fn controller(list: &RawValue) -> Option<OwnerReference> {
    let mut found = None;
    entries(list, |_, entry| {
        if found.is_none() {
            found = small::<OwnerReference>(entry).filter(|owner| owner.controller == Some(true));
        }
    });
    found
}

/// Writer and time, without the fields, which may be as large as the object.
fn writers(list: &RawValue) -> Vec<ManagedFieldsEntry> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(default, deserialize_with = "if_readable")]
        manager: Option<String>,
        #[serde(default, deserialize_with = "if_readable")]
        subresource: Option<String>,
        #[serde(borrow)]
        time: Option<&'a RawValue>,
    }
    let mut kept = Vec::new();
    entries(list, |_, entry| {
        if kept.len() < MOST_WRITERS
            && let Ok(Entry { manager, subresource, time: at }) = serde_json::from_str(entry.get())
        {
            kept.push(ManagedFieldsEntry { manager, subresource, time: at.and_then(time).map(Time), ..ManagedFieldsEntry::default() });
        }
    });
    kept
}

/// Passes on every entry of a list (with an empty key) or of an object, one at a time, up to one that cannot be read.
fn entries(json: &RawValue, each: impl FnMut(&str, &RawValue)) {
    struct Each<F>(F);
    impl<'de, F: FnMut(&str, &RawValue)> Visitor<'de> for Each<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list or an object")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
            while let Some(entry) = list.next_element::<&RawValue>()? {
                (self.0)("", entry);
            }
            Ok(())
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                (self.0)(&key, value);
            }
            Ok(())
        }
    }
    // Neither a list nor an object has no entries.
    serde_json::Deserializer::from_str(json.get()).deserialize_any(Each(each)).unwrap_or_default();
}

fn small<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    if raw.get().len() <= LARGEST_ENTRY { serde_json::from_str(raw.get()).ok() } else { None }
}

fn if_readable<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(small)
}

/// A time, unless it is after the end of [`Timestamp`] in the year 9999.
pub(in crate::kubernetes) fn time(raw: &RawValue) -> Option<Timestamp> {
    small::<Time>(raw).map(|time| time.0)
}
