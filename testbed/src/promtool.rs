//! promtool, which checks alert rules and queries, and Prometheus. Those of this machine if there are some; else Debian's package is unpacked into
//! the cache, without installing anything.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::controlplane::binaries::cache_dir;

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Promtool,
    Prometheus,
}

impl Program {
    const ALL: [Self; 2] = [Self::Promtool, Self::Prometheus];

    /// Its name in Debian.
    fn name(self) -> &'static str {
        match self {
            Self::Promtool => "promtool",
            Self::Prometheus => "prometheus",
        }
    }

    /// On PATH, or in the cache; none until it is provisioned.
    pub fn find(self) -> Result<Option<PathBuf>> {
        let on_path =
            env::var_os("PATH").and_then(|path| env::split_paths(&path).map(|dir| dir.join(self.name())).find(|program| program.is_file()));
        let cached = home()?.join("usr/bin").join(self.name());
        Ok(on_path.or_else(|| cached.is_file().then_some(cached)))
    }

    /// A command that runs it. It must have been provisioned.
    pub fn command(self) -> Result<Command> {
        let Some(program) = self.find()? else { bail!("{} is not provisioned; type: cargo provision", self.name()) };
        Ok(Command::new(program))
    }
}

/// Whether all of them are there.
pub fn complete() -> Result<bool> {
    Ok(Program::ALL.into_iter().map(Program::find).collect::<Result<Vec<_>>>()?.iter().all(Option::is_some))
}

fn home() -> Result<PathBuf> {
    Ok(cache_dir()?.join("promtool"))
}

/// Unpacks Debian's package if one of them is missing: some ten seconds. Says on stderr what it does. Blocks. Returns promtool.
pub fn provision() -> Result<PathBuf> {
    const ADVICE: &str = "promtool or prometheus is missing, and Debian's package `prometheus`, which has them, cannot be fetched: install Prometheus 2.42 or later";
    if complete()? {
        return Program::Promtool.find()?.context(ADVICE);
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
    let programs = home.join("usr/bin");
    fs::create_dir_all(&programs)?;
    for program in Program::ALL {
        fs::rename(unpacked.join("usr/bin").join(program.name()), programs.join(program.name())).context(ADVICE)?;
    }
    Program::Promtool.find()?.context(ADVICE)
}

fn perform(command: &mut Command) -> Result<()> {
    let status = command.stdout(std::io::stderr()).status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed ({status})", command.get_program().display());
    Ok(())
}

/// Runs it; gives what it said, or fails with that.
pub fn run(args: &[&str]) -> Result<String> {
    let output = Program::Promtool.command()?.args(args).stdin(Stdio::null()).output().context("cannot run promtool")?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "promtool {}: {said}", args.join(" "));
    Ok(said)
}
