//! Flags that select the cluster and the identity, with the names that kubectl uses.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;

use crate::plugin::names;

/// Connection flags.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::plugin) struct ClusterArgs {
    /// Namespace. Default: the namespace of the context.
    #[arg(short, long, global = true, value_name = "NAMESPACE", value_parser = names::namespace)]
    pub(in crate::plugin) namespace: Option<String>,
    /// Context of the kubeconfig. Default: the current context.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    pub(in crate::plugin) context: Option<String>,
    /// Cluster of the kubeconfig. Default: the cluster of the context.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    pub(in crate::plugin) cluster: Option<String>,
    /// User of the kubeconfig. Default: the user of the context.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    pub(in crate::plugin) user: Option<String>,
    /// Path of the kubeconfig. Default: KUBECONFIG (several files are merged), then ~/.kube/config.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Cluster")]
    pub(in crate::plugin) kubeconfig: Option<PathBuf>,
    /// User to impersonate.
    #[arg(long = "as", global = true, value_name = "USER", help_heading = "Cluster")]
    pub(in crate::plugin) impersonate: Option<String>,
    /// Group to impersonate; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP", help_heading = "Cluster")]
    pub(in crate::plugin) impersonate_groups: Vec<String>,
    /// Time limit of one request to the API server. 0: no limit.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = timeout, help_heading = "Cluster")]
    pub(in crate::plugin) request_timeout: SignedDuration,
}

/// As kubectl: a number alone is in seconds, and 0 means no limit.
fn timeout(text: &str) -> Result<SignedDuration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(SignedDuration::from_secs(i64::from(seconds)));
    }
    crate::flags::duration(text)
}

/// A duration to wait. A number alone is in seconds, as in kubectl.
pub(super) fn wait(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<u32>() {
        Ok(0) => Err("at least 1s".to_owned()),
        Ok(seconds) => Ok(SignedDuration::from_secs(i64::from(seconds))),
        Err(_) => crate::flags::duration(text),
    }
}
