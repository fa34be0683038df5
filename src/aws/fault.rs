//! Failed AWS calls: their cause, and what a person is told. AWS's own texts do not leave this module.

mod credentials;
mod queue;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId;

use super::operation::Operation;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::command::{Command, KeyRef, SecretRef};
use crate::failure::Failure;
use crate::proxy::ProxyVariables;

/// A failed call, without any text of AWS.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) operation: Operation,
    /// AWS's error code. `None`: no answer, or an answer without a code.
    pub(super) code: Option<String>,
    pub(super) cause: Cause,
    /// The ARN of the role that made the call. `None`: the operator's own credentials.
    pub(super) role: Option<String>,
    /// The region that was called, if it is known.
    pub(super) region: Option<Box<str>>,
    /// The name or ARN of the secret that the call was about.
    pub(super) secret: Option<Box<str>>,
    /// The KMS key that the call named.
    pub(super) key: Option<Box<str>>,
    /// What AWS calls the request.
    pub(super) request_id: Option<Box<str>>,
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumIter)]
pub(super) enum Cause {
    /// A request rate was exceeded.
    Throttled,
    /// A quota other than a request rate is used up.
    Quota,
    /// A policy denies the call.
    Permissions,
    /// There are no credentials, so nothing was sent.
    NoCredentials,
    /// What issues the operator's credentials does not answer, so nothing was sent.
    CredentialsUnavailable,
    /// AWS does not accept the credentials.
    Credentials,
    /// The session token has expired.
    SessionExpired,
    /// The time of the signature is too far from AWS's time.
    ClockSkew,
    /// The Region is not enabled for the account.
    RegionDisabled,
    /// The KMS key cannot be used.
    Key,
    /// The secret is scheduled for deletion.
    ScheduledForDeletion,
    /// A new secret cannot be created because the deletion of one with its name has not finished.
    NameInDeletion,
    /// An earlier rotation has not finished.
    RotationInProgress,
    /// AWS does not accept the resource policy.
    ResourcePolicy,
    /// The queue does not exist.
    NoQueue,
    /// The secret or the version does not exist, or is not visible yet.
    NotFound,
    /// No answer, or a server error.
    Unavailable,
    /// AWS does not accept the parameters.
    Rejected,
    /// The operator sent, or would have sent, a malformed request.
    Defect,
}

impl Cause {
    /// From AWS's error code, the error's text and the HTTP status.
    ///
    /// The text is examined only where AWS has one code for several causes.
    pub(super) fn of(code: Option<&str>, text: &str, status: u16) -> Self {
        match code.and_then(|code| Self::of_code(code, text)) {
            Some(cause) => cause,
            None if status == 429 => Self::Throttled,
            None if code.is_none() || status >= 500 => Self::Unavailable,
            None => Self::Rejected,
        }
    }

