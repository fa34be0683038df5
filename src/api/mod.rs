//! The object that users write, and the names that we leave on what we own.

pub mod aws;
mod bounds;
pub mod condition;
mod lambda;
mod policy;
pub mod status;
mod strength;
pub mod v1alpha1;
pub mod value;

pub use aws::{AwsAdoptionPolicy, AppliedStatus, ReplicaRegion, ReplicaStatus, SecretAdoptionPolicy};
pub use lambda::*;
pub use policy::{Principals, ResourcePolicy, Statement, Texts};
pub use status::*;
pub use v1alpha1::*;
pub use value::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::CustomResourceExt as _;

/// The definition as the API server gets it. `None` never happens for the types as they are.
pub fn definition() -> Option<CustomResourceDefinition> {
    let mut tree = serde_json::to_value(RotatedSecret::crd()).ok()?;
    // schemars marks every `Option` nullable. Without that mark the API server drops a null before the rules see it, as for every Go type.
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

/// The API group, and the prefix of every name below.
pub const GROUP: &str = "rotated-secrets.io";
/// On a RotatedSecret: there is something to clean up when it goes.
pub const FINALIZER: &str = "rotated-secrets.io/cleanup";
/// Our name in `managedFields`.
pub const FIELD_MANAGER: &str = "rotated-secrets";
/// Label on every mirrored Secret.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "rotated-secrets");
/// Annotation on the mirrored Secret: the version that its data is.
pub const VERSION_ID: &str = "rotated-secrets.io/version-id";
/// Annotation on the mirrored Secret: the AWS secret that it mirrors.
pub const SECRET_ARN: &str = "rotated-secrets.io/secret-arn";
/// Annotation on the mirrored Secret: a hash of how it was laid out (type, mapping, names of keys; never values).
pub const RENDERING: &str = "rotated-secrets.io/rendering";
/// Request by a person, on the RotatedSecret: rotate now.
pub const ROTATE: &str = "rotated-secrets.io/rotate";
/// Request by a person, on the RotatedSecret: `<token>:<version id>` or `<token>:AWSPREVIOUS`, the value of that version again.
pub const ROLLBACK: &str = "rotated-secrets.io/rollback";
/// Request by a person, on the RotatedSecret: look now, write only what differs.
pub const REFRESH: &str = "rotated-secrets.io/refresh";
/// On a Namespace, by an administrator: further AWS names that objects there may own or mirror.
pub const ALLOWED_NAMES: &str = "rotated-secrets.io/allowed-names";
/// On a Namespace, by an administrator: the IAM role that is assumed for objects there; absent: the operator's own identity.
pub const ROLE_ARN: &str = "rotated-secrets.io/role-arn";
/// On a Namespace, by an administrator: the external id that the trust policy of that role asks for.
pub const EXTERNAL_ID: &str = "rotated-secrets.io/external-id";
/// On a ServiceAccount that objects name in `spec.aws.serviceAccountRef`: its IAM role, where EKS has it too.
pub const SERVICE_ACCOUNT_ROLE_ARN: &str = "eks.amazonaws.com/role-arn";
/// Staging labels on versions of the AWS secret, followed by a number from 1: AWS never removes a version that carries one.
pub const RETENTION_LABEL: &str = "rotated-secrets/";
/// Tag on an AWS secret, by whoever may write it: the object `<namespace>/<name>` that may adopt it. Annotation on a Secret: the name of that object.
pub const ADOPT_BY: &str = "rotated-secrets.io/adopt-by";
/// On a Namespace, by an administrator: the Lambda functions that objects there may have AWS rotate with.
pub const ALLOWED_FUNCTIONS: &str = "rotated-secrets.io/allowed-functions";
/// Tag on the AWS secret: the object that had AWS rotate it.
pub const TAG_ROTATION: &str = "rotated-secrets.io/rotation";
/// Tag on the AWS secret: the cluster of its owner.
pub const TAG_CLUSTER: &str = "rotated-secrets.io/cluster";
/// Tag on the AWS secret: the namespace of its owner.
pub const TAG_NAMESPACE: &str = "rotated-secrets.io/namespace";
/// Tag on the AWS secret: the name of its owner.
pub const TAG_NAME: &str = "rotated-secrets.io/name";
/// Tag on the AWS secret: the uid of its owner.
pub const TAG_UID: &str = "rotated-secrets.io/uid";
