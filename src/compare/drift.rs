//! Where the settings of the AWS secret differ from the spec. Only what the spec mentions is compared, and what the
//! operator applied earlier and the spec no longer mentions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::input::{Input, Need};
use super::ownership;
use crate::api::{ADOPT_BY, AppliedStatus};
use crate::desired::Setting;
use crate::desired::key::{DEFAULT, Sameness, compare};
use crate::desired::resource_policy::PolicyDocument;
use crate::facts::{AwsSecret, ReplicaState};
use crate::refusal::Refusal;
use crate::step::{Step, StepKind};

/// Tags of the operator itself. `spec.aws.tags` cannot name them.
const OWN_TAGS: &str = "rotated-secrets.io/";
/// How long a failed replica is left alone before it is requested again.
pub const REPLICA_RETRY: SignedDuration = SignedDuration::from_mins(10);

/// The differences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    /// Ownership tags that are missing or differ, and declared tags that are missing or that the operator applied with
    /// another value.
    pub missing_tags: BTreeMap<String, String>,
    /// Declared tags that another writer set to another value. They are not overwritten.
    pub foreign_tags: BTreeSet<String>,
    /// Tags that the operator applied, that are there, and that are no longer declared; and the consent to an adoption that
    /// is done.
    pub surplus_tags: BTreeSet<String>,
    /// A description is declared and differs.
    pub description: bool,
    /// The KMS key to set; empty: back to the default key, as AWS writes it.
    pub key: Option<String>,
    /// The KMS key as AWS shows it; `None`: the default key.
    pub key_shown: Option<String>,
    /// The resource policy.
    pub policy: PolicyState,
    /// Regions to replicate to, and their keys.
    pub add_replicas: BTreeMap<String, Option<String>>,
    /// Regions whose replicas are no longer declared.
    pub remove_replicas: BTreeSet<String>,
    /// Regions whose replicas have another key than the declared one, and the declared one.
    pub replica_keys: BTreeMap<String, String>,
}

/// The resource policy against the declared one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PolicyState {
    /// None is declared, and none of ours is there.
    #[default]
    Unset,
    /// It means what is declared: the hash of that meaning.
    AsDeclared(String),
    /// It must be put.
    Differs,
    /// Ours is there and no longer declared.
    Surplus,
    /// It is declared and not allowed, or it could not be read.
    Rejected(Refusal),
}

/// Compares tags and description, which any secret has. `applied`: the keys of tags that the operator set.
pub(super) fn metadata(input: Input<'_>, secret: &AwsSecret, applied: &[String]) -> Drift {
    let want = input.want;
    let differing = want.tags.iter().filter(|(key, value)| secret.tags.get(*key) != Some(value));
    let is_foreign = |key: &String| secret.tags.contains_key(key) && !key.starts_with(OWN_TAGS) && !applied.contains(key);
    let (foreign, missing): (BTreeMap<_, _>, BTreeMap<_, _>) =
        differing.map(|(key, value)| (key.clone(), value.clone())).partition(|(key, _)| is_foreign(key));
    Drift {
        missing_tags: missing,
        foreign_tags: foreign.into_keys().collect(),
        description: want.description.as_ref().is_some_and(|wanted| wanted != secret.description.as_deref().unwrap_or_default()),
        ..Drift::default()
    }
}

/// Compares all settings of a secret that is ours.
pub(super) fn settings(input: Input<'_>, secret: &AwsSecret) -> Result<Drift, Need> {
    let nothing = AppliedStatus::default();
    // The status may speak of another secret.
    let same = input.status.arn.as_deref() == Some(secret.arn.as_str());
    let applied = if same { &input.status.applied } else { &nothing };
    let surplus = applied.tag_keys.iter().filter(|key| !input.want.tags.contains_key(*key) && secret.tags.contains_key(*key));
    // The consent was used. It would let a later object of this name adopt the secret.
    let used = ownership::consents(input.want, &secret.tags).then(|| ADOPT_BY.to_owned());
    let drift = Drift {
        surplus_tags: surplus.cloned().chain(used).collect(),
        key: key(input, secret, applied),
        key_shown: secret.kms_key_id.clone(),
        policy: policy(input, secret, applied)?,
        ..metadata(input, secret, &applied.tag_keys)
    };
    Ok(replicas(input, secret, drift))
}

