//! How errors of AWS become a cause, a class, a reason and a message.

mod codes;

use std::collections::BTreeSet;

use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::ErrorMetadata;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use strum::IntoEnumIterator;

use super::*;

/// Stands for a secret in the texts of errors.
const CANARY: &str = "canary-6f1d";
const ROLE: &str = "arn:aws:iam::123456789012:role/shop";

/// An answer of AWS with this code, in which every text contains the canary.
fn answered(code: Option<&str>, message: &str, status: u16) -> SdkError<PutSecretValueError> {
    let error = ErrorMetadata::builder().message(format!("{message} {CANARY}"));
    let error = if let Some(code) = code { error.code(code) } else { error }.build();
    SdkError::service_error(PutSecretValueError::generic(error), response(status))
}

fn response(status: u16) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), format!("{{\"message\":\"{CANARY}\"}}").into())
}

fn fault(code: Option<&str>, text: &str, status: u16) -> Fault {
    Fault::read(Operation::PutSecretValue, &answered(code, text, status))
}

/// For each cause: the codes of AWS that mean it, and what its message must name.
const CODES: [(Cause, &[&str], &str); 11] = [
    (Cause::Throttled, &["ThrottlingException", "ThrottledException", "RequestThrottled", "TooManyRequestsException", "SlowDown"], "rate"),
    (Cause::Quota, &["LimitExceededException"], "quota"),
    (Cause::Permissions, &["AccessDeniedException", "AccessDenied", "NotAuthorized"], "IAM policy"),
    (
        Cause::Credentials,
        &[
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
        ],
        "credentials",
    ),
    (Cause::SessionExpired, &["ExpiredTokenException", "ExpiredToken"], "session has expired"),
    (Cause::ClockSkew, &["RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"], "clock"),
    (Cause::RegionDisabled, &["OptInRequired", "RegionDisabledException"], "Region is not enabled"),
    (
        Cause::Key,
        &["EncryptionFailure", "EncryptionFailureException", "DecryptionFailure", "DecryptionFailureException"],
        "KMS key is enabled",
    ),
    (Cause::ResourcePolicy, &["MalformedPolicyDocumentException", "PublicPolicyException"], "spec.aws.resourcePolicy"),
    (
        Cause::Unavailable,
        &[
            "InternalServiceError",
            "InternalServiceErrorException",
            "InternalFailure",
            "ServiceUnavailable",
            "RequestTimeout",
            "RequestTimeoutException",
            "PriorRequestNotComplete",
            "TransactionInProgressException",
            "IDPCommunicationError",
        ],
        "network",
    ),
    (Cause::Defect, &["SerializationException", "UnknownOperationException", "InvalidAction", "MissingParameter"], "report"),
];

#[test]
fn every_code_has_the_message_of_its_cause_whatever_the_status() {
    for (cause, codes, words) in CODES {
        for code in codes {
            for status in [400, 403, 500, 503] {
                let fault = fault(Some(code), "", status);
                assert_eq!(fault.cause, cause, "{code} {status}");
                let message = fault.into_failure().message;
                let start = format!("PutSecretValue: AWS answered {code}: ");
                assert!(message.starts_with(&start) && message.contains(words), "{message}");
            }
        }
    }
}

#[test]
fn every_code_that_the_sdk_retries_is_throttling_or_transient_except_the_quota_of_versions() {
    for code in THROTTLING_ERRORS.iter().chain(TRANSIENT_ERRORS) {
        let class = fault(Some(code), "", 400).cause.class();
        let expected = if *code == "LimitExceededException" { &[Class::Limit][..] } else { &[Class::Throttled, Class::Retry] };
        assert!(expected.contains(&class), "{code}: {class:?}");
    }
}

