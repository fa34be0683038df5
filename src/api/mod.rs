//! The API types, and the names of annotations, labels and tags that the operator uses.

// The doc comments are the texts of `kubectl explain` and of docs/reference.md.
#![warn(missing_docs)]

pub mod aws;
mod bounds;
mod concerns;
pub mod condition;
mod job;
mod lambda;
mod mirrored;
mod mysql;
mod policy;
mod postgres;
mod redis;
mod rollback;
mod rollout;
pub mod rotation;
pub(crate) mod schedule;
mod staged;
pub mod status;
mod strength;
mod target;
mod target_status;
pub mod v1alpha1;
pub mod value;
mod webhook;

pub use aws::{AppliedStatus, AwsAdoptionPolicy, AwsDeletionPolicy, PlaceStatus, ReplicaRegion, ReplicaStatus, SecretAdoptionPolicy};
pub use concerns::{OWNER, PLATFORM};
pub use job::*;
pub use lambda::*;
pub use mirrored::*;
pub use mysql::*;
pub use policy::{LONGEST_POLICY, ResourcePolicy};
pub use postgres::*;
pub use redis::*;
pub use rollback::RollbackRefusal;
pub use rollout::*;
pub use rotation::*;
pub use staged::*;
pub use status::*;
pub use strength::{AMBIGUOUS, URL_UNSAFE};
pub use target::{AdminRef, AlternateSpec, TlsMode, TlsSpec, VerifySpec, default_check_interval, default_suffix};
pub use target_status::{AdministratorState, RotationTrial, TargetOutcome, TargetStatus};
pub use v1alpha1::*;
pub use value::*;
pub use webhook::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt as _;

/// The CustomResourceDefinition. `None` if it cannot be represented; a test shows that this does not happen.
pub fn definition() -> Option<CustomResourceDefinition> {
    let mut tree = serde_json::to_value(RotatedSecret::crd()).ok()?;
    // schemars marks every `Option` as nullable. Without that mark the API server drops null values before it evaluates
    // the rules, as for Go types.
    forget_nullable(&mut tree);
    serde_json::from_value(tree).ok()
}

