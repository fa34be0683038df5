//! `verify`: all tests, on a machine that may have nothing yet.

use std::env;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};

use testbed::node;

use super::provision::provision;

/// Provisions, then runs every test; with arguments, only what they name.
pub(crate) fn verify(arguments: &[String]) -> Result<ExitCode> {
    provision()?;
    if node::obstacle().is_none() {
        build_for_image()?;
    }
    let code = cargo_test(&["--workspace", "--no-fail-fast"], arguments)?;
    if code != ExitCode::SUCCESS || !arguments.is_empty() {
        return Ok(code);
    }
    // The crash plans once more, against an operator that lacks a mechanism: they must notice.
    cargo_test(&["--features", "rotated-secrets/weakened", "--test", "it", "notice"], &[])
}

/// The release build of the operator, which the test on a node runs. That test would build it as well, but without showing it.
fn build_for_image() -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../image/build");
    let status = Command::new(script).stdout(Stdio::null()).status().with_context(|| format!("{script} cannot be started"))?;
    ensure!(status.success(), "image/build failed");
    Ok(())
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
