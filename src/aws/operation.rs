//! The operations of AWS that the operator uses.

use strum::IntoEnumIterator;

use super::call::QuotaGroup;

/// Every operation that the operator uses, by AWS's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[allow(missing_docs)]
pub(super) enum Operation {
    AssumeRole,
    AssumeRoleWithWebIdentity,
    CancelRotateSecret,
    CreateSecret,
    DeleteMessageBatch,
    DeleteResourcePolicy,
    DeleteSecret,
    DescribeSecret,
    GetResourcePolicy,
    GetSecretValue,
    ListSecrets,
    PutResourcePolicy,
    PutSecretValue,
    ReceiveMessage,
    RemoveRegionsFromReplication,
    ReplicateSecretToRegions,
    RestoreSecret,
    RotateSecret,
    TagResource,
    UntagResource,
    UpdateSecret,
    UpdateSecretVersionStage,
}

impl Operation {
    /// AWS's name for it.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }

    /// The operation with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::iter().find(|operation| operation.as_str() == name)
    }

    /// The quota that it counts against.
    pub(super) fn group(self) -> QuotaGroup {
        match self {
            Self::AssumeRole | Self::AssumeRoleWithWebIdentity => QuotaGroup::Sts,
            Self::ReceiveMessage | Self::DeleteMessageBatch => QuotaGroup::Queue,
            Self::CreateSecret => QuotaGroup::Create,
            Self::DeleteSecret => QuotaGroup::Delete,
            Self::DescribeSecret => QuotaGroup::Describe,
            Self::GetSecretValue => QuotaGroup::Read,
            Self::ListSecrets => QuotaGroup::List,
            Self::RestoreSecret => QuotaGroup::Restore,
            Self::PutSecretValue
            | Self::UpdateSecret
            | Self::UpdateSecretVersionStage
            | Self::ReplicateSecretToRegions
            | Self::RemoveRegionsFromReplication => QuotaGroup::Write,
            Self::RotateSecret | Self::CancelRotateSecret => QuotaGroup::Rotation,
            Self::TagResource | Self::UntagResource => QuotaGroup::Tags,
            Self::GetResourcePolicy | Self::PutResourcePolicy | Self::DeleteResourcePolicy => QuotaGroup::ResourcePolicy,
        }
    }
}
