//! The schema of the CustomResourceDefinition, applied as the API server does it, with the field and what to write.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::{Finding, Level, Rule, finding};
use super::similar::{did_you_mean, similar};
use crate::manifest::{Data, Node};
use crate::text::bounded;

pub(super) struct Schema<'a> {
    schema: &'a Value,
}

/// Where the check is.
struct At<'a> {
    root: &'a Node,
    path: String,
}

impl At<'_> {
    fn error(&self, rule: Rule, message: &str) -> Finding {
        finding(self.root, rule, &self.path, format!("{}: {message}", self.path))
    }

    fn below(&self, step: &str) -> Self {
        Self { root: self.root, path: format!("{}.{step}", self.path) }
    }

    fn item(&self, index: usize) -> Self {
        Self { root: self.root, path: format!("{}[{index}]", self.path) }
    }
}

impl<'a> Schema<'a> {
    pub(super) fn new(schema: &'a Value) -> Self {
        Self { schema }
    }

    /// Checks the value at `path` of `root`.
    pub(super) fn check(&self, node: &Node, path: &str, root: &Node) -> Vec<Finding> {
        let mut findings = Vec::new();
        value(self.schema, node, &At { root, path: path.to_owned() }, &mut findings);
        // The place of an entry of a key with dots cannot be found by its path.
        findings
    }
}

fn value(schema: &Value, node: &Node, at: &At<'_>, findings: &mut Vec<Finding>) {
    let kind = schema["type"].as_str().unwrap_or_default();
    match (kind, &node.data) {
        (_, Data::Null) => findings.push(empty(schema, at)),
        ("object", Data::Map(_)) => object(schema, node, at, findings),
        ("array", Data::List(_)) => list(schema, node, at, findings),
        ("string", Data::Text(text)) => findings.extend(text_error(schema, text).map(|message| at.error(Rule::Schema, &message))),
        ("integer", Data::Number(number)) => findings.extend(number_error(schema, number).map(|message| at.error(Rule::Schema, &message))),
        ("boolean", Data::Bool(_)) => {}
        _ => findings.push(at.error(Rule::Schema, &wrong_type(kind, node))),
    }
}

/// The API server drops a field without a value.
fn empty(schema: &Value, at: &At<'_>) -> Finding {
    let braces = if schema["type"] == "object" { "write {} for the defaults, or " } else { "" };
    let finding = at.error(Rule::Suspicious, &format!("is empty and therefore ignored: {braces}add a value, or remove it"));
    // An entry of a map cannot be left out in silence.
    let level = if at.path.contains(".generate.") || at.path.ends_with("plainText") { Level::Error } else { Level::Warning };
    Finding { level, ..finding }
}

fn wrong_type(kind: &str, node: &Node) -> String {
    match (kind, &node.plain) {
        ("string", Some(plain)) if !matches!(node.data, Data::Text(_)) => {
            let plain = bounded(plain, 60);
            format!("must be a string, and YAML reads {plain} as {}: write \"{plain}\" in quotes", type_of(node))
        }
        ("integer", _) => match &node.data {
            Data::Text(text) if text.parse::<i64>().is_ok() => format!("must be a whole number: write {text} without quotes"),
            _ => format!("must be a whole number, not {}", type_of(node)),
        },
        ("boolean", _) => format!("must be true or false without quotes, not {}", type_of(node)),
        ("object", _) => format!(
            "must be an object, not {}: write its fields below it, or {{}}; a value of your own goes to AWS, never into a generator",
            type_of(node)
        ),
        ("array", _) => format!("must be a list, not {}: write each item after \"- \"", type_of(node)),
        _ => format!("must be of type {kind}, not {}", type_of(node)),
    }
}

fn type_of(node: &Node) -> &'static str {
    match &node.data {
        Data::Null => "nothing",
        Data::Bool(_) => "a boolean",
        Data::Number(_) => "a number",
        Data::Text(_) => "a string",
        Data::List(_) => "a list",
        Data::Map(_) => "an object",
    }
}

