//! Condition types and reasons, which are closed sets, and the function that merges conditions.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::text::bounded;

/// Type of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumString)]
pub enum ConditionType {
    /// AWS secret, mirror and spec agree, and nothing is overdue or failing.
    Ready,
    /// The AWS secret exists, is owned by this object and matches the spec.
    Provisioned,
    /// The value is as recent as the schedule requires. Absent if nothing rotates.
    Rotated,
    /// The Secret holds the current version.
    Mirrored,
    /// Every workload that uses the Secret is healthy with the version that it holds. Absent without `spec.rollout`.
    RolledOut,
    /// User action is required. Absent otherwise.
    Stalled,
    /// A change is in progress. Absent otherwise.
    Reconciling,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Reason of a condition. The same name is used in the Event, the metric and the runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
pub enum Reason {
    /// The object is in the desired state.
    Succeeded,
    /// The object is in the desired state, and the Secret is pinned to a version that may not be the current one.
    Pinned,
    /// `spec.suspend` is true.
    Suspended,
    /// The spec cannot be applied as written.
    InvalidSpec,
    /// The AWS secret is being created.
    Creating,
    /// A change is in progress. The next reconcile follows automatically.
    Progressing,
    /// The AWS secret is owned by another object.
    NotOwned,
    /// An AWS secret of this name exists and nothing marks it for adoption by this object.
    AlreadyExists,
    /// The AWS secret is in another region or has another name than the operator's current flags would give it.
    Moved,
    /// The AWS name is not allowed for this namespace.
    NameNotAllowed,
    /// The region is not allowed by the administrator.
    RegionNotAllowed,
    /// The object selects an identity, and the administrator has not enabled that.
    IdentityNotAllowed,
    /// The identity cannot be used: no credentials, or a role that does not trust the operator or the ServiceAccount.
    IdentityRefused,
    /// The AWS secret to mirror does not exist.
    SecretNotFound,
    /// The Secret with the first value does not exist, does not name the object, or does not have the value.
    InitialValueMissing,
    /// The AWS secret is scheduled for deletion.
    ScheduledForDeletion,
    /// AWS or Kubernetes denied the request.
    AccessDenied,
    /// AWS rejects the time of the request: the clock of the node is wrong.
    ClockSkew,
    /// The KMS key cannot be used.
    KeyUnusable,
    /// AWS throttled the request.
    Throttled,
    /// AWS did not respond, or responded with an internal error.
    AwsUnavailable,
    /// An AWS quota is exhausted.
    LimitExceeded,
    /// AWS rejected the request as invalid.
    AwsRefused,
    /// The owned AWS secret was deleted and another writer created a secret of the same name.
    Recreated,
    /// A declared tag has another value, which another writer set.
    TagNotOwned,
    /// The KMS key is not allowed by the administrator.
    KeyNotAllowed,
    /// The administrator has not enabled resource policies.
    PolicyNotAllowed,
    /// AWS rejected the resource policy.
    PolicyRefused,
    /// A replica could not be created.
    ReplicaFailed,
    /// A rotation is due and has not happened.
    Overdue,
    /// The rotation window passed without a rotation. The rotation waits for the next window.
    MissedWindow,
    /// The schedule rotates more often than the operator allows.
    IntervalTooShort,
    /// A version of another writer has the staging label AWSPENDING and blocks the rotation.
    ForeignPending,
    /// Rotation by AWS that this object did not configure is enabled on the secret, so the operator does not rotate it.
    ForeignRotation,
    /// The rotation function is not allowed for this namespace.
    FunctionNotAllowed,
    /// AWS started a rotation and it did not succeed.
    RotationFailed,
    /// The target rejected the new value, or could not be used safely.
    ApplyFailed,
    /// The target has the new value, and the login or the query that verifies it fails.
    VerifyFailed,
    /// A staged version is abandoned, and the target does not take the previous value back.
    AbandonFailed,
    /// The target did not respond, or the connection was lost.
    TargetUnreachable,
    /// The target refuses the current value, or cannot be used as declared any more.
    TargetDiverged,
    /// The host of the target is not allowed for this namespace.
    HostNotAllowed,
    /// The administrator has not enabled Jobs for rotations.
    JobsNotAllowed,
    /// The Kubernetes Secret is owned by another object.
    SecretNotOwned,
    /// Another client keeps changing the Kubernetes Secret.
    Contested,
    /// The version that the Secret is pinned to does not exist, or is only pending.
    VersionNotFound,
    /// A field that `spec.target.keys` refers to is not in the value.
    FieldMissing,
    /// The value does not match the type of the Secret, or the existing Secret has another type.
    TypeMismatch,
    /// The API server rejected the Secret.
    WriteRefused,
    /// The certificate in the Secret has expired.
    CertificateExpired,
    /// Workloads are being restarted with the new version.
    Waiting,
    /// A workload did not become healthy with the new version.
    RolloutFailed,
    /// A rollout failed, and the previous value was restored.
    RolloutRolledBack,
    /// The target does not give up the previous credential.
    RetirementFailed,
    /// A bug in the operator.
    InternalError,
}

impl Reason {
    /// The reason of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// All reasons, for tests and documentation.
    pub const ALL: [Self; 55] = [
        Self::Succeeded,
        Self::Pinned,
        Self::Suspended,
        Self::InvalidSpec,
        Self::Creating,
        Self::Progressing,
        Self::NotOwned,
        Self::AlreadyExists,
        Self::Moved,
        Self::NameNotAllowed,
        Self::RegionNotAllowed,
        Self::IdentityNotAllowed,
        Self::IdentityRefused,
        Self::SecretNotFound,
        Self::InitialValueMissing,
        Self::ScheduledForDeletion,
        Self::AccessDenied,
        Self::ClockSkew,
        Self::KeyUnusable,
        Self::Throttled,
        Self::AwsUnavailable,
        Self::LimitExceeded,
        Self::AwsRefused,
        Self::Recreated,
        Self::TagNotOwned,
        Self::KeyNotAllowed,
        Self::PolicyNotAllowed,
        Self::PolicyRefused,
        Self::ReplicaFailed,
        Self::Overdue,
        Self::MissedWindow,
        Self::IntervalTooShort,
        Self::ForeignPending,
        Self::ForeignRotation,
        Self::FunctionNotAllowed,
        Self::RotationFailed,
        Self::ApplyFailed,
        Self::VerifyFailed,
        Self::AbandonFailed,
        Self::TargetUnreachable,
        Self::TargetDiverged,
        Self::HostNotAllowed,
        Self::JobsNotAllowed,
        Self::SecretNotOwned,
        Self::Contested,
        Self::VersionNotFound,
        Self::FieldMissing,
        Self::TypeMismatch,
        Self::WriteRefused,
        Self::CertificateExpired,
        Self::Waiting,
        Self::RolloutFailed,
        Self::RolloutRolledBack,
        Self::RetirementFailed,
        Self::InternalError,
    ];