fn forget_nullable(tree: &mut serde_json::Value) {
    match tree {
        serde_json::Value::Object(object) => {
            object.remove("nullable");
            object.values_mut().for_each(forget_nullable);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(forget_nullable),
        _ => {}
    }
}

/// API group, and prefix of the annotations and tags below.
pub const GROUP: &str = "rotated-secrets.io";
/// Annotation on the Namespace: hosts of targets that objects may name beside Services of the namespace, as globs over
/// `host:port`.
pub const ALLOWED_HOSTS: &str = "rotated-secrets.io/allowed-hosts";
/// Finalizer on a RotatedSecret whose deletion requires cleanup.
pub const FINALIZER: &str = "rotated-secrets.io/cleanup";
/// Field manager of the operator in `managedFields`.
pub const FIELD_MANAGER: &str = "rotated-secrets";
/// Label on every mirrored Secret.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "rotated-secrets");
/// Label on the Jobs of a rotation and on the Secrets with their values: uid of the RotatedSecret.
pub const JOB_OF: &str = "rotated-secrets.io/job-of";
/// Annotation on a CronJob: names of the RotatedSecrets whose Jobs may be made from it, as globs.
pub const TEMPLATE_FOR: &str = "rotated-secrets.io/template-for";
/// Annotation on a Secret: name of the RotatedSecret that may read its first value from it.
pub const INITIAL_VALUE_FOR: &str = "rotated-secrets.io/initial-value-for";
/// Annotation on a Job of a rotation and on its pods: hash of the template and of the versions that it was made for.
pub const JOB_INPUTS: &str = "rotated-secrets.io/job-inputs";
/// Annotation on the Secret of a Job whose values were taken away: its result was read.
pub const JOB_READ: &str = "rotated-secrets.io/job-read";
/// Recommended labels of Kubernetes that an object may set on its Secret. `managed-by` is not among them.
pub const RECOMMENDED_LABELS: [&str; 5] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
];
/// Annotation on the mirrored Secret: ID of the version that it holds.
pub const VERSION_ID: &str = "rotated-secrets.io/version-id";
/// Annotation on the mirrored Secret: ARN of the AWS secret.
pub const SECRET_ARN: &str = "rotated-secrets.io/secret-arn";
/// Annotation on the mirrored Secret: hash of its type, key mapping, key names, labels and annotations. Never of
/// values.
pub const RENDERING: &str = "rotated-secrets.io/rendering";
/// Annotation on the mirrored Secret: ID of the version whose values have the suffix `.previous`.
pub const PREVIOUS_VERSION_ID: &str = "rotated-secrets.io/previous-version-id";
/// Annotation on the mirrored Secret: when the certificate in it expires.
pub const NOT_AFTER: &str = "rotated-secrets.io/not-after";
/// Annotation on the mirrored Secret: `LastChangedDate` of the AWS secret when the operator wrote it.
pub const LAST_CHANGED: &str = "rotated-secrets.io/last-changed-date";
/// Annotation on a RotatedSecret: request to rotate now. The value is a token chosen by the requester.
pub const ROTATE: &str = "rotated-secrets.io/rotate";
/// Annotation on a RotatedSecret: request to restore the value of an earlier version, `<token>:<version id>` or
/// `<token>:AWSPREVIOUS`.
pub const ROLLBACK: &str = "rotated-secrets.io/rollback";
/// Annotation on a RotatedSecret: request to reconcile now and to correct drift.
pub const REFRESH: &str = "rotated-secrets.io/refresh";
/// Annotation on a Namespace, set by an administrator: additional AWS names that its objects may own or mirror.
pub const ALLOWED_NAMES: &str = "rotated-secrets.io/allowed-names";
/// Annotation on a Namespace, set by an administrator: additional AWS names that its objects may mirror only.
pub const MIRROR_NAMES: &str = "rotated-secrets.io/mirror-names";
/// Annotation on a Namespace, set by an administrator: periods without scheduled rotations, such as
/// `2026-12-20/2027-01-06, 2027-04-02`, in the time zone of each object.
pub const EXCLUDE_PERIODS: &str = "rotated-secrets.io/exclude-periods";
/// Annotation on a Namespace, set by an administrator: IAM role that the operator assumes for its objects. If unset,
/// the operator's own identity is used.
pub const ROLE_ARN: &str = "rotated-secrets.io/role-arn";
/// Annotation on a Namespace, set by an administrator: external ID that the trust policy of that role requires.
pub const EXTERNAL_ID: &str = "rotated-secrets.io/external-id";
/// Annotation on a Namespace, set by an administrator: its objects are suspended as by `spec.suspend`. The value is free
/// text that says why.
pub const SUSPEND: &str = "rotated-secrets.io/suspend";
/// Annotation on a RotatedSecret: why it was suspended, by whom and since when. The plugin writes it; it has no effect.
pub const SUSPEND_MESSAGE: &str = "rotated-secrets.io/suspend-message";
/// Annotation on a RotatedSecret: number of a ticket or a change, which the lines of the audit stream repeat. It has no other
/// effect.
pub const TICKET: &str = "rotated-secrets.io/ticket";
/// Annotation on a ServiceAccount that is named in `spec.aws.serviceAccountRef`: its IAM role, as for EKS.
pub const SERVICE_ACCOUNT_ROLE_ARN: &str = "eks.amazonaws.com/role-arn";
/// AWS's staging label of the version in use.
pub const AWSCURRENT: &str = "AWSCURRENT";
/// AWS's staging label of the version that was in use before.
pub const AWSPREVIOUS: &str = "AWSPREVIOUS";
/// AWS's staging label of a version that a rotation has made and not promoted yet.
pub const AWSPENDING: &str = "AWSPENDING";
/// The staging labels that AWS itself moves.
pub const AWS_STAGING_LABELS: [&str; 3] = [AWSCURRENT, AWSPREVIOUS, AWSPENDING];
/// Prefix of the retention labels, followed by a number from 1. AWS does not delete versions that carry a staging
/// label.
pub const RETENTION_LABEL: &str = "rotated-secrets/";
/// Staging label of a version that is on its way to a target, beside AWSPENDING, which AWS takes from it when another writer
/// puts a value.
pub const STAGED_LABEL: &str = "rotated-secrets/staged";
/// Staging label of the last abandoned version. A replica of the operator that was stopped and continues late could still
/// change the target to it, so AWS keeps it until another version is current.
pub const ABANDONED_LABEL: &str = "rotated-secrets/abandoned";
/// Staging label of the version whose credential is retired once the workloads have taken up the current one.
pub const RETIRING_LABEL: &str = "rotated-secrets/retiring";
/// Prefix of the annotation on pod templates that names the version of a mirrored Secret; the name of the Secret follows.
pub const ROLLED_OUT: &str = "versions.rotated-secrets.io/";
/// Tag on an AWS secret: the object `<namespace>/<name>` that may adopt it. Annotation on a Secret: name of the
/// RotatedSecret that may adopt it.
pub const ADOPT_BY: &str = "rotated-secrets.io/adopt-by";
/// Annotation on a Namespace, set by an administrator: Lambda functions that its objects may use for rotation.
pub const ALLOWED_FUNCTIONS: &str = "rotated-secrets.io/allowed-functions";
/// Tag on the AWS secret: cluster, namespace and name of the object that configured its rotation by AWS.
pub const TAG_ROTATION: &str = "rotated-secrets.io/rotation";
/// Tag on the AWS secret: cluster of the owner.
pub const TAG_CLUSTER: &str = "rotated-secrets.io/cluster";
/// Tag on the AWS secret: namespace of the owner.
pub const TAG_NAMESPACE: &str = "rotated-secrets.io/namespace";
/// Tag on the AWS secret: uid of the owner's namespace. A namespace that is created again has another one.
pub const TAG_NAMESPACE_UID: &str = "rotated-secrets.io/namespace-uid";
/// Tag on the AWS secret: name of the owner.
pub const TAG_NAME: &str = "rotated-secrets.io/name";
/// Tag on the AWS secret: uid of the owner.
pub const TAG_UID: &str = "rotated-secrets.io/uid";

