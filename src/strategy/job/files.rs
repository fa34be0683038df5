//! A value as files for a program of a user: the whole value, and each field of a JSON object under its own name.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::plaintext::{Plaintext, SecretBytes};
use crate::value::{Data, Payload, is_secret_key};

/// The data: `NAME` is the whole value as it is in AWS, `NAME.FIELD` the contents of a field. A field whose name cannot be a
/// key of a Secret is in the whole value only.
pub(super) fn files(name: &str, value: &Payload) -> Data {
    let bytes = match value {
        Payload::Text(text) => text.expose().as_bytes(),
        Payload::Binary(bytes) => bytes.expose(),
    };
    let object: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(bytes).unwrap_or_default();
    let fields = object.iter().map(|(field, value)| (format!("{name}.{field}"), contents(value)));
    let whole = (name.to_owned(), SecretBytes::from(bytes.to_vec()));
    fields.filter(|(key, _)| is_secret_key(key)).chain([whole]).collect()
}

/// The contents of a string; any other JSON value as JSON text.
fn contents(value: &RawValue) -> SecretBytes {
    SecretBytes::from(match serde_json::from_str::<String>(value.get()).map(Plaintext::from) {
        Ok(text) => text.expose().as_bytes().to_vec(),
        Err(_) => value.get().as_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Payload) -> Vec<(String, String)> {
        files("pending", value).into_iter().map(|(key, bytes)| (key, String::from_utf8_lossy(bytes.expose()).into_owned())).collect()
    }

    #[test]
    fn fields_have_their_contents_and_the_whole_value_is_as_it_is() {
        let value = Payload::Text(Plaintext::from(r#"{"user":"a","n": 1.50,"a/b":"x","":"y","nested":{"k":"v"}}"#.to_owned()));
        let found = read(&value);
        let named = |key: &str| found.iter().find(|(found, _)| found == key).map(|(_, text)| text.as_str());
        assert_eq!(named("pending.user"), Some("a"));
        assert_eq!(named("pending.n"), Some("1.50"));
        assert_eq!(named("pending.nested"), Some(r#"{"k":"v"}"#));
        assert!(named("pending").is_some_and(|whole| whole.starts_with(r#"{"user":"a","n": 1.50"#)));
        assert_eq!(named("pending.a/b"), None);
        assert_eq!(found.len(), 5, "{:?}", found.iter().map(|(key, _)| key).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_object_is_one_file() {
        assert_eq!(read(&Payload::Text(Plaintext::from("[1]".to_owned()))), [("pending".to_owned(), "[1]".to_owned())]);
        let binary = files("current", &Payload::Binary(SecretBytes::from(vec![0xff, 0])));
        assert_eq!(binary.get("current").map(SecretBytes::expose), Some(&[0xff, 0][..]));
    }
}
