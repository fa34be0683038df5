//! Why the operator has no credentials: nothing gives it any, or what gives them does not answer. The second one is an outage and ends by
//! itself.

use std::error::Error;

use aws_config::imds::client::error::{ImdsError, TokenError};
use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::{Cause, bounded_code};

/// How the SDK begins the error of a Pod Identity agent, or of another HTTP server with credentials. The status follows in parentheses.
const HTTP_STATUS: &str = "Non-success status from HTTP credential provider: ";

impl Cause {
    /// Of a call for which there were no credentials, by the errors under this one. `None`: there were credentials.
    pub(super) fn of_missing_credentials(error: &(dyn Error + 'static)) -> Option<Self> {
        let error = sources(error).find_map(|error| error.downcast_ref::<CredentialsError>())?;
        Some(if is_outage(error) { Self::CredentialsUnavailable } else { Self::NoCredentials })
    }
}

/// An error with those under it, the outermost one first.
fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// The innermost error that tells decides: the outer ones only say that a provider failed.
fn is_outage(error: &(dyn Error + 'static)) -> bool {
    sources(error).filter_map(tells).last().unwrap_or(false)
}

/// Whether this error by itself is an outage. `None`: it does not tell.
fn tells(error: &(dyn Error + 'static)) -> Option<bool> {
    if let Some(error) = error.downcast_ref::<CredentialsError>() {
        return match error {
            CredentialsError::ProviderTimedOut(_) => Some(true),
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => Some(false),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<ProviderChainError<CredentialsError>>() {
        // The instance metadata service that does not answer is an attempt like one that is not configured.
        return Some(error.attempts().iter().any(|attempt| is_outage(attempt.error())));
    }
    if let Some(error) = error.downcast_ref::<ConnectorError>() {
        return Some(!error.is_user());
    }
    if let Some(error) = error.downcast_ref::<ImdsError>() {
        return match error {
            ImdsError::ErrorResponse(answer) => Some(is_temporary(answer.response().status().as_u16())),
            ImdsError::IoError(_) => Some(true),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<TokenError>() {
        return Some(!error.to_string().starts_with("request forbidden"));
    }
    of_sts::<AssumeRoleError>(error)
        .or_else(|| of_sts::<AssumeRoleWithWebIdentityError>(error))
        .or_else(|| of_http(error))
        .or_else(|| status(error).map(is_temporary))
}

/// Of a request to STS.
fn of_sts<E: ProvideErrorMetadata + Error + 'static>(error: &(dyn Error + 'static)) -> Option<bool> {
    match error.downcast_ref::<SdkError<E>>()? {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().map(bounded_code).filter(|code| !code.is_empty());
            let text = answer.err().message().unwrap_or_default();
            let cause = Cause::of(code.as_deref(), text, answer.raw().status().as_u16());
            Some(matches!(cause, Cause::Unavailable | Cause::Throttled))
        }
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Some(true),
        _ => None,
    }
}

/// Of a request to the Pod Identity agent, or to another HTTP server with credentials.
fn of_http(error: &(dyn Error + 'static)) -> Option<bool> {
    match error.downcast_ref::<SdkError<CredentialsError>>()? {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Some(true),
        _ => None,
    }
}

/// The status that such a server answered with. The SDK has it only as a text.
fn status(error: &(dyn Error + 'static)) -> Option<u16> {
    let text = error.to_string();
    let digits = text.strip_prefix(HTTP_STATUS)?.chars().filter(char::is_ascii_digit);
    digits.collect::<String>().parse().ok()
}

/// Whether a server that answers so may answer otherwise the next time.
fn is_temporary(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 429)
}

#[cfg(test)]
mod tests;
