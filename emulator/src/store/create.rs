//! `CreateSecret`.

use std::sync::Arc;

use jiff::Timestamp;
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use serde_json::{Map, Value};

use super::fields::{Fields, check_name};
use super::secret::{CURRENT, Secret, Version};
use super::{Answer, Caller, Store};
use crate::error::AwsError;

impl Store {
    /// With a value: one version whose id is the token, labelled AWSCURRENT. Without: no version at all.
    pub(super) fn create(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let name = fields.required("Name", 1, 512)?;
        check_name(name)?;
        let token = fields.token()?;
        let value = fields.payload()?;
        let description = fields.text("Description", 0, 2048)?;
        let kms_key = fields.text("KmsKeyId", 0, 2048)?;
        let kind = fields.text("Type", 0, 256)?;
        let tags = fields.tags()?;
        let replicas = self.parse_regions(caller, fields)?;
        if fields.has("CrossAccountPrimaryARN") {
            return Err(AwsError::invalid_parameter("The emulator has one account and no cross-account replicas."));
        }
        super::replicate::refuse_own_region(caller.region, &replicas)?;

        if let Some(shelf) = self.shelf(caller.region, name) {
            if let Some(there) = &shelf.secret {
                return replay(there, token, value.as_ref(), caller.now);
            }
            if shelf.held.is_some_and(|until| until > caller.now) {
                return Err(scheduled());
            }
        }

        let suffix = self.draw_suffix();
        let mut secret = Secret::empty(name, caller.region, &suffix, caller.now);
        secret.description = description.filter(|text| !text.is_empty()).map(str::to_owned);
        secret.kms_key = kms_key.and_then(super::values::own_key);
        secret.kind = kind.map(str::to_owned);
        secret.tags = tags;
        if value.is_some() {
            let version = Version { value, created: caller.now, serial: 0 };
            secret.versions.insert(token.to_owned(), Arc::new(version));
            secret.labels.insert(CURRENT.to_owned(), token.to_owned());
        }
        if !replicas.is_empty() {
            let force = fields.bool("ForceOverwriteReplicaSecret")?;
            self.add_replicas(caller, &mut secret, replicas, force);
        }
        let answer = render(&secret, token, caller.now);
        self.save(caller, secret);
        Ok(answer)
    }

    /// The six characters that AWS ends an ARN with.
    pub(super) fn draw_suffix(&mut self) -> String {
        (&mut self.chance).sample_iter(Alphanumeric).take(6).map(char::from).collect()
    }
}

/// A name that is there already: the same request again is answered as the first time (checked against AWS by moto's tests).
fn replay(there: &Secret, token: &str, value: Option<&crate::Payload>, now: Timestamp) -> Answer {
    if there.deletion.is_some() {
        return Err(scheduled());
    }
    match there.versions.get(token) {
        Some(version) if version.value.as_ref() == value => Ok(render(there, token, now)),
        Some(_) => Err(AwsError::token_in_use(token, &there.arn)),
        None => Err(AwsError::exists(format!("The operation failed because the secret {} already exists.", there.name))),
    }
}

fn scheduled() -> AwsError {
    AwsError::invalid_request("You can't create this secret because a secret with this name is already scheduled for deletion.")
}

fn render(secret: &Secret, token: &str, now: Timestamp) -> Value {
    let mut answer = Map::new();
    answer.insert("ARN".into(), secret.arn.clone().into());
    answer.insert("Name".into(), secret.name.clone().into());
    if secret.versions.contains_key(token) {
        answer.insert("VersionId".into(), token.into());
    }
    if let Some(status) = secret.replication_status(now) {
        answer.insert("ReplicationStatus".into(), status);
    }
    answer.into()
}
