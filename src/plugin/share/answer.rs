//! The result of `share` in one namespace.

use serde::Serialize;

use super::consent::Consent;
use crate::plugin::Exit;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// The Secret holds the current version.
    Shared,
    /// The object is declared, and was not waited for.
    Requested,
    /// The object is declared, and the administrator has not consented.
    ConsentMissing,
    /// An object of that name has another purpose, and is not changed.
    NameTaken,
    /// The operator has reconciled the object, and it is not Ready.
    Refused,
    /// The object is not Ready yet.
    TimedOut,
    /// The user interrupted the command.
    Interrupted,
}

impl Outcome {
    pub(super) fn exit(self) -> Exit {
        Exit::fine_if(matches!(self, Self::Shared | Self::Requested))
    }
}

/// The fields of `share -o json`, of one namespace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// Whether the object was created or changed.
    pub(super) changed: bool,
    pub(super) consent: Consent,
    pub(super) aws_secret_name: String,
    pub(super) mirror_secret_name: String,
    pub(super) message: String,
    /// The command with which an administrator consents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
    /// What the owner's retirement does not wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

impl Answer {
    pub(super) fn ended(self, outcome: Outcome, message: String) -> Self {
        Self { outcome, message, ..self }
    }
}