    /// Of an error without an answer of AWS.
    pub(super) fn of_unanswered<E: std::error::Error + Send + Sync + 'static>(error: &SdkError<E>) -> Self {
        Self::of_missing_credentials(error).unwrap_or(match error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => Self::Unavailable,
            _ => Self::Defect,
        })
    }

    /// By the code, if it is known.
    ///
    /// Sources: the exceptions of each operation in the API references of Secrets Manager and STS, and
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html>.
    fn of_code(code: &str, text: &str) -> Option<Self> {
        Some(match code {
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "EC2ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "BandwidthLimitExceeded"
            | "ProvisionedThroughputExceededException"
            | "SlowDown" => Self::Throttled,
            "LimitExceededException" => Self::Quota,
            // Secrets Manager answers so for a caller that may not use the key.
            "AccessDeniedException" if text.contains("Access to KMS is not allowed") => Self::Key,
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "UnauthorizedOperation" => Self::Permissions,
            "InvalidSignatureException" | "SignatureDoesNotMatch" if wrong_time(text) => Self::ClockSkew,
            "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => Self::ClockSkew,
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "AuthFailure" => Self::Credentials,
            "ExpiredTokenException" | "ExpiredToken" => Self::SessionExpired,
            "OptInRequired" | "SubscriptionRequiredException" | "RegionDisabledException" => Self::RegionDisabled,
            "EncryptionFailure" | "EncryptionFailureException" | "DecryptionFailure" | "DecryptionFailureException" => Self::Key,
            "InvalidRequestException" => return Self::of_invalid_request(text),
            "MalformedPolicyDocumentException" | "PublicPolicyException" => Self::ResourcePolicy,
            "ResourceNotFoundException" => Self::NotFound,
            "InternalServiceError"
            | "InternalServiceErrorException"
            | "InternalFailure"
            | "InternalError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "IDPCommunicationError"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "RequestAbortedException"
            | "PriorRequestNotComplete"
            // A list that took too long begins again.
            | "InvalidNextTokenException"
            | "TransactionInProgressException" => Self::Unavailable,
            "SerializationException"
            | "MalformedHttpRequestException"
            | "UnknownOperationException"
            | "InvalidAction"
            | "MissingAction"
            | "MissingParameter" => Self::Defect,
            _ => return Self::of_queue_code(code),
        })
    }

    /// AWS has one code for every state of a secret that rules an operation out.
    fn of_invalid_request(text: &str) -> Option<Self> {
        if text.contains("secret with this name is already scheduled for deletion") {
            Some(Self::NameInDeletion)
        } else if text.contains("for deletion") || text.contains("was deleted") {
            Some(Self::ScheduledForDeletion)
        } else if text.contains("previous rotation") {
            Some(Self::RotationInProgress)
        } else {
            None
        }
    }

    /// How the operator reacts.
    pub(super) fn class(self) -> Class {
        match self {
            Self::Throttled => Class::Throttled,
            Self::Quota => Class::Limit,
            Self::Permissions
            | Self::NoCredentials
            | Self::Credentials
            | Self::ClockSkew
            | Self::RegionDisabled
            | Self::Key
            | Self::NoQueue
            | Self::ScheduledForDeletion => Class::Denied,
            Self::RotationInProgress | Self::NotFound => Class::Conflict,
            Self::SessionExpired | Self::NameInDeletion | Self::CredentialsUnavailable | Self::Unavailable => Class::Retry,
            Self::ResourcePolicy | Self::Rejected => Class::Invalid,
            Self::Defect => Class::Bug,
        }
    }

    /// The reason of the condition. `role`: whether a role made the call; its session is renewed, the operator's own credentials are not.
    fn reason(self, role: bool) -> Reason {
        match self {
            Self::Throttled => Reason::Throttled,
            Self::Quota => Reason::LimitExceeded,
            Self::SessionExpired if role => Reason::Progressing,
            Self::Permissions | Self::Credentials | Self::SessionExpired | Self::RegionDisabled => Reason::AccessDenied,
            Self::ClockSkew => Reason::ClockSkew,
            Self::NoCredentials => Reason::IdentityRefused,
            Self::Key => Reason::KeyUnusable,
            Self::ScheduledForDeletion => Reason::ScheduledForDeletion,
            Self::NameInDeletion | Self::RotationInProgress | Self::NotFound => Reason::Progressing,
            Self::ResourcePolicy => Reason::PolicyRefused,
            Self::CredentialsUnavailable | Self::Unavailable => Reason::AwsUnavailable,
            Self::Rejected | Self::NoQueue => Reason::AwsRefused,
            Self::Defect => Reason::InternalError,
        }
    }
}

/// A UUID, or something similar. It goes into the log.
fn is_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a refused signature is refused for its time.
fn wrong_time(text: &str) -> bool {
    text.contains("Signature expired") || text.contains("Signature not yet current")
}

impl Fault {
    /// From an error of the SDK.
    pub(super) fn read<E>(operation: Operation, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E>: RequestId,
    {
        let (code, cause) = match error {
            SdkError::ServiceError(answer) => {
                let code = answer.err().code().map(bounded_code).filter(|code| !code.is_empty());
                let text = answer.err().message().unwrap_or_default();
                let cause = Cause::of(code.as_deref(), text, answer.raw().status().as_u16());
                (code, cause)
            }
            _ => (None, Cause::of_unanswered(error)),
        };
        let request_id = error.request_id().filter(|id| is_request_id(id)).map(Into::into);
        Self { operation, code, cause, role: None, region: None, secret: None, key: None, request_id }
    }

    /// The same, of a call that named this KMS key.
    pub(super) fn about_key(self, key: &str) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Whether AWS answered with this error code.
    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub(super) fn reason(&self) -> Reason {
        self.cause.reason(self.role.is_some())
    }

    /// What happened: the operation and AWS's answer.
    pub(super) fn summary(&self) -> String {
        // A mistake in the region looks like an outage.
        let region = self.region.as_ref().filter(|_| self.cause == Cause::Unavailable);
        let place = region.map_or_else(String::new, |region| format!(" in region {region}"));
        match &self.code {
            Some(code) => format!("{}: AWS answered {code}{place}", self.operation),
            None if matches!(self.cause, Cause::NoCredentials | Cause::CredentialsUnavailable) => {
                format!("{}: nothing was sent to AWS", self.operation)
            }
            None => format!("{}: AWS did not answer{place}", self.operation),
        }
    }

    /// As the failure of a reconcile, with the usual advice.
    pub(super) fn into_failure(self) -> Failure {
        let advice = self.advice();
        self.failure_with(&advice)
    }

    /// As the failure of a reconcile, with this advice.
    pub(super) fn failure_with(self, advice: &str) -> Failure {
        let message = format!("{}: {advice}", self.summary());
        Failure { class: self.cause.class(), reason: self.reason(), message, request_id: self.request_id }
    }

    /// What to do about it.
    fn advice(&self) -> String {
        let role = self.role.as_deref();
        let advice = match (self.cause, role) {
            (Cause::Unavailable, _) if self.code.is_none() => return unreachable(ProxyVariables::read().shown().as_deref()),
            (Cause::Permissions, Some(role)) => {
                return format!("check the IAM policy of the role {role}, and the key policy if a KMS key is named; the operator retries");
            }
            (Cause::SessionExpired, Some(role)) => {
                return format!("the session of the role {role} has expired; the operator starts a new one and retries");
            }
            (Cause::Credentials, Some(role)) => {
                return format!(
                    "AWS does not accept the session of the role {role}: check that the role still exists ({}); the operator starts a new \
                     session and retries",
                    Command::GetRole(role.rsplit('/').next().unwrap_or_default())
                );
            }
            (Cause::Key, _) => {
                let show = self.show_key().map_or_else(String::new, |show| format!(" ({show})"));
                return format!("check that the KMS key is enabled and that the caller may use it{show}; the operator retries");
            }
            (Cause::RegionDisabled, _) => {
                let region = self.region.as_deref().unwrap_or("REGION");
                return format!("the Region is not enabled for this account: {}; the operator retries", Command::EnableRegion(region));
            }
            (Cause::ScheduledForDeletion, _) => {
                let restore = self.secret_ref().map_or_else(String::new, |secret| format!(": {}", Command::RestoreSecret(secret)));
                return format!("the secret is scheduled for deletion; restore it{restore}");
            }
            (cause, _) => cause.advice(),
        };
        advice.to_owned()
    }

    /// The secret of the call, for commands in messages.
    pub(super) fn secret_ref(&self) -> Option<SecretRef<'_>> {
        Some(SecretRef { region: self.region.as_deref()?, id: self.secret.as_deref()? })
    }

