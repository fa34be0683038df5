//! Settings of the administrator.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::api::{AwsAdoptionPolicy, RotatedSecret};

/// Settings of the administrator that apply to every object.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Region of objects that do not set one.
    pub default_region: String,
    /// Regions that objects may use. Empty: any.
    pub allowed_regions: Vec<String>,
    /// Prefix of AWS names: `<prefix>/<namespace>/<name>`, unless the Namespace allows other names.
    pub name_prefix: String,
    /// Cluster ID of the owner in the ownership tags.
    pub cluster: String,
    /// Minimum interval between two due times.
    pub minimum_interval: SignedDuration,
    /// Minimum interval between the versions that requests create, after the first three.
    pub request_interval: SignedDuration,
    /// Whether objects may use the identity of a ServiceAccount in their namespace.
    pub service_accounts: bool,
    /// Whether objects may have Jobs made for their rotation.
    pub rotation_jobs: bool,
    /// KMS keys that objects may use, as globs over the key as written. Empty: any.
    pub allowed_kms_keys: Vec<String>,
    /// Whether objects may set a resource policy.
    pub allow_resource_policies: bool,
    /// Tags of every AWS secret that the operator creates. Those of the object take precedence.
    pub default_tags: BTreeMap<String, String>,
    /// Whether such a policy may grant public access.
    pub allow_public_policies: bool,
    /// The most that `spec.aws.adoptionPolicy` may request.
    pub max_adoption: AwsAdoptionPolicy,
    /// Whether targets may be on this machine: for tests and demonstrations.
    pub local_targets: bool,
}

impl Policy {
    /// A policy that allows everything that some administrator could allow, to check an object without a cluster.
    pub fn lenient(object: &RotatedSecret) -> Self {
        let rotation = object.spec.rotation.as_ref().and_then(|rotation| rotation.lambda.as_ref());
        // The region of an operator is not known; a function tells where it must be.
        let region = rotation.and_then(|lambda| lambda.function_arn.split(':').nth(3)).unwrap_or("us-east-1");
        Self {
            default_region: region.to_owned(),
            allowed_regions: Vec::new(),
            name_prefix: "k8s".to_owned(),
            cluster: "cluster".to_owned(),
            minimum_interval: SignedDuration::ZERO,
            request_interval: SignedDuration::ZERO,
            service_accounts: true,
            rotation_jobs: true,
            allowed_kms_keys: Vec::new(),
            allow_resource_policies: true,
            default_tags: BTreeMap::new(),
            allow_public_policies: true,
            max_adoption: AwsAdoptionPolicy::Always,
            local_targets: false,
        }
    }
}
