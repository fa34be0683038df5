//! Flags that select the cluster and the identity, with the names that kubectl uses.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::SignedDuration;

use crate::plaintext::Plaintext;
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
    /// UID to impersonate.
    #[arg(long = "as-uid", global = true, value_name = "UID", help_heading = "Cluster")]
    pub(in crate::plugin) impersonate_uid: Option<String>,
    /// Extra field to impersonate, as KEY=VALUE; may be repeated.
    #[arg(long = "as-user-extra", global = true, value_name = "KEY=VALUE", value_parser = extra, help_heading = "Cluster")]
    pub(in crate::plugin) impersonate_extra: Vec<(String, String)>,
    /// URL of the API server. Default: that of the cluster. With --token no kubeconfig is needed.
    #[arg(short, long, global = true, value_name = "URL", value_parser = server, help_heading = "Cluster")]
    pub(in crate::plugin) server: Option<String>,
    /// Bearer token. It is visible in the list of processes.
    #[arg(long, global = true, value_name = "TOKEN", value_parser = hidden, help_heading = "Cluster")]
    pub(in crate::plugin) token: Option<Hidden>,
    /// User name for basic authentication.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "token", help_heading = "Cluster")]
    pub(in crate::plugin) username: Option<String>,
    /// Password for basic authentication. It is visible in the list of processes.
    #[arg(long, global = true, value_name = "PASSWORD", value_parser = hidden, help_heading = "Cluster")]
    pub(in crate::plugin) password: Option<Hidden>,
    /// File with the certificate of the client.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Cluster")]
    pub(in crate::plugin) client_certificate: Option<PathBuf>,
    /// File with the key of the client's certificate.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Cluster")]
    pub(in crate::plugin) client_key: Option<PathBuf>,
    /// File with the certificate authority of the API server.
    #[arg(long, global = true, value_name = "PATH", help_heading = "Cluster")]
    pub(in crate::plugin) certificate_authority: Option<PathBuf>,
    /// Do not verify the certificate of the API server. Another server can then read what is sent and received.
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
        hide_default_value = true, hide_possible_values = true, conflicts_with = "certificate_authority", help_heading = "Cluster")]
    pub(in crate::plugin) insecure_skip_tls_verify: bool,
    /// Name that the certificate of the API server must have. Default: the host of its URL.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    pub(in crate::plugin) tls_server_name: Option<String>,
    /// Do not ask for compressed responses.
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true",
        hide_default_value = true, hide_possible_values = true, help_heading = "Cluster")]
    pub(in crate::plugin) disable_compression: bool,
    /// Verbosity. From 6 on, each request to the API server is shown on standard error. Bodies and headers are never shown.
    #[arg(
        short,
        long = "v",
        global = true,
        value_name = "LEVEL",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Cluster"
    )]
    pub(in crate::plugin) verbosity: u8,
    /// Time limit of one request to the API server. 0: no limit.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = timeout, help_heading = "Cluster")]
    pub(in crate::plugin) request_timeout: SignedDuration,
}

/// A credential of the command line. Its text is in no message.
#[derive(Clone)]
pub(in crate::plugin) struct Hidden(Arc<Plaintext>);

impl Hidden {
    /// The credential itself.
    pub(in crate::plugin) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a parser")]
fn hidden(text: &str) -> Result<Hidden, String> {
    Ok(Hidden(Arc::new(Plaintext::from(text.to_owned()))))
}

fn extra(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("use KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn server(text: &str) -> Result<String, String> {
    let url = text.starts_with("https://") || text.starts_with("http://");
    let parsed = text.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    if url && parsed { Ok(text.to_owned()) } else { Err("use a URL such as https://HOST:6443".to_owned()) }
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
