//! What a receiver gets.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::plaintext::Plaintext;
use crate::strategy::{Problem, Refused};
use crate::value::Payload;

/// The object whose value it is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ObjectName<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// UID.
    pub uid: &'a str,
}

/// The values that a step has.
#[derive(Clone, Copy, Default)]
pub(super) struct Values<'a> {
    /// That of the staged version.
    pub(super) pending: Option<&'a Payload>,
    /// That of the current version.
    pub(super) current: Option<&'a Payload>,
    /// That of the version before.
    pub(super) previous: Option<&'a Payload>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Step {
    /// Make the target accept the staged value.
    Apply,
    /// See that it does.
    Verify,
    /// Make it accept the current value again, and refuse the staged one.
    Undo,
    /// See whether it accepts the current value.
    Check,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    step: Step,
    object: ObjectName<'a>,
    version_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Box<RawValue>>,
}

/// The body of a request.
pub(super) fn body(step: Step, object: ObjectName<'_>, version_id: &str, values: &Values<'_>) -> Result<Plaintext, Problem> {
    let [pending, current, previous] = [values.pending, values.current, values.previous].map(|value| value.map(raw).transpose());
    let body = Body { step, object, version_id, pending: pending?, current: current?, previous: previous? };
    serde_json::to_string(&body).map(Plaintext::from).map_err(|_| Refused::ValueUnusable.into())
}

/// A value that is a JSON object is sent as one, as it is in AWS; every other text as a string.
fn raw(value: &Payload) -> Result<Box<RawValue>, Problem> {
    let text = match value {
        Payload::Text(text) => text.expose(),
        Payload::Binary(bytes) => std::str::from_utf8(bytes.expose()).map_err(|_| Refused::ValueUnusable)?,
    };
    let raw = if value.is_object() { RawValue::from_string(text.to_owned()) } else { to_raw_value(text) };
    raw.map_err(|_| Refused::ValueUnusable.into())
}

/// Whether one of the values has this text somewhere.
pub(super) fn contains(values: &Values<'_>, text: &str) -> bool {
    [values.pending, values.current, values.previous].into_iter().flatten().any(|value| {
        let bytes = match value {
            Payload::Text(text) => text.expose().as_bytes(),
            Payload::Binary(bytes) => bytes.expose(),
        };
        !text.is_empty() && bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plaintext::SecretBytes;

    fn text(text: &str) -> Payload {
        Payload::Text(Plaintext::from(text.to_owned()))
    }

    #[test]
    fn values_are_sent_as_they_are_in_aws_and_those_that_there_are_not_are_left_out() {
        let object = ObjectName { namespace: "shop", name: "orders", uid: "u-1" };
        let (pending, current) = (text(r#"{"password": "a\"b", "n": 1.50}"#), text("line\nbreak"));
        let values = Values { pending: Some(&pending), current: Some(&current), previous: None };
        let found = body(Step::Apply, object, "v-1", &values).ok().unwrap();
        assert_eq!(
            found.expose(),
            r#"{"step":"apply","object":{"namespace":"shop","name":"orders","uid":"u-1"},"versionId":"v-1","pending":{"password": "a\"b", "n": 1.50},"current":"line\nbreak"}"#
        );
        let binary = Payload::Binary(SecretBytes::from(vec![0xff]));
        let values = Values { pending: Some(&binary), current: None, previous: None };
        assert_eq!(body(Step::Check, object, "v", &values).err(), Some(Problem::Refused(Refused::ValueUnusable)));
        for odd in ["[1]", "7", "null", "\"x\"", "{\"a\":1} trailing", ""] {
            let value = text(odd);
            let values = Values { pending: Some(&value), current: None, previous: None };
            let found = body(Step::Check, object, "v", &values).ok().unwrap();
            let parsed: serde_json::Value = serde_json::from_str(found.expose()).unwrap();
            assert_eq!(parsed["pending"], serde_json::json!(odd), "text stays text");
        }
    }

    #[test]
    fn a_text_of_a_value_is_found_in_it() {
        let (pending, current) = (text(r#"{"password":"CorrectHorse"}"#), text("Battery"));
        let values = Values { pending: Some(&pending), current: None, previous: Some(&current) };
        assert!(contains(&values, "CorrectHorse") && contains(&values, "Battery") && contains(&values, "Horse"));
        assert!(!contains(&values, "Staple") && !contains(&values, ""));
    }
}
