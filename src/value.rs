//! Composition of values: the next SecretString from the declared fields and the current value, and the data of the
//! mirror from a value. Pure. The only decisions that read plaintext.

pub mod certificate;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::CryptoRng;

use self::payload::{Object, wipe};
use crate::generate::{Fields, Generator, Kept};
use crate::plaintext::Plaintext;

mod composition;
mod hash;
mod layout;
mod payload;
mod template;
mod turns;

pub use composition::{ComposeError, Former};
pub use hash::short_hash;
pub(crate) use layout::is_secret_key;
pub use layout::{Data, Layout, LayoutError, WHOLE_VALUE_KEY};
pub use payload::{Lack, Payload};
pub use template::{ParseError, Template, TemplateError};
pub use turns::{Turns, USERNAME};

/// Maximum size of a value in bytes.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
pub const LARGEST_VALUE: usize = 65_536;

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

impl DeclaredValue {
    /// The first value with this content of its one generated field, or as the plain text. `rng` and `now` as in
    /// [`Self::compose`].
    ///
    /// # Errors
    /// As [`Self::compose`].
    pub fn with_first(&self, given: Plaintext, rng: &mut impl CryptoRng, now: Timestamp) -> Result<Plaintext, ComposeError> {
        let Self::Fields { generate, .. } = self else {
            return if given.len() > LARGEST_VALUE { Err(ComposeError::TooLarge) } else { Ok(given) };
        };
        let mut object = Object::default();
        for name in generate.keys() {
            object.set(name, given.expose())?;
        }
        let text = Plaintext::from(serde_json::to_string(&object.0).map_err(|_| ComposeError::TooLarge)?);
        // What is there is kept, so nothing is generated.
        self.compose(Some(&Payload::Text(text)), false, Former::default(), rng, now)
    }
}

/// Names of the generated fields and of their companions.
fn generated_names(generate: &BTreeMap<String, Generator>) -> BTreeSet<&str> {
    generate.iter().flat_map(|(name, generator)| generator.companions().into_iter().chain([name.as_str()])).collect()
}

#[cfg(test)]
mod first_tests;
#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_tests;
