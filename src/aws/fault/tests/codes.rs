//! Every error code that AWS can answer with has a cause, a class and words for that cause. What the SDK knows is read from its generated
//! source, because its enums are open: a code of a new version without a row fails the test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use strum::IntoEnumIterator as _;

use super::*;
use crate::aws::call::QuotaGroup;
use crate::identity::RoleArn;

/// Code, cause, class, and words of the advice that name the cause.
type Row = (&'static str, Cause, Class, &'static str);

/// The exceptions of the operations of Secrets Manager, and those that it answers for KMS.
const SECRETS_MANAGER: [Row; 14] = [
    ("DecryptionFailure", Cause::Key, Class::Denied, "KMS key"),
    ("EncryptionFailure", Cause::Key, Class::Denied, "KMS key"),
    ("InternalServiceError", Cause::Unavailable, Class::Retry, "network"),
    ("InvalidNextTokenException", Cause::Unavailable, Class::Retry, "network"),
    ("InvalidParameterException", Cause::Rejected, Class::Invalid, "spec.aws"),
    ("InvalidRequestException", Cause::Rejected, Class::Invalid, "spec.aws"),
    ("LimitExceededException", Cause::Quota, Class::Limit, "quota"),
    ("MalformedPolicyDocumentException", Cause::ResourcePolicy, Class::Invalid, "spec.aws.resourcePolicy"),
    ("PreconditionNotMetException", Cause::Rejected, Class::Invalid, "spec.aws"),
    ("PublicPolicyException", Cause::ResourcePolicy, Class::Invalid, "public access"),
    // Callers treat it before it becomes a failure.
    ("ResourceExistsException", Cause::Rejected, Class::Invalid, "spec.aws"),
    ("ResourceNotFoundException", Cause::NotFound, Class::Conflict, "does not exist"),
    ("AccessDeniedException", Cause::Permissions, Class::Denied, "IAM policy"),
    ("ValidationException", Cause::Rejected, Class::Invalid, "spec.aws"),
];

/// The exceptions of the operations of STS.
const STS: [Row; 8] = [
    ("AccessDenied", Cause::Permissions, Class::Denied, "trust it"),
    ("ExpiredTokenException", Cause::SessionExpired, Class::Denied, "OIDC issuer"),
    ("IDPCommunicationError", Cause::Unavailable, Class::Retry, "network"),
    ("IDPRejectedClaim", Cause::Rejected, Class::Denied, "OIDC issuer"),
    ("InvalidIdentityToken", Cause::Rejected, Class::Denied, "OIDC issuer"),
    ("MalformedPolicyDocument", Cause::Rejected, Class::Denied, "annotations"),
    ("PackedPolicyTooLarge", Cause::Rejected, Class::Denied, "annotations"),
    ("RegionDisabledException", Cause::RegionDisabled, Class::Denied, "STS is not active"),
];

/// The exceptions of the operations of SQS, as they are shown: without dots.
const SQS: [Row; 18] = [
    ("AWSSimpleQueueServiceNonExistentQueue", Cause::NoQueue, Class::Denied, "--event-queue-url"),
    ("InvalidAddress", Cause::NoQueue, Class::Denied, "--event-queue-url"),
    ("AccessDenied", Cause::Permissions, Class::Denied, "IAM policy"),
    ("InvalidSecurity", Cause::Defect, Class::Bug, "defect"),
    ("OverLimit", Cause::Quota, Class::Limit, "quota"),
    ("RequestThrottled", Cause::Throttled, Class::Throttled, "rate"),
    ("KMSAccessDeniedException", Cause::Key, Class::Denied, "KMS key"),
    ("KMSDisabledException", Cause::Key, Class::Denied, "KMS key"),
    ("KMSInvalidKeyUsageException", Cause::Key, Class::Denied, "KMS key"),
    ("KMSInvalidStateException", Cause::Key, Class::Denied, "KMS key"),
    ("KMSNotFoundException", Cause::Key, Class::Denied, "KMS key"),
    ("KMSOptInRequired", Cause::Key, Class::Denied, "KMS key"),
    ("KMSThrottlingException", Cause::Throttled, Class::Throttled, "rate"),
    ("AWSSimpleQueueServiceUnsupportedOperation", Cause::Defect, Class::Bug, "defect"),
    ("AWSSimpleQueueServiceBatchEntryIdsNotDistinct", Cause::Defect, Class::Bug, "defect"),
    ("AWSSimpleQueueServiceEmptyBatchRequest", Cause::Defect, Class::Bug, "defect"),
    ("AWSSimpleQueueServiceInvalidBatchEntryId", Cause::Defect, Class::Bug, "defect"),
    ("AWSSimpleQueueServiceTooManyEntriesInBatchRequest", Cause::Defect, Class::Bug, "defect"),
];

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html>, and their older names.
const COMMON: [Row; 24] = [
    ("AccessDeniedException", Cause::Permissions, Class::Denied, "IAM policy"),
    ("ExpiredTokenException", Cause::SessionExpired, Class::Retry, "expired"),
    ("IncompleteSignature", Cause::Credentials, Class::Denied, "credentials"),
    ("InternalFailure", Cause::Unavailable, Class::Retry, "network"),
    ("InvalidAction", Cause::Defect, Class::Bug, "defect"),
    ("InvalidClientTokenId", Cause::Credentials, Class::Denied, "credentials"),
    ("InvalidSignatureException", Cause::Credentials, Class::Denied, "credentials"),
    ("MalformedHttpRequestException", Cause::Defect, Class::Bug, "defect"),
    ("MissingAuthenticationToken", Cause::Credentials, Class::Denied, "credentials"),
    ("NotAuthorized", Cause::Permissions, Class::Denied, "IAM policy"),
    ("OptInRequired", Cause::RegionDisabled, Class::Denied, "Region is not enabled"),
    ("RequestAbortedException", Cause::Unavailable, Class::Retry, "network"),
    ("RequestEntityTooLargeException", Cause::Rejected, Class::Invalid, "spec.aws"),
    ("RequestExpired", Cause::ClockSkew, Class::Denied, "clock"),
    ("RequestTimeTooSkewed", Cause::ClockSkew, Class::Denied, "clock"),
    ("RequestTimeoutException", Cause::Unavailable, Class::Retry, "network"),
    ("SerializationException", Cause::Defect, Class::Bug, "defect"),
    ("ServiceUnavailable", Cause::Unavailable, Class::Retry, "network"),
    ("SignatureDoesNotMatch", Cause::Credentials, Class::Denied, "credentials"),
    ("ThrottlingException", Cause::Throttled, Class::Throttled, "rate"),
    ("TooManyRequestsException", Cause::Throttled, Class::Throttled, "rate"),
    ("UnknownOperationException", Cause::Defect, Class::Bug, "defect"),
    ("UnrecognizedClientException", Cause::Credentials, Class::Denied, "credentials"),
    ("ValidationError", Cause::Rejected, Class::Invalid, "spec.aws"),
];

