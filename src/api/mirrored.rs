//! The mirrored Secret in the spec.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aws::SecretAdoptionPolicy;
use super::bounds;

/// Kubernetes Secret that mirrors the value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.versionId) || self.versionStage == 'AWSCURRENT'").message(
    "spec.target: versionId pins the Secret to a version ID, versionStage to a staging label: remove one of the two"
))]
#[x_kube(validation = Rule::new("has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)").message(
    "spec.target.name is immutable, because pods mount the Secret by name: create a second RotatedSecret without spec.value that mirrors the same spec.aws.secretName under the other name"
))]
#[x_kube(validation = Rule::new("!has(self.wholeValueKey) || !has(self.keys) || size(self.keys) == 0").message(
    "spec.target: wholeValueKey mirrors the whole value under one key, keys maps fields of it: set only one of the two"
))]
#[x_kube(validation = Rule::new("!has(self.template) || self.template.all(k, (!has(self.keys) || !(k in self.keys)) && (!has(self.wholeValueKey) || self.wholeValueKey != k))").message(
    "spec.target.template: a key is declared twice: remove it from keys, or rename wholeValueKey"
))]
pub struct TargetSpec {
    /// Owner creates the Secret and owns it. None disables the mirror; a Secret that was mirrored before stays with its
    /// last value and is released.
    #[serde(default)]
    pub creation_policy: CreationPolicy,
    /// Name of the Secret. Defaults to the name of this object. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("!format.dns1123Subdomain().validate(self).hasValue()").message(
        "spec.target.name must be a valid name of a Secret: lowercase letters, digits, dashes and dots, with a letter or digit next to each dot and at both ends"
    ))]
    pub name: Option<String>,
    /// Type of the Secret.
    #[serde(default, rename = "type")]
    pub kind: SecretType,
    /// Additional labels of the Secret. Keys under kubernetes.io/ are reserved, except for the recommended labels
    /// app.kubernetes.io/name, instance, version, component and part-of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    #[x_kube(validation = Rule::new("self.all(k, k in ['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/version', 'app.kubernetes.io/component', 'app.kubernetes.io/part-of'] || (size(k) <= 317 && !k.contains('kubernetes.io/') && !k.contains('k8s.io/') && !k.startsWith('rotated-secrets.io/')))").message(
        "spec.target.labels: keys under kubernetes.io/, k8s.io/ and rotated-secrets.io/ are reserved, because they affect permissions or ownership; of the recommended labels name, instance, version, component and part-of may be set"
    ))]
    #[x_kube(validation = Rule::new("self.all(k, !format.qualifiedName().validate(k).hasValue() && !format.labelValue().validate(self[k]).hasValue())").message(
        "spec.target.labels: use keys and values with the syntax of Kubernetes: at most 63 letters, digits, dashes, underscores and dots, with a letter or digit at both ends; a key may have a DNS name and / before it"
    ))]
    pub labels: BTreeMap<String, String>,
    /// Additional annotations of the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::annotations")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 317 && !k.lowerAscii().contains('kubernetes.io/') && !k.lowerAscii().contains('k8s.io/') && !k.lowerAscii().startsWith('rotated-secrets.io/'))").message(
        "spec.target.annotations: keys under kubernetes.io/, k8s.io/ and rotated-secrets.io/ are reserved, because they affect permissions or ownership"
    ))]
    #[x_kube(validation = Rule::new("self.all(k, !format.qualifiedName().validate(k.lowerAscii()).hasValue())").message(
        "spec.target.annotations: use keys with the syntax of Kubernetes: at most 63 letters, digits, dashes, underscores and dots, with a letter or digit at both ends; a DNS name and / may precede it"
    ))]
    pub annotations: BTreeMap<String, String>,
    /// Maps keys of the Secret to fields of the value. If unset, every field is mirrored under its own name, and a
    /// value that is not a JSON object under the key `value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::keys")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))").message(
        "spec.target.keys: keys of a Secret may contain only letters, digits, dots, dashes and underscores, at most 253 characters"
    ))]
    pub keys: BTreeMap<String, String>,
    /// Mirrors the whole value, unchanged, under this key of the Secret, also if it is a JSON object. For example
    /// .dockerconfigjson or credentials.json. Mutually exclusive with keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')").message(
        "spec.target.wholeValueKey: a key of a Secret may contain only letters, digits, dots, dashes and underscores"
    ))]
    pub whole_value_key: Option<String>,
    /// Keys of the Secret whose texts are made from the value: `{{ field }}` stands for a field, `{{ field | filter }}` for the
    /// same after a filter (b64encode, urlencode, tojson, trim, upper, lower, indent, replace, default). If only this is set,
    /// no other key is mirrored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::templates")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))").message(
        "spec.target.template: keys of a Secret may contain only letters, digits, dots, dashes and underscores, at most 253 characters"
    ))]
    #[x_kube(validation = template_rule())]
    pub template: BTreeMap<String, String>,
    /// Also mirrors the version before the current one: each key of it with the suffix `.previous`. For programs that still
    /// accept the previous value, for example a signing key. Pods must start without these keys (`optional: true`). With
    /// spec.rollout and a target that keeps the previous credential valid, until that is retired; otherwise until the next
    /// version. Not after a request in an emergency, and not while the Secret is pinned.
    #[serde(default)]
    pub include_previous: bool,
    /// Staging label of the version that the Secret holds. Any label other than AWSCURRENT pins the Secret: it follows
    /// that label while rotation continues in AWS.
    #[serde(default = "current")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self != 'AWSPENDING' && !self.startsWith('rotated-secrets/')").message(
        "spec.target.versionStage: a version with the label AWSPENDING may not be usable yet, and the retention labels rotated-secrets/ move with every rotation: use AWSCURRENT, AWSPREVIOUS or a label of your own, or pin a version with versionId"
    ))]
    #[x_kube(validation = Rule::new("self in ['AWSCURRENT', 'AWSPREVIOUS', 'AWSPENDING'] || !(self.upperAscii() in ['AWSCURRENT', 'AWSPREVIOUS', 'AWSPENDING'])").message(
        "spec.target.versionStage: the labels of AWS are written in capitals: did you mean AWSCURRENT or AWSPREVIOUS?"
    ))]
    pub version_stage: String,
    /// Pins the Secret to this version ID, regardless of AWSCURRENT. Rotation continues in AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]{32,64}$')").message(
        "spec.target.versionId: use a whole version ID of 32 to 64 characters, as in status.history; for a staging label such as AWSPREVIOUS use versionStage"
    ))]
    pub version_id: Option<String>,
    /// Whether an existing Secret of this name is adopted. `IfAnnotated` requires the annotation
    /// rotated-secrets.io/adopt-by with the name of this object. The value in AWS replaces the data of the Secret.
    #[serde(default)]
    pub adoption_policy: SecretAdoptionPolicy,
    /// What happens to the Secret when this object is deleted. Delete removes it. Retain keeps it and removes its owner
    /// reference.
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
            whole_value_key: None,
            template: BTreeMap::new(),
            include_previous: false,
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

