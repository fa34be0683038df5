//! ServiceAccounts used for AWS calls: their role annotation and their tokens.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use super::failed;
use super::stored::Brief;
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
        .map_err(|error| not_bound(namespace, failed("reading the ServiceAccount", &error)))?;
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
    let spec = TokenRequestSpec { audiences: vec![AUDIENCE.to_owned()], expiration_seconds: Some(SECONDS), ..TokenRequestSpec::default() };
    let answer = Api::<ServiceAccount>::namespaced(client.clone(), namespace)
        .create_token_request(name, &PostParams::default(), &TokenRequest { spec, ..TokenRequest::default() })
        .await
        .map_err(|error| not_bound(namespace, failed("asking for a token of the ServiceAccount", &error)))?;
    let status = answer.status.ok_or_else(|| Failure::bug("the API server answered a token request without a token"))?;
    Ok(Plaintext::from(status.token))
}

/// The permission is granted for each namespace, so the message says how to grant it.
fn not_bound(namespace: &str, failure: Failure) -> Failure {
    if failure.class != Class::Denied {
        return failure;
    }
    Failure {
        reason: Reason::IdentityRefused,
        message: format!(
            "the operator may not act as ServiceAccounts of namespace {namespace}; as administrator run: {} (with the operator's namespace and \
             account)",
            Command::BindServiceAccounts(namespace)
        ),
        ..failure
    }
}
