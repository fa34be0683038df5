//! How errors of AWS become a class, a reason and a sentence of our own.

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::ErrorMetadata;
use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use aws_sdk_secretsmanager::primitives::DateTime;

use super::*;

/// Stands for a secret, in the texts of errors.
const CANARY: &str = "canary-6f1d";

/// An answer of AWS with this code, whose every text holds the canary.
fn answered(code: Option<&str>, message: &str, status: u16) -> SdkError<PutSecretValueError> {
    let error = ErrorMetadata::builder().message(format!("{message} {CANARY}"));
    let error = if let Some(code) = code { error.code(code) } else { error }.build();
    SdkError::service_error(PutSecretValueError::generic(error), response(status))
}

fn response(status: u16) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), format!("{{\"message\":\"{CANARY}\"}}").into())
}

fn fault(code: Option<&str>, status: u16) -> Fault {
    Fault::read("PutSecretValue", &answered(code, "", status))
}

#[test]
fn every_code_has_its_class_and_its_reason_whatever_the_status() {
    let table: [((Class, Reason), &[&str]); 7] = [
        (
            (Class::Throttled, Reason::Throttled),
            &[
                "ThrottlingException",
                "Throttling",
                "ThrottledException",
                "RequestThrottled",
                "RequestThrottledException",
                "TooManyRequestsException",
                "RequestLimitExceeded",
                "ProvisionedThroughputExceededException",
                "SlowDown",
            ],
        ),
        ((Class::Limit, Reason::LimitExceeded), &["LimitExceededException"]),
        ((Class::Invalid, Reason::PolicyRefused), &["MalformedPolicyDocumentException", "PublicPolicyException"]),
        (
            (Class::Denied, Reason::AccessDenied),
            &[
                "AccessDeniedException",
                "AccessDenied",
                "UnrecognizedClientException",
                "InvalidSignatureException",
                "IncompleteSignature",
                "InvalidClientTokenId",
                "ExpiredTokenException",
                "ExpiredToken",
                "NotAuthorized",
                "OptInRequired",
            ],
        ),
        (
            (Class::Denied, Reason::KeyUnusable),
            &["EncryptionFailure", "EncryptionFailureException", "DecryptionFailure", "DecryptionFailureException"],
        ),
        (
            (Class::Retry, Reason::AwsUnavailable),
            &[
                "InternalServiceError",
                "InternalServiceErrorException",
                "InternalFailure",
                "ServiceUnavailable",
                "RequestTimeout",
                "RequestTimeoutException",
                "PriorRequestNotComplete",
                "TransactionInProgressException",
            ],
        ),
        ((Class::Conflict, Reason::Progressing), &["ResourceNotFoundException"]),
    ];
    for (expected, codes) in table {
        for code in codes {
            for status in [400, 403, 500, 503] {
                let fault = fault(Some(code), status);
                assert_eq!((fault.class, fault.reason), expected, "{code} {status}");
                assert_eq!(fault.code.as_deref(), Some(*code));
            }
        }
    }
}

#[test]
fn what_has_no_known_code_is_refused_for_good_below_500_and_tried_again_from_there() {
    let unknown = ["InvalidParameterException", "ValidationException", "SomethingNew", "throttlingexception"];
    for code in unknown.into_iter().chain(["InvalidRequestException", "PreconditionNotMetException", "ResourceExistsException"]) {
        for (status, expected) in [
            (400, (Class::Invalid, Reason::AwsRefused)),
            (499, (Class::Invalid, Reason::AwsRefused)),
            (500, (Class::Retry, Reason::AwsUnavailable)),
            (599, (Class::Retry, Reason::AwsUnavailable)),
        ] {
            let fault = fault(Some(code), status);
            assert_eq!((fault.class, fault.reason), expected, "{code} {status}");
        }
    }
    for status in [400, 404, 413, 500, 502] {
        let fault = fault(None, status);
        assert_eq!((fault.code, fault.class, fault.reason), (None, Class::Retry, Reason::AwsUnavailable), "{status}");
    }
}

