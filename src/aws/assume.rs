//! Sessions of roles from STS. A refusal has the reason `IdentityRefused`, and its message names the trust policy to correct.

use std::time::SystemTime;

use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_sts::types::{Credentials as Issued, Tag};
use aws_sdk_sts::{Client, config};

use super::environment::Environment;
use super::fault::Fault;
use super::meter::Meter;
use super::operation::Operation;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::command::Command;
use crate::failure::Failure;
use crate::identity::{RoleArn, Session};
use crate::plaintext::Plaintext;

/// One hour: the maximum for a role that was assumed by another role, and the minimum of a role's own maximum.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const SECONDS: i32 = 3600;

/// The operator assumes a role for a namespace.
pub(super) async fn role(
    environment: &Environment,
    role: &RoleArn,
    external_id: Option<&str>,
    session: &Session,
) -> Result<Credentials, Failure> {
    // Policies compare these tags, so a session is never requested without them.
    let tags = session.tags().into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags = tags.collect::<Result<Vec<Tag>, _>>().map_err(|_| Failure::bug("a session tag without key or value"))?;
    let request = client(environment)
        .assume_role()
        .role_arn(role.as_str())
        .role_session_name(session.name())
        .duration_seconds(SECONDS)
        .set_external_id(external_id.map(str::to_owned))
        .set_tags(Some(tags));
    match environment.calls.call(&region(environment), Operation::AssumeRole, None, request.send()).await {
        Ok(output) => credentials(output.credentials),
        Err(fault) => Err(fault.into_assume_failure(role, || {
            format!(
                "its trust policy must allow sts:AssumeRole and sts:TagSession to the operator, with the external id of the Namespace {} if \
                 the policy requires one, and the operator's own policy must allow both on the role",
                session.namespace
            )
        })),
    }
}

/// A ServiceAccount assumes a role with its own token.
pub(super) async fn web_identity(
    environment: &Environment,
    role: &RoleArn,
    session: &Session,
    account: &str,
    token: Plaintext,
) -> Result<Credentials, Failure> {
    let request = client(environment)
        .assume_role_with_web_identity()
        .role_arn(role.as_str())
        .role_session_name(session.name())
        .duration_seconds(SECONDS)
        .web_identity_token(token.expose());
    match environment.calls.call(&region(environment), Operation::AssumeRoleWithWebIdentity, None, request.send()).await {
        Ok(output) => credentials(output.credentials),
        Err(fault) => Err(fault.into_assume_failure(role, || {
            format!(
                "its trust policy must allow sts:AssumeRoleWithWebIdentity to this cluster's OIDC provider for the audience \
                 sts.amazonaws.com and the subject system:serviceaccount:{}:{account}",
                session.namespace
            )
        })),
    }
}

fn client(environment: &Environment) -> Client {
    let meter = Meter::new(&environment.calls, &region(environment), None);
    Client::from_conf(config::Builder::from(&environment.config).interceptor(meter).build())
}

fn region(environment: &Environment) -> String {
    environment.region().unwrap_or_default()
}

fn credentials(issued: Option<Issued>) -> Result<Credentials, Failure> {
    let issued = issued.ok_or_else(|| Failure::bug("STS returned no credentials"))?;
    let expiry = SystemTime::try_from(issued.expiration).map_err(|_| Failure::bug("STS returned an invalid expiry"))?;
    Ok(Credentials::new(issued.access_key_id, issued.secret_access_key, Some(issued.session_token), Some(expiry), "sts"))
}

impl Fault {
    /// As [`Fault::into_failure`], with the advice for a role that cannot be assumed. `trust`: what the role's trust policy must allow.
    pub(super) fn into_assume_failure(self, role: &RoleArn, trust: impl FnOnce() -> String) -> Failure {
        let advice = match self.code.as_deref() {
            Some("AccessDenied" | "AccessDeniedException") => format!("{}: {}", trust(), Command::GetRole(role.name())),
            Some("InvalidIdentityToken" | "IDPRejectedClaim" | "ExpiredTokenException" | "ExpiredToken")
                if self.operation == Operation::AssumeRoleWithWebIdentity =>
            {
                format!("the account must know this cluster's OIDC issuer: {}; {}", Command::ListOidcProviders, trust())
            }
            Some("RegionDisabledException") => {
                "STS is not active in the operator's Region for this account: activate it in the IAM console, or run the operator with \
                 another --aws-region"
                    .to_owned()
            }
            Some("ValidationError" | "ValidationException" | "PackedPolicyTooLarge" | "MalformedPolicyDocument") => {
                "correct the annotations of the Namespace or the ServiceAccount, and --cluster-id".to_owned()
            }
            // The other causes do not depend on the role.
            _ => return self.into_failure(),
        };
        let message = format!("{} for the role {role}: {advice}", self.summary());
        Failure { class: Class::Denied, reason: Reason::IdentityRefused, message, request_id: self.request_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::fault::Cause;

    const ROLE: &str = "arn:aws:iam::123456789012:role/shop-secrets";

    fn refused(operation: Operation, code: Option<&str>) -> Failure {
        let fault = Fault {
            operation,
            code: code.map(str::to_owned),
            cause: Cause::of(code, "", 403),
            role: None,
            region: None,
            secret: None,
            key: None,
            request_id: None,
        };
        fault.into_assume_failure(&RoleArn::parse(ROLE).unwrap(), || "trust it".to_owned())
    }

    #[test]
    fn a_refused_role_is_named_with_what_to_type() {
        for (operation, code, words) in [
            (Operation::AssumeRole, "AccessDenied", "trust it: aws iam get-role --role-name shop-secrets"),
            (Operation::AssumeRoleWithWebIdentity, "AccessDenied", "trust it: aws iam get-role --role-name shop-secrets"),
            (Operation::AssumeRoleWithWebIdentity, "InvalidIdentityToken", "aws iam list-open-id-connect-providers; trust it"),
            (Operation::AssumeRoleWithWebIdentity, "ExpiredTokenException", "aws iam list-open-id-connect-providers; trust it"),
            (Operation::AssumeRole, "RegionDisabledException", "--aws-region"),
            (Operation::AssumeRole, "ValidationError", "--cluster-id"),
        ] {
            let failure = refused(operation, Some(code));
            assert_eq!((failure.class, failure.reason), (Class::Denied, Reason::IdentityRefused));
            let start = format!("{operation}: AWS answered {code} for the role {ROLE}: ");
            assert!(failure.message.starts_with(&start) && failure.message.contains(words), "{}", failure.message);
        }
    }

    #[test]
    fn a_failure_that_does_not_depend_on_the_role_is_reported_as_for_every_call() {
        for (code, class, reason) in [
            (None, Class::Retry, Reason::AwsUnavailable),
            (Some("ThrottlingException"), Class::Throttled, Reason::Throttled),
            (Some("IDPCommunicationError"), Class::Retry, Reason::AwsUnavailable),
            (Some("InvalidClientTokenId"), Class::Denied, Reason::AccessDenied),
            (Some("ExpiredToken"), Class::Retry, Reason::AccessDenied),
        ] {
            let failure = refused(Operation::AssumeRole, code);
            assert_eq!((failure.class, failure.reason), (class, reason), "{}", failure.message);
            assert!(!failure.message.contains(ROLE));
        }
    }
}
