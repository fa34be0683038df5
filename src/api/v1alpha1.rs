//! `RotatedSecret` v1alpha1. Doc comments here are the texts of `kubectl explain`; the rules are CEL, so that a mistake is refused at apply.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::{AwsAdoptionPolicy, ReplicaRegion, SecretAdoptionPolicy};
use super::bounds;
use super::lambda::LambdaSpec;
use super::policy::{ResourcePolicy, resource_policy};
use super::status::RotatedSecretStatus;
use super::value::ValueSpec;

/// One credential's whole life: created in AWS Secrets Manager, rotated on schedule, mirrored into a Secret.
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
    doc = "One credential's whole life: created in AWS Secrets Manager, rotated on schedule, mirrored into a Secret.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Last rotated", type_ = "date", json_path = ".status.lastRotationTime"),
    printcolumn(name = "Next rotation", type_ = "string", json_path = ".status.nextRotationTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, priority = 1),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.mirror.secretName", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.aws.currentVersionId", priority = 1),
    printcolumn(name = "ARN", type_ = "string", json_path = ".status.aws.arn", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 200").message(
        "metadata.name: at most 200 characters, since it becomes part of the AWS name and, unless spec.target.name says otherwise, the name of the Secret"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.rotation) || has(self.value) || has(self.rotation.lambda)").message(
    "spec.rotation needs spec.value or spec.rotation.lambda: without spec.value the value is somebody else's and is only mirrored; say what to generate, or remove spec.rotation"
))]
#[x_kube(validation = Rule::new("!has(self.rotation) || has(self.rotation.lambda) || !has(self.value) || has(self.value.plainText) || (has(self.value.generate) && size(self.value.generate) > 0)").message(
    "spec.rotation needs a generated field: add spec.value.generate or spec.value.plainText, or remove spec.rotation"
))]
#[x_kube(validation = Rule::new("!has(self.rotation) || !has(self.rotation.automaticallyAfterDays) || !has(self.value) || !has(self.value.generate) || self.value.generate.all(k, self.value.generate[k].type != 'TlsKeyPair' || (has(self.value.generate[k].validityDays) ? self.value.generate[k].validityDays : 90) > self.rotation.automaticallyAfterDays)").message(
    "spec.value.generate: a certificate must be valid for longer than the time between two rotations: set a greater validityDays (twice the time leaves room for an outage), or rotate more often"
))]
#[x_kube(validation = Rule::new("has(self.value) || !has(self.aws) || (!has(self.aws.resourcePolicy) && !has(self.aws.replicaRegions) && (!has(self.aws.adoptionPolicy) || self.aws.adoptionPolicy == 'Never'))").message(
    "spec.aws.resourcePolicy, replicaRegions and adoptionPolicy need spec.value: without spec.value the AWS secret is somebody else's and is only mirrored"
))]
pub struct RotatedSecretSpec {
    /// True: nothing is written anywhere until it is false again.
    #[serde(default)]
    pub suspend: bool,
    /// Where the secret lives in AWS.
    #[serde(default)]
    pub aws: AwsSpec,
    /// What the value is. Absent: the value is somebody else's, and is only mirrored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueSpec>,
    /// When the value changes. Absent: created and mirrored, never rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationSpec>,
    /// Where the value is mirrored.
    #[serde(default)]
    pub target: TargetSpec,
}

