//! A value as AWS has it, and its fields.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::composition::ComposeError;
use crate::generate::Fields;
use crate::plaintext::{Plaintext, SecretBytes};

/// A value read from AWS.
pub enum Payload {
    /// `SecretString`.
    Text(Plaintext),
    /// `SecretBinary`.
    Binary(SecretBytes),
}

/// What a value lacks of the declaration. Carries only names of declared fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// The value is not a JSON object.
    Object,
    /// These fields are missing.
    Fields(Vec<String>),
}

impl Payload {
    /// Whether the value is a JSON object, as text or as bytes.
    pub fn is_object(&self) -> bool {
        Object::read(self).is_some()
    }

    /// What the value lacks of `fields`. `None` if nothing is missing.
    pub fn lack(&self, fields: &[String]) -> Option<Lack> {
        let Some(object) = Object::read(self) else { return Some(Lack::Object) };
        let missing: Vec<String> = fields.iter().filter(|field| !object.has(field)).cloned().collect();
        (!missing.is_empty()).then_some(Lack::Fields(missing))
    }

    /// The text of a field; `None` if the value has no such field, or it is no text.
    pub fn field(&self, name: &str) -> Option<Plaintext> {
        Object::read(self)?.text(name)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose().as_bytes(),
            Self::Binary(bytes) => bytes.expose(),
        }
    }
}

/// A JSON object whose fields are kept as raw text, so that numbers and nested values do not change. Zeroized when
/// dropped.
#[derive(Default)]
pub(super) struct Object(pub(super) BTreeMap<String, Box<RawValue>>);

impl Object {
    /// `None` if the value is not a JSON object. The parser's error is dropped, because it quotes the value.
    pub(super) fn read(value: &Payload) -> Option<Self> {
        serde_json::from_slice(value.bytes()).ok().map(Self)
    }

    pub(super) fn set(&mut self, name: &str, text: &str) -> Result<(), ComposeError> {
        let value = serde_json::value::to_raw_value(text).map_err(|_| ComposeError::TooLarge)?;
        wipe(self.0.insert(name.to_owned(), value));
        Ok(())
    }
}

impl Fields for Object {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn text(&self, name: &str) -> Option<Plaintext> {
        text_of(self.0.get(name)?)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        for value in std::mem::take(&mut self.0).into_values() {
            wipe(Some(value));
        }
    }
}

pub(super) fn wipe(value: Option<Box<RawValue>>) {
    if let Some(value) = value {
        let text: Box<str> = value.into();
        zeroize::Zeroize::zeroize(&mut String::from(text));
    }
}

/// The contents of a JSON string.
pub(super) fn text_of(value: &RawValue) -> Option<Plaintext> {
    serde_json::from_str::<String>(value.get()).ok().map(Plaintext::from)
}

/// The contents of a string; any other JSON value as JSON text.
pub(super) fn field_bytes(value: &RawValue) -> SecretBytes {
    SecretBytes::from(match text_of(value) {
        Some(text) => text.expose().as_bytes().to_vec(),
        None => value.get().as_bytes().to_vec(),
    })
}
