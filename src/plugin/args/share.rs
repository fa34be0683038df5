//! Flags of `share`.

use clap::Args;
use jiff::SignedDuration;

use super::cluster::wait;
use super::out::OutputArgs;
use crate::plugin::names;

/// Flags of `share`.
#[derive(Debug, Args)]
pub(in crate::plugin) struct ShareArgs {
    /// RotatedSecret that owns the AWS secret, as NAME or TYPE/NAME.
    #[arg(value_parser = names::object)]
    pub(in crate::plugin) name: String,
    /// Namespace that gets the credential; may be repeated.
    #[arg(long, required = true, value_name = "NAMESPACE", value_parser = target)]
    pub(in crate::plugin) to: Vec<String>,
    /// Name of the objects that are created. Default: that of the owner.
    #[arg(long = "name", value_name = "NAME", value_parser = names::object)]
    pub(in crate::plugin) mirror_name: Option<String>,
    /// Name of the mirrored Secrets. Default: that of the owner's Secret.
    #[arg(long, value_name = "NAME", value_parser = names::object)]
    pub(in crate::plugin) secret_name: Option<String>,
    /// ServiceAccount of each target namespace whose IAM role reads the AWS secret (spec.aws.serviceAccountRef).
    #[arg(long, value_name = "NAME", value_parser = names::object)]
    pub(in crate::plugin) service_account: Option<String>,
    /// Restart the workloads of each target namespace after each new version (spec.rollout).
    #[arg(long)]
    pub(in crate::plugin) rollout: bool,
    /// Add the AWS name to the annotation rotated-secrets.io/mirror-names of each target Namespace, if it does not allow
    /// the name yet. For administrators: needs patch on namespaces.
    #[arg(long, conflicts_with = "dry_run")]
    pub(in crate::plugin) consent: bool,
    /// Print the manifests, and write nothing. client is the only value.
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "WHERE", default_missing_value = "client", value_parser = ["client"],
        hide_possible_values = true, conflicts_with = "no_wait")]
    pub(in crate::plugin) dry_run: Option<String>,
    /// Do not wait until the Secrets are there.
    #[arg(long)]
    pub(in crate::plugin) no_wait: bool,
    /// Maximum time to wait for each Secret. The objects stay after the timeout.
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = wait)]
    pub(in crate::plugin) timeout: SignedDuration,
    #[command(flatten)]
    pub(in crate::plugin) out: OutputArgs,
}

/// Empty, `-n` means the namespace of the context. A target has a name.
fn target(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("use the name of a namespace".to_owned()) } else { names::namespace(text) }
}
