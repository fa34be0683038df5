//! `helm`: the helm of the pinned version.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use testbed::controlplane::binaries;

/// Runs helm, and ends with its exit code.
pub(crate) fn helm(arguments: &[String]) -> Result<ExitCode> {
    let status = Command::new(binaries::provision_helm()?).args(arguments).status().context("helm cannot be started")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
