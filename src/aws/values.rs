//! Values, versions and staging labels.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::Tag;
use jiff::Timestamp;

use super::client::{Address, SecretsManager, timestamp};
use super::fault::{Cause, Fault};
use super::operation::Operation;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::failure::Failure;
use crate::plaintext::{Plaintext, SecretBytes};
use crate::value::Payload;
use crate::version_id::VersionId;

const CURRENT: &str = "AWSCURRENT";

/// A secret to create.
pub struct NewSecret<'a> {
    /// The name.
    pub name: &'a str,
    /// The id of the first version.
    pub version: &'a VersionId,
    /// The first value.
    pub value: &'a Plaintext,
    /// The description.
    pub description: Option<&'a str>,
    /// The KMS key. `None`: the default key.
    pub kms_key_id: Option<&'a str>,
    /// The tags.
    pub tags: &'a BTreeMap<String, String>,
}

/// The result of a write that names its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Applied, by this call or by an earlier one with the same value.
    Applied,
    /// The name or the version exists with another value: another writer was first.
    Exists,
}

/// The result of the move of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The label is where it was to be.
    Done,
    /// The label was not on the expected version, or the version does not exist, or it cannot have another label.
    Refused,
}

/// The value of a version.
pub struct Version {
    /// The id.
    pub id: VersionId,
    /// The value.
    pub value: Payload,
    /// The time of its creation.
    pub created: Timestamp,
    /// Its staging labels.
    pub labels: Vec<String>,
}

