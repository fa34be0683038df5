//! The connection to the API server: the kubeconfig and the proxy, chosen as kubectl chooses them.

use std::path::Path;

use http::Uri;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::bounded::BoundRequests;
use super::requests::CountRequests;
use crate::command::Command;
use crate::metrics::Metrics;
use crate::proxy::{ProxyVariables, shown};

/// The configuration of a kubeconfig: `path`, or KUBECONFIG, or `~/.kube/config`.
///
/// # Errors
/// If it cannot be used.
pub async fn from_kubeconfig(path: Option<&Path>, options: &KubeConfigOptions) -> Result<Config, KubeconfigError> {
    let kubeconfig = match path {
        Some(path) => Kubeconfig::read_from(path)?,
        None => Kubeconfig::read()?,
    };
    configured(kubeconfig, options).await
}

/// The configuration of a kubeconfig that has been read.
///
/// # Errors
/// If it cannot be used.
pub async fn configured(kubeconfig: Kubeconfig, options: &KubeConfigOptions) -> Result<Config, KubeconfigError> {
    let declared = declared_proxy(&kubeconfig, options);
    let mut config = Config::from_custom_kubeconfig(kubeconfig, options).await?;
    // The library compares NO_PROXY with the proxy instead of the server, and knows no loopback rule.
    config.proxy_url = match declared {
        Some(proxy) => Some(proxy),
        None => ProxyVariables::read().for_server(&config.cluster_url),
    };
    Ok(config)
}

/// The configuration of a pod. `None`: this process does not run in one.
pub fn in_cluster() -> Option<Config> {
    let mut config = Config::incluster().ok()?;
    config.proxy_url = ProxyVariables::read().for_server(&config.cluster_url);
    Some(config)
}

/// The client of a configuration. Its requests are counted, those of watches too. All others have a time limit.
///
/// # Errors
/// One sentence with the reason. Sends no request.
pub fn client(config: Config, metrics: &Metrics) -> Result<Client, String> {
    let builder = ClientBuilder::try_from(config).map_err(|error| unusable(&error, &Command::WhoAmI.to_string()))?;
    Ok(builder.with_layer(&CountRequests(metrics.clone())).with_layer(&BoundRequests::default()).build())
}

/// Why there is no client. `whoami`: the command that shows the login.
pub fn unusable(error: &kube::Error, whoami: &str) -> String {
    match error {
        kube::Error::ProxyProtocolUnsupported { proxy_url } | kube::Error::ProxyProtocolDisabled { proxy_url, .. } => {
            format!("the proxy {} cannot be used: HTTPS_PROXY and proxy-url must begin with http:// or https://", shown(proxy_url))
        }
        _ => format!("the kubeconfig cannot be used: check its certificates and its login with {whoami}"),
    }
}

/// For the message of a failed connection: the proxy, if one is used.
pub fn proxy_hint(config: &Config) -> Option<String> {
    let host = config.cluster_url.host().unwrap_or_default();
    let hint = |proxy| {
        format!(
            "requests go through the proxy {} (HTTPS_PROXY, or proxy-url in the kubeconfig): check it, or add {host} to NO_PROXY",
            shown(proxy)
        )
    };
    config.proxy_url.as_ref().map(hint)
}

/// The message for a proxy variable that cannot be read. `None`: the error has another cause.
pub fn proxy_error(error: &KubeconfigError) -> Option<&'static str> {
    match error {
        KubeconfigError::ParseProxyUrl(_) => {
            Some("HTTPS_PROXY, or proxy-url in the kubeconfig, is not a URL: write it as http://HOST:PORT")
        }
        KubeconfigError::ParseNoProxy(_) => {
            Some("NO_PROXY cannot be read: separate host names, addresses and CIDRs by commas, without empty entries")
        }
        _ => None,
    }
}

/// `proxy-url` of the cluster of the selected context.
fn declared_proxy(kubeconfig: &Kubeconfig, options: &KubeConfigOptions) -> Option<Uri> {
    let context = options.context.as_ref().or(kubeconfig.current_context.as_ref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == *context)?.context.as_ref()?;
    let cluster = options.cluster.as_ref().unwrap_or(&context.cluster);
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == *cluster)?.cluster.as_ref()?;
    cluster.proxy_url.as_ref().filter(|proxy| !proxy.is_empty())?.parse().ok()
}
