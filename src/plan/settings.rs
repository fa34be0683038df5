//! Keeping what `spec.aws` says of the AWS secret beside its value. Only what the spec mentions is changed, and what the operator once set and
//! the spec mentions no longer is taken back; all else stays. A setting that AWS refuses is said and does not hold up the credential.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Observed, Remote, Step};
use crate::api::condition::Reason;
use crate::desired::key::{DEFAULT, Sameness, compare};
use crate::desired::{Desired, Refusal, Setting};
pub use crate::facts::{Replica, ReplicaState};

/// How long a replica that failed is left before it is asked for again by itself.
const ANOTHER_TRY: SignedDuration = SignedDuration::from_mins(10);

/// Where the AWS secret is not as declared, and how its replicas stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Tags that the operator set, that are there, and that the spec mentions no longer.
    pub surplus_tags: BTreeSet<String>,
    /// The key to set; empty: back to the default key, as AWS writes it.
    pub rekey: Option<String>,
    /// The key as AWS shows it; `None`: the default key.
    pub key_shown: Option<String>,
    /// The resource policy.
    pub policy: PolicyState,
    /// Regions to replicate to.
    pub add: BTreeMap<String, Option<String>>,
    /// Regions to replicate to no longer.
    pub stop: BTreeSet<String>,
    /// Regions of replicas whose key is another one than declared, and the declared one.
    pub rekey_replicas: BTreeMap<String, String>,
    /// All replicas.
    pub replicas: Vec<Replica>,
    /// Where the secret really lives, if this is a replica of it.
    pub replica_of: Option<String>,
}

/// How the resource policy stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PolicyState {
    /// None is declared, and none of ours is there.
    #[default]
    Unmentioned,
    /// It means what is declared: the hash of that meaning.
    AsDeclared(String),
    /// It is to be put.
    Differs,
    /// Ours is there and is not declared any more.
    Surplus,
    /// It is declared and may not be, or could not be looked at.
    Refused(Refusal),
}

/// What decides about the key.
#[derive(Debug, Clone, Copy)]
pub struct KeyFacts<'a> {
    /// As AWS shows it.
    pub shown: Option<&'a str>,
    /// As the spec said it when the operator set it.
    pub kept: Option<&'a str>,
    /// As AWS showed it then.
    pub kept_shown: Option<&'a str>,
    /// It was set in this turn.
    pub just_set: bool,
}

/// The key to set, if the one in use is not the declared one.
pub fn rekey(wanted: &Setting<String>, facts: KeyFacts<'_>) -> Option<String> {
    match wanted {
        Setting::Rejected(_) => None,
        Setting::Set(wanted) => {
            let set = match compare(wanted, facts.shown) {
                Sameness::Same => false,
                Sameness::Different => true,
                // An alias against an id says nothing by itself. What AWS showed when this key was set says all.
                Sameness::Unknown => !facts.just_set && (facts.kept != Some(wanted.as_str()) || facts.kept_shown != facts.shown),
            };
            set.then(|| wanted.clone())
        }
        // Taken back only while it is still the one that the operator set.
        Setting::Unset => (facts.kept.is_some() && facts.shown.is_some() && facts.shown == facts.kept_shown).then(String::new),
    }
}

/// What decides about replicas beside what is declared.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaFacts {
    /// The spec is another one than last reported, or a person asks for a look.
    pub anew: bool,
    /// Any modification of the secret.
    pub last_changed: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

impl Settings {
    /// What differs in the replicas. `found` is kept as it is.
    #[must_use]
    pub fn replicated(mut self, wanted: &Setting<BTreeMap<String, Option<String>>>, found: Vec<Replica>, facts: ReplicaFacts) -> Self {
        if let Setting::Set(wanted) = wanted {
            let rested = facts.anew || facts.last_changed.is_none_or(|changed| facts.now >= changed + ANOTHER_TRY);
            for (region, key) in wanted {
                match found.iter().find(|replica| replica.region == *region) {
                    None => drop(self.add.insert(region.clone(), key.clone())),
                    Some(replica) if replica.state == ReplicaState::Failed => {
                        if rested {
                            self.add.insert(region.clone(), key.clone());
                        }
                    }
                    Some(replica) => {
                        let wanted = key.as_deref().unwrap_or(DEFAULT);
                        let differs = match compare(wanted, replica.key.as_deref()) {
                            Sameness::Same => false,
                            Sameness::Different => true,
                            Sameness::Unknown => facts.anew,
                        };
                        if differs {
                            self.rekey_replicas.insert(region.clone(), wanted.to_owned());
                        }
                    }
                }
            }
            self.stop = found.iter().map(|replica| replica.region.clone()).filter(|region| !wanted.contains_key(region)).collect();
        }
        self.replicas = found;
        self
    }
}

