//! Log and audit stream.

use std::path::PathBuf;

use clap::Args;

use super::fatal::Fatal;
use crate::audit::{Audit, AuditLog};
use crate::telemetry::{self, LogFormat};

#[derive(Debug, Args)]
pub(super) struct LoggingArgs {
    /// Log format.
    #[arg(long, env = "ROTATED_SECRETS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// Audit stream: one JSON line for each new version, repair, deletion and refusal, on standard output, apart from the log.
    #[arg(long, env = "ROTATED_SECRETS_AUDIT_LOG", value_enum, default_value_t = AuditLog::Stdout)]
    audit_log: AuditLog,
    /// Log filter: a level, or directives such as `info,rotated_secrets=debug`. Libraries that might log a secret value
    /// stay limited regardless of this filter.
    #[arg(long, env = "ROTATED_SECRETS_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// File with a log filter that replaces --log while the file has one. It is read every five seconds, so that the level
    /// changes without a restart.
    #[arg(long, env = "ROTATED_SECRETS_LOG_FILTER_FILE", value_name = "PATH")]
    log_filter_file: Option<PathBuf>,
}

impl LoggingArgs {
    /// Sets up the log, which then follows the file with the filter, and opens the audit stream.
    ///
    /// # Errors
    /// If the filter of the command line is not valid.
    pub(super) fn begin(self) -> Result<Audit, Fatal> {
        let log = telemetry::init(self.log_format, &self.log).map_err(|error| Fatal(format!("--log: {error}")))?;
        tokio::spawn(async move { log.follow(self.log_filter_file.as_deref()).await });
        Ok(Audit::open(self.audit_log))
    }
}
