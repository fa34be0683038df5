//! The bounds of the schema: lengths, numbers, patterns and counts. The API server checks them at admission. They are
//! checked again here, because an object may have been stored under an older definition without them. The source is the
//! definition itself, so that both checks are the same.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::api::condition::Reason;
use crate::api::{RotatedSecretSpec, definition};
use crate::refusal::Refusal;

/// The schema of `spec`.
static SPEC: LazyLock<Schema> = LazyLock::new(|| spec_schema().unwrap_or_default());

fn spec_schema() -> Option<Schema> {
    let mut definition = serde_json::to_value(definition()?).ok()?;
    let spec = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec")?;
    serde_json::from_value(spec.take()).ok()
}

/// The first violation in each part of the spec. A part that is rejected is not applied; everything else is reconciled.
#[derive(Debug, Default)]
pub(super) struct Violations {
    /// In a part without which the object cannot be reconciled.
    pub object: Option<Refusal>,
    /// In `spec.rotation`.
    pub rotation: Option<Refusal>,
    /// In `spec.aws.resourcePolicy`.
    pub policy: Option<Refusal>,
    /// In `spec.aws.replicaRegions`.
    pub replicas: Option<Refusal>,
}

impl Violations {
    pub(super) fn of(spec: &RotatedSecretSpec) -> Self {
        let mut found = Self::default();
        if let Ok(spec) = serde_json::to_value(spec) {
            SPEC.check(&spec, "spec", &mut found);
        }
        found
    }

    fn add(&mut self, path: &str, text: &str) {
        let within = |field: &str| path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        let part = if within("spec.rotation") {
            &mut self.rotation
        } else if within("spec.aws.resourcePolicy") {
            &mut self.policy
        } else if within("spec.aws.replicaRegions") {
            &mut self.replicas
        } else {
            &mut self.object
        };
        part.get_or_insert_with(|| Refusal::new(Reason::InvalidSpec, format!("{path}: {text}")));
    }
}

/// The keywords of a structural schema that limit a value.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Schema {
    #[serde(rename = "enum")]
    allowed: Vec<Value>,
    pattern: Option<Pattern>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    min_properties: Option<usize>,
    max_properties: Option<usize>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    map_keys: Vec<String>,
    properties: BTreeMap<String, Schema>,
    items: Option<Box<Schema>>,
    additional_properties: Option<Box<Schema>>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = regex_lite::Error;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Regex::new(&pattern).map(Self)
    }
}

impl Schema {
    /// A bound applies to values of its type only. Forms of an older definition that are still read, such as a string for
    /// a list of strings, have no bound.
    fn check(&self, value: &Value, path: &str, found: &mut Violations) {
        if let Some(text) = self.violated(value) {
            found.add(path, &text);
            // What is below may be large, and a second message about it is of no use.
            return;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (self.properties.get(name), &self.additional_properties) {
                        (Some(schema), _) => schema.check(value, &format!("{path}.{name}"), found),
                        (None, Some(schema)) => schema.check(value, &format!("{path}[{}]", shown(name)), found),
                        (None, None) => {}
                    }
                }
            }
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    if let Some(schema) = &self.items {
                        schema.check(item, &format!("{path}[{number}]"), found);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is wrong with the value itself, and what to write instead. Never quotes the value.
    fn violated(&self, value: &Value) -> Option<String> {
        let unknown = !self.allowed.is_empty() && !self.allowed.contains(value);
        if unknown {
            let allowed: Vec<String> = self.allowed.iter().map(ToString::to_string).collect();
            return Some(format!("the value is not supported: use {}", allowed.join(", ")));
        }
        match value {
            Value::String(text) => self.text_violated(text),
            Value::Number(number) => self.number_violated(number.as_f64()?),
            Value::Array(items) => count_violated(items.len(), self.min_items, self.max_items, "entries").or_else(|| self.repeated(items)),
            Value::Object(fields) => count_violated(fields.len(), self.min_properties, self.max_properties, "entries"),
            Value::Null | Value::Bool(_) => None,
        }
    }

    fn text_violated(&self, text: &str) -> Option<String> {
        count_violated(text.chars().count(), self.min_length, self.max_length, "characters").or_else(|| {
            let pattern = self.pattern.as_ref().filter(|pattern| !pattern.0.is_match(text))?;
            Some(format!("the text does not match {}", pattern.0.as_str()))
        })
    }

    fn number_violated(&self, number: f64) -> Option<String> {
        let (least, most) = (self.minimum.filter(|least| number < *least), self.maximum.filter(|most| number > *most));
        match (least, most) {
            (Some(least), _) => Some(format!("{number} is too small: set {least} or more")),
            (None, Some(most)) => Some(format!("{number} is too large: set {most} or less")),
            (None, None) => None,
        }
    }

    /// An entry of a set, or the key of an entry of a map, that occurs twice.
    fn repeated(&self, items: &[Value]) -> Option<String> {
        let key = |item: &Value| match self.list_type.as_deref() {
            Some("set") => Some(item.to_string()),
            Some("map") => Some(self.map_keys.iter().filter_map(|key| item.get(key)).map(Value::to_string).collect::<Vec<_>>().join(" ")),
            _ => None,
        };
        let mut seen = std::collections::BTreeSet::new();
        let twice = items.iter().filter_map(key).any(|key| !seen.insert(key));
        twice.then(|| "an entry occurs twice: remove one of the two".to_owned())
    }
}

fn count_violated(count: usize, least: Option<usize>, most: Option<usize>, what: &str) -> Option<String> {
    if let Some(least) = least.filter(|least| count < *least) {
        return Some(format!("{count} {what} are too few: at least {least} are required"));
    }
    most.filter(|most| count > *most).map(|most| format!("{count} {what} are too many: at most {most} are allowed"))
}

/// A key that a user chose.
fn shown(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