    /// The command that shows the key.
    fn show_key(&self) -> Option<Command<'_>> {
        let named = || Some(KeyRef::Named { region: self.region.as_deref()?, key: self.key.as_deref()? });
        named().or_else(|| self.secret_ref().map(KeyRef::Of)).map(Command::DescribeKey)
    }
}

impl Cause {
    /// What to do about it where the operator's own credentials were used, or where it makes no difference whose.
    fn advice(self) -> &'static str {
        match self {
            Self::Throttled => "the request rate of this account and Region is exceeded; the operator waits and retries",
            Self::Quota => "a quota is used up (versions of one secret: about 100 in 24 hours); rotate less often, or wait",
            Self::Permissions => "check the operator's IAM policy, and the key policy if a KMS key is named; the operator retries",
            Self::NoCredentials => {
                "the operator has no AWS credentials: give its ServiceAccount a role with IRSA or EKS Pod Identity (docs/security.md, AWS \
                 identities); the role of the node is used only with --allow-instance-identity; the operator retries"
            }
            Self::CredentialsUnavailable => {
                "what issues the operator's credentials does not answer (STS, the EKS Pod Identity agent or the instance metadata service): \
                 the operator retries; if this lasts, check that service, the network and the NetworkPolicy"
            }
            Self::Credentials => {
                "AWS does not accept the operator's credentials: check the access key and the role of its ServiceAccount, and the clock of the \
                 node; the operator retries"
            }
            Self::SessionExpired => {
                "the operator's own session has expired: supply new credentials, or give its ServiceAccount a role (docs/security.md, AWS \
                 identities); the operator retries"
            }
            Self::ClockSkew => "the clock of the node differs from AWS's by more than 5 minutes: check time synchronization (timedatectl)",
            Self::RegionDisabled => "the Region is not enabled for this account; the operator retries",
            Self::Key => "check that the KMS key is enabled and that the caller may use it; the operator retries",
            Self::ScheduledForDeletion => "restore the secret",
            Self::NameInDeletion => "a secret of this name is being deleted; the operator retries until the name is free",
            Self::RotationInProgress => "another rotation is in progress; the operator retries",
            Self::ResourcePolicy => {
                "AWS does not accept spec.aws.resourcePolicy: check its principals, and whether it grants public access \
                 (spec.aws.blockPublicPolicy)"
            }
            Self::NoQueue => "check --event-queue-url: the queue must exist in this region and account; the operator retries",
            Self::NotFound => "the secret or the version does not exist or is not visible yet; the operator retries",
            Self::Unavailable => "the operator retries; if this lasts, check the region, the endpoint and the network",
            Self::Rejected => "compare spec.aws with the values that AWS accepts",
            Self::Defect => "check that --aws-endpoint-url is an endpoint of this service; otherwise please report this defect",
        }
    }
}

/// What to do about a call without an answer.
fn unreachable(proxy: Option<&str>) -> String {
    match proxy {
        Some(proxy) => format!(
            "the operator retries; if this lasts, check the endpoint, the network and the proxy {proxy} (HTTPS_PROXY; hosts in NO_PROXY are \
             reached directly)"
        ),
        None => Cause::Unavailable.advice().to_owned(),
    }
}

/// The code as it may be shown. AWS's codes are words; what a proxy puts in their place is cut.
pub(super) fn bounded_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

#[cfg(test)]
mod tests;
