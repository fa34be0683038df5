//! The command line of the plugin.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

const EXIT_CODES: &str = "Exit codes:
  0  all is as it should be
  1  something is not: not Ready, not rotated or not mirrored, AWS and the mirror differ, there is no such object
  2  the command line is not understood
  3  it could not be found out: no kubeconfig, no answer, or no right to ask

No value of a secret is ever printed, in any format.";

/// Look at RotatedSecrets and ask things of them: what is due, overdue or failing, rotate now, pause, compare with AWS.
#[derive(Debug, Parser)]
#[command(name = "kubectl-rotatedsecret", bin_name = "kubectl rotatedsecret", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
    /// Which cluster.
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// As kubectl has them.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ClusterArgs {
    /// The namespace; default: that of the context.
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// The context of the kubeconfig; default: the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// The kubeconfig; default: KUBECONFIG, then ~/.kube/config.
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) kubeconfig: Option<PathBuf>,
}

/// What the plugin can do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What is due, overdue or failing, worst first.
    Status(StatusArgs),
    /// Rotate now, and wait until the new version is current in AWS and mirrored.
    Rotate(RequestArgs),
    /// Bring an older value back, and wait until it is current in AWS and mirrored.
    Rollback(RollbackArgs),
    /// Look at AWS and the mirror now, and write only what differs.
    Refresh(RequestArgs),
    /// The last versions, why each was made, and which one can go back to.
    History(ObjectArgs),
    /// Pause: nothing is written anywhere until resume.
    Suspend(SuspendArgs),
    /// End a pause, also that of the rotation.
    Resume(ObjectArgs),
    /// Do AWS, the mirrored Secret and the status agree? With your own AWS credentials.
    Verify(VerifyArgs),
    /// Would it all work? Cluster, definition, rights, operator, and AWS as seen from here.
    Doctor(DoctorArgs),
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// The shells that we print completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
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

/// How answers look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// How answers look.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct OutputArgs {
    /// For machines; default: for people.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(super) output: Option<Format>,
}

/// Of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Of this object only, in detail.
    pub(super) name: Option<String>,
    /// Of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub(super) all_namespaces: bool,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Of commands that take an object and nothing else.
#[derive(Debug, Args)]
pub(super) struct ObjectArgs {
    /// The RotatedSecret.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Of `rotate`, `rollback` and `refresh`.
#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    /// The RotatedSecret.
    pub(super) name: String,
    /// Only ask; do not wait until it happened.
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Withdraw a request that the operator has not carried out yet.
    #[arg(long, conflicts_with = "no_wait")]
    pub(super) cancel: bool,
    /// How long to wait. The request itself stays: --cancel withdraws it.
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = crate::cli::duration)]
    pub(super) timeout: SignedDuration,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Of `rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// Whose value: a version id as `history` shows it, or as much of its beginning as tells it from the others; or AWSPREVIOUS, which is
    /// resolved after the operator has looked at AWS.
    #[arg(long, value_name = "VERSION", default_value = "AWSPREVIOUS", conflicts_with = "cancel")]
    pub(super) to: String,
    /// Show whose value would come back, by the operator's last look at AWS, and write nothing.
    #[arg(long, conflicts_with_all = ["cancel", "no_wait"])]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation on a terminal. Without a terminal nothing is asked.
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// Of `suspend`.
#[derive(Debug, Args)]
pub(super) struct SuspendArgs {
    /// The RotatedSecret.
    pub(super) name: String,
    /// Only rotation stops; the mirror is still kept.
    #[arg(long)]
    pub(super) rotation_only: bool,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Of commands that ask AWS.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AwsArgs {
    /// Speak to this endpoint instead of AWS's own; https, or http on loopback.
    #[arg(long, env = "AWS_ENDPOINT_URL", hide_env_values = true, value_name = "URL", value_parser = crate::cli::endpoint)]
    pub(super) aws_endpoint_url: Option<String>,
}

/// Of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The RotatedSecret.
    pub(super) name: String,
    /// Also read the value from AWS and from the Secret, compare them in memory, and say only whether they agree.
    #[arg(long)]
    pub(super) values: bool,
    /// Do not ask AWS: compare the mirror with the status only.
    #[arg(long, conflicts_with = "values")]
    pub(super) no_aws: bool,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Of `doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Also whether you may ask AWS about this object's secret.
    pub(super) name: Option<String>,
    /// Judge by the objects of all namespaces.
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
        for line in ["0  all is as it should be", "1  something is not", "2  the command line", "3  it could not be found out"] {
            assert!(help.contains(line), "{help}");
        }
    }
}
