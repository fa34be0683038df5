//! What `spec.aws` asks of the AWS secret beside its value, and what the administrator does not let it ask. A setting that is refused is not
//! carried out; the credential's life goes on.

use std::collections::BTreeMap;

use super::resource_policy::PolicyDocument;
use super::{Policy, Refusal, glob_allows};
use crate::api::condition::Reason;
use crate::api::{AwsAdoptionPolicy, AwsSpec};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting<T> {
    /// The spec does not mention it: what is there stays, unless the operator set it.
    Unmentioned,
    /// The spec asks for this.
    Asked(T),
    /// The spec asks for something that may not be: nothing is changed.
    Refused(Refusal),
}

impl<T> Setting<T> {
    /// What is asked for.
    pub fn asked(&self) -> Option<&T> {
        match self {
            Self::Asked(asked) => Some(asked),
            Self::Unmentioned | Self::Refused(_) => None,
        }
    }

    /// Why it may not be.
    pub fn refused(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Unmentioned | Self::Asked(_) => None,
        }
    }
}

/// What is asked of the AWS secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The KMS key.
    pub key: Setting<String>,
    /// The resource policy.
    pub policy: Setting<PolicyDocument>,
    /// Regions and their keys; no key: the default one of that region.
    pub replicas: Setting<BTreeMap<String, Option<String>>>,
    /// Whether a secret that exists already may become ours.
    pub adoption: AwsAdoptionPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self { key: Setting::Unset, policy: Setting::Unset, replicas: Setting::Unset, adoption: AwsAdoptionPolicy::Never }
    }
}

impl Settings {
    /// Reads `spec.aws` within what the administrator allows. `region`: where the secret lives.
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
                    "spec.aws.resourcePolicy: this operator does not let objects say who else may use an AWS secret: remove it, or ask the \
                     administrator for --allow-resource-policies",
                )),
                Some(document) => PolicyDocument::new(document, spec.block_public_policy).map_or_else(
                    || {
                        Setting::Rejected(Refusal::new(
                            Reason::InvalidSpec,
                            "spec.aws.resourcePolicy: AWS takes at most 20,480 characters: write a shorter policy",
                        ))
                    },
                    Setting::Set,
                ),
            },
            replicas: replicas(spec, region, policy),
            adoption: spec.adoption_policy,
        }
    }

    /// Why a setting may not be.
    pub fn refused(&self) -> Option<&Refusal> {
        self.key.refused().or_else(|| self.policy.refused()).or_else(|| self.replicas.refused())
    }
}

fn replicas(spec: &AwsSpec, own: &str, policy: &Policy) -> Setting<BTreeMap<String, Option<String>>> {
    let Some(wanted) = &spec.replica_regions else { return Setting::Unset };
    for replica in wanted {
        let region = &replica.region;
        if region == own {
            return Setting::Rejected(Refusal::new(
                Reason::InvalidSpec,
                format!("spec.aws.replicaRegions: the secret itself lives in {region}: name other regions only"),
            ));
        }
        if !policy.allowed_regions.is_empty() && !policy.allowed_regions.contains(region) {
            return Setting::Rejected(Refusal::new(
                Reason::RegionNotAllowed,
                format!(
                    "spec.aws.replicaRegions: the region {region} is none of those that the operator may use ({}): remove it, or ask the \
                     administrator for --allowed-regions",
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
                "{field}: the KMS key {} is none of those that objects may use ({}): name one of them, or ask the administrator for \
                 --allowed-kms-keys",
                key.chars().take(256).collect::<String>(),
                policy.allowed_kms_keys.join(", ")
            ),
        )
    })
}

#[cfg(test)]
mod tests;
