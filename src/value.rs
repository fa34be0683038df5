//! What a value is made of: the next SecretString from the declared fields and the predecessor's value, and the mirror's data from a value.
//! Pure; the only decisions that see plaintext.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::CryptoRng;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::api::SecretType;
use crate::generate::{Fields, Generator, Kept, NotMade};
use crate::plaintext::{Plaintext, SecretBytes};

/// The largest value that AWS holds, in bytes.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
pub const LARGEST_VALUE: usize = 65_536;

/// The key under which a value without fields is mirrored.
pub const WHOLE_VALUE_KEY: &str = "value";

/// What the user declares of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum DeclaredValue {
    /// A JSON object.
    Fields {
        /// Fixed fields.
        data: BTreeMap<String, String>,
        /// Generated fields.
        generate: BTreeMap<String, Generator>,
    },
    /// One generated string.
    PlainText(Generator),
}

impl DeclaredValue {
    /// A hash of what makes a new version when it changes: the fixed fields and the names of the generated ones, companions among them.
    /// Options of generators are not in it, since they take effect at the next rotation.
    pub fn hash(&self) -> String {
        let shape = match self {
            Self::Fields { data, generate } => serde_json::json!({"data": data, "generate": generated_names(generate)}),
            Self::PlainText(_) => serde_json::json!("plainText"),
        };
        short_hash(shape.to_string().as_bytes())
    }

