//! Why a rollback request is rejected.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reason why a rollback request was rejected.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackRefusal {
    /// The request does not have the form `<token>:<version id>` or `<token>:AWSPREVIOUS`.
    Malformed,
    /// The version does not exist in AWS or was deleted by AWS.
    VersionNotFound,
    /// The version has only the label AWSPENDING: it was never current, and its value may not be usable.
    VersionPending,
    /// The secret has no previous version.
    NoPreviousVersion,
    /// The object only mirrors the AWS secret and does not own its value.
    MirrorOnly,
    /// The request names AWSPREVIOUS, and the current version is itself a rollback.
    AlreadyRolledBack,
    /// The version lacks a field that spec.value declares.
    FieldMissing,
    /// The request names AWSPREVIOUS while another version is on its way, after which AWSPREVIOUS would be another version.
    RotationInProgress,
}

impl RollbackRefusal {
    /// Explanation with the correction to make. Follows a colon.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => {
                "the request must have the form <token>:<version id> or <token>:AWSPREVIOUS; correct it and use a new \
                 token"
            }
            Self::VersionNotFound => {
                "the version does not exist, or AWS deleted it because it had no staging label; choose another version of \
                 status.history and use a new token"
            }
            Self::VersionPending => {
                "the version has only the label AWSPENDING, so it was never current and its value may not be usable yet; choose another \
                 version of status.history and use a new token"
            }
            Self::AlreadyRolledBack => {
                "the current version is already a rollback, so AWSPREVIOUS is the version that was rolled back; to restore that version, \
                 use its version ID and a new token"
            }
            Self::FieldMissing => {
                "the version lacks a field that spec.value declares now, so the Secret could not hold its value; choose another version, or \
                 remove the field from spec.value, and use a new token"
            }
            Self::RotationInProgress => {
                "another version is on its way, and after it AWSPREVIOUS would be the version that is current now; use the ID of a version of \
                 status.history and a new token"
            }
            Self::NoPreviousVersion => "the secret has no previous version yet",
            Self::MirrorOnly => {
                "this object has no spec.value and only mirrors the AWS secret: roll back where the value is managed, or pin the Secret \
                 with spec.target.versionId"
            }
        }
    }
}
