//! What went wrong in a turn, as it may be shown: a class (how we react), a reason and a sentence made of our own words. An error's own text
//! never gets here, since it can carry a value.

use crate::api::condition::{ConditionType, Reason};
use crate::backoff::Class;

/// Why a turn did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// Which condition it concerns.
    pub of: ConditionType,
    /// How we react.
    pub class: Class,
    /// The word.
    pub reason: Reason,
    /// The sentence.
    pub message: String,
}

impl Failure {
    /// Something that the code holds to be impossible.
    pub fn bug(message: &'static str) -> Self {
        Self { of: ConditionType::Ready, class: Class::Bug, reason: Reason::InternalError, message: message.to_owned() }
    }

    /// Whether it stays until a person or much time changes something.
    pub fn is_terminal(&self) -> bool {
        matches!(self.class, Class::Denied | Class::Invalid | Class::Limit)
    }

    /// Somebody else was faster; look again.
    pub fn conflict(message: &'static str) -> Self {
        Self { of: ConditionType::Ready, class: Class::Conflict, reason: Reason::Progressing, message: message.to_owned() }
    }
}
