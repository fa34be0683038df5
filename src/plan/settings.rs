//! Correcting drift of what `spec.aws` declares beside the value. A setting that AWS refuses is reported and does not
//! hold up the credential.

use super::situation::Situation;
use crate::api::condition::Reason;
use crate::command::{Command, KeyRef, SecretRef};
use crate::compare::{Observation, PolicyState, SecretState};
use crate::desired::Desired;
use crate::facts::{Replica, ReplicaState};
use crate::failure::Failed;
use crate::refusal::Refusal;
use crate::step::Step;

/// The next setting to correct, of those that this reconcile has not tried.
pub(super) fn correct(want: &Desired, seen: &Observation, secret: &SecretState) -> Option<Step> {
    steps(want, secret).into_iter().find(|step| !seen.journal.tried(step))
}

/// Everything that differs, as steps, in the order in which they are carried out.
fn steps(want: &Desired, secret: &SecretState) -> Vec<Step> {
    let drift = &secret.drift;
    let mut steps = Vec::new();
    if !drift.missing_tags.is_empty() {
        steps.push(Step::Tag { tags: drift.missing_tags.clone() });
    }
    if !drift.surplus_tags.is_empty() {
        steps.push(Step::Untag { keys: drift.surplus_tags.clone() });
    }
    if let (Some(description), true) = (&want.description, drift.description) {
        steps.push(Step::SetDescription { description: description.clone() });
    }
    steps.extend(drift.key.clone().map(|key| Step::SetKey { key }));
    match drift.policy {
        PolicyState::Differs => steps.push(Step::PutPolicy),
        PolicyState::Surplus => steps.push(Step::DeletePolicy),
        PolicyState::Unset | PolicyState::AsDeclared(_) | PolicyState::Rejected(_) => {}
    }
    if !drift.remove_replicas.is_empty() {
        steps.push(Step::StopReplicating { regions: drift.remove_replicas.clone() });
    }
    if !drift.add_replicas.is_empty() {
        steps.push(Step::Replicate { replicas: drift.add_replicas.clone() });
    }
    let keys = drift.replica_keys.iter();
    steps.extend(keys.map(|(region, key)| Step::SetReplicaKey { region: region.clone(), key: key.clone() }));
    steps
}

/// Why the settings are not as declared, when nothing more can be done now. What a person can correct comes first.
pub(super) fn refusal(situation: &Situation<'_>) -> Option<Refusal> {
    let Situation { want, secret, .. } = situation;
    want.value.as_ref()?;
    rejected(situation).or_else(|| failed_replica(want, secret)).or_else(|| in_progress(want, secret))
}

fn rejected(situation: &Situation<'_>) -> Option<Refusal> {
    let Situation { want, seen, secret, .. } = situation;
    let policy = match &secret.drift.policy {
        PolicyState::Rejected(refusal) => Some(refusal),
        _ => None,
    };
    let failed = steps(want, secret).into_iter().filter_map(|step| seen.journal.failure(&step));
    let failed = failed.chain(seen.journal.failed_labels()).map(Failed::refusal);
    let first = failed.chain(want.settings.rejected().cloned()).chain(policy.cloned()).next();
    first.or_else(|| foreign_tags(want, secret))
}

/// Tags that another writer set are not overwritten, since others may rely on them (costs, access).
fn foreign_tags(want: &Desired, secret: &SecretState) -> Option<Refusal> {
    let key = secret.drift.foreign_tags.first()?;
    let others = secret.drift.foreign_tags.len().saturating_sub(1);
    let others = if others == 0 { String::new() } else { format!(" (and {others} more)") };
    Some(Refusal::new(
        Reason::TagNotOwned,
        format!(
            "spec.aws.tags, or --default-tags: the AWS secret has the tag {key}{others} with another value, which the operator did not set and does \
             not overwrite: remove it there, or remove it from the AWS secret, and the operator sets it: {}",
            Command::UntagSecret(secret.at(want), key)
        ),
    ))
}

fn declared<'a>(want: &'a Desired, secret: &'a SecretState) -> impl Iterator<Item = &'a Replica> {
    let regions = want.settings.replicas.value();
    secret.replicas.iter().filter(move |replica| regions.is_some_and(|regions| regions.contains_key(&replica.region)))
}

fn failed_replica(want: &Desired, secret: &SecretState) -> Option<Refusal> {
    let mut replicas = declared(want, secret);
    let replica = replicas.find(|replica| matches!(replica.state, ReplicaState::Failed | ReplicaState::Detached))?;
    let there = SecretRef { region: &replica.region, id: &want.secret_name };
    let advice = match (replica.why, &replica.key) {
        (Some("NameExists"), _) => format!(
            "a secret of this name exists there already, and its owner is not known ({}): remove the region from spec.aws.replicaRegions, or \
             remove that secret if nobody needs it",
            Command::DescribeSecret(there)
        ),
        (Some("KeyUnusable"), Some(key)) => {
            format!("check the KMS key of that region: {}", Command::DescribeKey(KeyRef::Named { region: &replica.region, key }))
        }
        (Some("KeyUnusable"), None) => "check the KMS key of that region in spec.aws.replicaRegions".to_owned(),
        _ => format!("AWS's message is shown by {}", Command::DescribeSecret(secret.at(want))),
    };
    let retry = match replica.state {
        ReplicaState::Failed => "; the operator retries every ten minutes, and at once when spec.aws.replicaRegions changes",
        _ => "; remove the region from spec.aws.replicaRegions and add it again to create a new replica",
    };
    Some(Refusal::new(
        Reason::ReplicaFailed,
        format!("the replica in {} is {} ({}): {advice}{retry}", replica.region, replica.state.as_str(), replica.why.unwrap_or("Other")),
    ))
}

fn in_progress(want: &Desired, secret: &SecretState) -> Option<Refusal> {
    let waiting = declared(want, secret).find(|replica| replica.state != ReplicaState::InSync);
    let waiting = waiting.map(|replica| format!("the replica in {} is {}", replica.region, replica.state.as_str()));
    let invisible = || (!steps(want, secret).is_empty()).then(|| "AWS does not show the last change of spec.aws yet".to_owned());
    Some(Refusal::new(Reason::Progressing, waiting.or_else(invisible)?))
}
