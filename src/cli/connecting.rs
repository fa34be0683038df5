//! What the operator needs before it starts: a cluster with its definition and its rights, the ID of the cluster, and a region. It waits
//! for answers, so a signal ends it at any point.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::config::KubeConfigOptions;
use kube::{Client, ResourceExt as _};

use super::fatal::Fatal;
use crate::aws::{Aws, EndpointConfig};
use crate::controller::{self, Scope};
use crate::kubernetes::connection;
use crate::kubernetes::stored::Brief;
use crate::metrics::Metrics;

/// What was found.
pub(super) struct Connected {
    pub(super) config: kube::Config,
    pub(super) client: Client,
    /// Namespaces that cannot be watched.
    pub(super) unavailable: Vec<String>,
    pub(super) cluster: String,
    pub(super) aws: Aws,
    pub(super) default_region: String,
}

/// Connects to the cluster and loads the configuration for AWS.
///
/// # Errors
/// If the operator cannot work here.
pub(super) async fn connect(
    scope: &Scope,
    cluster_id: Option<String>,
    endpoints: &EndpointConfig,
    metrics: &Metrics,
) -> Result<Connected, Fatal> {
    let config = configuration().await?;
    let client = connection::client(config.clone(), metrics).map_err(Fatal)?;
    let unavailable = controller::check(&client, scope).await.map_err(|error| unreachable(&config, &error))?;
    let cluster = cluster_id_or_uid(cluster_id, &client).await?;
    let aws = Aws::load(endpoints, &cluster, metrics.clone()).await;
    let default_region = aws.region().ok_or_else(|| Fatal("no AWS region: set --aws-region, AWS_REGION or a profile".to_owned()))?;
    Ok(Connected { config, client, unavailable, cluster, aws, default_region })
}

/// The message, with a hint if a proxy may be the cause.
fn unreachable(config: &kube::Config, error: &controller::StartError) -> Fatal {
    let hint = connection::proxy_hint(config).filter(|_| error.is_connection());
    Fatal(hint.map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}")))
}

/// The configuration of the kubeconfig, otherwise that of the pod.
async fn configuration() -> Result<kube::Config, Fatal> {
    const NONE: &str = "no Kubernetes cluster is configured: set KUBECONFIG, or run in a pod";
    let mut config = match connection::from_kubeconfig(None, &KubeConfigOptions::default()).await {
        Ok(config) => config,
        Err(error) => connection::in_cluster().ok_or_else(|| Fatal(connection::proxy_error(&error).unwrap_or(NONE).to_owned()))?,
    };
    // The work queue retries, so that other objects are reconciled in between.
    config.default_retry = false;
    Ok(config)
}

async fn cluster_id_or_uid(id: Option<String>, client: &Client) -> Result<String, Fatal> {
    if let Some(id) = id {
        return Ok(id);
    }
    let namespace = Api::<Brief<Namespace>>::all(client.clone()).get("kube-system").await;
    namespace
        .ok()
        .and_then(|namespace| namespace.uid())
        .ok_or_else(|| Fatal("cannot read the uid of the namespace kube-system, the default cluster ID: set --cluster-id".to_owned()))
}
