//! What `spec.aws` says beyond name, key and tags, and what the status says of it.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One region that the AWS secret is replicated to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaRegion {
    /// The region.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z0-9]+)+$"))]
    pub region: String,
    /// The KMS key of that region: alias, id or ARN; default: aws/secretsmanager there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
}

/// Whether an AWS secret that exists already may become ours.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AwsAdoptionPolicy {
    /// It is left alone.
    #[default]
    Never,
    /// If it carries the tag `rotated-secrets.io/adopt-by` with the value `<namespace>/<name>` of this object.
    IfTagged,
    /// Whatever it carries, unless it belongs to another object.
    Always,
}

/// Whether a Secret that exists already may become ours.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecretAdoptionPolicy {
    /// It is left alone.
    #[default]
    Never,
    /// If it carries the annotation `rotated-secrets.io/adopt-by` with the name of this object. What it holds is replaced by the value in AWS.
    IfAnnotated,
}

/// One replica, as AWS shows it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// The region.
    #[serde(default)]
    pub region: String,
    /// `InSync`, `InProgress`, `Pending`, `Failed` or `Detached`; `Unknown` for a word that the operator does not know.
    #[serde(default)]
    pub status: String,
    /// Why it is not in sync, in one word: `NameExists`, `KeyUnusable`, `AccessDenied` or `Other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the operator set on the AWS secret because `spec.aws` mentioned it. What is mentioned no longer is taken back, if it is still as the
/// operator set it; what is not listed here was somebody else's and stays.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AppliedStatus {
    /// The keys of the tags from `spec.aws.tags`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub tag_keys: Vec<String>,
    /// The key as `spec.aws.kmsKeyId` said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// The same key as AWS shows it, which may be in another form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_shown: Option<String>,
    /// A hash of what the resource policy means, however it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_policy: Option<String>,
    /// Whether AWS was to refuse it if it granted access to anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_public_policy: Option<bool>,
    /// When AWS had last seen a modification of the secret as the resource policy was looked at: a later one is a reason to look again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_changed_date: Option<MicroTime>,
}
