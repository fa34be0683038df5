//! `spec.aws.resourcePolicy`: an IAM policy document as an object. AWS validates the statements. The schema limits
//! their number and size, since a user who may write one object must not be able to exhaust the operator's memory.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An IAM policy document. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ResourcePolicy {
    /// Version of the policy language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Identifier of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Statements of the policy.
    pub statement: Vec<Statement>,
}

/// One statement. An undeclared field is rejected, since a condition that is dropped would grant more access.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// Identifier of the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: String,
    /// Principals that the statement applies to, by type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principals>,
    /// Principals that the statement does not apply to, by type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_principal: Option<Principals>,
    /// Actions that the statement applies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Texts>,
    /// Actions that the statement does not apply to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_action: Option<Texts>,
    /// Resources that the statement applies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Texts>,
    /// Resources that the statement does not apply to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_resource: Option<Texts>,
    /// Conditions: condition operator to condition key to values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<BTreeMap<String, BTreeMap<String, Texts>>>,
}

/// Principals of a statement.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum Principals {
    /// Names by type, as the CustomResourceDefinition requires.
    Named(BTreeMap<String, Texts>),
    /// `*`, which IAM accepts too. Earlier versions of the CustomResourceDefinition accepted it.
    Anybody(String),
}

/// A list of strings. Objects created before the list was required may contain one string.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum Texts {
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

/// Schema of the policy. Every value has a type and a limit. AWS's own limit, 20,480 characters in total, is reported
/// in the object's status.
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
