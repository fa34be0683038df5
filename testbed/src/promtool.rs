//! promtool, which checks alert rules and queries. The one of this machine if there is one; else Debian's package is unpacked into the cache, without
//! installing anything.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::controlplane::binaries::cache_dir;

/// What a caller says when it is missing.
pub const MISSING: &str = "promtool is not provisioned; type: cargo provision";

/// On PATH, or in the cache; none until it is provisioned.
pub fn find() -> Result<Option<PathBuf>> {
    let on_path =
        env::var_os("PATH").and_then(|path| env::split_paths(&path).map(|dir| dir.join("promtool")).find(|program| program.is_file()));
    let cached = home()?.join("usr/bin/promtool");
    Ok(on_path.or_else(|| cached.is_file().then_some(cached)))
}

fn home() -> Result<PathBuf> {
    Ok(cache_dir()?.join("promtool"))
}

/// Unpacks Debian's package if there is no promtool: some ten seconds. Says on stderr what it does. Blocks.
pub fn provision() -> Result<PathBuf> {
    const ADVICE: &str =
        "promtool is missing, and Debian's package `prometheus`, which has it, cannot be fetched: install Prometheus 2.42 or later";
    if let Some(program) = find()? {
        return Ok(program);
    }
    let home = home()?;
    eprintln!("promtool: unpacking Debian's package prometheus into {}", home.display());
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    // Whole and then in its place, so that an interrupted provision is not mistaken for a complete one.
    let staging = tempfile::tempdir_in(&home)?;
    perform(Command::new("apt-get").args(["download", "prometheus"]).current_dir(staging.path())).context(ADVICE)?;
    let package = fs::read_dir(staging.path())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let unpacked = staging.path().join("unpacked");
    perform(Command::new("dpkg-deb").arg("-x").arg(package.context(ADVICE)?).arg(&unpacked)).context(ADVICE)?;
    let program = home.join("usr/bin/promtool");
    fs::create_dir_all(home.join("usr/bin"))?;
    fs::rename(unpacked.join("usr/bin/promtool"), &program).context(ADVICE)?;
    Ok(program)
}

fn perform(command: &mut Command) -> Result<()> {
    let status = command.stdout(std::io::stderr()).status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed ({status})", command.get_program().display());
    Ok(())
}

/// Runs it; gives what it said, or fails with that.
pub fn run(args: &[&str]) -> Result<String> {
    let Some(program) = find()? else { bail!(MISSING) };
    let output =
        Command::new(&program).args(args).stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", program.display()))?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "promtool {}: {said}", args.join(" "));
    Ok(said)
}
