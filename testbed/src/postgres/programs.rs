//! Where the programs of PostgreSQL are, and how they are obtained.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::controlplane::binaries::cache_dir;

/// What a caller says when they are missing.
pub const MISSING: &str = "PostgreSQL is not provisioned; type: cargo provision";

/// Written last, so that an interrupted provision is not mistaken for a complete one.
const DONE: &str = "provisioned";

/// The programs of one version.
#[derive(Debug, Clone)]
pub struct Programs {
    bin: PathBuf,
    /// Where libraries are that this machine does not have.
    libraries: Option<PathBuf>,
}

impl Programs {
    /// A command that runs one of them.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Their version, such as `15.14`.
    pub fn version(&self) -> Result<String> {
        let printed = run(self.command("postgres").arg("--version"))?;
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        printed.split_whitespace().nth(2).map(str::to_owned).with_context(|| format!("PostgreSQL says no version: {printed}"))
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.bin
    }
}

/// In the cache, or on this machine; none until they are provisioned.
pub fn find() -> Result<Option<Programs>> {
    let mut versions: Vec<PathBuf> = entries(&home()?);
    versions.retain(|version| version.join(DONE).is_file());
    versions.sort();
    if let Some(cached) = versions.pop().and_then(|version| unpacked(&version)) {
        return Ok(Some(cached));
    }
    Ok(newest(Path::new("/")).map(|bin| Programs { bin, libraries: None }))
}

fn home() -> Result<PathBuf> {
    Ok(cache_dir()?.join("postgres"))
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()).unwrap_or_default()
}

/// The directory of the newest major version below `root`, as Debian lays it out.
fn newest(root: &Path) -> Option<PathBuf> {
    let major = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    let mut found = entries(&root.join("usr/lib/postgresql"));
    found.retain(|path| ["postgres", "initdb", "psql"].iter().all(|name| path.join("bin").join(name).is_file()));
    found.into_iter().max_by_key(major).map(|path| path.join("bin"))
}

fn unpacked(root: &Path) -> Option<Programs> {
    // usr/lib/<architecture>, where the packages of libraries put them.
    let libraries =
        entries(&root.join("usr/lib")).into_iter().find(|dir| entries(dir).iter().any(|file| file.to_string_lossy().contains(".so")));
    newest(root).map(|bin| Programs { bin, libraries })
}

/// Unpacks Debian's packages if there is no PostgreSQL: some ten seconds and 60 MB. Says on stderr what it does. Blocks.
pub fn provision() -> Result<Programs> {
    const ADVICE: &str = "PostgreSQL is missing, and Debian's package `postgresql` cannot be fetched: install PostgreSQL 14 or later";
    if let Some(programs) = find()? {
        return Ok(programs);
    }
    let server = server_package().or_else(|_| {
        // A machine that has never asked for the lists knows no package.
        run(Command::new("apt-get").args(["--quiet", "update"]))?;
        server_package()
    });
    let server = server.context(ADVICE)?;
    let client = server.replace("postgresql-", "postgresql-client-");
    let version = field(&server, "Version").context(ADVICE)?;
    let home = home()?;
    let into = home.join(version.replace(['/', ':'], "_"));
    eprintln!("PostgreSQL {version}: unpacking Debian's packages into {}", into.display());
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    // Whole and then in its place.
    let staging = tempfile::tempdir_in(&home)?;
    let (fetched, root) = (staging.path().join("fetched"), staging.path().join("root"));
    fs::create_dir_all(&fetched)?;
    // What the server needs and this machine does not have. Nothing is installed.
    let mut archives = OsString::from("Dir::Cache::archives=");
    archives.push(&fetched);
    fs::create_dir_all(fetched.join("partial"))?;
    run(Command::new("apt-get")
        .args(["--quiet", "--yes", "--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=true", "-o"])
        .arg(archives)
        .args(["install", &server]))
    .context(ADVICE)?;
    // Those are not fetched above if they are installed.
    run(Command::new("apt-get").current_dir(&fetched).args(["--quiet", "download", &server, &client, "libpq5"])).context(ADVICE)?;
    for package in entries(&fetched).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
        run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root)).context(ADVICE)?;
    }
    let Some(programs) = unpacked(&root) else { bail!("the packages {server} and {client} do not have the programs of PostgreSQL") };
    run(programs.command("postgres").arg("--version")).context("the unpacked PostgreSQL does not run here")?;
    fs::write(root.join(DONE), &version)?;
    if into.exists() {
        fs::remove_dir_all(&into)?;
    }
    fs::rename(&root, &into)?;
    unpacked(&into).context(MISSING)
}

/// The package of the release's own version, such as `postgresql-15`.
fn server_package() -> Result<String> {
    let depends = field("postgresql", "Depends")?;
    let package =
        depends.split([',', ' ', '|']).find(|word| word.strip_prefix("postgresql-").is_some_and(|major| major.parse::<u32>().is_ok()));
    package.map(str::to_owned).context("the package postgresql names no server")
}

fn field(package: &str, name: &str) -> Result<String> {
    let shown = run(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let prefix = format!("{name}: ");
    text.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .map(|value| value.trim().to_owned())
        .with_context(|| format!("{package} has no {name}"))
}

/// Runs a program to its end; fails with what it said.
pub(super) fn run(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(output)
}
