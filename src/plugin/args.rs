//! The command line of the plugin.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

const EXIT_CODES: &str = "Exit codes:
  0  success: everything is in the desired state
  1  failure: not Ready, not rotated or not mirrored, AWS and the mirror differ, or the object does not exist
  2  invalid command line
  3  unknown: no kubeconfig, no response, or missing permissions

Secret values are never printed, in any format.";

/// Inspect RotatedSecrets and request actions: show what is due, overdue or failing, rotate, roll back, suspend,
/// compare with AWS.
#[derive(Debug, Parser)]
#[command(name = "kubectl-rotatedsecret", bin_name = "kubectl rotatedsecret", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// Connection flags, with the names that kubectl uses.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ClusterArgs {
    /// Namespace. Default: the namespace of the context.
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// Context of the kubeconfig. Default: the current context.
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// Path of the kubeconfig. Default: KUBECONFIG, then ~/.kube/config.
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) kubeconfig: Option<PathBuf>,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what is due, overdue or failing, most urgent first.
    Status(StatusArgs),
    /// Rotate now, and wait until the new version is current in AWS and mirrored.
    Rotate(RequestArgs),
    /// Restore an earlier value, and wait until it is current in AWS and mirrored.
    Rollback(RollbackArgs),
    /// Reconcile now: check AWS and the mirror, and correct drift.
    Refresh(RequestArgs),
    /// Show recent versions, their causes, and the versions that are available for a rollback.
    History(ObjectArgs),
    /// Suspend an object: nothing is written to AWS or Kubernetes until it is resumed.
    Suspend(SuspendArgs),
    /// Resume a suspended object or a suspended rotation.
    Resume(ObjectArgs),
    /// Verify that AWS, the mirrored Secret and the status agree. Uses your own AWS credentials.
    Verify(VerifyArgs),
    /// Check the prerequisites: cluster, CustomResourceDefinition, permissions, operator, and access to AWS from here.
    Doctor(DoctorArgs),
    /// Print the shell completion script.
    Completion {
        /// Shell to generate the script for.
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// Supported shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl From<Shell> for clap_complete::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Zsh => Self::Zsh,
            Shell::Fish => Self::Fish,
        }
    }
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A JSON document.
    Json,
    /// A YAML document.
    Yaml,
}

/// Output flags.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct OutputArgs {
    /// Output format. Default: human-readable text.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(super) output: Option<Format>,
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// RotatedSecret to show in detail. Default: all objects of the namespace.
    pub(super) name: Option<String>,
    /// Show the objects of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub(super) all_namespaces: bool,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Arguments of commands that take only an object.
#[derive(Debug, Args)]
pub(super) struct ObjectArgs {
    /// Name of the RotatedSecret.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `rotate` and `refresh`, and common flags of `rollback`.
#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    /// Name of the RotatedSecret.
    pub(super) name: String,
    /// Only submit the request, and do not wait for the result.
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Withdraw a request that the operator has not carried out yet.
    #[arg(long, conflicts_with = "no_wait")]
    pub(super) cancel: bool,
    /// Maximum time to wait for the result. The request remains in effect after the timeout; --cancel withdraws it.
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = crate::flags::duration)]
    pub(super) timeout: SignedDuration,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// Version to restore: a version ID as shown by `history`, a unique prefix of it, or AWSPREVIOUS, which is resolved
    /// after the operator has observed AWS.
    #[arg(long, value_name = "VERSION", default_value = "AWSPREVIOUS", conflicts_with = "cancel")]
    pub(super) to: String,
    /// Show the version that would be restored, as last observed by the operator, and write nothing.
    #[arg(long, conflicts_with_all = ["cancel", "no_wait"])]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation. Without a terminal, the command never asks.
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// Flags of `suspend`.
#[derive(Debug, Args)]
pub(super) struct SuspendArgs {
    /// Name of the RotatedSecret.
    pub(super) name: String,
    /// Suspend rotation only. The mirror is still maintained.
    #[arg(long)]
    pub(super) rotation_only: bool,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of commands that call AWS.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AwsArgs {
    /// Endpoint to use instead of the AWS endpoint. Must be https, or http on loopback.
    #[arg(long, env = "AWS_ENDPOINT_URL", hide_env_values = true, value_name = "URL", value_parser = crate::flags::endpoint)]
    pub(super) aws_endpoint_url: Option<String>,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Name of the RotatedSecret.
    pub(super) name: String,
    /// Also read the value from AWS and from the Secret, compare them in memory, and report only whether they are
    /// equal.
    #[arg(long)]
    pub(super) values: bool,
    /// Do not call AWS: compare the mirror with the status only.
    #[arg(long, conflicts_with = "values")]
    pub(super) no_aws: bool,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// RotatedSecret to check: also verifies that you may read its AWS secret.
    pub(super) name: Option<String>,
    /// Check the objects of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub(super) all_namespaces: bool,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_kubectl_stand_before_or_after_the_command() {
        for line in [["-n", "shop", "status", "db"], ["status", "db", "--namespace", "shop"], ["status", "-n", "shop", "db"]] {
            let cli = Cli::try_parse_from(["kubectl-rotatedsecret"].into_iter().chain(line)).unwrap();
            assert_eq!(cli.cluster.namespace.as_deref(), Some("shop"), "{line:?}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            vec!["status", "db", "-A"],
            vec!["verify", "db", "--values", "--no-aws"],
            vec!["rotate"],
            vec!["rotate", "db", "--timeout", "soon"],
            vec!["rotate", "db", "--cancel", "--no-wait"],
            vec!["rollback", "db", "--cancel", "--to", "abcd"],
            vec!["rollback", "db", "--cancel", "--dry-run"],
            vec!["status", "-o", "xml"],
            vec!["completion", "tcsh"],
            vec!["doctor", "--aws-endpoint-url", "http://example.com"],
        ] {
            assert!(Cli::try_parse_from(["kubectl-rotatedsecret"].into_iter().chain(line.iter().copied())).is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_help_tells_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        for line in ["0  success", "1  failure", "2  invalid command line", "3  unknown"] {
            assert!(help.contains(line), "{help}");
        }
    }
}
