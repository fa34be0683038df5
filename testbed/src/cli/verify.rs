//! `verify`: all tests, on a machine that may have nothing yet.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use super::provision::provision;

/// Streams the output of `cargo test` and ends as it ends.
pub(crate) fn verify(arguments: &[String]) -> Result<ExitCode> {
    provision()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--workspace", "--locked"])
        .args(arguments)
        .status()
        .context("cargo cannot be started: install Rust from rustup.rs")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
