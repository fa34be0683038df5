//! What a generator reads and makes.

use crate::plaintext::Plaintext;

/// The library of cryptography refused to work. Carries nothing, since its own words could quote what it worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key pair could be made")]
pub struct NotMade;

/// What one generation made.
pub struct Made {
    /// Under the field's own name.
    pub own: Plaintext,
    /// Under the names of the companions.
    pub companions: Vec<(String, Plaintext)>,
}

impl From<Plaintext> for Made {
    fn from(own: Plaintext) -> Self {
        Self { own, companions: Vec::new() }
    }
}

/// What becomes of a value that is there, when the declaration changes and nothing is to be rotated.
pub enum Kept {
    /// It stays as it is.
    Whole,
    /// It stays, and these companions are derived from it.
    Completed(Vec<(String, Plaintext)>),
    /// It is not there, or its halves do not belong together: everything is generated anew.
    Nothing,
}

/// The fields of a value as it is.
pub trait Fields {
    /// Whether the field is there.
    fn has(&self, name: &str) -> bool;
    /// Its text, if it is a string.
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
