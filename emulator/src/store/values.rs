//! `PutSecretValue` and `UpdateSecret`: new versions, their tokens and their labels.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::fields::{Fields, check_length};
use super::secret::{CURRENT, PENDING, PREVIOUS, Secret, Version};
use super::{Answer, Caller, Store};
use crate::clock::before;
use crate::error::AwsError;
use crate::payload::Payload;

/// Above so many versions those without a label are removed.
const KEPT: usize = 100;
/// The most versions of a secret. AWS says "approximately 100", and also that a put every ten minutes never meets the quota although no version
/// is removed on its first day; both hold with what ten minutes make of a day.
const QUOTA: usize = 144;
/// Labels of one call, and of all versions of a secret together.
pub(super) const LABELS: usize = 20;
/// A version younger than this is never removed to make room.
const YOUNG: Duration = Duration::from_hours(24);

/// What became of a write of a value.
enum Written {
    /// The token was used with the same data before: nothing changed, labels neither.
    Replayed,
    New,
}

impl Store {
    pub(super) fn put_value(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let token = fields.token()?;
        let value = fields.payload()?;
        let stages = fields.texts("VersionStages", 1, LABELS)?;
        for stage in stages.iter().flatten() {
            check_length("VersionStages", stage, 1, 256)?;
        }
        fields.text("RotationToken", 36, 256)?;
        let value = value.ok_or_else(|| AwsError::invalid_request("You must provide either SecretString or SecretBinary."))?;
        let mut secret = self.open(caller, id)?;
        let stages: BTreeSet<&str> = stages.unwrap_or_else(|| vec![CURRENT]).into_iter().collect();
        let written = secret.write(token, value, &stages, caller.now)?;
        let answer = json!({
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": token,
            "VersionStages": secret.labels_of(token),
        });
        if matches!(written, Written::New) {
            self.save(caller, secret);
        }
        Ok(answer)
    }

    /// Changes the description, the key or the value. A token that was used with the same value is answered as a success, against the
    /// model's own words (checked against AWS by moto's tests).
    pub(super) fn update(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let token = fields.token()?;
        let value = fields.payload()?;
        let description = fields.text("Description", 0, 2048)?;
        let kms_key = fields.text("KmsKeyId", 0, 2048)?;
        if let (None, None, Some(key)) = (&value, description, kms_key) {
            let found = self.find(Caller { age: Duration::ZERO, ..caller }, id)?;
            if found.is_replica() && found.deletion.is_none() {
                return self.rekey_replica(caller, &found, key);
            }
        }
        let mut secret = self.open(caller, id)?;
        let mut changed = description.is_some() || kms_key.is_some();
        let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
        if let Some(value) = value {
            let written = secret.write(token, value, &BTreeSet::from([CURRENT]), caller.now)?;
            changed |= matches!(written, Written::New);
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("VersionId".into(), token.into());
            }
        }
        if let Some(description) = description {
            secret.description = Some(description.to_owned()).filter(|text| !text.is_empty());
        }
        if let Some(key) = kms_key {
            secret.kms_key = own_key(key);
        }
        if changed {
            self.save(caller, secret);
        }
        Ok(answer)
    }
}

/// A key of the customer's. The service's own is left out of every answer.
pub(super) fn own_key(key: &str) -> Option<String> {
    (!matches!(key, "" | "alias/aws/secretsmanager" | "aws/secretsmanager")).then(|| key.to_owned())
}

impl Secret {
    /// Adds a version and labels it, or sees that it is there already.
    fn write(&mut self, token: &str, value: Payload, stages: &BTreeSet<&str>, now: Timestamp) -> Result<Written, AwsError> {
        let created = match self.versions.get(token) {
            None => now,
            Some(version) => match &version.value {
                Some(there) if *there == value => return Ok(Written::Replayed),
                Some(_) => return Err(AwsError::token_in_use(token, &self.arn)),
                // The empty version that RotateSecret made may be filled, once.
                None => version.created,
            },
        };
        let first = self.versions.is_empty();
        self.make_room(token, now)?;
        let version =
            Version { value: Some(value), created, serial: self.versions.values().map(|version| version.serial + 1).max().unwrap_or(0) };
        self.versions.insert(token.to_owned(), Arc::new(version));
        // The first version of a secret is its current one, also if other labels were asked for.
        if first || stages.contains(CURRENT) {
            self.make_current(token);
            // A new current value ends a rotation that was under way ("RotationAbandoned" in the user guide; recorded for a put
            // while AWSPENDING and AWSCURRENT were on one version).
            self.labels.remove(PENDING);
            self.value_put_by_hand(now);
        }
        for stage in stages {
            self.labels.insert((*stage).to_owned(), token.to_owned());
        }
        self.check_label_count()?;
        Ok(Written::New)
    }

    /// Moves AWSCURRENT, and AWSPREVIOUS to the version that it leaves.
    pub(super) fn make_current(&mut self, id: &str) {
        let left = self.labels.insert(CURRENT.to_owned(), id.to_owned());
        if let Some(left) = left.filter(|left| left != id) {
            self.labels.insert(PREVIOUS.to_owned(), left);
        }
    }

    pub(super) fn check_label_count(&self) -> Result<(), AwsError> {
        if self.labels.len() > LABELS {
            return Err(AwsError::limit(format!("You can't attach more than {LABELS} staging labels to the versions of a secret.")));
        }
        Ok(())
    }

    /// Removes unlabelled versions, oldest first, once there are too many, but none that is younger than a day.
    fn make_room(&mut self, for_token: &str, now: Timestamp) -> Result<(), AwsError> {
        if self.versions.contains_key(for_token) || self.versions.len() < KEPT {
            return Ok(());
        }
        let labelled = self.labelled_ids();
        let old = |version: &Version| version.created <= before(now, YOUNG);
        let mut spare: Vec<(Timestamp, u64, String)> = self
            .versions
            .iter()
            .filter(|(id, version)| !labelled.contains(id.as_str()) && old(version))
            .map(|(id, version)| (version.created, version.serial, id.clone()))
            .collect();
        spare.sort();
        for (_, _, id) in spare {
            if self.versions.len() < KEPT {
                break;
            }
            self.versions.remove(&id);
        }
        if self.versions.len() < QUOTA {
            return Ok(());
        }
        Err(AwsError::limit(
            "The request failed because it would exceed the quota of versions of a secret: none of them is both unlabelled and older than 24 hours.",
        ))
    }
}
