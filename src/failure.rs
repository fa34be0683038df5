//! A failure in a form that may be shown to users: a class (which determines the retry), a reason, and a message
//! composed of fixed text and names. The text of the original error is dropped, since it can contain a secret value.

use crate::api::condition::Reason;
use crate::backoff::Class;

/// The reason why a reconcile did not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// Determines the backoff.
    pub class: Class,
    pub reason: Reason,
    /// What happened, why, and the command to run.
    pub message: String,
}

impl Failure {
    /// A state that the code considers impossible.
    pub fn bug(message: &'static str) -> Self {
        Self { class: Class::Bug, reason: Reason::InternalError, message: message.to_owned() }
    }

    /// Whether the failure persists until a user acts or a long time passes.
    pub fn is_terminal(&self) -> bool {
        matches!(self.class, Class::Denied | Class::Invalid | Class::Limit)
    }

    /// Another writer was faster. Reconcile again.
    pub fn conflict(message: &'static str) -> Self {
        Self { class: Class::Conflict, reason: Reason::Progressing, message: message.to_owned() }
    }
}
