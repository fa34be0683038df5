//! What an AWS secret has beside its value: resource policy, replicas, tags to take away, a planned deletion to take back.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_secretsmanager::types::{ReplicaRegionType, ReplicationStatusType, StatusType};

use super::{Address, Fault, SecretsManager};
use crate::facts::{Replica, ReplicaState};
use crate::failure::Failure;

impl SecretsManager {
    /// The resource policy as AWS gives it back, if there is one.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn policy(&self, at: Address<'_>) -> Result<Option<String>, Failure> {
        let answer = self.client(at.region).get_resource_policy().secret_id(at.id).send().await;
        let output = self.count("GetResourcePolicy", answer).map_err(Fault::into_failure)?;
        Ok(output.resource_policy.filter(|text| !text.is_empty()))
    }

    /// Puts a resource policy in place of any other. `block_public`: AWS refuses it if it grants access to anybody.
    ///
    /// # Errors
    /// Any refusal; `PolicyRefused` when it is the policy that AWS does not take.
    pub async fn put_policy(&self, at: Address<'_>, policy: &str, block_public: bool) -> Result<(), Failure> {
        let request =
            self.client(at.region).put_resource_policy().secret_id(at.id).resource_policy(policy).block_public_policy(block_public);
        self.count("PutResourcePolicy", request.send().await).map(drop).map_err(Fault::into_failure)
    }

    /// Takes the resource policy away.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn delete_policy(&self, at: Address<'_>) -> Result<(), Failure> {
        let answer = self.client(at.region).delete_resource_policy().secret_id(at.id).send().await;
        self.count("DeleteResourcePolicy", answer).map(drop).map_err(Fault::into_failure)
    }

    /// Replicates the secret to these regions, each with its key or its region's default one. A secret of the same name there is never
    /// overwritten: that replica fails.
    ///
    /// # Errors
    /// Any refusal. What becomes of each region is seen by looking.
    pub async fn replicate(&self, at: Address<'_>, replicas: &BTreeMap<String, Option<String>>) -> Result<(), Failure> {
        let regions =
            replicas.iter().map(|(region, key)| ReplicaRegionType::builder().region(region).set_kms_key_id(key.clone()).build()).collect();
        let request = self
            .client(at.region)
            .replicate_secret_to_regions()
            .secret_id(at.id)
            .set_add_replica_regions(Some(regions))
            .force_overwrite_replica_secret(false);
        self.count("ReplicateSecretToRegions", request.send().await).map(drop).map_err(Fault::into_failure)
    }

    /// Removes the replicas of these regions, at once.
    ///
    /// # Errors
    /// Any refusal, also when one of them is gone already.
    pub async fn stop_replicating(&self, at: Address<'_>, regions: &BTreeSet<String>) -> Result<(), Failure> {
        let request = self
            .client(at.region)
            .remove_regions_from_replication()
            .secret_id(at.id)
            .set_remove_replica_regions(Some(regions.iter().cloned().collect()));
        self.count("RemoveRegionsFromReplication", request.send().await).map(drop).map_err(Fault::into_failure)
    }

    /// Takes tags away; a key that is not there is no error.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn untag(&self, at: Address<'_>, keys: &BTreeSet<String>) -> Result<(), Failure> {
        let request = self.client(at.region).untag_resource().secret_id(at.id).set_tag_keys(Some(keys.iter().cloned().collect()));
        self.count("UntagResource", request.send().await).map(drop).map_err(Fault::into_failure)
    }

    /// Takes back that the secret is scheduled for deletion.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn restore(&self, at: Address<'_>) -> Result<(), Failure> {
        let answer = self.client(at.region).restore_secret().secret_id(at.id).send().await;
        self.count("RestoreSecret", answer).map(drop).map_err(Fault::into_failure)
    }
}

/// A row of `ReplicationStatus`. AWS's sentence becomes one word of ours.
pub(super) fn replica(row: &ReplicationStatusType) -> Option<Replica> {
    let state = match row.status() {
        Some(StatusType::InSync) => ReplicaState::InSync,
        Some(StatusType::InProgress) => ReplicaState::InProgress,
        Some(StatusType::Failed) => ReplicaState::Failed,
        Some(other) if other.as_str() == "Pending" => ReplicaState::Pending,
        Some(other) if other.as_str() == "Detached" => ReplicaState::Detached,
        _ => ReplicaState::Unknown,
    };
    let why = matches!(state, ReplicaState::Failed | ReplicaState::Detached).then(|| why(row.status_message().unwrap_or_default()));
    Some(Replica { region: row.region()?.to_owned(), key: row.kms_key_id().map(str::to_owned), state, why })
}

fn why(message: &str) -> &'static str {
    let message = message.to_lowercase();
    let says = |word: &str| message.contains(word);
    match () {
        () if says("already exist") || says("same name") => "NameExists",
        () if says("kms") || says("encrypt") => "KeyUnusable",
        () if says("not authorized") || says("access denied") || says("accessdenied") => "AccessDenied",
        () => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_told_in_words_of_our_own() {
        let row = |status: &str, message: &str| {
            replica(&ReplicationStatusType::builder().region("eu-west-1").status(StatusType::from(status)).status_message(message).build())
                .unwrap()
        };
        let table = [
            ("InSync", "", ReplicaState::InSync, None),
            ("InProgress", "", ReplicaState::InProgress, None),
            ("Pending", "", ReplicaState::Pending, None),
            (
                "Failed",
                "Replication failed: Secret name simple already exists in region eu-west-1.",
                ReplicaState::Failed,
                Some("NameExists"),
            ),
            ("Failed", "The KMS key cannot be used", ReplicaState::Failed, Some("KeyUnusable")),
            ("Failed", "User is not authorized to", ReplicaState::Failed, Some("AccessDenied")),
            ("Failed", "canary-6f1d", ReplicaState::Failed, Some("Other")),
            ("Detached", "", ReplicaState::Detached, Some("Other")),
            ("canary-6f1d", "canary-6f1d", ReplicaState::Unknown, None),
        ];
        for (status, message, state, why) in table {
            let replica = row(status, message);
            assert_eq!((replica.state, replica.why), (state, why), "{status} {message}");
            assert!(!format!("{replica:?}").contains("canary"));
        }
    }
}
