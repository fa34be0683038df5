//! A refusal in AWS's words.

use std::borrow::Cow;

/// An error as AWS answers it: a code that programs match on and a text for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// The code, such as `ResourceNotFoundException`.
    pub code: Cow<'static, str>,
    /// The text. Never holds a secret value.
    pub message: String,
}

impl AwsError {
    /// Any code with any text; faults use it.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", message)
    }

    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    /// A request that breaks the API model (a length, an enumeration, a missing member).
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self::new("ResourceExistsException", message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(crate) fn malformed_policy(message: impl Into<String>) -> Self {
        Self::new("MalformedPolicyDocumentException", message)
    }

    pub(crate) fn bad_next_token() -> Self {
        Self::new("InvalidNextTokenException", "The NextToken value is invalid.")
    }

    /// The secret itself is unknown (recorded text).
    pub(crate) fn no_secret() -> Self {
        Self::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    }

    /// The secret is there, the label is on none of its versions (recorded text).
    pub(crate) fn no_label(label: &str) -> Self {
        Self::new("ResourceNotFoundException", format!("Secrets Manager can't find the specified secret value for staging label: {label}"))
    }

    /// The secret is there, the version is not, or holds no value yet (recorded text).
    pub(crate) fn no_version(id: &str) -> Self {
        Self::new("ResourceNotFoundException", format!("Secrets Manager can't find the specified secret value for VersionId: {id}"))
    }

    /// The secret waits for its deletion (recorded text).
    pub(crate) fn marked_for_deletion() -> Self {
        Self::invalid_request("You can't perform this operation on the secret because it was marked for deletion.")
    }

    /// The token names a version that holds other data (recorded text).
    pub(crate) fn token_in_use(token: &str, arn: &str) -> Self {
        Self::exists(format!(
            "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
        ))
    }

    /// Over the quota of requests.
    pub(crate) fn throttled() -> Self {
        Self::new("ThrottlingException", "Rate exceeded")
    }
}
