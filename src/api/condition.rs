//! Conditions: a closed set of types and reasons, and the only way to merge them.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a condition speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// AWS, mirror and spec agree, nothing is overdue or failing.
    Ready,
    /// The AWS secret is there, ours, and as declared.
    Provisioned,
    /// The value is as young as the schedule asks. Absent when nothing rotates.
    Rotated,
    /// The Secret holds the current version.
    Mirrored,
    /// Only there when a person must act.
    Stalled,
    /// Only there while something is under way.
    Reconciling,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why. The same word stands in the condition, the Event and the metric, and in the runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// All is well.
    Succeeded,
    /// All is well, and the Secret is held at a version that need not be the current one.
    Pinned,
    /// `spec.suspend` is true.
    Suspended,
    /// The spec cannot be carried out as written.
    InvalidSpec,
    /// The AWS secret is not there yet.
    Creating,
    /// Something is under way: the next look follows by itself.
    Progressing,
    /// The AWS secret belongs to somebody else.
    NotOwned,
    /// An AWS secret of this name exists and nobody says that it is ours.
    AlreadyExists,
    /// The AWS secret is at another place than the operator's flags would put it today.
    Moved,
    /// The AWS name lies outside what this namespace may use.
    NameNotAllowed,
    /// The region is none of those that the administrator allows.
    RegionNotAllowed,
    /// Who is to act is not the object's choice: the administrator has not enabled it.
    IdentityNotAllowed,
    /// Who is to act cannot: no credentials, or a role that does not trust the operator or the ServiceAccount.
    IdentityRefused,
    /// The AWS secret to mirror does not exist.
    SecretNotFound,
    /// The AWS secret is scheduled for deletion.
    ScheduledForDeletion,
    /// AWS or Kubernetes denies it.
    AccessDenied,
    /// The KMS key cannot be used.
    KeyUnusable,
    /// AWS throttles.
    Throttled,
    /// AWS does not answer, or answers with its own failure.
    AwsUnavailable,
    /// A quota of AWS is used up.
    LimitExceeded,
    /// AWS refuses the request as invalid.
    AwsRefused,
    /// The AWS secret that was ours is gone, and somebody else made another one of its name.
    Recreated,
    /// The KMS key is none of those that the administrator allows.
    KeyNotAllowed,
    /// The administrator does not let objects set resource policies.
    PolicyNotAllowed,
    /// AWS refuses the resource policy.
    PolicyRefused,
    /// A replica could not be made.
    ReplicaFailed,
    /// A due rotation has not happened.
    Overdue,
    /// The window of a rotation passed without it, and it waits for the next one.
    MissedWindow,
    /// The schedule is denser than the operator allows.
    IntervalTooShort,
    /// Somebody else's AWSPENDING is in the way.
    ForeignPending,
    /// AWS rotates this secret, so we do not.
    ForeignRotation,
    /// The rotation function lies outside what this namespace may use.
    FunctionNotAllowed,
    /// AWS tried to rotate and did not succeed.
    RotationFailed,
    /// The Kubernetes Secret belongs to somebody else.
    SecretNotOwned,
    /// The version that the Secret is pinned to is not there.
    VersionNotFound,
    /// A field that a key asks for is not in the value.
    FieldMissing,
    /// The value does not fit the type of the Secret, or the Secret has another type.
    TypeMismatch,
    /// The API server refuses the Secret.
    WriteRefused,
    /// A defect of the operator.
    InternalError,
}

impl Reason {
    /// Every reason, for tests and documents.
    pub const ALL: [Self; 39] = [
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
        Self::ScheduledForDeletion,
        Self::AccessDenied,
        Self::KeyUnusable,
        Self::Throttled,
        Self::AwsUnavailable,
        Self::LimitExceeded,
        Self::AwsRefused,
        Self::Recreated,
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
        Self::SecretNotOwned,
        Self::VersionNotFound,
        Self::FieldMissing,
        Self::TypeMismatch,
        Self::WriteRefused,
        Self::InternalError,
    ];

