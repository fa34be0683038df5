//! Why the operator does not do what the spec asks for.

use crate::api::condition::Reason;

/// A reason, and a message that says what is wrong and what to write or type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason that condition, Event and metric show.
    pub reason: Reason,
    /// The message. Bounded, and never an error's own text.
    pub message: String,
}

impl Refusal {
    /// A refusal with this message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// A name that another client has chosen, as it may be shown: at most 128 characters, and none that ends a line or a
/// quotation.
pub(crate) fn shown(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.:/@ ".contains(c) { c } else { '?' };
    name.chars().take(128).map(plain).collect()
}