    /// The names of all declared fields.
    pub fn field_names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = match self {
            Self::Fields { data, generate } => generated_names(generate).into_iter().chain(data.keys().map(String::as_str)).collect(),
            Self::PlainText(_) => BTreeSet::new(),
        };
        names.into_iter().map(str::to_owned).collect()
    }

    /// Whether a rotation has anything to generate.
    pub fn generates(&self) -> bool {
        match self {
            Self::Fields { generate, .. } => !generate.is_empty(),
            Self::PlainText(_) => true,
        }
    }

    /// Whether the value is one string.
    pub fn is_plain_text(&self) -> bool {
        matches!(self, Self::PlainText(_))
    }

    /// Whether `value` has every declared field, and the fixed ones as declared.
    pub fn matches(&self, value: &Payload) -> bool {
        match (self, value) {
            (Self::PlainText(_), Payload::Text(_)) => true,
            (Self::Fields { data, generate }, value) => Object::read(value).is_some_and(|object| {
                data.iter().all(|(name, fixed)| object.text(name).is_some_and(|text| text.expose() == fixed))
                    && generated_names(generate).into_iter().all(|name| object.has(name))
            }),
            (Self::PlainText(_), Payload::Binary(_)) => false,
        }
    }

    /// The next value. `predecessor` is the value that is current; its foreign fields are carried along. `fresh`: every generated field is
    /// new (a rotation); otherwise those that exist keep their value (a change of the declaration), pairs as a whole. `dropped`: fields that
    /// used to be declared and are not any more. `now`: when a certificate begins.
    ///
    /// # Errors
    /// When a generator cannot work, or the value is larger than AWS holds.
    pub fn compose(
        &self,
        predecessor: Option<&Payload>,
        fresh: bool,
        dropped: &[String],
        rng: &mut impl CryptoRng,
        now: Timestamp,
    ) -> Result<Plaintext, ComposeError> {
        let text = match self {
            // A JSON object is what there was before the spec asked for a plain text.
            Self::PlainText(generator) => match (fresh, predecessor) {
                (false, Some(value @ Payload::Text(kept))) if !value.is_object() => Plaintext::from(kept.expose().to_owned()),
                _ => generator.generate(rng, now)?.own,
            },
            Self::Fields { data, generate } => {
                let mut object = predecessor.and_then(Object::read).unwrap_or_default();
                let declared = self.field_names();
                for name in dropped.iter().filter(|name| !declared.contains(name)) {
                    wipe(object.0.remove(name));
                }
                for (name, fixed) in data {
                    object.set(name, fixed)?;
                }
                for (name, generator) in generate {
                    let companions = match if fresh { Kept::Nothing } else { generator.keep(name, &object) } {
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

/// Why no value could be made. Carries no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// More bytes than AWS holds in one value.
    #[error("the value would have more than 65,536 bytes, which is the most that AWS holds")]
    TooLarge,
    /// The library of cryptography refused to work.
    #[error(transparent)]
    NotMade(#[from] NotMade),
}

/// The names of the generated fields and of their companions.
fn generated_names(generate: &BTreeMap<String, Generator>) -> BTreeSet<&str> {
    generate.iter().flat_map(|(name, generator)| generator.companions().into_iter().chain([name.as_str()])).collect()
}

/// A value as it came from AWS.
pub enum Payload {
    /// `SecretString`.
    Text(Plaintext),
    /// `SecretBinary`.
    Binary(SecretBytes),
}

/// What a value lacks of what is declared. Names only, and only declared ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It is no JSON object.
    Object,
    /// It has no such fields.
    Fields(Vec<String>),
}

impl Payload {
    /// Whether it is a JSON object, as text or as bytes.
    pub fn is_object(&self) -> bool {
        Object::read(self).is_some()
    }

    /// What it lacks of `fields`. `None`: nothing.
    pub fn lack(&self, fields: &[String]) -> Option<Lack> {
        let Some(object) = Object::read(self) else { return Some(Lack::Object) };
        let missing: Vec<String> = fields.iter().filter(|field| !object.has(field)).cloned().collect();
        (!missing.is_empty()).then_some(Lack::Fields(missing))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose().as_bytes(),
            Self::Binary(bytes) => bytes.expose(),
        }
    }
}

/// The data of a Secret.
pub type Data = BTreeMap<String, SecretBytes>;

/// How a value is laid out in a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The type of the Secret.
    pub kind: SecretType,
    /// Key <- field; empty: every field under its own name.
    pub keys: BTreeMap<String, String>,
}

/// Why a value cannot be mirrored. Carries names only, and only those that the user wrote or Kubernetes fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutError {
    /// A field that `target.keys` asks for is not in the value.
    FieldMissing(String),
    /// A key that the type of the Secret demands is not there.
    KeyMissing(&'static str),
    /// The value is no JSON object, but `target.keys` asks for fields.
    NotAnObject,
    /// A field's name cannot be the key of a Secret.
    UnusableKey,
    /// The value of a key does not have the form that the type demands.
    Malformed(&'static str),
}

impl Layout {
    /// The data of the Secret.
    ///
    /// # Errors
    /// When a field is missing or the type demands something else.
    pub fn render(&self, value: &Payload) -> Result<BTreeMap<String, SecretBytes>, LayoutError> {
        let data = match Object::read(value) {
            Some(object) => self.fields(&object.0)?,
            None => self.whole(value.bytes())?,
        };
        self.check(&data)?;
        Ok(data)
    }

    /// The data of the Secret, of a value that is one string whatever it looks like.
    ///
    /// # Errors
    /// When a field is asked for or the type demands something else.
    pub fn render_whole(&self, value: &Payload) -> Result<Data, LayoutError> {
        let data = self.whole(value.bytes())?;
        self.check(&data)?;
        Ok(data)
    }

    fn whole(&self, bytes: &[u8]) -> Result<BTreeMap<String, SecretBytes>, LayoutError> {
        let key = match self.keys.iter().next() {
            None => WHOLE_VALUE_KEY,
            Some((key, field)) if self.keys.len() == 1 && field == WHOLE_VALUE_KEY => key,
            Some(_) => return Err(LayoutError::NotAnObject),
        };
        Ok(BTreeMap::from([(key.to_owned(), SecretBytes::from(bytes.to_vec()))]))
    }

    fn fields(&self, object: &BTreeMap<String, Box<RawValue>>) -> Result<BTreeMap<String, SecretBytes>, LayoutError> {
        if self.keys.is_empty() {
            return object
                .iter()
                .map(
                    |(name, value)| {
                        if is_secret_key(name) { Ok((name.clone(), field_bytes(value))) } else { Err(LayoutError::UnusableKey) }
                    },
                )
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

    /// What the API server demands of each type, seen before it can put a byte of the value into its answer.
    /// <https://kubernetes.io/docs/concepts/configuration/secret/#secret-types>
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
                let json =
                    data.get(KEY).is_some_and(|bytes| serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(bytes.expose()).is_ok());
                if json { Ok(()) } else { Err(LayoutError::Malformed(KEY)) }
            }
        }
    }
}

/// A JSON object, each field as it was written: a number keeps its digits and whatever is nested its form. Wiped when it goes.
#[derive(Default)]
struct Object(BTreeMap<String, Box<RawValue>>);

impl Object {
    /// `None` when the value is no JSON object. The parser's error quotes the value, so it is dropped here and never seen.
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

/// The text of a JSON string.
fn text_of(value: &RawValue) -> Option<Plaintext> {
    serde_json::from_str::<String>(value.get()).ok().map(Plaintext::from)
}

/// A string as it is; anything else as the JSON that it was, so that numbers and nested objects arrive too.
fn field_bytes(value: &RawValue) -> SecretBytes {
    SecretBytes::from(match text_of(value) {
        Some(text) => text.expose().as_bytes().to_vec(),
        None => value.get().as_bytes().to_vec(),
    })
}

fn is_secret_key(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name != "."
        && !name.starts_with("..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Sixteen hex digits of a SHA-256. Never of a value: a hash of a weak secret can be searched.
pub fn short_hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod tests;
