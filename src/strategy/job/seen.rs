//! Jobs and their Secrets, as the API server shows them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::manifest::VOLUME;
use crate::api::{JOB_INPUTS, JOB_READ};
use crate::strategy::{Problem, Refused, Unknown};

/// A Job, of which only these parts are decoded.
#[derive(Debug, Deserialize)]
pub struct JobObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: JobSpec,
    #[serde(default)]
    status: JobStatus,
}

#[derive(Debug, Default, Deserialize)]
struct JobSpec {
    #[serde(default)]
    template: PodTemplate,
}

#[derive(Debug, Default, Deserialize)]
struct PodTemplate {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
struct PodSpec {
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Debug, Deserialize)]
struct Volume {
    name: String,
    secret: Option<SecretVolume>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretVolume {
    secret_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct JobStatus {
    #[serde(default)]
    conditions: Vec<JobCondition>,
}

#[derive(Debug, Deserialize)]
struct JobCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// A Secret, by its metadata.
#[derive(Debug, Deserialize)]
pub struct SecretObject {
    metadata: ObjectMeta,
}

/// How a Job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the exit code 0.
    Succeeded,
    /// With an exit code from 1 to 9, which is known if the API server says it.
    Refused(Option<u8>),
    /// Its time was over.
    TimedOut,
    /// In another way.
    Failed,
}

impl End {
    /// Why the step was not done; `None`: it was.
    pub fn problem(self) -> Option<Problem> {
        match self {
            Self::Succeeded => None,
            Self::Refused(_) => Some(Refused::JobRefused.into()),
            Self::TimedOut => Some(Unknown::Timeout.into()),
            Self::Failed => Some(Unknown::JobFailed.into()),
        }
    }
}

/// A Job of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When it was created, by the clock of the API server.
    pub created: Option<Timestamp>,
    /// It is being deleted, and exists until its pods have ended.
    pub deleting: bool,
    /// The hash that it was made with. On the pods, where nobody can change it.
    pub inputs: Option<String>,
    /// The Secret that its pods mount.
    pub values: Option<String>,
    /// How it ended; `None`: it has not.
    pub end: Option<End>,
}

/// The Secret with the values of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// UID of the Job that owns it.
    pub job: String,
    /// It is empty: the result of the Job was read.
    pub read: bool,
}

fn controller(metadata: &ObjectMeta) -> Option<&str> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

fn annotation(metadata: &ObjectMeta, key: &str) -> Option<String> {
    metadata.annotations.as_ref()?.get(key).cloned()
}

impl Seen {
    /// The Job, if the object with this uid controls it.
    pub fn of(object: JobObject, owner: &str) -> Option<Self> {
        let JobObject { metadata, spec: JobSpec { template }, status } = object;
        if controller(&metadata) != Some(owner) {
            return None;
        }
        let volume = template.spec.volumes.into_iter().find(|volume| volume.name == VOLUME);
        Some(Self {
            created: metadata.creation_timestamp.map(|time| time.0),
            deleting: metadata.deletion_timestamp.is_some(),
            inputs: annotation(&template.metadata, JOB_INPUTS),
            values: volume.and_then(|volume| volume.secret?.secret_name),
            end: end(&status.conditions),
            name: metadata.name?,
            uid: metadata.uid?,
        })
    }

    /// Whether its pods may still run.
    pub(super) fn runs(&self) -> bool {
        self.end.is_none()
    }
}

impl Held {
    /// The Secret, if a Job controls it.
    pub fn of(object: SecretObject) -> Option<Self> {
        let metadata = object.metadata;
        let job = controller(&metadata)?.to_owned();
        let read = annotation(&metadata, JOB_READ).is_some();
        Some(Self { name: metadata.name?, uid: metadata.uid?, job, read })
    }
}

fn end(conditions: &[JobCondition]) -> Option<End> {
    let holds = |kind: &str| conditions.iter().find(|condition| condition.kind == kind && condition.status == "True");
    if holds("Complete").is_some() {
        return Some(End::Succeeded);
    }
    let failed = holds("Failed")?;
    Some(match failed.reason.as_str() {
        // By the only rule of the policy that the operator sets.
        "PodFailurePolicy" => End::Refused(exit_code(&failed.message)),
        "DeadlineExceeded" => End::TimedOut,
        _ => End::Failed,
    })
}

/// From a message of the job controller such as `Container main for pod shop/a failed with exit code 3 matching FailJob rule at
/// index 0`. Nothing else of it is used.
fn exit_code(message: &str) -> Option<u8> {
    let (_, rest) = message.split_once("exit code ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|code| (1..=9).contains(code))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(conditions: &Value) -> JobObject {
        let owner =
            json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": "o", "uid": "u-1", "controller": true});
        let job = json!({
            "metadata": {"name": "j", "uid": "j-1", "ownerReferences": [owner]},
            "spec": {"template": {
                "metadata": {"annotations": {JOB_INPUTS: "abc"}},
                "spec": {"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": VOLUME, "secret": {"secretName": "j-x"}}], "containers": []},
            }},
            "status": {"conditions": conditions, "failed": 1},
        });
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn only_the_policy_of_the_operator_tells_a_refusal() {
        let refused = "Container main for pod shop/a-1 failed with exit code 3 matching FailJob rule at index 0";
        for (conditions, expected) in [
            (json!([]), None),
            (json!([{"type": "Complete", "status": "False"}]), None),
            (json!([{"type": "SuccessCriteriaMet", "status": "True"}]), None),
            (json!([{"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy", "message": refused}]), None),
            (json!([{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]), Some(End::Succeeded)),
            (json!([{"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": refused}]), Some(End::Refused(Some(3)))),
            (json!([{"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "x"}]), Some(End::Refused(None))),
            (json!([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": refused}]), Some(End::Failed)),
            (json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]), Some(End::TimedOut)),
            (json!([{"type": "Failed", "status": "True"}]), Some(End::Failed)),
        ] {
            let seen = Seen::of(job(&conditions), "u-1").unwrap();
            assert_eq!(seen.end, expected, "{conditions}");
            assert_eq!((seen.inputs.as_deref(), seen.values.as_deref()), (Some("abc"), Some("j-x")));
        }
        assert_eq!(Seen::of(job(&json!([])), "u-2"), None, "of another object");
    }

    #[test]
    fn an_exit_code_is_a_number_from_one_to_nine() {
        for (message, code) in [
            ("failed with exit code 9 matching", Some(9)),
            ("exit code 1", Some(1)),
            ("exit code 0", None),
            ("exit code 10", None),
            ("exit code 999999999999", None),
            ("exit code x", None),
            ("", None),
        ] {
            assert_eq!(exit_code(message), code, "{message}");
        }
    }
}
