//! Programs from Debian's packages, unpacked into the cache without installing anything.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::controlplane::binaries::cache_dir;

/// Written last, so that an interrupted provision is not mistaken for a complete one.
const DONE: &str = "provisioned";

/// Programs of one version in one directory.
#[derive(Debug, Clone)]
pub struct Programs {
    bin: PathBuf,
    /// Where libraries are that this machine does not have.
    libraries: Option<PathBuf>,
}

impl Programs {
    /// Those in a directory of this machine, with its libraries.
    pub(crate) fn installed(bin: PathBuf) -> Self {
        Self { bin, libraries: None }
    }

    /// Those in a directory below a root where packages were unpacked, with the libraries that were unpacked with them.
    pub(crate) fn unpacked(root: &Path, bin: PathBuf) -> Self {
        // usr/lib/<architecture>, where the packages of libraries put them.
        let has_libraries = |dir: &PathBuf| entries(dir).iter().any(|file| file.to_string_lossy().contains(".so"));
        Self { bin, libraries: entries(&root.join("usr/lib")).into_iter().find(has_libraries) }
    }

    /// A command that runs one of them.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.bin
    }
}

/// What is unpacked, and where to.
pub(crate) struct Packages<'a> {
    /// What people call it.
    pub(crate) name: &'a str,
    /// The directory in the cache.
    pub(crate) directory: &'a str,
    /// The package whose version counts. It is fetched with what it needs and this machine does not have.
    pub(crate) package: &'a str,
    /// Packages that are fetched also if they are installed.
    pub(crate) others: &'a [&'a str],
}

impl Packages<'_> {
    /// Unpacks them. `check` says whether the programs are below the root and run. Says on stderr what it does. Blocks.
    pub(crate) fn unpack(&self, check: impl Fn(&Path) -> Result<()>) -> Result<PathBuf> {
        let version = field(self.package, "Version")?;
        let home = home(self.directory)?;
        let into = home.join(version.replace(['/', ':'], "_"));
        eprintln!("{} {version}: unpacking Debian's packages into {}", self.name, into.display());
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        // Whole and then in its place.
        let staging = tempfile::tempdir_in(&home)?;
        let (fetched, root) = (staging.path().join("fetched"), staging.path().join("root"));
        fs::create_dir_all(fetched.join("partial"))?;
        let mut archives = OsString::from("Dir::Cache::archives=");
        archives.push(&fetched);
        run(Command::new("apt-get")
            .args(["--quiet", "--yes", "--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=true", "-o"])
            .arg(archives)
            .args(["install", self.package]))?;
        // Those are not fetched above if they are installed.
        run(Command::new("apt-get").current_dir(&fetched).args(["--quiet", "download", self.package]).args(self.others))?;
        for package in entries(&fetched).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "deb")) {
            run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
        }
        check(&root)?;
        fs::write(root.join(DONE), &version)?;
        if into.exists() {
            fs::remove_dir_all(&into)?;
        }
        fs::rename(&root, &into)?;
        Ok(into)
    }
}

/// The root of the newest version that is unpacked; none until it is provisioned.
pub(crate) fn find(directory: &str) -> Result<Option<PathBuf>> {
    let mut versions = entries(&home(directory)?);
    versions.retain(|version| version.join(DONE).is_file());
    versions.sort();
    Ok(versions.pop())
}

fn home(directory: &str) -> Result<PathBuf> {
    Ok(cache_dir()?.join(directory))
}

/// What is in a directory; nothing if there is none.
pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|entries| entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()).unwrap_or_default()
}

/// Runs a query about packages; a machine that has never asked for the lists knows no package, so it asks for them once.
pub(crate) fn known<T>(query: impl Fn() -> Result<T>) -> Result<T> {
    query().or_else(|_| {
        run(Command::new("apt-get").args(["--quiet", "update"]))?;
        query()
    })
}

/// A field of a package's description.
pub(crate) fn field(package: &str, name: &str) -> Result<String> {
    let shown = run(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let prefix = format!("{name}: ");
    text.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .map(|value| value.trim().to_owned())
        .with_context(|| format!("{package} has no {name}"))
}

/// Runs a program to its end; fails with what it said.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(output)
}
