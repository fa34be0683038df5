//! Types of `spec.aws` (replication, adoption, resource policy) and of the settings in `status.aws`.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

/// Region to which the AWS secret is replicated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaRegion {
    /// AWS region of the replica.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z0-9]+)+$"))]
    pub region: String,
    /// KMS key in that region: alias, key ID or ARN. Defaults to aws/secretsmanager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
}

/// Whether an existing AWS secret is adopted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, EnumString, IntoStaticStr)]
pub enum AwsAdoptionPolicy {
    /// Never adopt an existing AWS secret.
    #[default]
    Never,
    /// Adopt it if it has the tag `rotated-secrets.io/adopt-by` with the value `<namespace>/<name>` of this object.
    IfTagged,
    /// Adopt it regardless of its tags. If it is owned by another object, it needs the tag of `IfTagged`.
    Always,
}

impl AwsAdoptionPolicy {
    /// The word in the spec and in flags.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether an existing Secret is adopted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecretAdoptionPolicy {
    /// Never adopt an existing Secret.
    #[default]
    Never,
    /// Adopt it if it has the annotation `rotated-secrets.io/adopt-by` with the name of this object. Its data is
    /// replaced by the value in AWS.
    IfAnnotated,
}

/// Replica of the AWS secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// AWS region of the replica.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub region: String,
    /// Replication status: `InSync`, `InProgress`, `Pending`, `Failed` or `Detached`. `Unknown` if AWS reports another
    /// status.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub status: String,
    /// Reason why the replica is not in sync: `NameExists`, `KeyUnusable`, `AccessDenied` or `Other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub message: Option<String>,
}

/// Settings of the AWS secret that the operator applied from `spec.aws`. A setting that is removed from the spec is
/// reverted if it still has the applied value. Settings that are not listed here were made by others and are preserved.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AppliedStatus {
    /// Keys of the tags applied from `spec.aws.tags`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 128)))]
    pub tag_keys: Vec<String>,
    /// KMS key as written in `spec.aws.kmsKeyId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub kms_key_id: Option<String>,
    /// The same KMS key as reported by AWS, which may use another form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub kms_key_shown: Option<String>,
    /// Hash of the normalized resource policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub resource_policy: Option<String>,
    /// Value of `spec.aws.blockPublicPolicy` with which the resource policy was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_public_policy: Option<bool>,
    /// `LastChangedDate` of the AWS secret when the resource policy was last read. The policy is read again after a later
    /// change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_changed_date: Option<MicroTime>,
}

/// Place of an AWS secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlaceStatus {
    /// AWS region of the secret.
    #[schemars(length(max = 32))]
    pub region: String,
    /// Name of the secret in AWS.
    #[schemars(length(max = 512))]
    pub secret_name: String,
    /// Time at which the place was recorded.
    pub time: Time,
}

/// What happens to the AWS secret when the object is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AwsDeletionPolicy {
    /// Keep the AWS secret.
    #[default]
    Retain,
    /// Schedule the AWS secret for deletion.
    Delete,
}
