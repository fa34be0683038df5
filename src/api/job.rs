//! `spec.rotation.job`: Jobs that take the value to a target that the operator does not know.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::check_interval_rule;

/// Rotation by Jobs of the namespace: one Job for each step (apply, verify, undo, check). The contract is in
/// docs/rotation-job.md.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// What the Jobs are made from.
    pub template_ref: JobTemplateRef,
    /// How long one Job may take, with the time until its pod runs: 30s to 1h, in hours, minutes and seconds such as 5m. What
    /// a Job did that took longer is not known, and the step is repeated.
    #[serde(default = "default_job_timeout")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,5}s)?$|^[0-9]{1,5}m([0-9]{1,5}s)?$|^[0-9]{1,5}s$') && duration(self) >= duration('30s') && duration(self) <= duration('1h')").message(
        "timeout: use hours, minutes and seconds in this order, from 30s to 1h, such as 5m or 90s"
    ))]
    pub timeout: String,
    /// How often a Job finds out whether the target still accepts the current value: 5m to 168h, in hours, minutes and
    /// seconds such as 24h or 90m. If it does not, Rotated and Ready are False with the reason `TargetDiverged`, and nothing
    /// is changed. 0s means never.
    #[serde(default = "default_job_check_interval")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = check_interval_rule())]
    pub check_interval: String,
}

/// What Jobs are made from: a CronJob of the namespace that is suspended, and whose annotation
/// rotated-secrets.io/template-for names the RotatedSecret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplateRef {
    /// Kind of the template.
    #[serde(default)]
    pub kind: JobTemplateKind,
    /// Name of the CronJob. Its jobTemplate has the pod template of the Jobs.
    #[schemars(length(min = 1, max = 52))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message(
        "templateRef.name: use the name of a CronJob of the namespace"
    ))]
    pub name: String,
}

/// Kind of a template.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum JobTemplateKind {
    /// A CronJob (batch/v1) that is suspended, so that nothing else makes Jobs from it.
    #[default]
    CronJob,
}

/// Five minutes.
pub fn default_job_timeout() -> String {
    "5m".to_owned()
}

fn default_job_check_interval() -> String {
    "24h".to_owned()
}
