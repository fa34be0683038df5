//! A failure in a form that may be shown to users: a class (which determines the retry), a reason, and a message
//! composed of fixed text and names. The text of the original error is dropped, since it can contain a secret value.

use crate::api::condition::{ConditionType, Reason};
use crate::backoff::Class;
use crate::refusal::Refusal;

/// The reason why a reconcile did not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// Determines the backoff.
    pub class: Class,
    pub reason: Reason,
    /// What happened, why, and the command to run.
    pub message: String,
    /// The ID of the request that AWS refused, for the log.
    pub request_id: Option<Box<str>>,
}

impl Failure {
    /// Whether AWS has proved that the clock of this process is wrong.
    pub fn is_of_the_clock(&self) -> bool {
        self.reason == Reason::ClockSkew
    }

    /// A state that the code considers impossible.
    pub fn bug(message: &'static str) -> Self {
        Self { class: Class::Bug, reason: Reason::InternalError, message: message.to_owned(), request_id: None }
    }

    /// Whether the failure persists until a user acts or a long time passes.
    pub fn is_terminal(&self) -> bool {
        matches!(self.class, Class::Denied | Class::DeniedInForce | Class::Invalid | Class::Limit)
    }

    /// Whether AWS or Kubernetes denies the call. The word of a target is another one: more attempts could lock a user.
    pub fn is_denial(&self) -> bool {
        let denials = [Reason::AccessDenied, Reason::KeyUnusable, Reason::IdentityRefused, Reason::ClockSkew, Reason::WriteRefused];
        matches!(self.class, Class::Denied | Class::Invalid) && denials.contains(&self.reason)
    }

    /// Another writer was faster. Reconcile again.
    pub fn conflict(message: &'static str) -> Self {
        Self { class: Class::Conflict, reason: Reason::Progressing, message: message.to_owned(), request_id: None }
    }
}

/// A failure and the condition that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The condition.
    pub aspect: ConditionType,
    /// The failure.
    pub failure: Failure,
}

impl Failed {
    /// As what a condition says.
    pub fn refusal(&self) -> Refusal {
        Refusal::new(self.failure.reason, self.failure.message.clone())
    }
}

#[cfg(test)]
impl Failed {
    /// AWS denied the step, for this reason.
    pub(crate) fn denied(refusal: &Refusal) -> Self {
        let failure = Failure { class: Class::Denied, reason: refusal.reason, message: refusal.message.clone(), request_id: None };
        Self { aspect: ConditionType::Provisioned, failure }
    }
}