    /// Name of the reason, as in conditions and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether user action is required before the state can improve (condition `Stalled`).
    pub fn requires_user_action(self) -> bool {
        matches!(
            self,
            Self::InvalidSpec
                | Self::NotOwned
                | Self::AlreadyExists
                | Self::Moved
                | Self::NameNotAllowed
                | Self::RegionNotAllowed
                | Self::IdentityNotAllowed
                | Self::IdentityRefused
                | Self::ScheduledForDeletion
                | Self::AccessDenied
                | Self::ClockSkew
                | Self::KeyUnusable
                | Self::LimitExceeded
                | Self::AwsRefused
                | Self::Recreated
                | Self::TagNotOwned
                | Self::KeyNotAllowed
                | Self::PolicyNotAllowed
                | Self::PolicyRefused
                | Self::ReplicaFailed
                | Self::IntervalTooShort
                | Self::ForeignPending
                | Self::ForeignRotation
                | Self::FunctionNotAllowed
                | Self::RotationFailed
                | Self::ApplyFailed
                | Self::VerifyFailed
                | Self::AbandonFailed
                | Self::TargetDiverged
                | Self::HostNotAllowed
                | Self::JobsNotAllowed
                | Self::SecretNotOwned
                | Self::Contested
                | Self::VersionNotFound
                | Self::FieldMissing
                | Self::TypeMismatch
                | Self::WriteRefused
                | Self::CertificateExpired
                | Self::RolloutFailed
                | Self::RolloutRolledBack
                | Self::RetirementFailed
                | Self::InternalError
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A condition before it is merged with the existing one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Type of the condition.
    pub of: ConditionType,
    /// Status `True` or `False`. The operator never sets `Unknown`.
    pub holds: bool,
    /// Reason of the condition.
    pub reason: Reason,
    /// What happened, why, and the command to run. Composed of bounded, typed parts, never of an error's own text.
    pub message: String,
    /// It repeats the existing condition, which stays true of the generation that it was stated for.
    pub kept: bool,
}

/// The maximum length of a message in bytes. All conditions together must fit in an object that the operator can read
/// (256 KiB).
const MAX_MESSAGE: usize = 4096;

/// The conditions that result from `statements` at `now`, for the spec of `generation`. A condition whose status did
/// not change keeps its transition time. A condition that is kept keeps its generation: `kubectl wait` takes it for a
/// condition of that generation only. A condition that is not stated is removed. The order is that of
/// [`ConditionType`], so equal input gives equal lists.
pub fn merge(old: &[Condition], statements: &[Statement], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let mut sorted: Vec<&Statement> = statements.iter().collect();
    sorted.sort_by_key(|statement| statement.of);
    sorted
        .into_iter()
        .map(|statement| {
            let type_ = statement.of.to_string();
            let status = if statement.holds { "True" } else { "False" };
            let same = old.iter().find(|c| c.type_ == type_ && c.status == status);
            let kept = same.filter(|_| statement.kept);
            Condition {
                type_,
                status: status.to_owned(),
                reason: statement.reason.as_str().to_owned(),
                message: bounded(&statement.message, MAX_MESSAGE),
                observed_generation: kept.map_or(generation, |c| c.observed_generation),
                last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(holds: bool, reason: Reason) -> Statement {
        Statement { of: ConditionType::Ready, holds, reason, message: String::new(), kept: false }
    }

    #[test]
    fn the_transition_time_moves_only_when_the_truth_does() {
        let first = merge(&[], &[ready(false, Reason::Throttled)], Some(1), at(10));
        let second = merge(&first, &[ready(false, Reason::AccessDenied)], Some(2), at(20));
        let third = merge(&second, &[ready(true, Reason::Succeeded)], Some(2), at(30));
        assert_eq!(second[0].last_transition_time.0, at(10));
        assert_eq!(second[0].reason, "AccessDenied");
        assert_eq!(third[0].last_transition_time.0, at(30));
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let long = Statement { message: format!("x{}", "ä".repeat(MAX_MESSAGE)), ..ready(false, Reason::NotOwned) };
        let message = merge(&[], &[long], Some(1), at(10)).remove(0).message;
        assert_eq!(message.len(), MAX_MESSAGE - 1);
        assert!(message.ends_with('ä'));
    }

    #[test]
    fn a_kept_condition_keeps_its_generation_and_a_stated_one_has_the_new() {
        let first = merge(&[], &[ready(true, Reason::Succeeded)], Some(1), at(10));
        let kept = Statement { kept: true, ..ready(true, Reason::Succeeded) };
        assert_eq!(merge(&first, std::slice::from_ref(&kept), Some(2), at(20))[0].observed_generation, Some(1));
        assert_eq!(merge(&first, &[ready(true, Reason::Succeeded)], Some(2), at(20))[0].observed_generation, Some(2));
        assert_eq!(merge(&[], &[kept], Some(2), at(20))[0].observed_generation, Some(2), "there is none to keep");
    }

    #[test]
    fn a_message_has_no_control_characters() {
        let hostile = Statement { message: "a\nERROR forged\u{1b}[2J\u{202e}".to_owned(), ..ready(false, Reason::NotOwned) };
        let message = merge(&[], &[hostile], Some(1), at(10)).remove(0).message;
        assert_eq!(message, "a\\nERROR forged\\u{1b}[2J\\u{202e}");
    }

    #[test]
    fn a_condition_that_is_not_stated_goes() {
        let stalled = Statement { of: ConditionType::Stalled, ..ready(true, Reason::NotOwned) };
        let first = merge(&[], &[stalled, ready(false, Reason::NotOwned)], Some(1), at(10));
        assert_eq!(first.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), ["Ready", "Stalled"]);
        assert_eq!(merge(&first, &[ready(true, Reason::Succeeded)], Some(1), at(20)).len(), 1);
    }

    #[test]
    fn every_reason_is_listed_once_and_spelled_as_its_name() {
        let distinct: std::collections::BTreeSet<_> = Reason::ALL.iter().collect();
        assert_eq!(distinct.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(reason.as_str(), format!("{reason:?}"));
        }
    }
    #[test]
    fn every_reason_has_its_line_in_the_runbook() {
        let runbook = include_str!("../../docs/runbook.md");
        for reason in Reason::ALL {
            let row = format!("\n| <a id=\"{}\"></a>`{reason}` | ", reason.as_str().to_lowercase());
            assert!(runbook.contains(&row), "docs/runbook.md has no row and anchor for {reason}");
        }
    }
}
