//! One object: from its shape to its meaning. A later check needs what an earlier one has found to be right.

use serde_json::Value;

use super::advice;
use super::finding::{Finding, Findings, Level, Rule, finding};
use super::layout;
use super::schema::Schema;
use crate::api::{GROUP, RotatedSecret};
use crate::desired::{Desired, Policy, Rotation, is_subdomain};
use crate::manifest::Node;
use crate::text::bounded;

const VERSION: &str = "v1alpha1";

/// `schema`: of the spec.
pub(super) fn check(node: &Node, schema: Option<&Value>) -> Vec<Finding> {
    let mut findings = Findings::default();
    findings.extend(identity(node));
    match (node.entry("spec"), schema) {
        (Some(given), Some(schema)) => Schema::new(schema).check(&given.value, "spec", given.place, &mut findings),
        (None, _) => findings.push(finding(node, Rule::Schema, "spec", "spec: is missing".to_owned())),
        (Some(_), None) => {}
    }
    for entry in node.entries().iter().filter(|entry| !["apiVersion", "kind", "metadata", "spec", "status"].contains(&entry.key.as_str())) {
        if findings.full() {
            break;
        }
        let key = bounded(&entry.key, 128);
        let message = format!("{key}: is not a field of a RotatedSecret; the fields are apiVersion, kind, metadata and spec");
        findings.push(Finding { place: entry.place, level: Level::Error, rule: Rule::UnknownField, path: key, message });
    }
    if !findings.any_error()
        && let Some(object) = decoded(node)
    {
        findings.extend(meaning(node, &object));
    }
    findings.told(node.place)
}

fn identity(node: &Node) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wanted = format!("{GROUP}/{VERSION}");
    if node.text("apiVersion") != Some(&wanted) {
        findings.push(finding(node, Rule::Schema, "apiVersion", format!("apiVersion: use {wanted}")));
    }
    if node.text("kind") != Some("RotatedSecret") {
        findings.push(finding(node, Rule::Schema, "kind", "kind: use RotatedSecret".to_owned()));
    }
    let metadata = node.get("metadata");
    match metadata.and_then(|metadata| metadata.text("name")) {
        Some(name) if !is_subdomain(name) => {
            let message = "metadata.name: use lowercase letters, digits, - and ., with a letter or digit at both ends";
            findings.push(finding(node, Rule::Schema, "metadata.name", message.to_owned()));
        }
        Some(_) => {}
        None if metadata.is_some_and(|metadata| metadata.get("generateName").is_some()) => {}
        None => findings.push(finding(node, Rule::Schema, "metadata", "metadata.name: is missing".to_owned())),
    }
    findings
}

fn decoded(node: &Node) -> Option<RotatedSecret> {
    let mut object = node.to_json();
    // As the API server drops them.
    drop_nulls(object.get_mut("spec")?);
    let fields = object.as_object_mut()?;
    fields.remove("status");
    let mut object: RotatedSecret = serde_json::from_value(object).ok()?;
    object.metadata.uid.get_or_insert_default();
    object.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    Some(object)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn meaning(node: &Node, object: &RotatedSecret) -> Vec<Finding> {
    let policy = Policy::lenient(object);
    let mut findings: Vec<Finding> = Desired::refusals(object, &policy).iter().map(|refusal| refused(node, &refusal.message)).collect();
    if let Ok(desired) = Desired::parse(object, &policy) {
        findings.extend(layout::check(node, &object.spec, &desired));
        if let Rotation::Scheduled { clock, .. } = &desired.rotation {
            findings.extend(advice::of_clock(clock).into_iter().map(|text| warning(node, &text)));
        }
    }
    findings.extend(advice::of_spec(&object.spec).into_iter().map(|text| warning(node, &text)));
    findings
}

/// A message that begins with the path of the field.
fn refused(node: &Node, message: &str) -> Finding {
    finding(node, Rule::Operator, path_of(message), message.to_owned())
}

fn warning(node: &Node, message: &str) -> Finding {
    Finding { level: Level::Warning, ..finding(node, Rule::Suspicious, path_of(message), message.to_owned()) }
}

fn path_of(message: &str) -> &str {
    let path = message.split([':', ' ']).next().unwrap_or_default();
    if path.starts_with("spec") { path } else { "spec" }
}