/// Where the secret lives in AWS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.region) == has(oldSelf.region) && (!has(self.region) || self.region == oldSelf.region)").message(
    "spec.aws.region is immutable, since a credential is never moved: make a new RotatedSecret with the other region, then delete this one (aws.deletionPolicy Retain keeps the AWS secret)"
))]
#[x_kube(validation = Rule::new("has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)").message(
    "spec.aws.secretName is immutable, since a credential is never moved: make a new RotatedSecret with the other name, then delete this one (aws.deletionPolicy Retain keeps the AWS secret)"
))]
#[x_kube(validation = Rule::new("!has(self.region) || !has(self.replicaRegions) || self.replicaRegions.all(r, r.region != self.region)").message(
    "spec.aws.replicaRegions: the secret itself lives in spec.aws.region; name other regions only"
))]
pub struct AwsSpec {
    /// The region; default: the operator's. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z0-9]+)+$"))]
    pub region: Option<String>,
    /// The name of the AWS secret; default `<prefix>/<namespace>/<name>`. Other names need the administrator's leave on the Namespace. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9/_+=.@-]+$')").message(
        "spec.aws.secretName: only letters, digits and / _ + = . @ - are allowed by AWS; an ARN is not a name"
    ))]
    pub secret_name: Option<String>,
    /// The description of the AWS secret. Absent: never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub description: Option<String>,
    /// The KMS key: alias, id or ARN; default: aws/secretsmanager. Absent: never touched, unless the operator set it; then it goes back to the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
    /// Tags beside ours. Tags of others stay; one that is removed here is removed there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::tags")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) >= 1 && size(k) <= 128 && !k.startsWith('aws:') && !k.startsWith('rotated-secrets.io/'))").message(
        "spec.aws.tags: keys have 1 to 128 characters and start neither with aws: (AWS keeps those) nor with rotated-secrets.io/ (they say whose the secret is)"
    ))]
    pub tags: BTreeMap<String, String>,
    /// The ServiceAccount of this namespace that acts in AWS, by the role in its annotation eks.amazonaws.com/role-arn; default: whom the administrator
    /// chose. Needs the administrator's leave for the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// Who else may use the AWS secret: an IAM policy, written as an object, with lists where IAM takes a text or a list. Absent: never touched, unless the operator set it; then it is taken away.
    /// Needs the administrator's leave (--allow-resource-policies).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resource_policy")]
    pub resource_policy: Option<ResourcePolicy>,
    /// True: AWS refuses a resourcePolicy that grants access to anybody.
    #[serde(default = "yes")]
    pub block_public_policy: bool,
    /// The regions that the AWS secret is replicated to. Absent: never touched. Empty: none; a replica of another region is removed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["region".into()]))]
    pub replica_regions: Option<Vec<ReplicaRegion>>,
    /// Whether an AWS secret of this name that exists already becomes ours. Its value stays until a rotation is due.
    #[serde(default)]
    pub adoption_policy: AwsAdoptionPolicy,
    /// What becomes of the AWS secret when this object is deleted. Delete: scheduled for deletion with the recovery window; never forced.
    #[serde(default)]
    pub deletion_policy: AwsDeletionPolicy,
    /// For how many days a deleted AWS secret can be restored.
    #[serde(default = "recovery_window")]
    #[schemars(range(min = 7, max = 30))]
    pub recovery_window_in_days: i32,
    /// How many of the newest versions keep a staging label of ours (rotated-secrets/1, ...), so that AWS never removes them and one can go back
    /// to them. 0: none.
    #[serde(default = "keep_versions")]
    #[schemars(range(min = 0, max = 10))]
    #[x_kube(validation = Rule::new("self == 0 || self >= 3").message(
        "spec.aws.keepVersions: 3 or more (AWS itself keeps the current and the previous version), or 0 for none"
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

/// A ServiceAccount of the object's own namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// What becomes of the AWS secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AwsDeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is scheduled for deletion.
    Delete,
}

