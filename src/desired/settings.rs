//! Settings of the AWS secret from `spec.aws`, and the restrictions of the administrator. A setting that is rejected is
//! not applied; everything else is reconciled.

use std::collections::BTreeMap;

use super::glob::glob_allows;
use super::policy::Policy;
use super::resource_policy::PolicyDocument;
use crate::api::condition::Reason;
use crate::api::{AwsAdoptionPolicy, AwsSpec};
use crate::refusal::Refusal;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting<T> {
    /// Not in the spec: the existing setting is preserved, unless the operator applied it.
    Unset,
    /// Set in the spec.
    Set(T),
    /// Set in the spec and rejected: nothing is changed.
    Rejected(Refusal),
}

impl<T> Setting<T> {
    /// The value, if it is set.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Unset | Self::Rejected(_) => None,
        }
    }

    /// The refusal, if it is rejected.
    pub fn rejected(&self) -> Option<&Refusal> {
        match self {
            Self::Rejected(refusal) => Some(refusal),
            Self::Unset | Self::Set(_) => None,
        }
    }
}

/// Settings of the AWS secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub key: Setting<String>,
    pub policy: Setting<PolicyDocument>,
    /// Regions and their KMS keys. `None`: the default key of the region.
    pub replicas: Setting<BTreeMap<String, Option<String>>>,
    pub adoption: AwsAdoptionPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self { key: Setting::Unset, policy: Setting::Unset, replicas: Setting::Unset, adoption: AwsAdoptionPolicy::Never }
    }
}

impl Settings {
    /// Parses `spec.aws` with the restrictions of the administrator. `region`: the region of the AWS secret.
    pub(super) fn read(spec: &AwsSpec, region: &str, policy: &Policy) -> Self {
        Self {
            key: match &spec.kms_key_id {
                None => Setting::Unset,
                Some(key) => key_refusal("spec.aws.kmsKeyId", key, policy).map_or_else(|| Setting::Set(key.clone()), Setting::Rejected),
            },
            policy: match &spec.resource_policy {
                None => Setting::Unset,
                Some(_) if !policy.allow_resource_policies => Setting::Rejected(Refusal::new(
                    Reason::PolicyNotAllowed,
                    "spec.aws.resourcePolicy: resource policies are not enabled in this cluster: remove it, or ask the administrator to \
                     set --allow-resource-policies",
                )),
                Some(document) => PolicyDocument::new(document, spec.block_public_policy).map_or_else(
                    || {
                        Setting::Rejected(Refusal::new(
                            Reason::InvalidSpec,
                            "spec.aws.resourcePolicy: exceeds the limit of AWS of 20,480 characters: shorten the policy",
                        ))
                    },
                    Setting::Set,
                ),
            },
            replicas: replicas(spec, region, policy),
            adoption: spec.adoption_policy,
        }
    }

    /// The first refusal.
    pub fn rejected(&self) -> Option<&Refusal> {
        self.key.rejected().or_else(|| self.policy.rejected()).or_else(|| self.replicas.rejected())
    }
}

fn replicas(spec: &AwsSpec, own: &str, policy: &Policy) -> Setting<BTreeMap<String, Option<String>>> {
    let Some(wanted) = &spec.replica_regions else { return Setting::Unset };
    for replica in wanted {
        let region = &replica.region;
        if region == own {
            return Setting::Rejected(Refusal::new(
                Reason::InvalidSpec,
                format!("spec.aws.replicaRegions: {region} is the region of the secret itself: list other regions only"),
            ));
        }
        if !policy.allowed_regions.is_empty() && !policy.allowed_regions.contains(region) {
            return Setting::Rejected(Refusal::new(
                Reason::RegionNotAllowed,
                format!(
                    "spec.aws.replicaRegions: the region {region} is not among the regions that the operator allows ({}): remove it, or \
                     ask the administrator to extend --allowed-regions",
                    policy.allowed_regions.join(", ")
                ),
            ));
        }
        if let Some(refusal) = replica.kms_key_id.as_ref().and_then(|key| key_refusal("spec.aws.replicaRegions", key, policy)) {
            return Setting::Rejected(refusal);
        }
    }
    Setting::Set(wanted.iter().map(|replica| (replica.region.clone(), replica.kms_key_id.clone())).collect())
}

fn key_refusal(field: &str, key: &str, policy: &Policy) -> Option<Refusal> {
    let allowed = policy.allowed_kms_keys.is_empty() || policy.allowed_kms_keys.iter().any(|glob| glob_allows(glob, key));
    (!allowed).then(|| {
        Refusal::new(
            Reason::KeyNotAllowed,
            format!(
                "{field}: the KMS key {} is not among the keys that the operator allows ({}): use one of them, or ask the administrator \
                 to extend --allowed-kms-keys",
                key.chars().take(256).collect::<String>(),
                policy.allowed_kms_keys.join(", ")
            ),
        )
    })
}

#[cfg(test)]
mod tests;