#[test]
fn each_cause_has_one_class_and_one_reason() {
    let table = [
        (Cause::Throttled, Class::Throttled, Reason::Throttled),
        (Cause::Quota, Class::Limit, Reason::LimitExceeded),
        (Cause::Permissions, Class::Denied, Reason::AccessDenied),
        (Cause::NoCredentials, Class::Denied, Reason::IdentityRefused),
        (Cause::CredentialsUnavailable, Class::Retry, Reason::AwsUnavailable),
        (Cause::Credentials, Class::Denied, Reason::AccessDenied),
        (Cause::SessionExpired, Class::Retry, Reason::AccessDenied),
        (Cause::ClockSkew, Class::Denied, Reason::ClockSkew),
        (Cause::RegionDisabled, Class::Denied, Reason::AccessDenied),
        (Cause::Key, Class::Denied, Reason::KeyUnusable),
        (Cause::ScheduledForDeletion, Class::Denied, Reason::ScheduledForDeletion),
        (Cause::NameInDeletion, Class::Retry, Reason::Progressing),
        (Cause::RotationInProgress, Class::Conflict, Reason::Progressing),
        (Cause::ResourcePolicy, Class::Invalid, Reason::PolicyRefused),
        (Cause::NoQueue, Class::Denied, Reason::AwsRefused),
        (Cause::NotFound, Class::Conflict, Reason::Progressing),
        (Cause::Unavailable, Class::Retry, Reason::AwsUnavailable),
        (Cause::Rejected, Class::Invalid, Reason::AwsRefused),
        (Cause::Defect, Class::Bug, Reason::InternalError),
    ];
    assert_eq!(table.map(|(cause, ..)| cause).to_vec(), Cause::iter().collect::<Vec<_>>());
    for (cause, class, reason) in table {
        assert_eq!((cause.class(), cause.reason(false)), (class, reason), "{cause:?}");
    }
}

#[test]
fn the_expired_session_of_a_role_needs_no_user_action() {
    let expired = || fault(Some("ExpiredTokenException"), "", 400);
    let of_role = Fault { role: Some(ROLE.to_owned()), ..expired() }.into_failure();
    assert_eq!((of_role.class, of_role.reason), (Class::Retry, Reason::Progressing));
    assert!(!of_role.reason.requires_user_action() && of_role.message.contains(ROLE), "{of_role}");
    let own = expired().into_failure();
    assert!(own.reason.requires_user_action() && own.message.contains("new credentials"), "{own}");
}

#[test]
fn an_unknown_code_is_a_rejection_below_500_and_a_server_error_above() {
    let unknown = ["InvalidParameterException", "ValidationException", "SomethingNew", "throttlingexception"];
    for code in unknown.into_iter().chain(["InvalidRequestException", "PreconditionNotMetException", "ResourceExistsException"]) {
        for (status, expected) in
            [(400, Cause::Rejected), (429, Cause::Throttled), (499, Cause::Rejected), (500, Cause::Unavailable), (599, Cause::Unavailable)]
        {
            assert_eq!(fault(Some(code), "", status).cause, expected, "{code} {status}");
        }
    }
    for status in [400, 404, 413, 500, 502] {
        let fault = fault(None, "", status);
        assert_eq!((fault.code, fault.cause), (None, Cause::Unavailable), "{status}");
    }
}

#[test]
fn the_text_decides_only_where_aws_has_one_code_for_several_causes() {
    let table = [
        (
            "InvalidRequestException",
            "You can't perform this operation on the secret because it was marked for deletion.",
            Cause::ScheduledForDeletion,
        ),
        ("InvalidRequestException", "You can't perform this operation on the secret because it was deleted.", Cause::ScheduledForDeletion),
        (
            "InvalidRequestException",
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
            Cause::NameInDeletion,
        ),
        ("InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.", Cause::RotationInProgress),
        ("InvalidRequestException", "You can't create this version.", Cause::Rejected),
        ("InvalidParameterException", "marked for deletion", Cause::Rejected),
        ("ThrottlingException", "marked for deletion", Cause::Throttled),
        ("InvalidSignatureException", "Signature expired: 20261126T000000Z is now earlier than", Cause::ClockSkew),
        ("SignatureDoesNotMatch", "Signature not yet current: 20261126T000000Z is still later than", Cause::ClockSkew),
        ("InvalidSignatureException", "The request signature we calculated does not match", Cause::Credentials),
    ];
    for (code, text, expected) in table {
        assert_eq!(fault(Some(code), text, 400).cause, expected, "{code}: {text}");
    }
}

