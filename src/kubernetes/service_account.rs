//! ServiceAccounts used for AWS calls: their role annotation and their tokens.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde::Deserialize;

use super::stored::Brief;
use super::{failed, refused_account};
use crate::api::SERVICE_ACCOUNT_ROLE_ARN;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::command::Command;
use crate::failure::Failure;
use crate::identity::Account;
use crate::plaintext::Plaintext;

/// The audience that AWS expects. <https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html>
const AUDIENCE: &str = "sts.amazonaws.com";
/// Shortest lifetime of a token that the API server accepts. The token is used once, immediately.
const SECONDS: i64 = 600;

/// The uid and the role annotation of the ServiceAccount; `None` if it does not exist.
///
/// # Errors
/// If it cannot be read.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Account>, Failure> {
    let found = Api::<Brief<ServiceAccount>>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| not_bound(namespace, "reading the ServiceAccount", &error))?;
    Ok(found.map(|account| Account {
        uid: account.uid().unwrap_or_default(),
        role_arn: account.annotations().get(SERVICE_ACCOUNT_ROLE_ARN).cloned(),
    }))
}

/// A token of the ServiceAccount for AWS.
///
/// # Errors
/// If the API server issues none.
pub async fn token(client: &Client, namespace: &str, name: &str) -> Result<Plaintext, Failure> {
    token_for(client, namespace, name, AUDIENCE).await
}

/// A token of the ServiceAccount for this audience.
///
/// # Errors
/// If the API server issues none.
pub async fn token_for(client: &Client, namespace: &str, name: &str, audience: &str) -> Result<Plaintext, Failure> {
    let spec = TokenRequestSpec { audiences: vec![audience.to_owned()], expiration_seconds: Some(SECONDS), ..TokenRequestSpec::default() };
    let answer = Api::<ServiceAccount>::namespaced(client.clone(), namespace)
        .create_token_request(name, &PostParams::default(), &TokenRequest { spec, ..TokenRequest::default() })
        .await
        .map_err(|error| not_bound(namespace, "asking for a token of the ServiceAccount", &error))?;
    let status = answer.status.ok_or_else(|| Failure::bug("the API server answered a token request without a token"))?;
    Ok(Plaintext::from(status.token))
}

/// What a token says of itself.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Vec<String>,
}

/// Whether this audience, and no other, accepts the token. The API server accepts tokens for the name of their issuer unless it
/// has another name (`--api-audiences`), so such a token is for no one else.
pub fn is_only_for(token: &Plaintext, audience: &str) -> bool {
    let payload = token.expose().split('.').nth(1).and_then(|payload| BASE64_URL_SAFE_NO_PAD.decode(payload).ok());
    let claims = payload.and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok());
    claims.is_some_and(|Claims { iss, aud }| aud == [audience] && iss.trim_end_matches('/') != audience.trim_end_matches('/'))
}

/// The permission is granted for each namespace, so the message says how to grant it.
fn not_bound(namespace: &str, what: &'static str, error: &kube::Error) -> Failure {
    let failure = failed(what, error);
    if failure.class != Class::Denied {
        return failure;
    }
    let operator = match error {
        kube::Error::Api(status) => refused_account(&status.message),
        _ => None,
    };
    Failure {
        reason: Reason::IdentityRefused,
        message: format!(
            "the operator may not act as ServiceAccounts of namespace {namespace}; as administrator run: {}",
            Command::BindRole { role: "rotated-secrets-service-accounts", namespace, operator }
        ),
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_the_api_server_would_accept_or_that_has_another_audience_is_not_sent() {
        let sent = |claims: serde_json::Value, audience: &str| {
            let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
            is_only_for(&Plaintext::from(format!("header.{payload}.signature")), audience)
        };
        let (receiver, issuer) = ("https://rotate.shop.svc:8443", "https://oidc.example.com");
        assert!(sent(serde_json::json!({"iss": issuer, "aud": [receiver]}), receiver));
        for aud in [vec![], vec![issuer], vec![receiver, issuer]] {
            assert!(!sent(serde_json::json!({"iss": issuer, "aud": aud}), receiver), "{aud:?}");
        }
        for own in [receiver, "https://rotate.shop.svc:8443/"] {
            assert!(!sent(serde_json::json!({"iss": own, "aud": [receiver]}), receiver), "{own}");
        }
        for odd in ["", "a-token", "a.b.c", "a.e30.c"] {
            assert!(!is_only_for(&Plaintext::from(odd.to_owned()), receiver), "{odd}");
        }
    }

    #[test]
    fn the_command_that_grants_the_permission_names_the_account_that_lacks_it() {
        let refused = |message: &str| {
            let status = kube::core::Status::failure(message, "Forbidden").with_code(403).boxed();
            not_bound("shop", "reading", &kube::Error::Api(status)).message
        };
        let real = "serviceaccounts \"db\" is forbidden: User \"system:serviceaccount:tools:secrets-operator\" cannot get resource";
        assert!(refused(real).ends_with("--serviceaccount=tools:secrets-operator"), "{}", refused(real));
        for other in ["forbidden", "User \"admin\" cannot", "User \"system:serviceaccount:a b:c\" cannot"] {
            assert!(refused(other).ends_with("--serviceaccount=OPERATOR_NAMESPACE:OPERATOR_SERVICE_ACCOUNT"), "{}", refused(other));
        }
    }
}
