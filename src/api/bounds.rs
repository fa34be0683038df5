//! Schemas of maps with bounds on both sides: the API server refuses CEL rules over maps without them, and an unbounded map is a way to
//! fill etcd.

use schemars::{Schema, SchemaGenerator, json_schema};

fn map(count: u32, length: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": count,
        "additionalProperties": {"type": "string", "maxLength": length},
    })
}

/// `value.data`: AWS holds 65,536 bytes in one value.
pub(super) fn fields(_: &mut SchemaGenerator) -> Schema {
    map(64, 8192)
}

/// `target.keys`: Secret key to field name.
pub(super) fn keys(_: &mut SchemaGenerator) -> Schema {
    map(64, 253)
}

/// AWS tags: fifty in all, four of them ours; keys up to 128, values up to 256 characters.
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

/// `dnsNames` of a certificate. The form of each is the schema's, since a rule over all of them would cost too much.
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
