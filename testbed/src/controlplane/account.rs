//! Clients with the rights of a service account, as a pod would have them.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Config;
use kube::api::{Api, PostParams};

use super::{ControlPlane, launch};

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

    /// The client configuration of the same.
    pub async fn service_account_config(&self, namespace: &str, name: &str) -> Result<Config> {
        launch::read_config(&self.service_account_kubeconfig(namespace, name).await?).await
    }
}
