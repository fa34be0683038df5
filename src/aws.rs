//! Secrets Manager through the SDK: our words in, our words out. Errors become a class (how we react) and a reason (what we say); their
//! texts stay here.

mod acting;
mod assume;
mod meter;
mod rotation;

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId;
use aws_sdk_secretsmanager::types::Tag;
use jiff::Timestamp;

pub use acting::{Aws, Reach};

use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::facts::AwsSecret;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::plaintext::{Plaintext, SecretBytes};
use crate::value::Payload;
use crate::version_id::VersionId;

mod settings;
pub use rotation::Rotate;

/// Secrets Manager in every region, as one identity.
#[derive(Clone)]
pub struct SecretsManager {
    aws: Aws,
    session: Arc<acting::Session>,
}

/// One AWS secret: where, and the name or full ARN that addresses it. Never an ARN without its suffix, which AWS would guess at.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The region.
    pub region: &'a str,
    /// A name or a full ARN.
    pub id: &'a str,
}

/// A secret to create.
pub struct NewSecret<'a> {
    /// Its name.
    pub name: &'a str,
    /// The id of its first version.
    pub version: &'a VersionId,
    /// The first value.
    pub value: &'a Plaintext,
    /// Description.
    pub description: Option<&'a str>,
    /// Key; absent: the default one.
    pub kms_key_id: Option<&'a str>,
    /// Tags.
    pub tags: &'a BTreeMap<String, String>,
}

/// What became of a write that names its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Applied now, or before with the same value.
    Applied,
    /// AWS knows the name or the version already, with another value: somebody was before us.
    Exists,
}

/// A version's value.
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// The value.
    pub value: Payload,
    /// When it was made.
    pub created: Timestamp,
}

