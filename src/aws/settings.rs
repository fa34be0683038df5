//! The properties of a secret other than its value: description, key, tags, resource policy, replicas, deletion.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_secretsmanager::types::ReplicaRegionType;

use super::client::{Address, SecretsManager};
use super::fault::{Cause, Fault};
use super::operation::Operation;
use super::values::tags;
use crate::failure::Failure;

impl SecretsManager {
    /// Sets the description.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn set_description(&self, at: Address<'_>, description: &str) -> Result<(), Failure> {
        let request = self.client(at.region).update_secret().secret_id(at.id).description(description);
        done(self.call(at, Operation::UpdateSecret, request.send()).await)
    }

    /// Sets the KMS key. Empty: the default key.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn set_key(&self, at: Address<'_>, key: &str) -> Result<(), Failure> {
        let request = self.client(at.region).update_secret().secret_id(at.id).kms_key_id(key);
        let answer = self.call(at, Operation::UpdateSecret, request.send()).await;
        done(answer.map_err(|fault| if key.is_empty() { fault } else { fault.about_key(key) }))
    }

    /// Adds or changes these tags; the others stay.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn tag(&self, at: Address<'_>, add: &BTreeMap<String, String>) -> Result<(), Failure> {
        let request = self.client(at.region).tag_resource().secret_id(at.id).set_tags(Some(tags(add)));
        done(self.call(at, Operation::TagResource, request.send()).await)
    }

    /// Removes tags. A tag that does not exist is not an error.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn untag(&self, at: Address<'_>, keys: &BTreeSet<String>) -> Result<(), Failure> {
        let request = self.client(at.region).untag_resource().secret_id(at.id).set_tag_keys(Some(keys.iter().cloned().collect()));
        done(self.call(at, Operation::UntagResource, request.send()).await)
    }

    /// The resource policy, as AWS returns it.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn policy(&self, at: Address<'_>) -> Result<Option<String>, Failure> {
        let request = self.client(at.region).get_resource_policy().secret_id(at.id);
        let output = self.call(at, Operation::GetResourcePolicy, request.send()).await.map_err(Fault::into_failure)?;
        Ok(output.resource_policy.filter(|text| !text.is_empty()))
    }

    /// Replaces the resource policy. `block_public`: AWS refuses a policy that grants public access.
    ///
    /// # Errors
    /// Any refusal, or no answer. Reason `PolicyRefused` if AWS does not accept the policy.
    pub async fn put_policy(&self, at: Address<'_>, policy: &str, block_public: bool) -> Result<(), Failure> {
        let request =
            self.client(at.region).put_resource_policy().secret_id(at.id).resource_policy(policy).block_public_policy(block_public);
        done(self.call(at, Operation::PutResourcePolicy, request.send()).await)
    }

    /// Removes the resource policy.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn delete_policy(&self, at: Address<'_>) -> Result<(), Failure> {
        let request = self.client(at.region).delete_resource_policy().secret_id(at.id);
        done(self.call(at, Operation::DeleteResourcePolicy, request.send()).await)
    }

    /// Replicates the secret to these Regions, each with its KMS key or the default key. A secret of the same name in a Region is not
    /// overwritten: that replica fails.
    ///
    /// # Errors
    /// Any refusal, or no answer. The result in each Region is in a later description.
    pub async fn replicate(&self, at: Address<'_>, replicas: &BTreeMap<String, Option<String>>) -> Result<(), Failure> {
        let regions =
            replicas.iter().map(|(region, key)| ReplicaRegionType::builder().region(region).set_kms_key_id(key.clone()).build()).collect();
        let request = self
            .client(at.region)
            .replicate_secret_to_regions()
            .secret_id(at.id)
            .set_add_replica_regions(Some(regions))
            .force_overwrite_replica_secret(false);
        done(self.call(at, Operation::ReplicateSecretToRegions, request.send()).await)
    }

    /// Deletes the replicas in these Regions, without a recovery window.
    ///
    /// # Errors
    /// Any refusal, or no answer. A replica that no longer exists is an error.
    pub async fn stop_replicating(&self, at: Address<'_>, regions: &BTreeSet<String>) -> Result<(), Failure> {
        let request = self
            .client(at.region)
            .remove_regions_from_replication()
            .secret_id(at.id)
            .set_remove_replica_regions(Some(regions.iter().cloned().collect()));
        done(self.call(at, Operation::RemoveRegionsFromReplication, request.send()).await)
    }

    /// Schedules the secret for deletion in `window` days, 7 to 30. Never forced. A secret that does not exist, or is
    /// scheduled for deletion already, is not an error.
    ///
    /// # Errors
    /// Any other refusal, or no answer.
    pub async fn delete(&self, at: Address<'_>, window: i32) -> Result<(), Failure> {
        let request = self.client(at.region).delete_secret().secret_id(at.id).recovery_window_in_days(i64::from(window));
        match self.call(at, Operation::DeleteSecret, request.send()).await {
            Err(fault) if matches!(fault.cause, Cause::NotFound | Cause::ScheduledForDeletion) => Ok(()),
            answer => done(answer),
        }
    }

    /// Cancels the scheduled deletion.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn restore(&self, at: Address<'_>) -> Result<(), Failure> {
        let request = self.client(at.region).restore_secret().secret_id(at.id);
        done(self.call(at, Operation::RestoreSecret, request.send()).await)
    }
}

fn done<T>(answer: Result<T, Fault>) -> Result<(), Failure> {
    answer.map(drop).map_err(Fault::into_failure)
}
