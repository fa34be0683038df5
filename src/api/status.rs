//! Status of a RotatedSecret.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::{AppliedStatus, PlaceStatus, ReplicaStatus};
use super::rollback::RollbackRefusal;
use super::rollout::RolloutStatus;
use super::staged::StagedStatus;
use super::target_status::TargetStatus;

/// Observed state of the RotatedSecret. It is derived from AWS and Kubernetes on every reconcile, except aws.applied,
/// schedule.since and staged, which the operator records. The operator recovers if the status is lost.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecretStatus {
    /// Generation of the spec that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Provisioned, Rotated, Mirrored and RolledOut. Stalled is present only if user action is required; Reconciling only
    /// while a change is in progress.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::bounds::conditions")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Observed state of the AWS secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsStatus>,
    /// Observed state of the mirrored Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorStatus>,
    /// Fields that were declared when the operator last wrote a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<DeclaredStatus>,
    /// Effective schedule and the time since which it applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleStatus>,
    /// Time from which the schedule counts: the last change of the value, including external changes, except changes of
    /// spec.value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rotation_time: Option<Time>,
    /// Time of the next rotation. With lambda, the date that AWS reports. Unset if no rotation is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_time: Option<Time>,
    /// Number of due times that passed without a rotation before the last rotation.
    #[serde(default)]
    pub missed_rotations: i32,
    /// Time since which the object, or its rotation, has been suspended. Unset if neither is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension_time: Option<Time>,
    /// Recent versions and their outcomes, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<HistoryEntry>,
    /// Version that waits for the target of the rotation (spec.rotation.postgres, mysql or redis).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<StagedStatus>,
    /// What the target of the rotation answered to a check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
    /// Rollout of the version that the Secret holds (spec.rollout).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Consecutive failures. Unset after a successful reconcile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<FailureStatus>,
    /// Tokens of the requests that were handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestStatus>,
}

/// Observed state of the AWS secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AwsStatus {
    /// ARN of the AWS secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub arn: Option<String>,
    /// AWS region of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub region: Option<String>,
    /// ID of the version with the staging label AWSCURRENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub current_version_id: Option<String>,
    /// ID of the version with the staging label AWSPREVIOUS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub previous_version_id: Option<String>,
    /// ID of the version with the staging label AWSPENDING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pending_version_id: Option<String>,
    /// IDs of the versions that carry a retention label (rotated-secrets/1, ...), in the order of the labels. AWS does
    /// not delete labelled versions, so they remain available for a rollback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 64)))]
    pub retained_version_ids: Vec<String>,
    /// Place at which the operator last began to create, restore or adopt the AWS secret, recorded before that. Unset once
    /// the ARN is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceStatus>,
    /// Version that the operator wrote and that AWS does not list yet. The operator waits for it and does not write it
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<UnseenVersion>,
    /// Replicas in other regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["region".into()]))]
    pub replicas: Vec<ReplicaStatus>,
    /// Settings of the AWS secret that the operator applied from the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<AppliedStatus>,
}

/// Version that was written and is not listed by AWS yet.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UnseenVersion {
    /// ID of the version.
    #[schemars(length(max = 64))]
    pub version_id: String,
    /// Time of the write.
    pub time: Time,
}

/// Observed state of the mirrored Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MirrorStatus {
    /// Name of the Secret.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// ID of the version that the Secret holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version_id: Option<String>,
    /// ID of the version whose values have the suffix `.previous` (spec.target.includePrevious).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub previous_version_id: Option<String>,
    /// Time of the operator's last write to the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_write_time: Option<Time>,
    /// Time at which the certificate in the Secret expires, if it has one under tls.crt or from the generator TlsKeyPair.
    /// After that time Ready is False.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// resourceVersion at which another field manager claimed fields and a write by the operator changed nothing. The
    /// Secret is not written again until it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub confirmed_resource_version: Option<String>,
    /// Repairs of the Secret in a row, if another client keeps changing it. Unset five minutes after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repairs: Option<RepairStatus>,
}

/// Repairs of the mirrored Secret in a row.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RepairStatus {
    /// Number of repairs.
    #[serde(default)]
    pub count: i32,
    /// Time of the last repair.
    pub last_time: Time,
    /// Field manager that changed the Secret, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub manager: Option<String>,
}

