//! Composition of values: the next SecretString from the declared fields and the current value, and the data of the
//! mirror from a value. Pure. The only decisions that read plaintext.

pub mod certificate;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::CryptoRng;
use serde_json::value::RawValue;

use crate::api::SecretType;
use crate::generate::{Fields, Generator, Kept};
use crate::plaintext::{Plaintext, SecretBytes};

mod composition;
mod hash;
mod turns;

pub use composition::{ComposeError, Former};
pub use hash::short_hash;
pub use turns::{Turns, USERNAME};

/// Maximum size of a value in bytes.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
pub const LARGEST_VALUE: usize = 65_536;

/// Key under which a value is mirrored that is not a JSON object.
pub const WHOLE_VALUE_KEY: &str = "value";

/// The declared value.
#[derive(Debug, Clone, PartialEq)]
pub enum DeclaredValue {
    /// A JSON object. `turns`: two users take turns in the field `username`.
    Fields { data: BTreeMap<String, String>, generate: BTreeMap<String, Generator>, turns: Option<Turns> },
    /// One generated string.
    PlainText(Generator),
}

impl DeclaredValue {
    /// Hash of the declaration: the fixed fields and the names of the generated fields, including companions. A change
    /// of the hash creates a new version. Generator options are excluded, because they take effect at the next
    /// rotation.
    pub fn hash(&self) -> String {
        let shape = match self {
            Self::Fields { data, generate, .. } => serde_json::json!({"data": data, "generate": generated_names(generate)}),
            Self::PlainText(_) => serde_json::json!("plainText"),
        };
        short_hash(shape.to_string().as_bytes())
    }

    /// Names of all declared fields.
    pub fn field_names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = match self {
            Self::Fields { data, generate, .. } => generated_names(generate).into_iter().chain(data.keys().map(String::as_str)).collect(),
            Self::PlainText(_) => BTreeSet::new(),
        };
        names.into_iter().map(str::to_owned).collect()
    }

    /// Names of the fields with a fixed content.
    pub fn fixed_names(&self) -> Vec<String> {
        match self {
            Self::Fields { data, .. } => data.keys().cloned().collect(),
            Self::PlainText(_) => Vec::new(),
        }
    }

    /// Whether a rotation generates anything.
    pub fn generates(&self) -> bool {
        match self {
            Self::Fields { generate, .. } => !generate.is_empty(),
            Self::PlainText(_) => true,
        }
    }

    /// Whether the value is a plain text.
    pub fn is_plain_text(&self) -> bool {
        matches!(self, Self::PlainText(_))
    }

    /// Whether `value` has every declared field, and the fixed fields with the declared contents.
    pub fn matches(&self, value: &Payload) -> bool {
        match (self, value) {
            (Self::PlainText(_), Payload::Text(_)) => true,
            (Self::Fields { data, generate, turns }, value) => Object::read(value).is_some_and(|object| {
                data.iter()
                    .all(|(name, fixed)| object.text(name).is_some_and(|text| turns::fits(turns.as_ref(), name, fixed, text.expose())))
                    && generated_names(generate).into_iter().all(|name| object.has(name))
            }),
            (Self::PlainText(_), Payload::Binary(_)) => false,
        }
    }

    /// The form of the value that follows `predecessor`: its fields, with a placeholder as the content of each generated
    /// one. It shows whether the next value can be laid out, and is never stored.
    pub fn outline(&self, predecessor: &Payload, dropped: &[String]) -> Payload {
        const PLACEHOLDER: &str = "generated";
        let Self::Fields { data, generate, .. } = self else { return Payload::Text(Plaintext::from(PLACEHOLDER.to_owned())) };
        let mut object = Object::read(predecessor).unwrap_or_default();
        for name in dropped {
            wipe(object.0.remove(name));
        }
        let generated = generated_names(generate).into_iter().map(|name| (name, PLACEHOLDER));
        for (name, text) in generated.chain(data.iter().map(|(name, fixed)| (name.as_str(), fixed.as_str()))) {
            // What is too large is refused when the value is composed.
            let _ = object.set(name, text);
        }
        Payload::Text(Plaintext::from(serde_json::to_string(&object.0).unwrap_or_default()))
    }

    /// Composes the next value. `predecessor` is the current value; its fields that are not declared are preserved.
    /// `fresh`: every generated field is regenerated (a rotation); otherwise existing fields keep their value (a change
    /// of the declaration), key pairs as a whole. `former`: what was declared when the predecessor was made: a field that is
    /// not declared any more is removed, and one that had a fixed content and is generated now gets a new one.
    /// `now`: start of a certificate's validity.
    ///
    /// # Errors
    /// If a generator fails, or the value exceeds AWS's maximum size.
    pub fn compose(
        &self,
        predecessor: Option<&Payload>,
        fresh: bool,
        former: Former<'_>,
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Plaintext, ComposeError> {
        let text = match self {
            // A JSON object is the value from before spec.value was changed to a plain text.
            Self::PlainText(generator) => match (fresh, predecessor) {
                (false, Some(value @ Payload::Text(kept))) if !value.is_object() => Plaintext::from(kept.expose().to_owned()),
                _ => generator.generate(rng, now)?.own,
            },
            Self::Fields { data, generate, turns } => {
                let mut object = predecessor.and_then(Object::read).unwrap_or_default();
                let declared = self.field_names();
                for name in former.fields.iter().filter(|name| !declared.contains(name)) {
                    wipe(object.0.remove(name));
                }
                for (name, fixed) in data {
                    let before = object.text(name);
                    object.set(name, turns::next(turns.as_ref(), name, fixed, before.as_ref().map(Plaintext::expose), fresh))?;
                }
                for (name, generator) in generate {
                    let replaced = fresh || former.fixed.contains(name);
                    let companions = match if replaced { Kept::Nothing } else { generator.keep(name, &object) } {
                        Kept::Whole => continue,
                        Kept::Completed(companions) => companions,
                        Kept::Nothing => {
                            let made = generator.generate(rng, now)?;
                            object.set(name, made.own.expose())?;
                            made.companions
                        }
                    };
                    for (name, companion) in companions {
                        object.set(&name, companion.expose())?;
                    }
                }
                Plaintext::from(serde_json::to_string(&object.0).map_err(|_| ComposeError::TooLarge)?)
            }
        };
        if text.len() > LARGEST_VALUE {
            return Err(ComposeError::TooLarge);
        }
        Ok(text)
    }
}