#[test]
fn only_the_text_of_an_invalid_request_tells_that_a_secret_is_to_be_deleted() {
    let deletion = (Class::Denied, Reason::ScheduledForDeletion);
    let invalid = (Class::Invalid, Reason::AwsRefused);
    let table = [
        ("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.", deletion),
        (
            "InvalidRequestException",
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
            deletion,
        ),
        ("InvalidRequestException", "You can't perform this operation on the secret because it was deleted.", deletion),
        ("InvalidRequestException", "You can't create this version.", invalid),
        ("InvalidParameterException", "marked for deletion", invalid),
        ("ThrottlingException", "marked for deletion", (Class::Throttled, Reason::Throttled)),
    ];
    for (code, text, expected) in table {
        let fault = Fault::read("PutSecretValue", &answered(Some(code), text, 400));
        assert_eq!((fault.class, fault.reason), expected, "{code}: {text}");
    }
}

#[test]
fn no_answer_is_tried_again_and_a_request_that_cannot_be_built_is_our_fault() {
    let table: [(SdkError<PutSecretValueError>, Class, Reason); 3] = [
        (SdkError::timeout_error(CANARY), Class::Retry, Reason::AwsUnavailable),
        (SdkError::response_error(CANARY, response(200)), Class::Retry, Reason::AwsUnavailable),
        (SdkError::construction_failure(CANARY), Class::Bug, Reason::InternalError),
    ];
    for (error, class, reason) in table {
        let failure = Fault::read("PutSecretValue", &error).into_failure();
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
        assert_eq!(fault(Some(code), 400).code.as_deref(), Some(expected).filter(|code| !code.is_empty()));
    }
}

#[test]
fn a_failure_says_what_and_what_to_do_for_every_reason_and_nothing_of_what_aws_wrote() {
    for reason in Reason::ALL {
        for code in [None, Some("SomethingException")] {
            let Fault { operation, .. } = fault(None, 400);
            let fault = Fault { operation, code: code.map(str::to_owned), class: Class::Denied, reason, role: None };
            let failure = fault.into_failure();
            let start =
                code.map_or("PutSecretValue: AWS did not answer: ".to_owned(), |code| format!("PutSecretValue: AWS answered {code}: "));
            let advice = failure.message.strip_prefix(&start).unwrap();
            assert!(advice.len() > 10 && failure.message.len() < 250, "{}", failure.message);
            assert_eq!((failure.class, failure.reason), (Class::Denied, reason));
        }
    }
    let codes = ["ThrottlingException", "LimitExceededException", "AccessDenied", "EncryptionFailure", "InvalidRequestException"];
    let mut advice = Vec::new();
    for code in codes.into_iter().chain(["InternalFailure", "SomethingNew", "ResourceNotFoundException"]) {
        for text in ["", "was marked for deletion"] {
            let failure = Fault::read("PutSecretValue", &answered(Some(code), text, 400)).into_failure();
            assert!(!format!("{failure:?} {failure}").contains("canary"), "{failure:?}");
            advice.push(failure.message.rsplit_once(": ").unwrap().1.to_owned());
        }
    }
    advice.sort_unstable();
    advice.dedup();
    assert_eq!(advice.len(), 8, "each reason has advice of its own: {advice:#?}");
}

#[test]
fn a_write_that_aws_knows_already_is_no_failure() {
    assert_eq!(written(Ok(())), Ok(Written::Applied));
    assert_eq!(written::<()>(Err(fault(Some("ResourceExistsException"), 400))), Ok(Written::Exists));
    let failure = written::<()>(Err(fault(Some("ThrottlingException"), 400))).unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Throttled, Reason::Throttled));
    assert!(written::<()>(Err(fault(None, 400))).is_err());
}

#[test]
fn moments_of_aws_keep_their_milliseconds() {
    let at = DateTime::from_secs_f64(1_795_480_200.125);
    assert_eq!(timestamp(&at), Some(Timestamp::from_millisecond(1_795_480_200_125).unwrap()));
    assert_eq!(timestamp(&DateTime::from_secs(i64::MAX)), None);
}
