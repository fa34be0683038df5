//! `RotatedSecret` v1alpha1. The doc comments are the texts of `kubectl explain`. The CEL rules reject invalid objects
//! at admission.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::{AwsAdoptionPolicy, AwsDeletionPolicy, ReplicaRegion};
use super::bounds;
use super::mirrored::TargetSpec;
use super::policy::{ResourcePolicy, resource_policy};
use super::rollout::RolloutSpec;
use super::rotation::RotationSpec;
use super::schedule;
use super::status::RotatedSecretStatus;
use super::target::second_user_rule;
use super::value::ValueSpec;

/// Desired state of the RotatedSecret.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "rotated-secrets.io",
    version = "v1alpha1",
    kind = "RotatedSecret",
    plural = "rotatedsecrets",
    shortname = "rsec",
    namespaced,
    status = "RotatedSecretStatus",
    derive = "PartialEq",
    doc = "RotatedSecret manages a secret in AWS Secrets Manager: it creates the secret, rotates it on a schedule and mirrors it into a Kubernetes Secret.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Last rotated", type_ = "date", json_path = ".status.lastRotationTime"),
    printcolumn(name = "Next rotation", type_ = "string", json_path = ".status.nextRotationTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, priority = 1),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.mirror.secretName", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.aws.currentVersionId", priority = 1),
    printcolumn(name = "ARN", type_ = "string", json_path = ".status.aws.arn", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 200").message(
        "metadata.name must have at most 200 characters, because it is part of the default AWS name and the default name of the Secret"
    ),
    validation = Rule::new("!has(self.spec.rotation) || ((!has(self.spec.rotation.postgres) || !has(self.spec.rotation.postgres.adminRef) || self.spec.rotation.postgres.adminRef.name != self.metadata.name) && (!has(self.spec.rotation.mysql) || !has(self.spec.rotation.mysql.adminRef) || self.spec.rotation.mysql.adminRef.name != self.metadata.name) && (!has(self.spec.rotation.redis) || !has(self.spec.rotation.redis.adminRef) || self.spec.rotation.redis.adminRef.name != self.metadata.name) && (!has(self.spec.rotation.webhook) || !has(self.spec.rotation.webhook.signingKeyRef) || self.spec.rotation.webhook.signingKeyRef.name != self.metadata.name))").message(
        "adminRef.name or signingKeyRef.name names this object itself: name the RotatedSecret of the administrator, or of the key"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.rotation) || has(self.value) || has(self.rotation.lambda)").message(
    "spec.rotation requires spec.value or spec.rotation.lambda: without spec.value the value is managed elsewhere and is only mirrored; set spec.value, or remove spec.rotation"
))]
#[x_kube(validation = Rule::new("!has(self.rotation) || has(self.rotation.lambda) || !has(self.value) || has(self.value.plainText) || (has(self.value.generate) && size(self.value.generate) > 0)").message(
    "spec.rotation requires a generated field: add spec.value.generate or spec.value.plainText, or remove spec.rotation"
))]
#[x_kube(validation = Rule::new("!has(self.rotation) || (!has(self.rotation.postgres) && !has(self.rotation.mysql) && !has(self.rotation.redis)) || (has(self.value) && has(self.value.data) && 'username' in self.value.data && has(self.value.generate) && 'password' in self.value.generate)").message(
    "spec.rotation.postgres, mysql and redis require the user in spec.value.data.username and a generated spec.value.generate.password"
))]
#[x_kube(validation = second_user_rule("postgres"))]
#[x_kube(validation = second_user_rule("mysql"))]
#[x_kube(validation = Rule::new(schedule::certificate_outlives()).message(
    "spec.value.generate: a certificate must be valid for longer than the interval between two rotations: increase validityDays (twice the interval leaves time to recover from an outage), or rotate more often"
))]
#[x_kube(validation = Rule::new("has(self.value) || !has(self.aws) || (!has(self.aws.resourcePolicy) && !has(self.aws.replicaRegions) && (!has(self.aws.adoptionPolicy) || self.aws.adoptionPolicy == 'Never'))").message(
    "spec.aws.resourcePolicy, replicaRegions and adoptionPolicy require spec.value: without spec.value the AWS secret is managed elsewhere and is only mirrored"
))]
#[x_kube(validation = Rule::new("!has(self.aws) || !has(self.aws.secretName) || !(self.aws.secretName.startsWith('arn:') || self.aws.secretName.contains('!')) || (!has(self.value) && !has(self.rotation))").message(
    "spec.aws.secretName: a secret of an AWS service (with !) or of an ARN can only be mirrored: remove spec.value and spec.rotation"
))]
#[x_kube(validation = Rule::new("!has(self.rollout) || !has(self.target) || self.target.creationPolicy != 'None'").message(
    "spec.rollout requires a mirrored Secret: remove spec.target.creationPolicy None, or remove spec.rollout"
))]
#[x_kube(validation = Rule::new("!has(self.rollout) || self.rollout.onFailure != 'RollBack' || (has(self.value) && (!has(self.rotation) || !has(self.rotation.lambda)))").message(
    "spec.rollout.onFailure RollBack requires spec.value and a rotation without lambda: the operator cannot restore a value that is managed elsewhere; use Hold"
))]
pub struct RotatedSecretSpec {
    /// Suspends all writes to AWS and Kubernetes while true.
    #[serde(default)]
    pub suspend: bool,
    /// AWS secret: name, region, encryption, tags, access and deletion.
    #[serde(default)]
    pub aws: AwsSpec,
    /// Value of the secret. If unset, the value is managed outside this operator and is only mirrored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueSpec>,
    /// Rotation of the value. If unset, the secret is created and mirrored, but never rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSpec>,
    /// Kubernetes Secret that mirrors the value.
    #[serde(default)]
    pub target: TargetSpec,
    /// Restart of the workloads that use the mirrored Secret. If unset, no workload is restarted, and no credential is retired
    /// before the next rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutSpec>,
}