fn object(schema: &Value, node: &Node, at: &At<'_>, findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for entry in node.entries() {
        if !seen.insert(&entry.key) {
            let place = entry.place;
            findings.push(Finding {
                place,
                ..at.below(&entry.key).error(Rule::DuplicateKey, "occurs twice, and only the last one counts: remove one of them")
            });
        }
    }
    let declared = schema["properties"].as_object();
    let any = schema.get("additionalProperties").filter(|any| any.is_object());
    for entry in node.entries() {
        let below = at.below(&entry.key);
        let before = findings.len();
        if let Some(schema) = declared.and_then(|declared| declared.get(&entry.key)).or(any) {
            value(schema, &entry.value, &below, findings);
        } else {
            let known = declared.into_iter().flat_map(|declared| declared.keys().map(String::as_str));
            let names: Vec<&str> = known.clone().collect();
            let mut hint = hint(&below.path, &entry.key, node, known);
            if hint.is_empty() {
                hint = format!("; the fields of {} are {}", at.path, names.join(", "));
            }
            findings.push(below.error(Rule::UnknownField, &format!("is not a field of this version{hint}")));
        }
        // By the entry and not by the path: keys may contain dots.
        for found in findings.iter_mut().skip(before).filter(|found| found.path == below.path) {
            found.place = entry.place;
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if node.get(name).is_none() {
            findings.push(at.error(Rule::Schema, &format!("requires the field {name}")));
        }
    }
    findings
        .extend(count(schema, node.entries().len(), ["minProperties", "maxProperties"]).map(|message| at.error(Rule::Schema, &message)));
}

/// What the unknown field was probably meant to be.
fn hint<'a>(path: &str, key: &str, node: &Node, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if path == "spec.target.namespace" {
        return "; the Secret is always in the namespace of the object: create an object in each namespace".to_owned();
    }
    let password = matches!(node.text("type"), None | Some("Password")) && known.clone().any(|name| name == "passwordLength");
    match similar(key, known) {
        // The length of random bytes.
        Some("length") if password => "; did you mean passwordLength?".to_owned(),
        Some(found) => format!("; did you mean {found}?"),
        None => String::new(),
    }
}

fn list(schema: &Value, node: &Node, at: &At<'_>, findings: &mut Vec<Finding>) {
    let items = node.items();
    findings.extend(count(schema, items.len(), ["minItems", "maxItems"]).map(|message| at.error(Rule::Schema, &message)));
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut seen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        value(&schema["items"], item, &at.item(index), findings);
        let key = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => Some(item.to_json()),
            Some("map") => Some(keys.iter().map(|key| item.get(key).map(Node::to_json).unwrap_or_default()).collect()),
            _ => None,
        };
        if key.as_ref().is_some_and(|key| seen.contains(key)) {
            findings.push(at.item(index).error(Rule::Schema, "occurs twice in this list: remove one of them"));
        }
        seen.extend(key);
    }
}

/// A number of entries, items or characters outside of its bounds.
fn count(schema: &Value, count: usize, [least, most]: [&str; 2]) -> Option<String> {
    let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
    let (least, most) = (bound(least).unwrap_or(0), bound(most).unwrap_or(usize::MAX));
    if count < least {
        Some(format!("has {count}, and must have at least {least}"))
    } else if count > most {
        Some(format!("has {count}, and may have at most {most}"))
    } else {
        None
    }
}

fn text_error(schema: &Value, text: &str) -> Option<String> {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        if !words.contains(&text) {
            let hint = did_you_mean(text, words.iter().copied());
            return Some(format!("\"{}\" is not one of {}{hint}", bounded(text, 60), words.join(", ")));
        }
    }
    if let Some(message) = count(schema, text.chars().count(), ["minLength", "maxLength"]) {
        return Some(format!("{message} characters"));
    }
    if schema["format"] == "date" && text.parse::<jiff::civil::Date>().is_err() {
        return Some(format!("\"{}\" is not a date: write year, month and day, such as 2026-12-20", bounded(text, 60)));
    }
    let pattern = schema["pattern"].as_str()?;
    let fits = regex_lite::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text));
    (!fits).then(|| format!("\"{}\" does not match {pattern}", bounded(text, 60)))
}

fn number_error(schema: &Value, number: &serde_json::Number) -> Option<String> {
    let Some(given) = number.as_i64() else { return Some("must be a whole number".to_owned()) };
    let bound = |name: &str| {
        #[expect(clippy::cast_possible_truncation, reason = "bounds of the schema are small whole numbers")]
        schema[name].as_f64().map(|bound| bound as i64)
    };
    match (bound("minimum"), bound("maximum")) {
        (Some(least), _) if given < least => Some(format!("{given} is too small: use {least} or more")),
        (_, Some(most)) if given > most => Some(format!("{given} is too large: use {most} or less")),
        _ => None,
    }
}
