//! A RotatedSecret with its labels and annotations, of which the operator reads only its own.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::RotatedSecret;
use crate::kubernetes::stored::named_as;
use crate::plugin::seen::Seen;

/// Labels and annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Marks {
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl Marks {
    pub(super) fn of(metadata: ObjectMeta) -> Self {
        Self { labels: metadata.labels, annotations: metadata.annotations }
    }

    /// The label, or else the annotation.
    pub(super) fn get(&self, key: &str) -> Option<&String> {
        [&self.labels, &self.annotations].into_iter().find_map(|map| map.as_ref()?.get(key))
    }
}

/// An object of the report.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) seen: Seen,
    pub(super) marks: Marks,
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            metadata: Marks,
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let seen = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let marks = serde_json::from_str(raw.get()).map(|parts: Parts| parts.metadata).unwrap_or_default();
        Ok(Self { seen, marks })
    }
}

impl Resource for Record {
    named_as!(RotatedSecret);

    fn meta(&self) -> &ObjectMeta {
        self.seen.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.seen.meta_mut()
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_annotations_are_read_beside_the_object_and_what_cannot_be_read_fails_no_list() {
        let object = |metadata: serde_json::Value| -> Record { serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap() };
        let read = object(json!({"name": "db", "labels": {"team": "a"}, "annotations": {"team": "b", "owner": "c"}}));
        assert_eq!(read.name_any(), "db");
        assert_eq!(["team", "owner", "none"].map(|key| read.marks.get(key).map(String::as_str)), [Some("a"), Some("c"), None]);
        let read = object(json!({"name": "db", "labels": 7}));
        assert_eq!((read.name_any().as_str(), read.marks), ("db", Marks::default()));
    }
}