    /// The word, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Pinned => "Pinned",
            Self::Suspended => "Suspended",
            Self::InvalidSpec => "InvalidSpec",
            Self::Creating => "Creating",
            Self::Progressing => "Progressing",
            Self::NotOwned => "NotOwned",
            Self::AlreadyExists => "AlreadyExists",
            Self::Moved => "Moved",
            Self::NameNotAllowed => "NameNotAllowed",
            Self::RegionNotAllowed => "RegionNotAllowed",
            Self::IdentityNotAllowed => "IdentityNotAllowed",
            Self::IdentityRefused => "IdentityRefused",
            Self::SecretNotFound => "SecretNotFound",
            Self::ScheduledForDeletion => "ScheduledForDeletion",
            Self::AccessDenied => "AccessDenied",
            Self::KeyUnusable => "KeyUnusable",
            Self::Throttled => "Throttled",
            Self::AwsUnavailable => "AwsUnavailable",
            Self::LimitExceeded => "LimitExceeded",
            Self::AwsRefused => "AwsRefused",
            Self::Recreated => "Recreated",
            Self::KeyNotAllowed => "KeyNotAllowed",
            Self::PolicyNotAllowed => "PolicyNotAllowed",
            Self::PolicyRefused => "PolicyRefused",
            Self::ReplicaFailed => "ReplicaFailed",
            Self::Overdue => "Overdue",
            Self::MissedWindow => "MissedWindow",
            Self::IntervalTooShort => "IntervalTooShort",
            Self::ForeignPending => "ForeignPending",
            Self::ForeignRotation => "ForeignRotation",
            Self::FunctionNotAllowed => "FunctionNotAllowed",
            Self::RotationFailed => "RotationFailed",
            Self::SecretNotOwned => "SecretNotOwned",
            Self::VersionNotFound => "VersionNotFound",
            Self::FieldMissing => "FieldMissing",
            Self::TypeMismatch => "TypeMismatch",
            Self::WriteRefused => "WriteRefused",
            Self::InternalError => "InternalError",
        }
    }

    /// Whether a person must act before it can get better (condition `Stalled`).
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
                | Self::KeyUnusable
                | Self::LimitExceeded
                | Self::AwsRefused
                | Self::Recreated
                | Self::KeyNotAllowed
                | Self::PolicyNotAllowed
                | Self::PolicyRefused
                | Self::ReplicaFailed
                | Self::IntervalTooShort
                | Self::ForeignPending
                | Self::ForeignRotation
                | Self::FunctionNotAllowed
                | Self::RotationFailed
                | Self::SecretNotOwned
                | Self::VersionNotFound
                | Self::FieldMissing
                | Self::TypeMismatch
                | Self::WriteRefused
                | Self::InternalError
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One condition as we mean it, before it is merged with the one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Of what.
    pub of: ConditionType,
    /// True or False; we never say Unknown.
    pub holds: bool,
    /// Why.
    pub reason: Reason,
    /// What, why and what to type. Made of bounded, typed parts; never of an error's text.
    pub message: String,
}

/// The conditions after `statements` were made about generation `generation` at `now`: a condition whose truth did not change keeps its
/// transition time; one that is not stated is gone. The order is that of [`ConditionType`], so equal facts give equal lists.
pub fn merge(old: &[Condition], statements: &[Statement], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let mut sorted: Vec<&Statement> = statements.iter().collect();
    sorted.sort_by_key(|statement| statement.of);
    sorted
        .into_iter()
        .map(|statement| {
            let type_ = statement.of.to_string();
            let status = if statement.holds { "True" } else { "False" };
            let kept = old.iter().find(|c| c.type_ == type_ && c.status == status);
            Condition {
                type_,
                status: status.to_owned(),
                reason: statement.reason.as_str().to_owned(),
                message: statement.message.clone(),
                observed_generation: generation,
                last_transition_time: kept.map_or(Time(now), |c| c.last_transition_time.clone()),
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
        Statement { of: ConditionType::Ready, holds, reason, message: String::new() }
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
    fn a_condition_that_is_not_stated_goes() {
        let stalled = Statement { of: ConditionType::Stalled, holds: true, reason: Reason::NotOwned, message: String::new() };
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
            assert!(runbook.contains(&format!("\n| `{reason}` | ")), "docs/runbook.md says nothing of {reason}");
        }
    }
}
