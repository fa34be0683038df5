//! `spec.aws.resourcePolicy`: an IAM policy document as an object. AWS validates the statements. The schema limits
//! their number and size, since a user who may write one object must not be able to exhaust the operator's memory.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Maximum length of a resource policy in characters.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutResourcePolicy.html>
pub const LONGEST_POLICY: usize = 20_480;
/// Maximum number of bytes of one character in JSON, such as `\u003c`.
const LONGEST_CHARACTER: usize = 6;

/// An IAM policy document. Kept as text: lists and maps of short strings take many times the memory of their text, and
/// the operator caches every object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourcePolicy {
    /// JSON without spaces, of the declared fields only.
    Text(Box<str>),
    /// It exceeds [`LONGEST_POLICY`] and is not kept.
    TooLong,
}

impl<'de> Deserialize<'de> for ResourcePolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().len() > LONGEST_CHARACTER.saturating_mul(LONGEST_POLICY) {
            return Ok(Self::TooLong);
        }
        let document: Document = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        // Through a value, which sorts the fields.
        let text = serde_json::to_value(&document).map_err(D::Error::custom)?.to_string();
        Ok(if text.chars().count() > LONGEST_POLICY { Self::TooLong } else { Self::Text(text.into()) })
    }
}

impl Serialize for ResourcePolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => RawValue::from_string(text.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer),
            Self::TooLong => Document::default().serialize(serializer),
        }
    }
}

/// The fields of the document. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    /// Version of the policy language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Identifier of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Statements of the policy.
    statement: Vec<Statement>,
}

/// One statement. An undeclared field is rejected, since a condition that is dropped would grant more access.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    /// Identifier of the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    /// `Allow` or `Deny`.
    effect: String,
    /// Principals that the statement applies to, by type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    principal: Option<Principals>,
    /// Principals that the statement does not apply to, by type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_principal: Option<Principals>,
    /// Actions that the statement applies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<Texts>,
    /// Actions that the statement does not apply to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_action: Option<Texts>,
    /// Resources that the statement applies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<Texts>,
    /// Resources that the statement does not apply to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_resource: Option<Texts>,
    /// Conditions: condition operator to condition key to values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<BTreeMap<String, BTreeMap<String, Texts>>>,
}

/// Principals of a statement.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Principals {
    /// Names by type, as the CustomResourceDefinition requires.
    Named(BTreeMap<String, Texts>),
    /// `*`, which IAM accepts too. Earlier versions of the CustomResourceDefinition accepted it.
    Anybody(String),
}

/// A list of strings. Objects created before the list was required may contain one string.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Texts {
    /// A list, as the CustomResourceDefinition requires.
    Many(Vec<String>),
    /// One string, which IAM accepts too.
    One(String),
}

fn texts(count: u32, length: u32) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": count, "items": {"type": "string", "maxLength": length}})
}

fn map(count: u32, of: &Schema) -> Schema {
    json_schema!({"type": "object", "minProperties": 1, "maxProperties": count, "additionalProperties": of})
}

/// Names of principals by type.
fn principals() -> Schema {
    let names = texts(64, 256);
    json_schema!({
        "type": "object",
        "description": "Names of principals by type. AWS: [\"*\"] means any principal.",
        "minProperties": 1,
        "properties": {"AWS": names, "Service": names, "Federated": names, "CanonicalUser": names},
    })
}

/// Schema of the policy. Every value has a type and a limit. A CEL rule cannot measure the document, so AWS's own limit,
/// 20,480 characters in total, is reported in the object's status.
pub(super) fn resource_policy(_: &mut SchemaGenerator) -> Schema {
    let (actions, resources, principals) = (texts(32, 128), texts(16, 1024), principals());
    let conditions = map(8, &map(8, &texts(64, 512)));
    json_schema!({
        "type": "object",
        "required": ["Statement"],
        "properties": {
            "Version": {"type": "string", "enum": ["2012-10-17", "2008-10-17"]},
            "Id": {"type": "string", "maxLength": 256},
            "Statement": {
                "type": "array",
                "minItems": 1,
                "maxItems": 32,
                "items": {
                    "type": "object",
                    "description": "One statement. The API server drops fields that are not listed here, unless the client requests strict validation, as kubectl apply does.",
                    "required": ["Effect"],
                    "properties": {
                        "Sid": {"type": "string", "maxLength": 256},
                        "Effect": {"type": "string", "enum": ["Allow", "Deny"]},
                        "Principal": principals,
                        "NotPrincipal": principals,
                        "Action": actions,
                        "NotAction": actions,
                        "Resource": resources,
                        "NotResource": resources,
                        "Condition": conditions,
                    },
                },
            },
        },
    })
}
