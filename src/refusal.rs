//! A refusal of what a user declared.

use crate::api::condition::Reason;

/// A refusal: what is wrong and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The word.
    pub reason: Reason,
    /// The sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal with this sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