/// AWS secret: name, region, encryption, tags, access and deletion.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)").message(
    "spec.aws.region is immutable, because a secret is never moved: create a new RotatedSecret with the other region, then delete this one (aws.deletionPolicy Retain keeps the AWS secret)"
))]
#[x_kube(validation = Rule::new("has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)").message(
    "spec.aws.secretName is immutable, because a secret is never moved: create a new RotatedSecret with the other name, then delete this one (aws.deletionPolicy Retain keeps the AWS secret)"
))]
#[x_kube(validation = Rule::new("!has(self.region) || !has(self.secretName) || !self.secretName.startsWith('arn:') || self.secretName.split(':')[3] == self.region").message(
    "spec.aws.secretName: the ARN names another region than spec.aws.region: remove spec.aws.region"
))]
#[x_kube(validation = Rule::new("!has(self.region) || !has(self.replicaRegions) || self.replicaRegions.all(r, r.region != self.region)").message(
    "spec.aws.replicaRegions must not contain spec.aws.region, the region of the secret itself: list other regions only"
))]
pub struct AwsSpec {
    /// AWS region of the secret. Defaults to the operator's region. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z0-9]+)+$"))]
    #[x_kube(validation = Rule::new("!self.matches('-[0-9]+[a-z]$')").message(
        "spec.aws.region: this is an availability zone: use its region, such as eu-central-1"
    ))]
    pub region: Option<String>,
    /// Name of the AWS secret. Defaults to `<prefix>/<namespace>/<name>`. Any other name must be allowed by an annotation
    /// on the Namespace: rotated-secrets.io/allowed-names, or rotated-secrets.io/mirror-names for an object without
    /// spec.value. Without spec.value also the name of a secret that an AWS service manages, such as rds!db-1, or the full
    /// ARN of a secret, for example of another account; the annotation must then contain an ARN with that account.
    /// Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9/_+=.@!-]+|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]+-[A-Za-z0-9]{6})$')").message(
        "spec.aws.secretName may contain only letters, digits and / _ + = . @ - ! (a rule of AWS), or be the full ARN of a secret, with the six characters at its end"
    ))]
    pub secret_name: Option<String>,
    /// Description of the AWS secret. If unset, the existing description is not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub description: Option<String>,
    /// KMS key that encrypts the AWS secret: alias, key ID or ARN. AWS defaults to aws/secretsmanager. If unset, the
    /// key is not changed, unless the operator set it; then it is reset to the default key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
    /// Additional tags of the AWS secret. Tags set by others are preserved: a tag that has another value, and that the
    /// operator did not set, is reported (`TagNotOwned`) and not overwritten. A tag that is removed here is removed from
    /// the AWS secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::tags")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) >= 1 && size(k) <= 128 && !k.lowerAscii().startsWith('aws:') && !k.lowerAscii().startsWith('rotated-secrets.io/'))").message(
        "spec.aws.tags: keys must have 1 to 128 characters and must not start with aws: (reserved by AWS) or rotated-secrets.io/ (reserved for ownership tags), in any case"
    ))]
    pub tags: BTreeMap<String, String>,
    /// ServiceAccount in this namespace whose IAM role (annotation eks.amazonaws.com/role-arn) is used for AWS calls.
    /// Defaults to the namespace's or the operator's identity. Requires --allow-service-account-identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// Resource policy of the AWS secret: an IAM policy document, written as an object, with lists where IAM allows a
    /// string or a list. If unset, the policy is not changed, unless the operator set it; then it is deleted. Requires
    /// --allow-resource-policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resource_policy")]
    pub resource_policy: Option<ResourcePolicy>,
    /// Rejects a resourcePolicy that grants public access. Checked by AWS. `false` requires --allow-public-policies.
    #[serde(default = "yes")]
    pub block_public_policy: bool,
    /// Regions to which the AWS secret is replicated. If unset, replication is not changed. If empty, the secret is not
    /// replicated. Replicas in regions that are not listed are removed immediately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["region".into()]))]
    pub replica_regions: Option<Vec<ReplicaRegion>>,
    /// Whether an existing AWS secret of this name is adopted. `IfTagged` requires the tag rotated-secrets.io/adopt-by
    /// with the value `<namespace>/<name>` of this object. `Always` requires no tag. A secret that another object owns
    /// is adopted only with that tag; if the owner is in another cluster or in an earlier namespace, the value is `<namespace>/<name>@<uid>` of this object. The operator removes the tag after the adoption. The administrator limits the policy with --max-adoption-policy. Adoption does not change the value; it is kept until a rotation is due.
    #[serde(default)]
    pub adoption_policy: AwsAdoptionPolicy,
    /// What happens to the AWS secret when this object is deleted. Retain keeps it. Delete schedules its deletion with
    /// the recovery window; deletion is never forced.
    #[serde(default)]
    pub deletion_policy: AwsDeletionPolicy,
    /// Number of days for which a deleted AWS secret can be restored.
    #[serde(default = "recovery_window")]
    #[schemars(range(min = 7, max = 30))]
    pub recovery_window_in_days: i32,
    /// Number of newest versions that carry a retention label (rotated-secrets/1, ...). AWS does not delete labelled
    /// versions, so they remain available for a rollback. 0 disables retention labels.
    #[serde(default = "keep_versions")]
    #[schemars(range(min = 0, max = 10))]
    #[x_kube(validation = Rule::new("self == 0 || self >= 3").message(
        "spec.aws.keepVersions must be 3 or more (AWS itself keeps the current and the previous version), or 0 for none"
    ))]
    pub keep_versions: i32,
}

impl Default for AwsSpec {
    fn default() -> Self {
        Self {
            region: None,
            secret_name: None,
            description: None,
            kms_key_id: None,
            tags: BTreeMap::new(),
            service_account_ref: None,
            resource_policy: None,
            block_public_policy: yes(),
            replica_regions: None,
            adoption_policy: AwsAdoptionPolicy::default(),
            deletion_policy: AwsDeletionPolicy::default(),
            recovery_window_in_days: recovery_window(),
            keep_versions: keep_versions(),
        }
    }
}

fn yes() -> bool {
    true
}

fn recovery_window() -> i32 {
    30
}

fn keep_versions() -> i32 {
    5
}

/// Reference to a ServiceAccount in the namespace of the object.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// Name of the ServiceAccount.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}
