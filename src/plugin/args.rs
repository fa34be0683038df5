//! The command line of the plugin.

mod cluster;
mod offline;
mod out;
mod report;
mod share;
mod unsupported;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

pub(super) use self::cluster::ClusterArgs;
use self::cluster::wait;
pub(super) use self::offline::{LintArgs, LintFormat, ScheduleArgs};
pub(super) use self::out::OutputArgs;
pub(super) use self::report::{ReportArgs, ReportFormat};
pub(super) use self::share::ShareArgs;
pub use self::unsupported::kubectl_flag;
use super::names;

const EXIT_CODES: &str = "Exit codes:
  0  success: everything is in the desired state
  1  failure: not Ready, not rotated or not mirrored, AWS and the mirror differ, or the object does not exist
  2  invalid command line
  3  unknown: no kubeconfig, no response, or missing permissions

Secret values are never printed, in any format.";

/// Help of one command: its examples and the exit codes.
macro_rules! examples {
    ($($line:literal),+) => {
        concat!("Examples:\n", $("  kubectl rotatedsecret ", $line, "\n",)+
            "\nExit codes: 0 success, 1 failure, 2 invalid command line, 3 unknown (no response, or missing permissions)")
    };
}

/// Inspect RotatedSecrets and request actions: show what is due, overdue or failing, rotate, roll back, suspend,
/// share, compare with AWS.
#[derive(Debug, Parser)]
#[command(name = "kubectl-rotatedsecret", bin_name = "kubectl rotatedsecret", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what is due, overdue or failing, most urgent first.
    #[command(after_help = examples!("status -A --problems", "status db-admin -n shop", "status -l team=payments -o wide", "status -w"))]
    Status(StatusArgs),
    /// Rotate now, and wait until the new version is current in AWS and mirrored.
    #[command(after_help = examples!("rotate db-admin -n shop", "rotate -l team=payments", "rotate db-admin --cancel"))]
    Rotate(RotateArgs),
    /// Restore an earlier value, and wait until it is current in AWS and mirrored.
    #[command(after_help = examples!("rollback db-admin -n shop --dry-run", "rollback db-admin -n shop --to a90cc1b7"))]
    Rollback(RollbackArgs),
    /// Reconcile now: check AWS and the mirror, and correct drift.
    #[command(after_help = examples!("refresh db-admin -n shop", "refresh --all -n shop"))]
    Refresh(RequestArgs),
    /// Show recent versions, their causes, and the versions that are available for a rollback.
    #[command(after_help = examples!("history db-admin -n shop", "history -l team=payments -o wide"))]
    History(ObjectsArgs),
    /// Show the next due times of an object, a manifest or an expression, with excluded periods.
    #[command(after_help = examples!(
        "schedule db-admin -n shop",
        "schedule -f rotatedsecret.yaml --count 12",
        "schedule -e '0 9 * * MON#1' --time-zone Europe/Berlin"
    ))]
    Schedule(ScheduleArgs),
    /// Check manifests without a cluster, for CI: schema, rules of admission and the operator's own parser.
    #[command(after_help = examples!("lint deploy/ -R", "lint --fail-on warning -o sarif rotatedsecret.yaml"))]
    Lint(LintArgs),
    /// Suspend objects: nothing is written to AWS or Kubernetes until they are resumed.
    #[command(after_help = examples!(
        "suspend db-admin -n shop --message INC-123",
        "suspend -l team=payments --rotation-only",
        "suspend --namespace-wide -n shop --message INC-123"
    ))]
    Suspend(SuspendArgs),
    /// Resume suspended objects or suspended rotations.
    #[command(after_help = examples!("resume db-admin -n shop", "resume --namespace-wide -n shop"))]
    Resume(ResumeArgs),
    /// Hold the Secret at a version, while rotation continues in AWS.
    #[command(after_help = examples!("pin db-admin -n shop --to a90cc1b7", "pin db-admin -n shop --label AWSPREVIOUS"))]
    Pin(PinArgs),
    /// Remove the pin: the Secret follows the current version again.
    #[command(after_help = examples!("unpin db-admin -n shop", "unpin --all -n shop"))]
    Unpin(UnpinArgs),
    /// Mirror the credential into other namespaces, and wait until the Secrets are there.
    #[command(after_help = examples!(
        "share db-admin -n shop --to billing --to reports",
        "share db-admin -n shop --to billing --consent --rollout",
        "share db-admin -n shop --to billing --dry-run > billing.yaml"
    ))]
    Share(ShareArgs),
    /// Verify that AWS, the mirrored Secret and the status agree. Uses your own AWS credentials.
    #[command(after_help = examples!("verify db-admin -n shop --values", "verify --all -n shop"))]
    Verify(VerifyArgs),
    /// Check the prerequisites: cluster, CustomResourceDefinition, permissions, operator, and access to AWS from here.
    #[command(after_help = examples!("doctor -A", "doctor db-admin -n shop --probe"))]
    Doctor(DoctorArgs),
    /// Report every credential for an audit: owner, schedule, last and next rotation, key, and who can read it.
    #[command(after_help = examples!(
        "report -A > credentials.csv",
        "report -A --readers -o json --context prod-eu --context prod-us",
        "report -n shop -o markdown --owner-label example.com/owner",
        "report -A --orphans secrets.json"
    ))]
    Report(ReportArgs),
    /// Show the version of the plugin and of the operator.
    #[command(after_help = examples!("version", "version -o json"))]
    Version(VersionArgs),
    /// Print the shell completion script. It completes commands, flags, namespaces and the names of objects.
    #[command(after_help = examples!("completion bash", "completion kubectl > /usr/local/bin/kubectl_complete-rotatedsecret"))]
    Completion {
        /// Shell to generate the script for; kubectl: the program by which kubectl completes `kubectl rotatedsecret`.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the words that can follow, for kubectl's completion.
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Programs that complete command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
    Kubectl,
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// RotatedSecrets to show, as NAME or TYPE/NAME. One alone is shown in detail. Default: all objects of the namespace.
    #[arg(value_name = "NAME", value_parser = names::object)]
    pub(super) names: Vec<String>,
    /// Show the objects of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "names")]
    pub(super) all_namespaces: bool,
    /// Show the objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "names")]
    pub(super) selector: Option<String>,
    /// Show only objects that are not as they should be.
    #[arg(long)]
    pub(super) problems: bool,
    /// Afterwards show each change, until the command is interrupted.
    #[arg(short, long)]
    pub(super) watch: bool,
    /// Omit the headers.
    #[arg(long)]
    pub(super) no_headers: bool,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Arguments of commands that show objects.
#[derive(Debug, Args)]
pub(super) struct ObjectsArgs {
    #[command(flatten)]
    pub(super) objects: Selection,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// The objects that a command acts on.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Selection {
    /// RotatedSecrets, as NAME or TYPE/NAME.
    #[arg(value_name = "NAME", value_parser = names::object)]
    pub(super) names: Vec<String>,
    /// The objects of the namespace with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "names")]
    pub(super) selector: Option<String>,
    /// All objects of the namespace that exist now, one by one.
    #[arg(long, conflicts_with_all = ["names", "selector"])]
    pub(super) all: bool,
}

/// Flags of requests.
#[derive(Debug, Clone, Args)]
pub(super) struct WaitArgs {
    /// Only submit the request, and do not wait for the result.
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Withdraw a request that the operator has not carried out yet.
    #[arg(long, conflicts_with = "no_wait")]
    pub(super) cancel: bool,
    /// Maximum time to wait for the result. The request remains in effect after the timeout; --cancel withdraws it.
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = wait)]
    pub(super) timeout: SignedDuration,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `refresh`.
