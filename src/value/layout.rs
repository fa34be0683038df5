//! Layout of the mirrored Secret: which key holds what.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::payload::{Object, Payload, field_bytes};
use super::template::{Budget, Template, TemplateError};
use crate::api::SecretType;
use crate::plaintext::SecretBytes;

/// Key under which a value is mirrored that is not a JSON object.
pub const WHOLE_VALUE_KEY: &str = "value";

/// What follows the keys of the version before the current one.
const PREVIOUS_SUFFIX: &str = ".previous";

/// The maximum size of the data of a Secret, in bytes.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size>
const MOST_DATA: usize = 1024 * 1024;

type JsonObject = serde_json::Map<String, serde_json::Value>;

/// Data of a Secret.
pub type Data = BTreeMap<String, SecretBytes>;

/// Layout of the mirrored Secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    pub kind: SecretType,
    /// Keys of the Secret and their fields. Empty: every field under its own name.
    pub keys: BTreeMap<String, String>,
    /// Key for the whole value, which may have any form.
    pub whole: Option<String>,
    /// Keys whose texts are made from templates. If there are only these, no other key is made.
    pub templates: BTreeMap<String, Template>,
}

/// The reason why a value cannot be mirrored. Carries only names that the user wrote or that Kubernetes defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutError {
    /// A field that `target.keys` refers to is not in the value.
    FieldMissing(String),
    /// A key that the type of the Secret requires is missing.
    KeyMissing(&'static str),
    /// The value is not a JSON object, but `target.keys` refers to fields.
    NotAnObject,
    /// The name of this field, escaped and cut, is not a valid key of a Secret.
    UnusableKey(String),
    /// The data of a key does not have the format that the type requires.
    Malformed(&'static str),
    /// The template of this key cannot be used with the value.
    Template(String, TemplateError),
}

impl Layout {
    /// Renders the data of the Secret.
    ///
    /// # Errors
    /// If a field is missing, or the data does not match the type.
    pub fn render(&self, value: &Payload) -> Result<BTreeMap<String, SecretBytes>, LayoutError> {
        let data = match Object::read(value) {
            _ if self.has_only_templates() => Data::new(),
            Some(object) if self.whole.is_none() => self.fields(&object.0)?,
            _ => self.whole(value.bytes())?,
        };
        self.completed(data, value)
    }

    /// Renders the data of the Secret for a plain text, also if the text is JSON.
    ///
    /// # Errors
    /// If `target.keys` refers to a field, or the data does not match the type.
    pub fn render_whole(&self, value: &Payload) -> Result<Data, LayoutError> {
        let data = if self.has_only_templates() { Data::new() } else { self.whole(value.bytes())? };
        self.completed(data, value)
    }

    /// The data of a version, with that of the version before it under the same keys with a suffix. Keys that only the version
    /// before has are left out, and a key of the version itself that has the suffix stays. If both are too large for a Secret,
    /// the version before is left out.
    pub fn with_previous(mut data: Data, previous: Data) -> Data {
        let beside: Vec<_> = previous.into_iter().filter(|(key, _)| data.contains_key(key)).collect();
        let size: usize = data.iter().chain(beside.iter().map(|(key, value)| (key, value))).map(|(_, value)| value.expose().len()).sum();
        for (key, value) in beside.into_iter().filter(|_| size <= MOST_DATA) {
            let key = format!("{key}{PREVIOUS_SUFFIX}");
            if is_secret_key(&key) {
                data.entry(key).or_insert(value);
            }
        }
        data
    }

    /// Whether a key is that of a value without fields, or of the one before it.
    pub fn is_of_whole_value(key: &str) -> bool {
        key.strip_suffix(PREVIOUS_SUFFIX).unwrap_or(key) == WHOLE_VALUE_KEY
    }

    /// Renders the data of the Secret: as a plain text if `whole`, by its fields otherwise.
    ///
    /// # Errors
    /// As [`Self::render`] and [`Self::render_whole`].
    pub fn render_as(&self, value: &Payload, whole: bool) -> Result<Data, LayoutError> {
        if whole { self.render_whole(value) } else { self.render(value) }
    }

    /// Whether templates make every key.
    fn has_only_templates(&self) -> bool {
        !self.templates.is_empty() && self.keys.is_empty() && self.whole.is_none()
    }

    /// Whether every field, or a value without fields, is mirrored under a name that nobody declared.
    pub fn is_default(&self) -> bool {
        self.templates.is_empty() && self.keys.is_empty() && self.whole.is_none()
    }

    /// With the keys that templates make.
    fn completed(&self, mut data: Data, value: &Payload) -> Result<Data, LayoutError> {
        let mut budget = Budget::default();
        for (key, template) in &self.templates {
            let made = template.render(value, &mut budget).map_err(|error| LayoutError::Template(key.clone(), error))?;
            data.insert(key.clone(), made);
        }
        self.check(&data)?;
        Ok(data)
    }

    fn whole(&self, bytes: &[u8]) -> Result<BTreeMap<String, SecretBytes>, LayoutError> {
        let key = match (&self.whole, self.keys.iter().next()) {
            (Some(key), _) => key,
            (None, None) => WHOLE_VALUE_KEY,
            (None, Some((key, field))) if self.keys.len() == 1 && field == WHOLE_VALUE_KEY => key,
            _ => return Err(LayoutError::NotAnObject),
        };
        Ok(BTreeMap::from([(key.to_owned(), SecretBytes::from(bytes.to_vec()))]))
    }

    fn fields(&self, object: &BTreeMap<String, Box<RawValue>>) -> Result<BTreeMap<String, SecretBytes>, LayoutError> {
        if self.keys.is_empty() {
            return object
                .iter()
                .map(|(name, value)| {
                    if is_secret_key(name) {
                        Ok((name.clone(), field_bytes(value)))
                    } else {
                        Err(LayoutError::UnusableKey(name.chars().take(64).flat_map(char::escape_default).collect()))
                    }
                })
                .collect();
        }
        self.keys
            .iter()
            .map(|(key, field)| match object.get(field) {
                Some(value) => Ok((key.clone(), field_bytes(value))),
                None => Err(LayoutError::FieldMissing(field.clone())),
            })
            .collect()
    }

    /// The checks that the API server makes for each type. Made here first, because the error of the API server could
    /// quote the value. <https://kubernetes.io/docs/concepts/configuration/secret/#secret-types>
    fn check(&self, data: &BTreeMap<String, SecretBytes>) -> Result<(), LayoutError> {
        let demand = |key: &'static str| if data.contains_key(key) { Ok(()) } else { Err(LayoutError::KeyMissing(key)) };
        match self.kind {
            SecretType::Opaque => Ok(()),
            SecretType::BasicAuth => demand("username").or_else(|_| demand("password")),
            SecretType::SshAuth => {
                const KEY: &str = "ssh-privatekey";
                demand(KEY)?;
                let filled = data.get(KEY).is_some_and(|bytes| !bytes.expose().is_empty());
                if filled { Ok(()) } else { Err(LayoutError::KeyMissing(KEY)) }
            }
            SecretType::Tls => demand("tls.crt").and_then(|()| demand("tls.key")),
            SecretType::DockerConfigJson => {
                const KEY: &str = ".dockerconfigjson";
                demand(KEY)?;
                // Parsed completely, as the API server does: it also refuses numbers that are no float64, such as 1e999.
                let json = data.get(KEY).is_some_and(|bytes| serde_json::from_slice::<JsonObject>(bytes.expose()).is_ok());
                if json { Ok(()) } else { Err(LayoutError::Malformed(KEY)) }
            }
        }
    }
}

/// Whether a key of a Secret may have this name.
pub(crate) fn is_secret_key(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name != "."
        && !name.starts_with("..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
