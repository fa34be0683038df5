//! `verify`: all tests, on a machine that may have nothing yet.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use super::provision::provision;

/// Provisions, then runs every test; with arguments, only what they name.
pub(crate) fn verify(arguments: &[String]) -> Result<ExitCode> {
    provision()?;
    let code = cargo_test(&["--workspace", "--no-fail-fast"], arguments)?;
    if code != ExitCode::SUCCESS || !arguments.is_empty() {
        return Ok(code);
    }
    // The crash plans once more, against an operator that lacks a mechanism: they must notice.
    cargo_test(&["--features", "rotated-secrets/weakened", "--test", "it", "notice"], &[])
}

/// Streams its output and ends as it ends.
fn cargo_test(what: &[&str], arguments: &[String]) -> Result<ExitCode> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--locked"])
        .args(what)
        .args(arguments)
        .status()
        .context("cargo cannot be started: install Rust from rustup.rs")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