/// Which version to read. AWS's default is never used: it may lag behind the labels.
#[derive(Debug, Clone, Copy)]
pub enum Selector<'a> {
    /// This one.
    Version(&'a VersionId),
    /// Whichever carries this label.
    Labelled(&'a str),
}

impl SecretsManager {
    fn client(&self, region: &str) -> Client {
        self.session.client(&self.aws, region)
    }

    /// Labels, tags and dates, or `None` when there is no such secret.
    ///
    /// # Errors
    /// Any answer but that.
    pub async fn describe(&self, at: Address<'_>) -> Result<Option<AwsSecret>, Failure> {
        const OPERATION: &str = "DescribeSecret";
        let answer = self.client(at.region).describe_secret().secret_id(at.id).send().await;
        let output = match self.count(OPERATION, answer) {
            Ok(output) => output,
            Err(fault) if fault.code.as_deref() == Some("ResourceNotFoundException") => return Ok(None),
            Err(fault) => return Err(fault.into_failure()),
        };
        let mut labels = BTreeMap::new();
        for (version, stages) in output.version_ids_to_stages().into_iter().flatten() {
            for stage in stages {
                labels.insert(stage.clone(), VersionId::from(version.clone()));
            }
        }
        Ok(Some(AwsSecret {
            arn: output.arn().unwrap_or_default().to_owned(),
            name: output.name().unwrap_or_default().to_owned(),
            description: output.description().map(str::to_owned),
            kms_key_id: output.kms_key_id().map(str::to_owned),
            tags: output
                .tags()
                .iter()
                .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
                .collect(),
            deleted: output.deleted_date().is_some(),
            rotation: rotation::facts(&output),
            owning_service: output.owning_service().map(str::to_owned),
            labels,
            last_changed: output.last_changed_date().and_then(timestamp),
            replicas: output.replication_status().iter().filter_map(settings::replica).collect(),
            primary_region: output.primary_region().map(str::to_owned),
        }))
    }

    /// Reads one version.
    ///
    /// # Errors
    /// Also when there is no such version (reason `Progressing`: it may not be visible yet).
    pub async fn read(&self, at: Address<'_>, which: Selector<'_>) -> Result<Version, Failure> {
        self.find(at, which).await?.ok_or_else(|| Failure {
            class: Class::Conflict,
            reason: Reason::Progressing,
            message: "AWS does not show the version yet".to_owned(),
        })
    }

    /// Reads one version, or `None` when there is none.
    ///
    /// # Errors
    /// Any answer but that.
    pub async fn find(&self, at: Address<'_>, which: Selector<'_>) -> Result<Option<Version>, Failure> {
        const OPERATION: &str = "GetSecretValue";
        let request = self.client(at.region).get_secret_value().secret_id(at.id);
        let request = match which {
            Selector::Version(version) => request.version_id(version.as_str()),
            Selector::Labelled(label) => request.version_stage(label),
        };
        let output = match self.count(OPERATION, request.send().await) {
            Ok(output) => output,
            Err(fault) if fault.code.as_deref() == Some("ResourceNotFoundException") => return Ok(None),
            Err(fault) => return Err(fault.into_failure()),
        };
        let id = VersionId::from(output.version_id().unwrap_or_default());
        let created = output.created_date().and_then(timestamp).ok_or_else(|| Failure::bug("GetSecretValue gave no creation date"))?;
        let value = match (output.secret_string, output.secret_binary) {
            (Some(text), _) => Payload::Text(Plaintext::from(text)),
            (None, Some(blob)) => Payload::Binary(SecretBytes::from(blob.into_inner())),
            (None, None) => return Err(Failure::bug("GetSecretValue gave no value")),
        };
        Ok(Some(Version { id, value, created }))
    }

    /// Creates a secret with its first value, so that a lost answer can be told from a foreign secret.
    ///
    /// # Errors
    /// Any answer but the two of [`Written`].
    pub async fn create(&self, region: &str, new: NewSecret<'_>) -> Result<Written, Failure> {
        const OPERATION: &str = "CreateSecret";
        let tags = new.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let request = self
            .client(region)
            .create_secret()
            .name(new.name)
            .client_request_token(new.version.as_str())
            .secret_string(new.value.expose())
            .set_description(new.description.map(str::to_owned))
            .set_kms_key_id(new.kms_key_id.map(str::to_owned))
            .set_tags(Some(tags));
        written(self.count(OPERATION, request.send().await))
    }

    /// Sets the description.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn set_description(&self, at: Address<'_>, description: &str) -> Result<(), Failure> {
        let request = self.client(at.region).update_secret().secret_id(at.id).description(description);
        self.count("UpdateSecret", request.send().await).map(drop).map_err(Fault::into_failure)
    }

    /// Sets the KMS key; empty: back to the default key.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn set_key(&self, at: Address<'_>, key: &str) -> Result<(), Failure> {
        let request = self.client(at.region).update_secret().secret_id(at.id).kms_key_id(key);
        self.count("UpdateSecret", request.send().await).map(drop).map_err(Fault::into_failure)
    }

    /// Adds or changes tags; others stay.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn tag(&self, at: Address<'_>, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let request = self.client(at.region).tag_resource().secret_id(at.id).set_tags(Some(tags));
        self.count("TagResource", request.send().await).map(drop).map_err(Fault::into_failure)
    }

    /// Schedules the secret for deletion; `window` in days, 7 to 30. Never forced. A secret that is gone already counts as success.
    ///
    /// # Errors
    /// Any other refusal.
    pub async fn delete(&self, at: Address<'_>, window: i32) -> Result<(), Failure> {
        let request = self.client(at.region).delete_secret().secret_id(at.id).recovery_window_in_days(i64::from(window));
        match self.count("DeleteSecret", request.send().await) {
            Ok(_) => Ok(()),
            Err(fault) if fault.code.as_deref() == Some("ResourceNotFoundException") => Ok(()),
            Err(fault) => Err(fault.into_failure()),
        }
    }

    fn count<T, E>(&self, operation: &'static str, answer: Result<T, SdkError<E>>) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E>: RequestId,
    {
        counted(self.aws.metrics(), operation, answer).map_err(|fault| {
            if matches!(fault.code.as_deref(), Some("ExpiredTokenException" | "ExpiredToken")) {
                self.session.forget();
            }
            Fault { role: self.session.role().map(ToString::to_string), ..fault }
        })
    }
}

