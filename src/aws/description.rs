//! DescribeSecret.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::{ReplicationStatusType, Tag};

use super::client::{Address, SecretsManager, timestamp};
use super::fault::Cause;
use super::operation::Operation;
use super::rotation;
use crate::desired::SecretArn;
use crate::facts::{AwsSecret, Replica, ReplicaState, RotationFacts};
use crate::failure::Failure;
use crate::version_id::VersionId;

impl SecretsManager {
    /// Reads the metadata. `None`: there is no such secret.
    ///
    /// # Errors
    /// Any other refusal, or no answer.
    pub async fn describe(&self, at: Address<'_>) -> Result<Option<AwsSecret>, Failure> {
        let request = self.client(at.region).describe_secret().secret_id(at.id);
        match self.call(at, Operation::DescribeSecret, request.send()).await {
            Ok(output) => {
                let secret = described(&output);
                // An ARN may lead to another account, a name does not.
                if !at.id.starts_with("arn:")
                    && let Some(arn) = SecretArn::parse(&secret.arn)
                {
                    self.session.found(arn.account);
                }
                Ok(Some(secret))
            }
            Err(fault) if fault.cause == Cause::NotFound => Ok(None),
            Err(fault) => Err(fault.into_failure()),
        }
    }
}

/// The members that a description and an entry of a list have in common.
pub(super) struct Shown<'a> {
    pub(super) arn: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    pub(super) kms_key_id: Option<&'a str>,
    pub(super) tags: &'a [Tag],
    pub(super) deleted: bool,
    pub(super) rotation: RotationFacts,
    pub(super) owning_service: Option<&'a str>,
    pub(super) versions: Option<&'a HashMap<String, Vec<String>>>,
    pub(super) last_changed: Option<&'a DateTime>,
    pub(super) replicas: &'a [ReplicationStatusType],
    pub(super) primary_region: Option<&'a str>,
}

fn described(output: &DescribeSecretOutput) -> AwsSecret {
    parse(&Shown {
        arn: output.arn(),
        name: output.name(),
        description: output.description(),
        kms_key_id: output.kms_key_id(),
        tags: output.tags(),
        deleted: output.deleted_date().is_some(),
        rotation: rotation::facts(&rotation::Shown {
            enabled: output.rotation_enabled(),
            function: output.rotation_lambda_arn(),
            rules: output.rotation_rules(),
            last: output.last_rotated_date(),
            next: output.next_rotation_date(),
        }),
        owning_service: output.owning_service(),
        versions: output.version_ids_to_stages(),
        last_changed: output.last_changed_date(),
        replicas: output.replication_status(),
        primary_region: output.primary_region(),
    })
}

pub(super) fn parse(shown: &Shown<'_>) -> AwsSecret {
    let tag = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    AwsSecret {
        arn: shown.arn.unwrap_or_default().to_owned(),
        name: shown.name.unwrap_or_default().to_owned(),
        description: shown.description.map(str::to_owned),
        kms_key_id: shown.kms_key_id.map(str::to_owned),
        tags: shown.tags.iter().filter_map(tag).collect(),
        deleted: shown.deleted,
        rotation: shown.rotation.clone(),
        owning_service: shown.owning_service.map(str::to_owned),
        labels: labels(shown.versions),
        last_changed: shown.last_changed.and_then(timestamp),
        replicas: shown.replicas.iter().filter_map(replica).collect(),
        primary_region: shown.primary_region.map(str::to_owned),
    }
}

fn labels(versions: Option<&HashMap<String, Vec<String>>>) -> BTreeMap<String, VersionId> {
    let of_version = |(version, labels): (&String, &Vec<String>)| {
        let version = VersionId::from(version.clone());
        labels.iter().map(|label| (label.clone(), version.clone())).collect::<Vec<_>>()
    };
    versions.into_iter().flatten().flat_map(of_version).collect()
}

/// From an entry of `ReplicationStatus`. AWS's message becomes one word.
fn replica(entry: &ReplicationStatusType) -> Option<Replica> {
    let state = entry.status().map_or(ReplicaState::Unknown, |status| status.as_str().parse().unwrap_or(ReplicaState::Unknown));
    let failed = matches!(state, ReplicaState::Failed | ReplicaState::Detached);
    let why = failed.then(|| why(entry.status_message().unwrap_or_default()));
    Some(Replica { region: entry.region()?.to_owned(), key: entry.kms_key_id().map(str::to_owned), state, why })
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
    use aws_sdk_secretsmanager::types::StatusType;

    use super::*;

    #[test]
    fn the_state_of_a_replica_is_a_known_word_and_its_cause_one_of_four() {
        let parsed = |status: &str, message: &str| {
            let status = StatusType::from(status);
            replica(&ReplicationStatusType::builder().region("eu-west-1").status(status).status_message(message).build()).unwrap()
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
            let replica = parsed(status, message);
            assert_eq!((replica.state, replica.why), (state, why), "{status} {message}");
            assert!(!format!("{replica:?}").contains("canary"));
        }
    }

    #[test]
    fn every_label_names_its_version() {
        let output = DescribeSecretOutput::builder()
            .version_ids_to_stages("one", vec!["AWSCURRENT".to_owned(), "stable".to_owned()])
            .version_ids_to_stages("two", vec!["AWSPREVIOUS".to_owned()])
            .version_ids_to_stages("three", Vec::new())
            .build();
        let labels: Vec<(String, String)> =
            described(&output).labels.into_iter().map(|(label, version)| (label, version.to_string())).collect();
        let expected = [("AWSCURRENT", "one"), ("AWSPREVIOUS", "two"), ("stable", "one")];
        assert_eq!(labels, expected.map(|(label, version)| (label.to_owned(), version.to_owned())));
    }
}