/// When the value changes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.schedule) != has(self.automaticallyAfterDays)").message(
    "spec.rotation: exactly one of schedule and automaticallyAfterDays"
))]
#[x_kube(validation = Rule::new("!has(self.timeZone) || (has(self.schedule) && !self.schedule.contains('('))").message(
    "spec.rotation.timeZone goes with five-field cron only, such as schedule: 0 8 1 * *; rate( ) and automaticallyAfterDays count from the last change, and cron( ) is in UTC as AWS has it"
))]
#[x_kube(validation = Rule::new("self.onMissedWindow != 'NextWindow' || !self.duration.matches('^[0-9hms]+$') || duration(self.duration) >= duration('5m')").message(
    "spec.rotation.onMissedWindow: NextWindow needs a window that can be met: write a duration of at least 5m"
))]
#[x_kube(validation = Rule::new(r"!has(self.lambda) || !has(self.schedule) || self.schedule.startsWith('cron(') || self.schedule.matches('^rate\\((([4-9]|[1-9][0-9]{1,4}) hours?|[1-9][0-9]{0,2} days?)\\)$')").message(
    "spec.rotation.schedule: with lambda AWS keeps the schedule, and knows rate(4 hours) and more, rate(30 days) up to 999, and cron( ) with six fields; not five-field cron, and no minutes"
))]
#[x_kube(validation = Rule::new("!has(self.lambda) || self.duration == '0s' || self.duration.matches('^([1-9]|1[0-9]|2[0-4])h$')").message(
    "spec.rotation.duration: with lambda write whole hours from 1h to 24h, or 0s for AWS's own window (an hour for schedules in hours, else to the end of the day)"
))]
#[x_kube(validation = Rule::new("!has(self.lambda) || self.onMissedWindow == 'RotateNow'").message(
    "spec.rotation.onMissedWindow: with lambda AWS decides what becomes of a missed window: leave it out"
))]
pub struct RotationSpec {
    /// `rate(30 days)`, `cron(0 8 1 * ? *)` in UTC as AWS has it, or a five-field cron expression in UTC or in timeZone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^rate\\([1-9][0-9]{0,8} (second|minute|hour|day)s?\\)$') || self.matches('^cron\\(( *[^ ()]+){6} *\\)$') || self.matches('^ *[^ ()]+( +[^ ()]+){4} *$')").message(
        "spec.rotation.schedule: write rate(30 days), or cron(0 8 1 * ? *) with AWS's six fields, or five cron fields such as 0 8 1 * *"
    ))]
    pub schedule: Option<String>,
    /// Instead of schedule: days after the last change of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub automatically_after_days: Option<i32>,
    /// The IANA time zone of a five-field cron expression, such as Europe/Berlin; default: UTC. A time that the clocks leap over comes right after the leap; one that they show twice comes once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$')").message(
        "spec.rotation.timeZone: write an IANA name such as Europe/Berlin or America/New_York"
    ))]
    pub time_zone: Option<String>,
    /// The window that opens at each due time, in hours, minutes and seconds such as 1h or 90m. Each object has its own fixed place in it, by its uid; 0s: at its very start.
    #[serde(default = "no_window")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,5}s)?$|^[0-9]{1,5}m([0-9]{1,5}s)?$|^[0-9]{1,5}s$')").message(
        "spec.rotation.duration: write hours, minutes and seconds in this order, such as 1h, 90m or 1h30m (a day is 24h), or 0s for no window"
    ))]
    pub duration: String,
    /// What becomes of a rotation whose window passed without it, after an outage for example.
    #[serde(default)]
    pub on_missed_window: OnMissedWindow,
    /// True: when rotation is first configured on an object that has a value already, rotate once at once; then by schedule.
    #[serde(default)]
    pub rotate_immediately: bool,
    /// True: only rotation stops.
    #[serde(default)]
    pub suspend: bool,
    /// AWS keeps the schedule and calls this function. Absent: the operator makes new generated fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<LambdaSpec>,
}

impl Default for RotationSpec {
    fn default() -> Self {
        Self {
            schedule: None,
            automatically_after_days: None,
            time_zone: None,
            duration: no_window(),
            on_missed_window: OnMissedWindow::default(),
            rotate_immediately: false,
            suspend: false,
            lambda: None,
        }
    }
}

fn no_window() -> String {
    "0s".to_owned()
}

/// What becomes of a rotation whose window passed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnMissedWindow {
    /// It happens at once, outside of the window.
    #[default]
    RotateNow,
    /// It waits for the next window.
    NextWindow,
}