/// Counts an answer, and reduces an error to what may be said of it.
fn counted<T, E>(metrics: &Metrics, operation: &'static str, answer: Result<T, SdkError<E>>) -> Result<T, Fault>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    SdkError<E>: RequestId,
{
    match answer {
        Ok(output) => {
            metrics.aws_call(operation, "ok");
            Ok(output)
        }
        Err(error) => {
            let fault = Fault::read(operation, &error);
            metrics.aws_call(operation, fault.reason.as_str());
            tracing::debug!(
                operation,
                code = fault.code.as_deref().unwrap_or("none"),
                request_id = error.request_id().unwrap_or("none"),
                reason = %fault.reason,
                "AWS did not do it"
            );
            Err(fault)
        }
    }
}

fn written<T>(answer: Result<T, Fault>) -> Result<Written, Failure> {
    match answer {
        Ok(_) => Ok(Written::Applied),
        Err(fault) if fault.code.as_deref() == Some("ResourceExistsException") => Ok(Written::Exists),
        Err(fault) => Err(fault.into_failure()),
    }
}

fn timestamp(at: &aws_sdk_secretsmanager::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

/// An error of AWS, reduced to what may be said of it.
struct Fault {
    operation: &'static str,
    code: Option<String>,
    class: Class,
    reason: Reason,
    /// The role that acted, unless it was the operator itself.
    role: Option<String>,
}

impl Fault {
    fn read<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let (code, class, reason) = match error {
            SdkError::ServiceError(answer) => {
                let code = answer.err().code().map(bounded_code).filter(|code| !code.is_empty());
                let server_side = answer.raw().status().is_server_error();
                let (class, reason) = classify(code.as_deref(), answer.err().message().unwrap_or_default(), server_side);
                (code, class, reason)
            }
            // Nobody gave the operator credentials, so AWS was not even asked.
            _ if without_credentials(error) => (None, Class::Denied, Reason::IdentityRefused),
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
                (None, Class::Retry, Reason::AwsUnavailable)
            }
            _ => (None, Class::Bug, Reason::InternalError),
        };
        Self { operation, code, class, reason, role: None }
    }

    fn into_failure(self) -> Failure {
        let operation = self.operation;
        let answered = self.code.map_or_else(|| "did not answer".to_owned(), |code| format!("answered {code}"));
        let advice = match self.reason {
            Reason::AccessDenied if self.role.is_some() => {
                let role = self.role.as_deref().unwrap_or_default();
                return Failure {
                    class: self.class,
                    reason: self.reason,
                    message: format!(
                        "{operation}: AWS {answered}: check the IAM policy of the role {role}, and the key policy if a KMS key is named; the \
                         operator tries again by itself"
                    ),
                };
            }
            Reason::IdentityRefused => {
                "the operator has no AWS credentials: give its ServiceAccount a role (docs/security.md, Who acts); it tries again by itself"
            }
            Reason::Throttled => "the operator slows down and goes on by itself",
            Reason::AccessDenied => "check the operator's IAM policy, and the key policy if a KMS key is named; it tries again by itself",
            Reason::KeyUnusable => "check that the KMS key is enabled and that the operator may use it; it tries again by itself",
            Reason::LimitExceeded => "a quota is used up (versions of one secret: about 100 in 24 hours); rotate more rarely, or wait",
            Reason::ScheduledForDeletion => "restore the secret with aws secretsmanager restore-secret",
            Reason::AwsUnavailable => "the operator tries again by itself; check the endpoint, the network and the credentials if it lasts",
            Reason::PolicyRefused => {
                "spec.aws.resourcePolicy is no policy that AWS takes here: look at its principals, and whether it grants access to anybody \
                 (spec.aws.blockPublicPolicy)"
            }
            Reason::AwsRefused => "compare spec.aws with what AWS accepts",
            _ => "please report this",
        };
        Failure { class: self.class, reason: self.reason, message: format!("{operation}: AWS {answered}: {advice}") }
    }
}

/// Whether the call failed for want of credentials, by what lies under the error.
fn without_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            // What did not answer in time may answer yet.
            return !matches!(error, CredentialsError::ProviderTimedOut(_));
        }
        cause = error.source();
    }
    false
}

/// A code as it may be shown: AWS's are words, whatever a proxy puts there is cut.
fn bounded_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

/// How to react to an error code. Texts are looked at in one case only: AWS has no code for a secret that is scheduled for deletion.
fn classify(code: Option<&str>, text: &str, server_side: bool) -> (Class, Reason) {
    match code {
        Some(
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "ProvisionedThroughputExceededException"
            | "SlowDown",
        ) => (Class::Throttled, Reason::Throttled),
        Some("LimitExceededException") => (Class::Limit, Reason::LimitExceeded),
        Some(
            "AccessDeniedException"
            | "AccessDenied"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "NotAuthorized"
            | "RequestExpired"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationTokenException"
            | "OptInRequired",
        ) => (Class::Denied, Reason::AccessDenied),
        Some("EncryptionFailure" | "EncryptionFailureException" | "DecryptionFailure" | "DecryptionFailureException") => {
            (Class::Denied, Reason::KeyUnusable)
        }
        Some("InvalidRequestException") if text.contains("for deletion") || text.contains("was deleted") => {
            (Class::Denied, Reason::ScheduledForDeletion)
        }
        Some("MalformedPolicyDocumentException" | "PublicPolicyException") => (Class::Invalid, Reason::PolicyRefused),
        Some("InternalServiceError" | "InternalServiceErrorException" | "InternalFailure" | "ServiceUnavailable") => {
            (Class::Retry, Reason::AwsUnavailable)
        }
        Some("ResourceNotFoundException") => (Class::Conflict, Reason::Progressing),
        _ if server_side => (Class::Retry, Reason::AwsUnavailable),
        Some("RequestTimeout" | "RequestTimeoutException" | "PriorRequestNotComplete" | "TransactionInProgressException") => {
            (Class::Retry, Reason::AwsUnavailable)
        }
        Some(_) => (Class::Invalid, Reason::AwsRefused),
        None => (Class::Retry, Reason::AwsUnavailable),
    }
}

mod versions;

pub use versions::Moved;

#[cfg(test)]
mod tests;
