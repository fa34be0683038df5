//! STS: a session for a role. What AWS refuses here concerns who acts, so it has a reason of its own and says whose trust policy to mend.

use std::time::SystemTime;

use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::types::{Credentials as Issued, Tag};

use super::{Fault, counted};
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::failure::Failure;
use crate::identity::{RoleArn, Session};
use crate::metrics::Metrics;
use crate::plaintext::Plaintext;

/// An hour: the most that AWS gives a role assumed by a role, and the least that a role's maximum can be set to.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const SECONDS: i32 = 3600;

/// The operator assumes a role for a namespace.
pub(super) async fn role(
    sts: Client,
    metrics: &Metrics,
    role: &RoleArn,
    external_id: Option<&str>,
    session: &Session,
) -> Result<Credentials, Failure> {
    const OPERATION: &str = "AssumeRole";
    // Policies compare these tags: a session without them is never asked for.
    let tags = session.tags().into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    let tags = tags.collect::<Result<Vec<Tag>, _>>().map_err(|_| Failure::bug("a session tag without key or value"))?;
    let answer = sts
        .assume_role()
        .role_arn(role.as_str())
        .role_session_name(session.name())
        .duration_seconds(SECONDS)
        .set_external_id(external_id.map(str::to_owned))
        .set_tags(Some(tags))
        .send()
        .await;
    match counted(metrics, OPERATION, answer) {
        Ok(output) => credentials(output.credentials),
        Err(fault) => Err(refused(fault, role, || {
            format!(
                "its trust policy must allow sts:AssumeRole and sts:TagSession to the operator, with the external id of the Namespace {} if it asks \
                 for one, and the operator's own policy must allow both on it",
                session.namespace
            )
        })),
    }
}

/// A ServiceAccount acts by its own token.
pub(super) async fn web_identity(
    sts: Client,
    metrics: &Metrics,
    role: &RoleArn,
    session: &Session,
    account: &str,
    token: Plaintext,
) -> Result<Credentials, Failure> {
    const OPERATION: &str = "AssumeRoleWithWebIdentity";
    let answer = sts
        .assume_role_with_web_identity()
        .role_arn(role.as_str())
        .role_session_name(session.name())
        .duration_seconds(SECONDS)
        .web_identity_token(token.expose())
        .send()
        .await;
    match counted(metrics, OPERATION, answer) {
        Ok(output) => credentials(output.credentials),
        Err(fault) => Err(refused(fault, role, || {
            format!(
                "its trust policy must allow sts:AssumeRoleWithWebIdentity to this cluster's OIDC provider for the audience sts.amazonaws.com and \
                 the subject system:serviceaccount:{}:{account}",
                session.namespace
            )
        })),
    }
}

fn credentials(issued: Option<Issued>) -> Result<Credentials, Failure> {
    let issued = issued.ok_or_else(|| Failure::bug("STS gave no credentials"))?;
    let expiry = SystemTime::try_from(issued.expiration).map_err(|_| Failure::bug("STS gave an expiry that is no time"))?;
    Ok(Credentials::new(issued.access_key_id, issued.secret_access_key, Some(issued.session_token), Some(expiry), "sts"))
}

/// What a refusal of STS means. `trust`: what the role's trust policy must say.
fn refused(fault: Fault, role: &RoleArn, trust: impl FnOnce() -> String) -> Failure {
    let advice = match fault.code.as_deref() {
        Some("AccessDenied" | "AccessDeniedException") => format!("{}: aws iam get-role --role-name {}", trust(), role.name()),
        Some("InvalidIdentityToken" | "IDPRejectedClaim" | "ExpiredTokenException" | "ExpiredToken") if fault.operation != "AssumeRole" => {
            format!("the account must know this cluster's OIDC issuer: aws iam list-open-id-connect-providers; {}", trust())
        }
        Some("RegionDisabledException") => {
            "STS is not active for the operator's region in this account: activate it in the IAM console, or run the \
                                            operator with another --aws-region"
                .to_owned()
        }
        Some("ValidationError" | "ValidationException" | "PackedPolicyTooLarge" | "MalformedPolicyDocument") => {
            "correct the annotations of the Namespace or the ServiceAccount, and --cluster-id".to_owned()
        }
        // Silence, throttling, and the operator's own credentials are told as for every call.
        _ => return fault.into_failure(),
    };
    let Failure { message, .. } = fault.into_failure();
    let answered = message.rsplit_once(": ").map_or(message.as_str(), |(answered, _)| answered).to_owned();
    Failure { class: Class::Denied, reason: Reason::IdentityRefused, message: format!("{answered} for the role {role}: {advice}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/shop-secrets";

    fn told(operation: &'static str, code: Option<&str>, class: Class, reason: Reason) -> Failure {
        let fault = Fault { operation, code: code.map(str::to_owned), class, reason, role: None };
        refused(fault, &RoleArn::parse(ROLE).unwrap(), || "trust it".to_owned())
    }

    #[test]
    fn a_refusal_of_a_role_says_which_and_what_to_type() {
        for (operation, code, words) in [
            ("AssumeRole", "AccessDenied", "trust it: aws iam get-role --role-name shop-secrets"),
            ("AssumeRoleWithWebIdentity", "AccessDenied", "trust it: aws iam get-role --role-name shop-secrets"),
            ("AssumeRoleWithWebIdentity", "InvalidIdentityToken", "aws iam list-open-id-connect-providers; trust it"),
            ("AssumeRoleWithWebIdentity", "ExpiredTokenException", "aws iam list-open-id-connect-providers; trust it"),
            ("AssumeRole", "RegionDisabledException", "--aws-region"),
            ("AssumeRole", "ValidationError", "--cluster-id"),
        ] {
            let failure = told(operation, Some(code), Class::Denied, Reason::AccessDenied);
            assert_eq!((failure.class, failure.reason), (Class::Denied, Reason::IdentityRefused));
            let start = format!("{operation}: AWS answered {code} for the role {ROLE}: ");
            assert!(failure.message.starts_with(&start) && failure.message.contains(words), "{}", failure.message);
        }
    }

    #[test]
    fn what_is_not_the_roles_fault_is_told_as_for_every_call() {
        for (code, class, reason) in [
            (None, Class::Retry, Reason::AwsUnavailable),
            (Some("ThrottlingException"), Class::Throttled, Reason::Throttled),
            (Some("ExpiredToken"), Class::Denied, Reason::AccessDenied),
        ] {
            let failure = told("AssumeRole", code, class, reason);
            assert_eq!((failure.class, failure.reason), (class, reason), "{}", failure.message);
            assert!(!failure.message.contains(ROLE));
        }
    }
}
