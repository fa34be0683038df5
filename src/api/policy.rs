//! `spec.aws.resourcePolicy`: an IAM policy as an object. What it says is AWS's business; how much it is has bounds, since whoever may write
//! one object must not be able to fill the operator's memory.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An IAM policy. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ResourcePolicy {
    /// The version of the language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it allows and denies.
    pub statement: Vec<Statement>,
}

/// One statement. A field that is not declared is refused: a condition that was dropped would widen the access.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: String,
    /// To whom it applies: kind of principal to names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principals>,
    /// To whom it does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_principal: Option<Principals>,
    /// To what it applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Texts>,
    /// To what it does not apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_action: Option<Texts>,
    /// On what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Texts>,
    /// On what not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_resource: Option<Texts>,
    /// When: operator to condition key to values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<BTreeMap<String, BTreeMap<String, Texts>>>,
}

/// To whom a statement applies.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum Principals {
    /// Names by their kind, as the definition asks for it.
    Named(BTreeMap<String, Texts>),
    /// `*`: what IAM takes, too, and the definition took once.
    Anybody(String),
}

/// A list of texts. Objects from before the list was required may hold one text.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum Texts {
    /// As the definition asks for it.
    Many(Vec<String>),
    /// As IAM takes it, too.
    One(String),
}

fn texts(count: u32, length: u32) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": count, "items": {"type": "string", "maxLength": length}})
}

fn map(count: u32, of: &Schema) -> Schema {
    json_schema!({"type": "object", "minProperties": 1, "maxProperties": count, "additionalProperties": of})
}

/// The names of principals by their kind.
fn principals() -> Schema {
    let names = texts(64, 256);
    json_schema!({
        "type": "object",
        "description": "Names of principals by their kind; anybody is AWS: [\"*\"].",
        "minProperties": 1,
        "properties": {"AWS": names, "Service": names, "Federated": names, "CanonicalUser": names},
    })
}

/// The schema. Everything has a type and a bound; AWS's own bound, 20,480 characters in all, is told in the object's status.
pub(super) fn resource_policy(_: &mut SchemaGenerator) -> Schema {
    let (actions, resources, principals) = (texts(64, 128), texts(64, 2048), principals());
    let conditions = map(32, &map(32, &texts(64, 1024)));
    json_schema!({
        "type": "object",
        "required": ["Statement"],
        "properties": {
            "Version": {"type": "string", "enum": ["2012-10-17", "2008-10-17"]},
            "Id": {"type": "string", "maxLength": 256},
            "Statement": {
                "type": "array",
                "minItems": 1,
                "maxItems": 64,
                "items": {
                    "type": "object",
                    "description": "One statement. The API server drops a field that is not listed here unless the client asks for strict validation, as kubectl apply does.",
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
