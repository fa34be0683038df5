//! Flags of the commands that work without a cluster.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::out::OutputArgs;
use crate::lint::Level;
use crate::plugin::names;
use crate::schedule::ExcludedDays;

/// Flags of `schedule`.
#[derive(Debug, Args)]
pub(in crate::plugin) struct ScheduleArgs {
    /// RotatedSecret of the cluster, as NAME or TYPE/NAME.
    #[arg(value_parser = names::object, required_unless_present_any = ["files", "expression"], conflicts_with_all = ["files", "expression"])]
    pub(in crate::plugin) name: Option<String>,
    /// Manifests instead of an object of the cluster; - is standard input. Sends no request.
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "expression")]
    pub(in crate::plugin) files: Vec<PathBuf>,
    /// Schedule instead of an object, as in spec.rotation.schedule. Sends no request.
    #[arg(short, long, value_name = "SCHEDULE")]
    pub(in crate::plugin) expression: Option<String>,
    /// Time zone of the expression, as in spec.rotation.timeZone.
    #[arg(long, value_name = "ZONE", requires = "expression")]
    pub(in crate::plugin) time_zone: Option<String>,
    /// Number of due times.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(in crate::plugin) count: u16,
    /// Show the due times after this time, such as 2026-12-01T00:00:00Z. Default: now.
    #[arg(long, value_name = "TIME", conflicts_with = "name")]
    pub(in crate::plugin) after: Option<Timestamp>,
    /// Further periods without scheduled rotations, as in the annotation rotated-secrets.io/exclude-periods, such as
    /// 2026-12-20/2027-01-06,2027-04-02.
    #[arg(long, value_name = "PERIODS", value_parser = periods)]
    pub(in crate::plugin) exclude_periods: Option<Periods>,
    #[command(flatten)]
    pub(in crate::plugin) out: OutputArgs,
}

/// Excluded periods of the command line.
#[derive(Debug, Clone)]
pub(in crate::plugin) struct Periods(pub(in crate::plugin) Vec<ExcludedDays>);

fn periods(text: &str) -> Result<Periods, String> {
    ExcludedDays::parse_list(text).map(Periods).map_err(|error| error.to_string())
}

/// Flags of `lint`.
#[derive(Debug, Args)]
pub(in crate::plugin) struct LintArgs {
    /// Manifests in YAML or JSON, or directories of them; - is standard input. Other kinds of objects are ignored.
    #[arg(value_name = "FILE", required = true)]
    pub(in crate::plugin) files: Vec<PathBuf>,
    /// Read the directories below the directories too.
    #[arg(short = 'R', long)]
    pub(in crate::plugin) recursive: bool,
    /// Output format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = LintFormat::Text)]
    pub(in crate::plugin) output: LintFormat,
    /// What the exit code 1 is for: error or warning (which includes errors).
    #[arg(long, value_name = "LEVEL", default_value = "error", value_parser = level)]
    pub(in crate::plugin) fail_on: Level,
}

/// Output format of `lint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::plugin) enum LintFormat {
    /// One line for each mistake, beginning with file, line and column.
    Text,
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "error" => Ok(Level::Error),
        "warning" => Ok(Level::Warning),
        _ => Err("use error or warning".to_owned()),
    }
}
