//! `spec.rollout` and `status.rollout`: how workloads take up a new version of the mirrored Secret.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Restart of the workloads that use the mirrored Secret, after each new version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Workloads that are restarted. If unset: every Deployment, StatefulSet and DaemonSet of the namespace whose pod
    /// template refers to the Secret. If empty: none, and a version counts as rolled out when the Secret holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub workloads: Option<Vec<WorkloadRef>>,
    /// Time after which a rollout that is not complete has failed: 1m to 24h, in hours, minutes and seconds such as 10m or
    /// 1h30m.
    #[serde(default = "default_timeout")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$') && duration(self) >= duration('1m') && duration(self) <= duration('24h')").message(
        "spec.rollout.timeout must be between 1m and 24h, in hours, minutes and seconds such as 10m or 1h30m"
    ))]
    pub timeout: String,
    /// What happens when a rollout fails. Hold: nothing more; the previous credential stays valid. RollBack: a new version
    /// with the previous value is made, and the workloads are restarted with it.
    #[serde(default)]
    pub on_failure: RolloutFailurePolicy,
    /// Whether a scheduled rotation waits while a workload is not healthy. A requested rotation does not wait.
    #[serde(default = "yes")]
    pub require_healthy: bool,
    /// How long the previous credential stays valid after the last workload is healthy with the new one: 0s to 720h, in
    /// hours, minutes and seconds. Applies to strategies with two valid credentials.
    #[serde(default = "default_retire_after")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$') && duration(self) <= duration('720h')").message(
        "spec.rollout.retireAfter must be at most 720h, in hours, minutes and seconds such as 0s, 10m or 24h"
    ))]
    pub retire_after: String,
}

/// `10m`.
pub fn default_timeout() -> String {
    "10m".to_owned()
}

/// `0s`.
pub fn default_retire_after() -> String {
    "0s".to_owned()
}

fn yes() -> bool {
    true
}

/// What happens when a rollout fails.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RolloutFailurePolicy {
    /// Nothing more happens until the workloads are healthy or a user acts.
    #[default]
    Hold,
    /// The previous value is restored in a new version.
    RollBack,
}

/// A workload of the namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Name of the workload.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Kind of a workload.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::VariantArray,
)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

/// Rollout of the version that the Secret holds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// ID of the version.
    #[schemars(length(max = 64))]
    pub version_id: String,
    /// State of the rollout.
    pub phase: RolloutPhase,
    /// Time at which the operator found the version in the Secret, or a workload without the version after the rollout.
    pub start_time: Time,
    /// Time at which every workload was healthy with the version. Stays if the rollout continues because a workload without
    /// the version appeared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Number of restarts of workloads for this version.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: i32,
    /// Workloads that use the Secret, as last seen during the rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub workloads: Vec<WorkloadStatus>,
    /// Number of workloads that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// State of a rollout.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutPhase {
    /// Workloads are being restarted.
    Waiting,
    /// Every workload is healthy with the version.
    Completed,
    /// A workload did not become healthy in time.
    Failed,
}

/// A workload during a rollout.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Name of the workload.
    #[schemars(length(max = 253))]
    pub name: String,
    /// State of the workload.
    pub state: WorkloadState,
    /// How often the operator restarted it for this version.
    #[serde(default)]
    pub restarts: i32,
}

/// State of a workload during a rollout.
#[derive(
    JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray,
)]
pub enum WorkloadState {
    /// Every pod is from the pod template with the version, and available.
    Healthy,
    /// It has no pods, and its pod template has the version.
    ScaledToZero,
    /// Pods are being replaced, or are not available yet.
    Progressing,
    /// Its pod template does not have the version.
    Outdated,
    /// It is paused: its pods are replaced when it is resumed.
    Paused,
    /// It replaces no pod, or not every pod, by itself (`OnDelete`, or a partition): a user replaces them.
    Manual,
    /// Kubernetes reports that it makes no progress (`ProgressDeadlineExceeded`).
    Stuck,
    /// Another client keeps removing the annotation from its pod template.
    Contested,
    /// It does not exist.
    Missing,
}

impl WorkloadState {
    /// Whether its pods wait for a user, however long.
    pub fn is_of_user(self) -> bool {
        matches!(self, Self::Paused | Self::Manual)
    }
}
