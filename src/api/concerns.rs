//! Whom a reason concerns.

use super::condition::Reason;

/// Those who write the object.
pub const OWNER: &str = "owner";
/// The administrators of the operator, of AWS or of the cluster.
pub const PLATFORM: &str = "platform";

impl Reason {
    /// Whom it concerns, for the routing of alerts: [`OWNER`] if those who write the object can resolve it, else
    /// [`PLATFORM`].
    pub fn concerns(self) -> &'static str {
        match self {
            Self::Succeeded
            | Self::Pinned
            | Self::Suspended
            | Self::Creating
            | Self::Progressing
            | Self::Moved
            | Self::IdentityRefused
            | Self::AccessDenied
            | Self::ClockSkew
            | Self::KeyUnusable
            | Self::Throttled
            | Self::AwsUnavailable
            | Self::LimitExceeded
            | Self::Overdue
            | Self::InternalError => PLATFORM,
            Self::InvalidSpec
            | Self::NotOwned
            | Self::AlreadyExists
            | Self::NameNotAllowed
            | Self::RegionNotAllowed
            | Self::IdentityNotAllowed
            | Self::SecretNotFound
            | Self::InitialValueMissing
            | Self::ScheduledForDeletion
            | Self::AwsRefused
            | Self::Recreated
            | Self::TagNotOwned
            | Self::KeyNotAllowed
            | Self::PolicyNotAllowed
            | Self::PolicyRefused
            | Self::IntervalTooShort
            | Self::ForeignPending
            | Self::ForeignRotation
            | Self::FunctionNotAllowed
            | Self::RotationFailed
            | Self::ApplyFailed
            | Self::VerifyFailed
            | Self::AbandonFailed
            | Self::TargetUnreachable
            | Self::TargetDiverged
            | Self::HostNotAllowed
            | Self::JobsNotAllowed
            | Self::SecretNotOwned
            | Self::Contested
            | Self::VersionNotFound
            | Self::FieldMissing
            | Self::TypeMismatch
            | Self::CertificateExpired
            | Self::Waiting
            | Self::RolloutFailed
            | Self::RolloutRolledBack
            | Self::RetirementFailed
            | Self::MissedWindow
            | Self::ReplicaFailed
            | Self::WriteRefused => OWNER,
        }
    }
}