#[test]
fn a_call_without_an_answer_is_retried_and_a_request_that_cannot_be_built_is_a_defect() {
    let table: [(SdkError<PutSecretValueError>, Class, Reason); 3] = [
        (SdkError::timeout_error(CANARY), Class::Retry, Reason::AwsUnavailable),
        (SdkError::response_error(CANARY, response(200)), Class::Retry, Reason::AwsUnavailable),
        (SdkError::construction_failure(CANARY), Class::Bug, Reason::InternalError),
    ];
    for (error, class, reason) in table {
        let failure = Fault::read(Operation::PutSecretValue, &error).into_failure();
        assert_eq!((failure.class, failure.reason), (class, reason));
        assert!(failure.message.starts_with("PutSecretValue: AWS did not answer: "), "{}", failure.message);
        assert!(!format!("{failure:?}").contains(CANARY));
    }
}

#[test]
fn a_code_is_a_word_of_at_most_64_characters() {
    let longest = "x".repeat(64);
    let table = [
        ("ThrottlingException", "ThrottlingException"),
        ("", ""),
        ("a b\tc\nd-e_f.g/h#i\"j<k>{l}\0m", "abcdefghijklm"),
        ("éß中9", "9"),
        (&"x".repeat(65), &longest),
        (&format!("{}{}", "-".repeat(100), "x".repeat(100)), &longest),
    ];
    for (code, expected) in table {
        assert_eq!(bounded_code(code), expected);
        assert_eq!(fault(Some(code), "", 400).code.as_deref(), Some(expected).filter(|code| !code.is_empty()));
    }
}

#[test]
fn an_entry_of_a_batch_fails_for_its_own_code() {
    for (code, of_sender, expected) in [
        ("AccessDenied", true, Cause::Permissions),
        ("ReceiptHandleIsInvalid", true, Cause::Rejected),
        ("InternalError", false, Cause::Unavailable),
        ("Unknown", false, Cause::Unavailable),
    ] {
        let fault = Fault::of_entry(Operation::DeleteMessageBatch, code, of_sender);
        assert_eq!((fault.cause, fault.code.as_deref()), (expected, Some(code)));
    }
}

#[test]
fn every_cause_has_advice_of_its_own_without_any_text_of_aws() {
    let mut advice = BTreeSet::new();
    for cause in Cause::iter() {
        for role in [None, Some(ROLE.to_owned())] {
            let fault = Fault { cause, role, ..fault(Some("SomethingException"), "", 400) };
            let failure = fault.into_failure();
            let words = failure.message.strip_prefix("PutSecretValue: AWS answered SomethingException: ").unwrap();
            assert!(words.len() > 10 && failure.message.len() < 300 && !words.contains(CANARY), "{words}");
            advice.insert(words.to_owned());
        }
    }
    // For three causes it matters whether a role made the call.
    assert_eq!(advice.len(), Cause::iter().count() + 3, "{advice:#?}");
}

#[test]
fn a_call_without_an_answer_names_the_proxy() {
    assert!(unreachable(Some("http://proxy:3128")).contains("the proxy http://proxy:3128 (HTTPS_PROXY; hosts in NO_PROXY"));
    assert!(!unreachable(None).contains("proxy"));
}

#[test]
fn an_outage_names_the_region_since_a_mistake_in_it_looks_the_same() {
    let region = || Some("eu-wset-1".into());
    for (code, status) in [(None, 503), (Some("InternalServiceError"), 500)] {
        let message = Fault { region: region(), ..fault(code, "", status) }.into_failure().message;
        assert!(message.contains("in region eu-wset-1: ") && message.contains("check the region"), "{message}");
    }
    let denied = Fault { region: region(), ..fault(Some("AccessDeniedException"), "", 400) }.into_failure().message;
    assert!(!denied.contains("eu-wset-1"), "{denied}");
}
