//! Checks of manifests without a cluster: the schema of the CustomResourceDefinition, its CEL rules in code, the operator's
//! own parser, and mistakes that none of them rejects. Pure: the text is an argument.

mod advice;
mod finding;
mod layout;
mod object;
mod schema;
mod similar;
#[cfg(test)]
mod tests;

pub use finding::{Finding, Level, Rule};

use crate::api::definition;
use crate::manifest;

/// What was found in a text.
#[derive(Debug, Default)]
pub struct Checked {
    /// Number of RotatedSecrets.
    pub objects: usize,
    /// In the order of their places.
    pub findings: Vec<Finding>,
}

/// Checks the RotatedSecrets in a text. Other objects are left out.
pub fn check(text: &str) -> Checked {
    let read = manifest::read(text);
    let objects = manifest::rotated_secrets(&read.documents);
    let schema = definition().and_then(|definition| serde_json::to_value(definition).ok());
    let spec = schema.as_ref().and_then(|schema| schema.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec"));
    let mut findings: Vec<Finding> = objects.iter().flat_map(|object| object::check(object, spec)).collect();
    findings.extend(read.defect.map(|defect| {
        let template = if text.contains("{{") { "; render templates first, for example with helm template" } else { "" };
        let message = format!("{}{template}", defect.message);
        Finding { place: defect.place, level: Level::Error, rule: Rule::Syntax, path: String::new(), message }
    }));
    findings.sort_by_key(|finding| finding.place);
    Checked { objects: objects.len(), findings }
}
