//! Objects as this version of the plugin understands them. A newer operator may write fields and words that this version
//! does not know: they are left out and named, so that one of them fails neither a list nor a command.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};

use crate::api::RotatedSecret;
use crate::kubernetes::stored::{Defect, LARGEST, Stored, Unreadable, named_as};

/// Maximum number of fields that are left out of one object.
const MOST: usize = 64;

/// A RotatedSecret as the plugin reads it.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// It can be decoded, without the fields in `unknown`.
    Readable {
        object: Box<RotatedSecret>,
        /// Paths of the fields that are left out.
        unknown: Vec<String>,
    },
    /// It cannot be decoded.
    Unreadable(Box<Unreadable>),
}

impl Seen {
    /// The object.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub(super) fn into_readable(self) -> Result<RotatedSecret, Box<Unreadable>> {
        match self {
            Self::Readable { object, .. } => Ok(*object),
            Self::Unreadable(unreadable) => Err(unreadable),
        }
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(match Stored::strict(raw.get()) {
            Stored::Readable(object) => Self::Readable { object, unknown: Vec::new() },
            Stored::Unreadable(unreadable) => match (unreadable.defect, lenient(raw.get(), &unreadable.metadata)) {
                (Defect::Unknown(_), Some((object, unknown))) => Self::Readable { object: Box::new(object), unknown },
                _ => Self::Unreadable(unreadable),
            },
        })
    }
}

/// The object without what this version does not know, and the paths of that.
fn lenient(text: &str, metadata: &ObjectMeta) -> Option<(RotatedSecret, Vec<String>)> {
    #[derive(Deserialize)]
    struct Parts {
        spec: Value,
        status: Option<Value>,
    }
    if text.len() > 2 * LARGEST {
        return None;
    }
    // Limits the depth.
    let parts: Parts = serde_json::from_str(text).ok()?;
    let mut unknown = Vec::new();
    let spec = known("spec", parts.spec, &mut unknown)?;
    let status = parts.status.and_then(|status| known("status", status, &mut unknown));
    Some((RotatedSecret { metadata: metadata.clone(), spec, status }, unknown))
}

/// Leaves out one field after the other until the rest can be decoded.
fn known<T: DeserializeOwned>(name: &str, mut value: Value, unknown: &mut Vec<String>) -> Option<T> {
    while unknown.len() < MOST {
        match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(decoded) => return Some(decoded),
            Err(error) => {
                let path = remove(&mut value, error.path())?;
                unknown.push(format!("{name}{path}"));
            }
        }
    }
    None
}

/// Removes what the path leads to, or the innermost part of it that can be found.
fn remove(value: &mut Value, path: &Path) -> Option<String> {
    let steps: Vec<&Segment> = path.iter().take_while(|step| matches!(step, Segment::Map { .. } | Segment::Seq { .. })).collect();
    let (last, way) = steps.split_last()?;
    let mut parent = value;
    let mut shown = String::new();
    for step in way {
        (parent, shown) = match step {
            Segment::Map { key } => (parent.get_mut(key)?, format!("{shown}.{key}")),
            Segment::Seq { index } => (parent.get_mut(index)?, format!("{shown}[{index}]")),
            _ => return None,
        };
    }
    match (last, parent) {
        (Segment::Map { key }, Value::Object(fields)) => fields.remove(key).map(|_| format!("{shown}.{key}")),
        (Segment::Seq { index }, Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
            Some(format!("{shown}[{index}]"))
        }
        _ => None,
    }
}

impl Resource for Seen {
    named_as!(RotatedSecret);

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Readable { object, .. } => &object.metadata,
            Self::Unreadable(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Readable { object, .. } => &mut object.metadata,
            Self::Unreadable(unreadable) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(spec: &Value, status: &Value) -> Seen {
        let object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
            "metadata": {"name": "db", "namespace": "shop", "uid": "u"}, "spec": spec, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_a_newer_operator_writes_is_left_out_and_named() {
        let entry = |cause: &str| json!({"versionId": "v", "time": "2026-06-01T12:00:00Z", "cause": cause, "outcome": "Succeeded"});
        let status = json!({
            "conditions": [{"type": "Ready", "status": "True", "reason": "NewReason", "message": "m", "lastTransitionTime": "2026-06-01T12:00:00Z"}],
            "history": [entry("Invented"), entry("Scheduled")],
            "requests": {"rollback": "t", "rollbackRefused": "Invented"},
            "aws": {"currentVersionId": "v", "invented": {"a": 1}},
            "invented": 1,
        });
        let Seen::Readable { object, unknown } = seen(&json!({"value": {"plainText": {}}, "invented": {}}), &status) else {
            panic!("it cannot be read")
        };
        assert_eq!(unknown, ["status.history[0].cause", "status.history[0]", "status.requests.rollbackRefused"], "{object:?}");
        let status = object.status.unwrap();
        assert_eq!((status.history.len(), status.conditions.len()), (1, 1));
        assert_eq!(status.aws.unwrap().current_version_id.as_deref(), Some("v"));
        assert_eq!(object.metadata.uid.as_deref(), Some("u"));
    }

    #[test]
    fn an_unknown_word_in_the_spec_is_left_out_too_and_what_is_known_is_read_as_before() {
        let spec = json!({"deletion": 1, "aws": {"deletionPolicy": "Invented"}, "value": {"plainText": {}}});
        let Seen::Readable { object, unknown } = seen(&spec, &json!({})) else { panic!("it cannot be read") };
        assert_eq!(unknown, ["spec.aws.deletionPolicy"]);
        assert!(object.spec.value.is_some());
        assert!(matches!(seen(&json!({}), &json!({})), Seen::Readable { unknown, .. } if unknown.is_empty()));
        assert!(matches!(seen(&json!("text"), &json!({})), Seen::Unreadable(_)));
    }
}