/// The syntax of `src/value/template.rs`, as a regular expression.
fn template_rule() -> Rule {
    const TEXT: &str = r"(\x27[^\x27\\\n]*\x27|\x22[^\x22\\\n]*\x22)";
    const FILLED: &str = r"(\x27[^\x27\\\n]+\x27|\x22[^\x22\\\n]+\x22)";
    const SPACE: &str = r"[ \t\r\n]*";
    let filter = format!(
        r"(b64encode|urlencode|tojson|trim|upper|lower|indent\(([0-9]|[1-5][0-9]|6[0-4])\)|default\({SPACE}{TEXT}{SPACE}\)|replace\({SPACE}{FILLED}{SPACE},{SPACE}{TEXT}{SPACE}\))"
    );
    let path = format!(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+|\[({FILLED}|[0-9]+)\])*");
    let expression = format!(r"\{{\{{{SPACE}({TEXT}|{path})({SPACE}\|{SPACE}{filter}){{0,8}}{SPACE}\}}\}}");
    let template = format!(r"^([^{{]|\{{[^{{%#]|{expression})*\{{?$");
    Rule::new(format!("self.all(k, self[k].matches(r'{template}'))")).message(
        "spec.target.template: use text and expressions such as {{ username }}, {{ password | urlencode }}, {{ fields['db-user'] | default('a') }} or \
         {{ document }}; the filters are b64encode, urlencode, tojson, trim, upper, lower, indent(4), replace('a', 'b') and default('a')",
    )
}

/// Whether a Secret is created.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CreationPolicy {
    /// Create the Secret and own it.
    #[default]
    Owner,
    /// Do not create a Secret.
    None,
}

/// Supported types of Secrets. Types that grant access to the cluster, such as service account tokens and bootstrap
/// tokens, are not supported.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecretType {
    /// Any keys.
    #[default]
    Opaque,
    /// Requires the key `username` or `password`.
    #[serde(rename = "kubernetes.io/basic-auth")]
    BasicAuth,
    /// Requires the key `ssh-privatekey`.
    #[serde(rename = "kubernetes.io/ssh-auth")]
    SshAuth,
    /// Requires the keys `tls.crt` and `tls.key`.
    #[serde(rename = "kubernetes.io/tls")]
    Tls,
    /// Requires the key `.dockerconfigjson`.
    #[serde(rename = "kubernetes.io/dockerconfigjson")]
    DockerConfigJson,
}

impl SecretType {
    /// Type as written in a Kubernetes Secret.
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

/// What happens to the Secret when the object is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecretDeletionPolicy {
    /// Delete the Secret with its owner.
    #[default]
    Delete,
    /// Keep the Secret and remove its owner reference.
    Retain,
}