fn of(operation: Operation, code: &str) -> Fault {
    Fault { operation, ..fault(Some(code), "", 400) }
}

/// Cause, class and message of each code.
fn check(rows: &[Row], operation: Operation) {
    for (code, cause, class, words) in rows {
        let answer = of(operation, code);
        assert_eq!(answer.cause, *cause, "{code}");
        let failure = if operation.group() == QuotaGroup::Sts {
            answer.into_assume_failure(&RoleArn::parse(ROLE).unwrap(), || "trust it".to_owned())
        } else {
            answer.into_failure()
        };
        assert_eq!(failure.class, *class, "{code}");
        assert!(failure.message.contains(code) && failure.message.contains(words), "{code}: {}", failure.message);
    }
}

#[test]
fn every_code_of_the_table_has_the_words_of_its_cause() {
    check(&SECRETS_MANAGER, Operation::PutSecretValue);
    check(&STS, Operation::AssumeRoleWithWebIdentity);
    check(&SQS, Operation::ReceiveMessage);
    check(&COMMON, Operation::GetSecretValue);
    // Every cause has a code, except for those that the text decides and those without an answer.
    let of_codes: BTreeSet<String> =
        SECRETS_MANAGER.iter().chain(&STS).chain(&SQS).chain(&COMMON).map(|(_, cause, ..)| format!("{cause:?}")).collect();
    let others = [
        Cause::NoCredentials,
        Cause::CredentialsUnavailable,
        Cause::ScheduledForDeletion,
        Cause::NameInDeletion,
        Cause::RotationInProgress,
    ];
    for cause in Cause::iter().filter(|cause| !others.contains(cause)) {
        assert!(of_codes.contains(&format!("{cause:?}")), "{cause:?}");
    }
}

#[test]
fn a_key_that_the_caller_may_not_use_is_a_matter_of_the_key() {
    let denied = fault(Some("AccessDeniedException"), "Access to KMS is not allowed", 400);
    assert_eq!(denied.cause, Cause::Key);
    let denied = fault(Some("AccessDeniedException"), "is not authorized to perform: secretsmanager:GetSecretValue", 400);
    assert_eq!(denied.cause, Cause::Permissions);
}

/// Where cargo has unpacked the crate of the version in Cargo.lock.
fn source(package: &str) -> PathBuf {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let after = lock.split(&format!("name = \"{package}\"\nversion = \"")).nth(1).unwrap();
    let version = after.split('"').next().unwrap();
    let home =
        std::env::var_os("CARGO_HOME").map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"), PathBuf::from);
    let registries = std::fs::read_dir(home.join("registry/src")).unwrap().map(|entry| entry.unwrap().path());
    let mut found = registries.map(|registry| registry.join(format!("{package}-{version}"))).filter(|path| path.is_dir());
    found.next().unwrap_or_else(|| panic!("the source of {package} {version} is not in {}", home.display()))
}

/// The codes that the SDK knows for an operation, as its generated deserializer compares them.
fn codes(operation: Operation, package: &Path) -> BTreeSet<String> {
    let snake = operation.as_str().chars().fold(String::new(), |mut name, c| {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        name
    });
    let text = std::fs::read_to_string(package.join(format!("src/protocol_serde/shape_{snake}.rs"))).unwrap();
    let arms = text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => crate::operation::"));
    arms.map(|(code, _)| code.to_owned()).collect()
}

#[test]
fn every_code_that_the_sdk_knows_is_in_the_table() {
    let [secrets_manager, sts, sqs] = ["aws-sdk-secretsmanager", "aws-sdk-sts", "aws-sdk-sqs"].map(source);
    let mut seen = BTreeSet::new();
    for operation in Operation::iter() {
        let (rows, package) = match operation.group() {
            QuotaGroup::Sts => (&STS[..], &sts),
            QuotaGroup::Queue => (&SQS[..], &sqs),
            _ => (&SECRETS_MANAGER[..], &secrets_manager),
        };
        let found = codes(operation, package);
        assert!(!found.is_empty(), "{operation}");
        for code in found.iter().map(|code| bounded_code(code)) {
            assert!(rows.iter().any(|(known, ..)| *known == code), "{operation} can answer {code}: add it to the table");
            seen.insert(code);
        }
    }
    assert!(seen.len() >= 18, "{seen:?}");
}
