//! The status of a RotatedSecret: what auditors and people on call read.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::{AppliedStatus, ReplicaStatus};

/// What is, as of the last look. A report, not a memory: all of it can be found again.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecretStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Provisioned, Rotated, Mirrored; Stalled when a person must act; Reconciling while something is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The AWS secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsStatus>,
    /// The mirrored Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorStatus>,
    /// What was declared when the operator last made a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<DeclaredStatus>,
    /// The schedule in force and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleStatus>,
    /// When the value last changed, whoever changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rotation_time: Option<Time>,
    /// When the operator will rotate next; absent when never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_time: Option<Time>,
    /// How many due times passed unserved before the last rotation.
    #[serde(default)]
    pub missed_rotations: i32,
    /// What became of the last versions, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<HistoryEntry>,
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<FailureStatus>,
    /// Requests that were handled: the token of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestStatus>,
}

/// The AWS secret, as last seen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AwsStatus {
    /// The full ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The version labelled AWSCURRENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version_id: Option<String>,
    /// The version labelled AWSPREVIOUS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version_id: Option<String>,
    /// The version labelled AWSPENDING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_version_id: Option<String>,
    /// The versions that carry a staging label of ours, in the order of the labels: AWS never removes them, so one can go back to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub retained_version_ids: Vec<String>,
    /// A version that the operator wrote and AWS does not show yet: it is waited for, not written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<UnseenVersion>,
    /// The replicas in other regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["region".into()]))]
    pub replicas: Vec<ReplicaStatus>,
    /// What the operator set because the spec mentioned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<AppliedStatus>,
}

/// A version that was written and is not shown yet.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UnseenVersion {
    /// Its id.
    pub version_id: String,
    /// When it was made.
    pub time: Time,
}

/// The mirrored Secret, as last seen.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct MirrorStatus {
    /// Its name.
    #[serde(default)]
    pub secret_name: String,
    /// The version that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// When the operator last wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_write_time: Option<Time>,
    /// The resourceVersion at which a write of the operator changed nothing although another manager claims fields: then all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_resource_version: Option<String>,
}

/// What was declared when the operator last made a version.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredStatus {
    /// A hash of the fixed fields and of the names of the generated ones, companions among them.
    #[serde(default)]
    pub hash: String,
    /// The names of all declared fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 112))]
    pub fields: Vec<String>,
}

/// The schedule in force.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// The schedule as written, and what else of spec.rotation decides when it is time, unless it is at its default.
    #[serde(default)]
    pub expression: String,
    /// When the operator first saw it; absent when it was there from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// One version and what became of it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The version.
    pub version_id: String,
    /// When it became current.
    pub time: Time,
    /// Why.
    pub cause: Cause,
    /// What became of it.
    pub outcome: Outcome,
    /// More, where the outcome has a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// After a request to roll back: the version whose value this one has again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
}

/// Why a version came to be.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The first value.
    Created,
    /// The AWS secret had it when it became ours.
    Adopted,
    /// A due time.
    Scheduled,
    /// A person asked.
    Requested,
    /// Somebody changed it in AWS.
    External,
    /// Somebody went back to an older version.
    RolledBack,
    /// The declared fields changed.
    SpecChanged,
}

impl Cause {
    /// The word, for events and metrics.
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

/// What became of a version.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It became the current value.
    Succeeded,
    /// It did not.
    Failed,
    /// Somebody else's value came first.
    Abandoned,
}

/// Failures in a row, kept here so that a restart keeps the backoff.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// How many.
    #[serde(default)]
    pub count: i32,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When the operator tries again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// The requests that were there at the last failure: a new one ends the wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestStatus>,
}

/// Requests that were handled.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    /// The token of the last rotate request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<String>,
    /// The token of the last rollback request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// Why that rollback was not carried out; absent when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_refused: Option<RollbackRefusal>,
    /// The token of the last refresh request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

/// Why a request to roll back is not carried out.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackRefusal {
    /// It is not of the form `<token>:<version id>` or `<token>:AWSPREVIOUS`.
    Malformed,
    /// AWS has no such version, or has removed it.
    VersionNotFound,
    /// There is no previous version.
    NoPreviousVersion,
    /// The object only mirrors somebody else's value.
    MirrorOnly,
    /// AWSPREVIOUS was asked for, and the current version is a rollback itself.
    AlreadyRolledBack,
}

impl RollbackRefusal {
    /// What is wrong and what to write instead; to follow a colon.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "it must be <token>:<version id> or <token>:AWSPREVIOUS; ask again with a new token",
            Self::VersionNotFound => {
                "AWS has no such version, or has removed it since no label was on it; choose another (kubectl rotatedsecret history) and ask \
                 again with a new token"
            }
            Self::AlreadyRolledBack => {
                "the current version is a rollback already, so AWSPREVIOUS is the version that was rolled back from; to go forward again, name \
                 its id and a new token"
            }
            Self::NoPreviousVersion => "there is no previous version yet",
            Self::MirrorOnly => {
                "this object has no spec.value and only mirrors: go back where the value is made, or pin the Secret with spec.target.versionId"
            }
        }
    }
}