/// The next thing to mend, of those that were not tried in this turn.
pub(super) fn drift(want: &Desired, seen: &Observed, remote: &Remote) -> Option<Step> {
    steps(want, remote).into_iter().find(|step| step.once().is_some_and(|key| !seen.tried.contains_key(&key)))
}

/// Everything that is to be mended.
fn steps(want: &Desired, remote: &Remote) -> Vec<Step> {
    let settings = &remote.settings;
    let mut steps = Vec::new();
    if !remote.missing_tags.is_empty() {
        steps.push(Step::Tag { tags: remote.missing_tags.clone() });
    }
    if !settings.surplus_tags.is_empty() {
        steps.push(Step::Untag { keys: settings.surplus_tags.clone() });
    }
    if let (Some(description), true) = (&want.description, remote.description_differs) {
        steps.push(Step::SetDescription { description: description.clone() });
    }
    if let Some(key) = &settings.rekey {
        steps.push(Step::SetKey { key: key.clone() });
    }
    match settings.policy {
        PolicyState::Differs => steps.push(Step::PutPolicy),
        PolicyState::Surplus => steps.push(Step::DeletePolicy),
        PolicyState::Unmentioned | PolicyState::AsDeclared(_) | PolicyState::Refused(_) => {}
    }
    if !settings.stop.is_empty() {
        steps.push(Step::StopReplicating { regions: settings.stop.clone() });
    }
    if !settings.add.is_empty() {
        steps.push(Step::Replicate { replicas: settings.add.clone() });
    }
    for (region, key) in &settings.rekey_replicas {
        steps.push(Step::SetReplicaKey { region: region.clone(), key: key.clone() });
    }
    steps
}

/// Why the AWS secret is not as declared beside its value, when nothing more can be done now: what a person can mend comes first.
pub(super) fn refusal(want: &Desired, seen: &Observed, remote: &Remote) -> Option<Refusal> {
    let refused = || {
        let tried = seen.tried.values().flatten();
        let policy = match &remote.settings.policy {
            PolicyState::Refused(refusal) => Some(refusal),
            _ => None,
        };
        tried.chain(want.settings.refused()).chain(policy).next().cloned()
    };
    let asked = |region: &str| want.settings.replicas.asked().is_some_and(|asked| asked.contains_key(region));
    let replicas = || remote.settings.replicas.iter().filter(|replica| asked(&replica.region));
    let failed = || {
        let replica = replicas().find(|replica| matches!(replica.state, ReplicaState::Failed | ReplicaState::Detached))?;
        let region = &replica.region;
        Some(Refusal::new(
            Reason::ReplicaFailed,
            format!(
                "the replica in {region} is {} ({}): {}; it is asked for again every ten minutes, and at once when spec.aws.replicaRegions changes",
                replica.state.as_str(),
                replica.why.unwrap_or("Other"),
                match replica.why {
                    Some("NameExists") =>
                        "a secret of this name lives there already: remove it, or the region from spec.aws.replicaRegions",
                    Some("KeyUnusable") => "check the KMS key of that region in spec.aws.replicaRegions",
                    _ => "aws secretsmanager describe-secret shows what AWS says",
                }
            ),
        ))
    };
    let moving = || {
        let waits = replicas().find(|replica| replica.state != ReplicaState::InSync);
        let told = waits.map(|replica| format!("the replica in {} is {}", replica.region, replica.state.as_str()));
        let unseen = (!steps(want, remote).is_empty()).then(|| "AWS does not show the last change of spec.aws yet".to_owned());
        Some(Refusal::new(Reason::Progressing, told.or(unseen)?))
    };
    refused().or_else(failed).or_else(moving)
}
