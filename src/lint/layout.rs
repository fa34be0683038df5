//! Whether the declared fields fit the declared Secret. The operator finds this out with the first value; here the same
//! code runs on placeholders. Fields that are missing are warnings: they may be added in AWS, where rotations preserve them.

use super::finding::{Finding, Level, Rule, finding};
use crate::api::{AwsAdoptionPolicy, RotatedSecretSpec};
use crate::desired::Desired;
use crate::manifest::Node;
use crate::plaintext::Plaintext;
use crate::value::{DeclaredValue, LayoutError, Payload, TemplateError};

pub(super) fn check(node: &Node, spec: &RotatedSecretSpec, desired: &Desired) -> Option<Finding> {
    // An adopted secret, and one that a function rotates, usually have more fields than are declared.
    let others =
        spec.aws.adoption_policy != AwsAdoptionPolicy::Never || spec.rotation.as_ref().is_some_and(|rotation| rotation.lambda.is_some());
    let layout = &desired.target.as_ref().filter(|_| !others)?.layout;
    let value = desired.value.as_ref()?;
    let error = if matches!(value, DeclaredValue::PlainText(_)) {
        layout.render_whole(&Payload::Text(Plaintext::from("x".to_owned()))).err()?
    } else {
        let fields: serde_json::Map<_, _> = value.field_names().into_iter().map(|name| (name, "x".into())).collect();
        layout.render(&Payload::Text(Plaintext::from(serde_json::Value::Object(fields).to_string()))).err()?
    };
    let declared = value.field_names();
    let (level, path, message) = match error {
        LayoutError::FieldMissing(field) => {
            let key = layout.keys.iter().find(|(_, from)| **from == field).map(|(key, _)| key.clone()).unwrap_or_default();
            let reversed = if declared.contains(&key) { format!(": write {field}: {key}") } else { String::new() };
            let path = format!("spec.target.keys.{key}");
            let message = format!(
                "{path}: spec.value declares no field {field} (it declares {}), so the Secret waits until it is added in AWS; keys maps each key \
                 of the Secret to a field{reversed}",
                declared.join(", ")
            );
            (Level::Warning, path, message)
        }
        LayoutError::KeyMissing(key) => {
            let path = "spec.target.type".to_owned();
            let message =
                format!("{path}: a Secret of this type needs the key {key}: declare that field, or map one to it in spec.target.keys");
            (Level::Warning, path, message)
        }
        LayoutError::NotAnObject => {
            let path = "spec.target.keys".to_owned();
            let message = format!("{path}: a plain text has no fields: set spec.target.wholeValueKey instead");
            (Level::Error, path, message)
        }
        LayoutError::Template(key, TemplateError::Missing(field)) => {
            let path = format!("spec.target.template.{key}");
            let message = format!(
                "{path}: spec.value declares no field {field} (it declares {}), so the Secret waits until it is added in AWS",
                declared.join(", ")
            );
            (Level::Warning, path, message)
        }
        // These depend on the value.
        LayoutError::Template(..) | LayoutError::UnusableKey(_) | LayoutError::Malformed(_) => return None,
    };
    let rule = if level == Level::Warning { Rule::Suspicious } else { Rule::Operator };
    Some(Finding { level, ..finding(node, rule, &path, message) })
}