#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    #[command(flatten)]
    pub(super) objects: Selection,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

/// Flags of `rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    pub(super) objects: Selection,
    /// Rotate although rotation is suspended (spec.rotation.suspend).
    #[arg(long, conflicts_with = "cancel")]
    pub(super) force: bool,
    /// Retire the previous credential at once, whether or not workloads have taken up the new one. For a credential that
    /// leaked: pods that still have it lose access.
    #[arg(long, conflicts_with = "cancel")]
    pub(super) emergency: bool,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

/// Flags of `rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// RotatedSecret, as NAME or TYPE/NAME.
    #[arg(value_parser = names::object)]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
    /// Version to restore: a version ID as shown by `history`, a unique prefix of it, or AWSPREVIOUS, which is resolved
    /// after the operator has observed AWS.
    #[arg(long, value_name = "VERSION", default_value = "AWSPREVIOUS", conflicts_with = "cancel")]
    pub(super) to: String,
    /// Show the version that would be restored, as last observed by the operator, and write nothing.
    #[arg(long, conflicts_with_all = ["cancel", "no_wait"])]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation. Without a terminal, the command never asks, and replaces a pending rollback to
    /// another version only with this flag.
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// What `suspend` and `resume` act on: objects, or everything in the namespace.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SuspendSelection {
    #[command(flatten)]
    pub(super) objects: Selection,
    /// The namespace itself, by an annotation: every object in it, also one that is created later. The objects do not
    /// change, so that those that were suspended before stay so. Needs patch on namespaces.
    #[arg(long, group = "Selection", conflicts_with_all = ["names", "selector", "all"])]
    pub(super) namespace_wide: bool,
}

/// Flags of `suspend`.
#[derive(Debug, Args)]
pub(super) struct SuspendArgs {
    #[command(flatten)]
    pub(super) objects: SuspendSelection,
    /// Suspend rotation only. The mirror is still maintained.
    #[arg(long, conflicts_with = "namespace_wide")]
    pub(super) rotation_only: bool,
    /// Why. `status` shows it with your name and the time.
    #[arg(short, long, value_name = "TEXT")]
    pub(super) message: Option<String>,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `resume`.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    pub(super) objects: SuspendSelection,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `pin`.
#[derive(Debug, Args)]
#[group(id = "pin", required = true, multiple = false, args = ["to", "label"])]
pub(super) struct PinArgs {
    /// RotatedSecret, as NAME or TYPE/NAME.
    #[arg(value_parser = names::object)]
    pub(super) name: String,
    /// Version to hold: a version ID as shown by `history`, or a unique prefix of it (spec.target.versionId).
    #[arg(long, value_name = "VERSION")]
    pub(super) to: Option<String>,
    /// Staging label whose version the Secret holds, such as AWSPREVIOUS (spec.target.versionStage).
    #[arg(long, value_name = "LABEL")]
    pub(super) label: Option<String>,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `unpin`.
#[derive(Debug, Args)]
pub(super) struct UnpinArgs {
    #[command(flatten)]
    pub(super) objects: Selection,
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
    #[command(flatten)]
    pub(super) objects: Selection,
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
    #[arg(value_parser = names::object)]
    pub(super) name: Option<String>,
    /// Check the objects of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub(super) all_namespaces: bool,
    /// Request a refresh of the object and wait for the operator to acknowledge it, which proves that it is running. If the
    /// object has a target, such as a database, the operator asks it whether it accepts the current value.
    #[arg(long, requires = "name")]
    pub(super) probe: bool,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

/// Flags of `version`.
#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Only the version of the plugin. Sends no request.
    #[arg(long)]
    pub(super) client: bool,
    #[command(flatten)]
    pub(super) out: OutputArgs,
}

#[cfg(test)]
mod tests;