/// Names of the generated fields and of their companions.
fn generated_names(generate: &BTreeMap<String, Generator>) -> BTreeSet<&str> {
    generate.iter().flat_map(|(name, generator)| generator.companions().into_iter().chain([name.as_str()])).collect()
}

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

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose().as_bytes(),
            Self::Binary(bytes) => bytes.expose(),
        }
    }
}

type JsonObject = serde_json::Map<String, serde_json::Value>;

/// Data of a Secret.
pub type Data = BTreeMap<String, SecretBytes>;

/// Layout of the mirrored Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub kind: SecretType,
    /// Keys of the Secret and their fields. Empty: every field under its own name.
    pub keys: BTreeMap<String, String>,
    /// Key for the whole value, which may have any form.
    pub whole: Option<String>,
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
}

impl Layout {
    /// Renders the data of the Secret.
    ///
    /// # Errors
    /// If a field is missing, or the data does not match the type.
    pub fn render(&self, value: &Payload) -> Result<BTreeMap<String, SecretBytes>, LayoutError> {
        let data = match Object::read(value) {
            Some(object) if self.whole.is_none() => self.fields(&object.0)?,
            _ => self.whole(value.bytes())?,
        };
        self.check(&data)?;
        Ok(data)
    }

    /// Renders the data of the Secret for a plain text, also if the text is JSON.
    ///
    /// # Errors
    /// If `target.keys` refers to a field, or the data does not match the type.
    pub fn render_whole(&self, value: &Payload) -> Result<Data, LayoutError> {
        let data = self.whole(value.bytes())?;
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

/// A JSON object whose fields are kept as raw text, so that numbers and nested values do not change. Zeroized when
/// dropped.
#[derive(Default)]
struct Object(BTreeMap<String, Box<RawValue>>);

impl Object {
    /// `None` if the value is not a JSON object. The parser's error is dropped, because it quotes the value.
    fn read(value: &Payload) -> Option<Self> {
        serde_json::from_slice(value.bytes()).ok().map(Self)
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), ComposeError> {
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

fn wipe(value: Option<Box<RawValue>>) {
    if let Some(value) = value {
        let text: Box<str> = value.into();
        zeroize::Zeroize::zeroize(&mut String::from(text));
    }
}

/// The contents of a JSON string.
fn text_of(value: &RawValue) -> Option<Plaintext> {
    serde_json::from_str::<String>(value.get()).ok().map(Plaintext::from)
}

/// The contents of a string; any other JSON value as JSON text.
fn field_bytes(value: &RawValue) -> SecretBytes {
    SecretBytes::from(match text_of(value) {
        Some(text) => text.expose().as_bytes().to_vec(),
        None => value.get().as_bytes().to_vec(),
    })
}

/// Whether a key of a Secret may have this name.
pub(crate) fn is_secret_key(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name != "."
        && !name.starts_with("..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_tests;
