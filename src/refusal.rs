//! Why the operator does not do what the spec asks for.

use crate::api::condition::Reason;
use crate::text::bounded;

/// The maximum length of a message in bytes.
const MAX_MESSAGE: usize = 4096;

/// A reason, and a message that says what is wrong and what to write or type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason that condition, Event and metric show.
    pub reason: Reason,
    /// The message. Bounded and escaped, and never an error's own text.
    pub message: String,
}

impl Refusal {
    /// A refusal with this message, which may contain text from objects or AWS.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: bounded(&message.into(), MAX_MESSAGE) }
    }
}
