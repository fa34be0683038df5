//! The schema of the CustomResourceDefinition, applied as the API server does it, with the field and what to write.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::{Finding, Findings, Level, Rule};
use super::similar::{did_you_mean, similar};
use crate::manifest::{Data, Node, Place};
use crate::text::bounded;

/// What is shown of a key in a path.
const LONGEST_STEP: usize = 128;

pub(super) struct Schema<'a> {
    schema: &'a Value,
}

/// Where the check is.
struct At {
    place: Place,
    path: String,
}

impl At {
    fn error(&self, rule: Rule, message: &str) -> Finding {
        Finding { place: self.place, level: Level::Error, rule, path: self.path.clone(), message: format!("{}: {message}", self.path) }
    }

    /// An entry. Its key may contain dots, so it cannot be found by the path.
    fn below(&self, key: &str, place: Place) -> Self {
        // What is short stays as it is written: the text is escaped where it is shown.
        let step = if key.len() > LONGEST_STEP { &bounded(key, LONGEST_STEP) } else { key };
        Self { place, path: format!("{}.{step}", self.path) }
    }

    fn item(&self, index: usize, item: &Node) -> Self {
        Self { place: item.place, path: format!("{}[{index}]", self.path) }
    }
}

impl<'a> Schema<'a> {
    pub(super) fn new(schema: &'a Value) -> Self {
        Self { schema }
    }

    /// Checks the value at `path`, whose key is at `place`.
    pub(super) fn check(&self, node: &Node, path: &str, place: Place, findings: &mut Findings) {
        value(self.schema, node, &At { place, path: path.to_owned() }, findings);
    }
}

fn value(schema: &Value, node: &Node, at: &At, findings: &mut Findings) {
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
fn empty(schema: &Value, at: &At) -> Finding {
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

fn object(schema: &Value, node: &Node, at: &At, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let declared = schema["properties"].as_object();
    let any = schema.get("additionalProperties").filter(|any| any.is_object());
    for entry in node.entries() {
        if findings.full() {
            return;
        }
        let below = at.below(&entry.key, entry.place);
        if !seen.insert(entry.key.as_str()) {
            findings.push(below.error(Rule::DuplicateKey, "occurs twice, and only the last one counts: remove one of them"));
        }
        if let Some(schema) = declared.and_then(|declared| declared.get(&entry.key)).or(any) {
            value(schema, &entry.value, &below, findings);
        } else {
            findings.push(unknown(declared, node, &entry.key, at, &below));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|name| !seen.contains(*name)) {
        findings.push(at.error(Rule::Schema, &format!("requires the field {name}")));
    }
    findings
        .extend(count(schema, node.entries().len(), ["minProperties", "maxProperties"]).map(|message| at.error(Rule::Schema, &message)));
}

fn unknown(declared: Option<&serde_json::Map<String, Value>>, node: &Node, key: &str, at: &At, below: &At) -> Finding {
    let known = declared.into_iter().flat_map(|declared| declared.keys().map(String::as_str));
    let mut hint = hint(&below.path, key, node, known.clone());
    if hint.is_empty() {
        hint = format!("; the fields of {} are {}", at.path, known.collect::<Vec<_>>().join(", "));
    }
    below.error(Rule::UnknownField, &format!("is not a field of this version{hint}"))
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

fn list(schema: &Value, node: &Node, at: &At, findings: &mut Findings) {
    let items = node.items();
    findings.extend(count(schema, items.len(), ["minItems", "maxItems"]).map(|message| at.error(Rule::Schema, &message)));
    let keys: Vec<&str> = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // As text: JSON has no order and no hash.
    let mut seen = BTreeSet::new();
    // A list that is too long is wrong already.
    let most = schema["maxItems"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    for (index, item) in items.iter().enumerate().take(most) {
        if findings.full() {
            return;
        }
        let at = at.item(index, item);
        value(&schema["items"], item, &at, findings);
        let key = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => item.to_json(),
            Some("map") => keys.iter().map(|key| item.get(key).map(Node::to_json).unwrap_or_default()).collect(),
            _ => continue,
        };
        if !seen.insert(key.to_string()) {
            findings.push(at.error(Rule::Schema, "occurs twice in this list: remove one of them"));
        }
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