/// Where the value is mirrored.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.versionId) || self.versionStage == 'AWSCURRENT'").message(
    "spec.target: versionId pins the Secret to one version, versionStage to whatever carries a label: remove one of the two"
))]
#[x_kube(validation = Rule::new("has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)").message(
    "spec.target.name is immutable, since pods mount the Secret by name: make a second RotatedSecret without spec.value that mirrors the same spec.aws.secretName under the other name"
))]
pub struct TargetSpec {
    /// Owner: the Secret is ours. None: no mirror.
    #[serde(default)]
    pub creation_policy: CreationPolicy,
    /// The name of the Secret; default: the name of this object. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message(
        "spec.target.name: small letters, digits, dashes and dots, as every name of a Secret"
    ))]
    pub name: Option<String>,
    /// The type of the Secret.
    #[serde(default, rename = "type")]
    pub kind: SecretType,
    /// Labels of the Secret beside ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 317 && !k.contains('kubernetes.io/') && !k.contains('k8s.io/') && !k.startsWith('rotated-secrets.io/'))").message(
        "spec.target.labels: keys under kubernetes.io/, k8s.io/ and rotated-secrets.io/ carry rights or ownership and are not for users"
    ))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret beside ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::annotations")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 317 && !k.contains('kubernetes.io/') && !k.contains('k8s.io/') && !k.startsWith('rotated-secrets.io/'))").message(
        "spec.target.annotations: keys under kubernetes.io/, k8s.io/ and rotated-secrets.io/ carry rights or ownership and are not for users"
    ))]
    pub annotations: BTreeMap<String, String>,
    /// Key of the Secret <- field of the value. Absent: every field under its own name, a plain string under `value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::keys")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))").message(
        "spec.target.keys: keys of a Secret have at most 253 letters, digits, dots, dashes and underscores"
    ))]
    pub keys: BTreeMap<String, String>,
    /// The staging label of the version that the Secret holds. Another one than AWSCURRENT pins the Secret: rotation goes on in AWS, and the Secret
    /// follows the label.
    #[serde(default = "current")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self != 'AWSPENDING' && !self.startsWith('rotated-secrets/')").message(
        "spec.target.versionStage: a version labelled AWSPENDING may not work yet, and the labels rotated-secrets/ move with every rotation: write AWSCURRENT, AWSPREVIOUS or a label of your own, or pin a version by versionId"
    ))]
    pub version_stage: String,
    /// Pins the Secret to this version of the AWS secret, whatever is current. Rotation goes on in AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 32, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')").message(
        "spec.target.versionId: a version id as kubectl rotatedsecret history shows it; labels go to versionStage"
    ))]
    pub version_id: Option<String>,
    /// Whether a Secret of this name that exists already becomes ours.
    #[serde(default)]
    pub adoption_policy: SecretAdoptionPolicy,
    /// What becomes of the Secret when this object is deleted. Retain: it stays, without its owner reference.
    #[serde(default)]
    pub deletion_policy: SecretDeletionPolicy,
}

impl Default for TargetSpec {
    fn default() -> Self {
        Self {
            creation_policy: CreationPolicy::default(),
            name: None,
            kind: SecretType::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            keys: BTreeMap::new(),
            version_stage: current(),
            version_id: None,
            adoption_policy: SecretAdoptionPolicy::default(),
            deletion_policy: SecretDeletionPolicy::default(),
        }
    }
}

fn current() -> String {
    "AWSCURRENT".to_owned()
}

/// Whether there is a mirror.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CreationPolicy {
    /// The Secret is ours.
    #[default]
    Owner,
    /// No mirror.
    None,
}

/// The types of Secrets that we write. Others carry rights (a service account's token, a bootstrap token).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecretType {
    /// Any keys.
    #[default]
    Opaque,
    /// `username`, `password`, or both.
    #[serde(rename = "kubernetes.io/basic-auth")]
    BasicAuth,
    /// `ssh-privatekey`.
    #[serde(rename = "kubernetes.io/ssh-auth")]
    SshAuth,
    /// `tls.crt` and `tls.key`.
    #[serde(rename = "kubernetes.io/tls")]
    Tls,
    /// `.dockerconfigjson`.
    #[serde(rename = "kubernetes.io/dockerconfigjson")]
    DockerConfigJson,
}

impl SecretType {
    /// The type as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "Opaque",
            Self::BasicAuth => "kubernetes.io/basic-auth",
            Self::SshAuth => "kubernetes.io/ssh-auth",
            Self::Tls => "kubernetes.io/tls",
            Self::DockerConfigJson => "kubernetes.io/dockerconfigjson",
        }
    }
}

/// What becomes of the Secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecretDeletionPolicy {
    /// It goes with its owner.
    #[default]
    Delete,
    /// It stays, without its owner reference.
    Retain,
}
