//! Settings of the AWS secret from `spec.aws`, and the restrictions of the administrator. A setting that is rejected is
//! not applied; everything else is reconciled.

use std::collections::BTreeMap;

use super::glob::glob_allows;
use super::key::{DEFAULT, DEFAULT_SHORT};
use super::policy::Policy;
use super::resource_policy::PolicyDocument;
use super::schema::Violations;
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
    /// As declared, or less if the administrator allows less.
    pub adoption: AwsAdoptionPolicy,
    /// What is declared, if that is more than the administrator allows.
    pub adoption_declared: Option<AwsAdoptionPolicy>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: Setting::Unset,
            policy: Setting::Unset,
            replicas: Setting::Unset,
            adoption: AwsAdoptionPolicy::Never,
            adoption_declared: None,
        }
    }
}

impl Settings {
    /// Parses `spec.aws` with the restrictions of the administrator. `region`: the region of the AWS secret.
    pub(super) fn read(spec: &AwsSpec, region: &str, policy: &Policy) -> Self {
        Self {
            key: match (key_refusal("spec.aws.kmsKeyId", spec.kms_key_id.as_deref(), policy), &spec.kms_key_id) {
                (Some(refusal), _) => Setting::Rejected(refusal),
                (None, None) => Setting::Unset,
                (None, Some(key)) => Setting::Set(key.clone()),
            },
            policy: match &spec.resource_policy {
                None => Setting::Unset,
                Some(_) if !policy.allow_resource_policies => Setting::Rejected(Refusal::new(
                    Reason::PolicyNotAllowed,
                    "spec.aws.resourcePolicy: resource policies are not enabled in this cluster: remove it, or ask the administrator to \
                     set --allow-resource-policies",
                )),
                Some(_) if !spec.block_public_policy && !policy.allow_public_policies => Setting::Rejected(Refusal::new(
                    Reason::PolicyNotAllowed,
                    "spec.aws.blockPublicPolicy: false is not enabled in this cluster: remove it, or ask the administrator to set \
                     --allow-public-policies",
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
            adoption: spec.adoption_policy.min(policy.max_adoption),
            adoption_declared: Some(spec.adoption_policy).filter(|declared| *declared > policy.max_adoption),
        }
    }

    /// Without the settings that exceed a bound of the schema.
    pub(super) fn without(mut self, violations: &Violations) -> Self {
        if let Some(refusal) = &violations.policy {
            self.policy = Setting::Rejected(refusal.clone());
        }
        if let Some(refusal) = &violations.replicas {
            self.replicas = Setting::Rejected(refusal.clone());
        }
        self
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
        if let Some(refusal) = key_refusal("spec.aws.replicaRegions", replica.kms_key_id.as_deref(), policy) {
            return Setting::Rejected(refusal);
        }
    }
    Setting::Set(wanted.iter().map(|replica| (replica.region.clone(), replica.kms_key_id.clone())).collect())
}

/// `key`: as declared. Without one AWS uses the default key, which therefore has to be allowed too.
fn key_refusal(field: &str, key: Option<&str>, policy: &Policy) -> Option<Refusal> {
    let allows = |key: &str| policy.allowed_kms_keys.iter().any(|glob| glob_allows(glob, key));
    let list = || policy.allowed_kms_keys.join(", ");
    let message = match key {
        _ if policy.allowed_kms_keys.is_empty() => return None,
        Some(key) if allows(key) => return None,
        Some(key) => format!(
            "{field}: the KMS key {} is not among the keys that the operator allows ({}): use one of them, or ask the administrator \
             to extend --allowed-kms-keys",
            key.chars().take(256).collect::<String>(),
            list()
        ),
        None if allows(DEFAULT) || allows(DEFAULT_SHORT) => return None,
        None => format!(
            "{field}: no KMS key is declared, and the default key aws/secretsmanager is not among the keys that the operator allows \
             ({}): declare one of them, or ask the administrator to add aws/secretsmanager to --allowed-kms-keys",
            list()
        ),
    };
    Some(Refusal::new(Reason::KeyNotAllowed, message))
}

#[cfg(test)]
mod tests;