/// The version to read. AWS's default is not used: it can lag behind the labels.
#[derive(Debug, Clone, Copy)]
pub enum Selector<'a> {
    /// The version with this id.
    Version(&'a VersionId),
    /// The version with this label.
    Labelled(&'a str),
}

impl SecretsManager {
    /// Reads a version.
    ///
    /// # Errors
    /// Any refusal, or no answer. If there is no such version: class `Conflict`, reason `Progressing`, because it may not be visible yet.
    pub async fn read(&self, at: Address<'_>, which: Selector<'_>) -> Result<Version, Failure> {
        self.read_if_present(at, which).await?.ok_or_else(|| Failure {
            class: Class::Conflict,
            reason: Reason::Progressing,
            message: "the version is not visible in AWS yet; the operator retries".to_owned(),
            request_id: None,
        })
    }

    /// Reads a version. `None`: there is no such version.
    ///
    /// # Errors
    /// Any other refusal, or no answer.
    pub async fn read_if_present(&self, at: Address<'_>, which: Selector<'_>) -> Result<Option<Version>, Failure> {
        self.get(at, which).await?.map(Version::parse).transpose()
    }

    /// The time at which a version was created, with or without labels. `None`: there is no such version, or it has no value yet.
    ///
    /// # Errors
    /// Any other refusal, or no answer.
    pub async fn created_at(&self, at: Address<'_>, version: &VersionId) -> Result<Option<Timestamp>, Failure> {
        Ok(self.get(at, Selector::Version(version)).await?.and_then(|output| output.created_date().and_then(timestamp)))
    }

    async fn get(&self, at: Address<'_>, which: Selector<'_>) -> Result<Option<GetSecretValueOutput>, Failure> {
        let request = self.client(at.region).get_secret_value().secret_id(at.id);
        let request = match which {
            Selector::Version(version) => request.version_id(version.as_str()),
            Selector::Labelled(label) => request.version_stage(label),
        };
        match self.call(at, Operation::GetSecretValue, request.send()).await {
            Ok(output) => Ok(Some(output)),
            Err(fault) if fault.cause == Cause::NotFound => Ok(None),
            Err(fault) => Err(fault.into_failure()),
        }
    }

    /// Creates a secret with its first value. The version id makes a call that is repeated after a lost answer harmless.
    ///
    /// # Errors
    /// Any refusal other than [`Written::Exists`], or no answer.
    pub async fn create(&self, region: &str, new: NewSecret<'_>) -> Result<Written, Failure> {
        let request = self
            .client(region)
            .create_secret()
            .name(new.name)
            .client_request_token(new.version.as_str())
            .secret_string(new.value.expose())
            .set_description(new.description.map(str::to_owned))
            .set_kms_key_id(new.kms_key_id.map(str::to_owned))
            .set_tags(Some(tags(new.tags)));
        let at = Address { region, id: new.name };
        // A secret without a key has the default key.
        let key = new.kms_key_id.unwrap_or("alias/aws/secretsmanager");
        written(self.call(at, Operation::CreateSecret, request.send()).await.map_err(|fault| fault.about_key(key)))
    }

    /// Writes a version with the staging label `stage`. With AWSCURRENT, AWS moves AWSPREVIOUS too. `label` is moved to the
    /// version in the same call.
    ///
    /// # Errors
    /// Any refusal other than [`Written::Exists`], or no answer.
    pub async fn put(
        &self,
        at: Address<'_>,
        version: &VersionId,
        value: &Payload,
        stage: &str,
        label: Option<&str>,
    ) -> Result<Written, Failure> {
        let request = self.client(at.region).put_secret_value().secret_id(at.id).client_request_token(version.as_str());
        let request = match value {
            Payload::Text(text) => request.secret_string(text.expose()),
            Payload::Binary(bytes) => request.secret_binary(Blob::new(bytes.expose())),
        };
        let request = match label {
            // AWS also moves AWSPREVIOUS if AWSCURRENT is named.
            Some(label) => request.version_stages(stage).version_stages(label),
            None if stage == CURRENT => request,
            None => request.version_stages(stage),
        };
        written(self.call(at, Operation::PutSecretValue, request.send()).await)
    }

    /// Makes `to` current if `from` is current. This is AWS's only compare-and-swap.
    ///
    /// # Errors
    /// Any refusal, or no answer. If `from` is no longer current: class `Conflict`.
    pub async fn move_current(&self, at: Address<'_>, to: &VersionId, from: &VersionId) -> Result<(), Failure> {
        match self.move_label(at, CURRENT, Some(from), Some(to)).await? {
            Moved::Done => Ok(()),
            Moved::Refused => Err(Failure::conflict("AWSCURRENT was moved by another writer; the operator reads the secret again")),
        }
    }

    /// Moves a label to `to` (`None`: removes it) if it is on `from` (`None`: if it is on no version).
    ///
    /// # Errors
    /// Any refusal other than [`Moved::Refused`], or no answer.
    pub async fn move_label(
        &self,
        at: Address<'_>,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<Moved, Failure> {
        let request = self
            .client(at.region)
            .update_secret_version_stage()
            .secret_id(at.id)
            .version_stage(label)
            .set_move_to_version_id(to.map(ToString::to_string))
            .set_remove_from_version_id(from.map(ToString::to_string));
        match self.call(at, Operation::UpdateSecretVersionStage, request.send()).await {
            Ok(_) => Ok(Moved::Done),
            Err(fault) if matches!(fault.cause, Cause::NotFound | Cause::Quota) => Ok(Moved::Refused),
            Err(fault) if fault.has_code("InvalidParameterException") => Ok(Moved::Refused),
            Err(fault) => Err(fault.into_failure()),
        }
    }
}

impl Version {
    fn parse(output: GetSecretValueOutput) -> Result<Self, Failure> {
        let id = VersionId::from(output.version_id().unwrap_or_default());
        let created = output.created_date().and_then(timestamp);
        let created = created.ok_or_else(|| Failure::bug("GetSecretValue returned no creation date"))?;
        let labels = output.version_stages.unwrap_or_default();
        let value = match (output.secret_string, output.secret_binary) {
            (Some(text), _) => Payload::Text(Plaintext::from(text)),
            (None, Some(blob)) => Payload::Binary(SecretBytes::from(blob.into_inner())),
            (None, None) => return Err(Failure::bug("GetSecretValue returned no value")),
        };
        Ok(Self { id, value, created, labels })
    }
}

/// As the SDK takes tags.
pub(super) fn tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The result of a write that names its version.
pub(super) fn written<T>(answer: Result<T, Fault>) -> Result<Written, Failure> {
    match answer {
        Ok(_) => Ok(Written::Applied),
        Err(fault) if fault.has_code("ResourceExistsException") => Ok(Written::Exists),
        Err(fault) => Err(fault.into_failure()),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::primitives::DateTime;

    use super::*;

    fn fault(code: &str, cause: Cause) -> Fault {
        Fault {
            operation: Operation::PutSecretValue,
            code: Some(code.to_owned()),
            cause,
            role: None,
            region: None,
            secret: None,
            key: None,
            request_id: None,
        }
    }

    #[test]
    fn a_write_that_aws_already_knows_is_not_a_failure() {
        assert_eq!(written(Ok(())), Ok(Written::Applied));
        assert_eq!(written::<()>(Err(fault("ResourceExistsException", Cause::Rejected))), Ok(Written::Exists));
        let failure = written::<()>(Err(fault("ThrottlingException", Cause::Throttled))).unwrap_err();
        assert_eq!((failure.class, failure.reason), (Class::Throttled, Reason::Throttled));
    }

    #[test]
    fn times_keep_their_milliseconds() {
        let at = DateTime::from_secs_f64(1_795_480_200.125);
        assert_eq!(timestamp(&at), Some(Timestamp::from_millisecond(1_795_480_200_125).unwrap()));
        assert_eq!(timestamp(&DateTime::from_secs(i64::MAX)), None);
    }
}