/// The key to set, if the one in use is not the declared one.
fn key(input: Input<'_>, secret: &AwsSecret, applied: &AppliedStatus) -> Option<String> {
    let shown = secret.kms_key_id.as_deref();
    let (applied, applied_shown) = (applied.kms_key_id.as_deref(), applied.kms_key_shown.as_deref());
    match &input.want.settings.key {
        Setting::Rejected(_) => None,
        Setting::Set(wanted) => {
            let differs = match compare(wanted, shown) {
                Sameness::Same => false,
                Sameness::Different => true,
                // An alias cannot be compared with a key id. What AWS showed when this key was applied can.
                Sameness::Unknown => !input.journal.did(StepKind::SetKey) && (applied != Some(wanted.as_str()) || applied_shown != shown),
            };
            differs.then(|| wanted.clone())
        }
        // Taken back only while it is still the one that the operator set.
        Setting::Unset => (applied.is_some() && shown.is_some() && shown == applied_shown).then(String::new),
    }
}

/// Whether AWS is asked again: the spec changed since the last report, or a person asks for a refresh.
fn refresh(input: Input<'_>) -> bool {
    let request = &input.want.refresh_request;
    !input.status.current_generation || (request.is_some() && *request != input.status.requests.refresh)
}

/// The policy is read only if the declaration changed, if anything about the secret changed since the last read, or if a
/// person asks.
fn policy(input: Input<'_>, secret: &AwsSecret, applied: &AppliedStatus) -> Result<PolicyState, Need> {
    let declared = match &input.want.settings.policy {
        Setting::Rejected(refusal) => return Ok(PolicyState::Rejected(refusal.clone())),
        Setting::Set(policy) => Some(policy),
        Setting::Unset => None,
    };
    if declared.is_none() && applied.resource_policy.is_none() {
        return Ok(PolicyState::Unset);
    }
    // A policy that was put without AWS's check is put again when the check is asked for.
    let unchecked = |policy: &PolicyDocument| {
        policy.block_public && applied.block_public_policy == Some(false) && !input.journal.did(StepKind::PutPolicy)
    };
    if let (Some(policy), Some(put)) = (declared, &applied.resource_policy)
        && put == policy.meaning()
        && !unchecked(policy)
        && secret.last_changed.is_some()
        && applied.last_changed_date.as_ref().map(|date| date.0) == secret.last_changed
        && !refresh(input)
    {
        return Ok(PolicyState::AsDeclared(put.clone()));
    }
    let read = input.facts.reads.policy.as_ref().filter(|read| read.changed == secret.last_changed);
    let found = match &read.ok_or(Need::Policy)?.meaning {
        Ok(found) => found.as_ref(),
        Err(refusal) => return Ok(PolicyState::Rejected(refusal.clone())),
    };
    Ok(match (declared, found) {
        (Some(policy), Some(found)) if found == policy.meaning() && !unchecked(policy) => PolicyState::AsDeclared(found.clone()),
        (Some(_), _) => PolicyState::Differs,
        // Deleted only while it is still the one that we put.
        (None, found) if found.is_some() && found == applied.resource_policy.as_ref() => PolicyState::Surplus,
        (None, _) => PolicyState::Unset,
    })
}

fn set_key(region: &str, key: &str) -> Step {
    Step::SetReplicaKey { region: region.to_owned(), key: key.to_owned() }
}

fn replicas(input: Input<'_>, secret: &AwsSecret, mut drift: Drift) -> Drift {
    let Setting::Set(wanted) = &input.want.settings.replicas else { return drift };
    let refresh = refresh(input);
    let retry = refresh || secret.last_changed.is_none_or(|changed| input.now.duration_since(changed) >= REPLICA_RETRY);
    for (region, key) in wanted {
        match secret.replicas.iter().find(|replica| replica.region == *region) {
            None => drop(drift.add_replicas.insert(region.clone(), key.clone())),
            Some(replica) if replica.state == ReplicaState::Failed => {
                if retry {
                    drift.add_replicas.insert(region.clone(), key.clone());
                }
            }
            Some(replica) => {
                let wanted = key.as_deref().unwrap_or(DEFAULT);
                let differs = match compare(wanted, replica.key.as_deref()) {
                    Sameness::Same => false,
                    Sameness::Different => true,
                    // Set once after an edit or on request, since what AWS shows cannot tell.
                    Sameness::Unknown => refresh && !input.journal.tried(&set_key(region, wanted)),
                };
                if differs {
                    drift.replica_keys.insert(region.clone(), wanted.to_owned());
                }
            }
        }
    }
    let undeclared = secret.replicas.iter().map(|replica| &replica.region).filter(|region| !wanted.contains_key(*region));
    drift.remove_replicas = undeclared.cloned().collect();
    drift
}