/// Fields that were declared when the operator last wrote a version.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredStatus {
    /// Hash of the fixed fields and of the names of the generated fields, including companion fields.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub hash: String,
    /// Names of all declared fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 112), inner(length(max = 253)))]
    pub fields: Vec<String>,
    /// Names of the fields of spec.value.data. Such a field gets a new value if it is generated later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 112), inner(length(max = 253)))]
    pub fixed_fields: Vec<String>,
}

/// Effective schedule.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// Schedule as written in the spec, followed by the other fields of spec.rotation that affect the due time and
    /// differ from their defaults.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub expression: String,
    /// Time at which the operator first observed this schedule. Unset if the schedule was part of the object from the
    /// start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// One version and its outcome.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// ID of the version.
    #[schemars(length(max = 64))]
    pub version_id: String,
    /// Time at which the version became current, or was abandoned.
    pub time: Time,
    /// Cause of the version.
    pub cause: Cause,
    /// Outcome of the version.
    pub outcome: Outcome,
    /// Details of the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// For a requested rollback: ID of the version whose value was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub copy_of: Option<String>,
    /// For a scheduled rotation: time at which it was due (status.nextRotationTime before it). With lambda only if AWS
    /// rotated after the date that it had reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Time>,
    /// Number of attempts in a row that had failed before the version was recorded (status.failures.count before it, of
    /// the step that failed most often). Unset if none had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<i32>,
}

/// Cause of a version.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// First version of the AWS secret.
    Created,
    /// The AWS secret had this version when it was adopted.
    Adopted,
    /// The schedule was due.
    Scheduled,
    /// A user requested the rotation.
    Requested,
    /// The value was changed in AWS by another writer (external change).
    External,
    /// An earlier version was restored.
    RolledBack,
    /// The declared fields changed.
    SpecChanged,
}

impl Cause {
    /// Name of the cause in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Adopted => "Adopted",
            Self::Scheduled => "Scheduled",
            Self::Requested => "Requested",
            Self::External => "External",
            Self::RolledBack => "RolledBack",
            Self::SpecChanged => "SpecChanged",
        }
    }
}

/// Outcome of a version.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The version became current.
    Succeeded,
    /// The version could not be written or did not become current.
    Failed,
    /// The version was staged for a target and was abandoned before it became current.
    Abandoned,
}

/// Consecutive failures. Stored in the status so that the backoff survives a restart of the operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// Number of consecutive failures.
    #[serde(default)]
    pub count: i32,
    /// Time of the first failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Time of the next automatic retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// Requests that were present at the last failure. A new request ends the backoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestStatus>,
    /// Generation of the spec at the last failure. A new generation ends the backoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Hash of the annotations of the Namespace and of the ServiceAccount at the last failure. A change ends the backoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub access: Option<String>,
    /// Steps that failed. Each has a backoff of its own; the other steps are carried out meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub steps: Vec<StepFailure>,
}

/// Step that failed and is not repeated before its next attempt.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StepFailure {
    /// Kind of the step, as in the metric rotated_secrets_steps_total. Read: the state of AWS could not be read.
    #[schemars(length(max = 64))]
    pub step: String,
    /// Version, label or region that the step is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub detail: Option<String>,
    /// Condition that reports the failure.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub condition: String,
    /// Class of the failure, which determines the backoff.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub class: String,
    /// Reason of the failure.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What happened, and what to do.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub message: String,
    /// Number of consecutive failures of this step.
    #[serde(default)]
    pub count: i32,
    /// Time of the first failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Time of the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
}

/// Tokens of the requests that were handled.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    /// Token of the last rotate request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub rotate: Option<String>,
    /// Token of the last rollback request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub rollback: Option<String>,
    /// Reason why that rollback was rejected. Unset if it was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_refused: Option<RollbackRefusal>,
    /// Token of the last refresh request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub refresh: Option<String>,
    /// Time until which an open rotate or rollback request waits, because requests create versions too quickly
    /// (--minimum-request-interval of the operator). Unset if none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Time>,
}
