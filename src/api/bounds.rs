//! Schemas of bounded maps and lists. The API server requires bounds to estimate the cost of CEL rules, and bounds
//! limit the size of objects in etcd.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

fn map(count: u32, length: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": count,
        "additionalProperties": {"type": "string", "maxLength": length},
    })
}

/// `value.data`. AWS limits a value to 65,536 bytes.
pub(super) fn fields(_: &mut SchemaGenerator) -> Schema {
    map(64, 8192)
}

/// `target.keys`: keys of the Secret to field names.
pub(super) fn keys(_: &mut SchemaGenerator) -> Schema {
    map(64, 253)
}

/// Templates of keys.
pub(super) fn templates(_: &mut SchemaGenerator) -> Schema {
    map(16, 4096)
}

/// AWS tags: at most 50 per secret, of which the operator uses some itself. Keys have up to 128, values up to 256
/// characters.
pub(super) fn tags(_: &mut SchemaGenerator) -> Schema {
    map(40, 256)
}

/// Labels of a Kubernetes object.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    map(32, 63)
}

/// Annotations of a Kubernetes object.
pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    map(32, 4096)
}

/// `dnsNames` of a certificate. The format is checked by a pattern per item, because a CEL rule over the list would
/// exceed the cost limit.
pub(super) fn dns_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 253,
            "pattern": "^(\\*\\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        },
    })
}

/// Conditions, with the lengths that Kubernetes gives to the fields of its own.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = <Vec<Condition>>::json_schema(generator);
    schema.insert("maxItems".to_owned(), 16.into());
    for (field, length) in [("type", 316), ("status", 7), ("reason", 1024), ("message", 32768)] {
        if let Some(field) = schema.pointer_mut(&format!("/items/properties/{field}")).and_then(Value::as_object_mut) {
            field.insert("maxLength".to_owned(), length.into());
        }
    }
    schema
}
