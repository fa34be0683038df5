//! Input and output of a generator.

use crate::plaintext::Plaintext;

/// The cryptographic library failed. Carries no details, since its error could quote its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library could not generate a key pair")]
pub struct NotMade;

/// Result of one generation.
pub struct Made {
    /// Value of the field itself.
    pub own: Plaintext,
    /// Names and values of the companions.
    pub companions: Vec<(String, Plaintext)>,
}

impl From<Plaintext> for Made {
    fn from(own: Plaintext) -> Self {
        Self { own, companions: Vec::new() }
    }
}

/// What a changed declaration keeps of an existing value, outside of a rotation.
pub enum Kept {
    /// The value is kept.
    Whole,
    /// The value is kept, and these companions are derived from it.
    Completed(Vec<(String, Plaintext)>),
    /// The value is missing, or its parts do not belong together: everything is regenerated.
    Nothing,
}

/// Fields of an existing value.
pub trait Fields {
    fn has(&self, name: &str) -> bool;
    /// The field's text, if it is a string.
    fn text(&self, name: &str) -> Option<Plaintext>;
}

#[cfg(test)]
impl Fields for serde_json::Map<String, serde_json::Value> {
    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }

    fn text(&self, name: &str) -> Option<Plaintext> {
        self.get(name)?.as_str().map(|text| Plaintext::from(text.to_owned()))
    }
}
