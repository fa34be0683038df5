//! Clients with the rights of a service account, as a pod would have them.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Config;
use kube::api::{Api, PostParams};
use serde_json::Value;

use super::launch;
use super::plane::ControlPlane;

/// Longer than any test or demo.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

impl ControlPlane {
    /// Asks for a token of an existing service account and writes a kubeconfig with it. It has the rights that RBAC gives that account: none, by
    /// default.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &TokenRequest { spec, ..TokenRequest::default() })
            .await
            .with_context(|| format!("no token for the service account {namespace}/{name}: apply its manifest first"))?;
        let token = answer.status.context("the API server answered a token request without a token")?.token;
        let url = self.admin.cluster_url.to_string();
        launch::write_kubeconfig(self.dir(), &format!("{namespace}.{name}"), url.trim_end_matches('/'), &token, namespace)
    }

    /// A token of a service account for one audience, as it would lie in a pod.
    pub async fn service_account_token(&self, namespace: &str, name: &str, audience: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), namespace);
        let spec = TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &TokenRequest { spec, ..TokenRequest::default() }).await?;
        Ok(answer.status.context("the API server answered a token request without a token")?.token)
    }

    /// The issuer of the tokens of service accounts, and the keys that it publishes.
    pub async fn issuer(&self) -> Result<(String, Value)> {
        let get = async |path: &str| -> Result<Value> {
            let request = http::Request::get(path).body(Vec::new())?;
            Ok(serde_json::from_str(&self.admin().request_text(request).await?)?)
        };
        let configuration = get("/.well-known/openid-configuration").await?;
        let issuer = configuration.get("issuer").and_then(Value::as_str).context("an issuer")?;
        Ok((issuer.to_owned(), get("/openid/v1/jwks").await?))
    }

    /// The client configuration of the same.
    pub async fn service_account_config(&self, namespace: &str, name: &str) -> Result<Config> {
        launch::read_config(&self.service_account_kubeconfig(namespace, name).await?).await
    }
}