/// Whether the key of a tag belongs to AWS or to the operator. AWS reserves its prefix in any case, and IAM ignores the
/// case of a key in conditions: `Rotated-Secrets.io/cluster` would pass for the tag of the operator there.
pub fn is_reserved_tag(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.starts_with("aws:") || key.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;

    use serde_json::Value;

    use super::{AWSCURRENT, AWSPENDING, RETENTION_LABEL, RotatedSecret, definition};

    /// The texts, lists and maps below `path` that may have any size.
    fn unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
        let bound = match schema["type"].as_str() {
            Some("string") if schema.get("enum").is_none() && schema["format"] != "date-time" => "maxLength",
            Some("array") => "maxItems",
            Some("object") if schema["additionalProperties"].is_object() => "maxProperties",
            _ => "type",
        };
        if schema.get(bound).is_none() || schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
            found.push(format!("{path}: {bound}"));
        }
        for below in ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)).filter(|below| below.is_object()) {
            unbounded(below, &format!("{path}[]"), found);
        }
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            unbounded(below, &format!("{path}.{name}"), found);
        }
    }

    #[test]
    fn every_text_list_and_map_of_the_spec_and_the_status_has_a_bound() {
        let definition = serde_json::to_value(definition().unwrap()).unwrap();
        let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").unwrap();
        let mut found = Vec::new();
        for half in ["spec", "status"] {
            unbounded(&schema[half], half, &mut found);
        }
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn the_columns_show_only_the_status_and_unknown_fields_are_not_kept() {
        let definition = serde_json::to_value(definition().unwrap()).unwrap();
        let columns = definition.pointer("/spec/versions/0/additionalPrinterColumns").unwrap().as_array().unwrap();
        for column in columns {
            let path = column["jsonPath"].as_str().unwrap();
            assert!(path.starts_with(".status.") || path == ".metadata.creationTimestamp", "{path}");
        }
        assert_ne!(definition["spec"]["preserveUnknownFields"], true);
        assert!(definition.pointer("/spec/versions/0/subresources/status").is_some_and(serde_json::Value::is_object));
    }

    #[test]
    fn the_rule_of_the_version_stage_names_the_reserved_labels() {
        let definition = serde_json::to_value(RotatedSecret::crd()).unwrap();
        let stage = definition
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/target/properties/versionStage")
            .unwrap();
        assert_eq!(stage["default"], AWSCURRENT);
        let reserved = format!("self != '{AWSPENDING}' && !self.startsWith('{RETENTION_LABEL}')");
        assert_eq!(stage["x-kubernetes-validations"][0]["rule"], reserved);
    }
}
