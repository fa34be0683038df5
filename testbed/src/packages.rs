//! Programs from Debian's packages, unpacked into the cache without installing anything.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::controlplane::binaries::cache_dir;

/// Written last, so that an interrupted provision is not mistaken for a complete one.
const DONE: &str = "provisioned";

/// The user and the group that own nothing.
pub(crate) const NOBODY: u32 = 65_534;

/// Programs of one version in one directory.
#[derive(Debug, Clone)]
pub struct Programs {
    bin: PathBuf,
    /// Where libraries are that this machine does not have.
    libraries: Option<PathBuf>,
    /// What starts programs of a newer release: its C library is newer than that of this machine.
    loader: Option<PathBuf>,
}

impl Programs {
    /// Those in a directory of this machine, with its libraries.
    pub(crate) fn installed(bin: PathBuf) -> Self {
        Self { bin, libraries: None, loader: None }
    }

    /// Those in a directory below a root where packages were unpacked, with the libraries that were unpacked with them.
    pub(crate) fn unpacked(root: &Path, bin: PathBuf) -> Self {
        Self { bin, libraries: libraries(root), loader: None }
    }

    /// The same for packages of a newer release.
    pub(crate) fn of_a_newer_release(root: &Path, bin: PathBuf) -> Self {
        Self { loader: loader(root), ..Self::unpacked(root, bin) }
    }

    /// A command that runs one of them.
    pub fn command(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let (Some(libraries), Some(loader)) = (&self.libraries, &self.loader) else {
            let mut command = Command::new(program);
            if let Some(libraries) = &self.libraries {
                command.env("LD_LIBRARY_PATH", libraries);
            }
            return command;
        };
        let mut command = Command::new(loader);
        command.arg("--library-path").arg(libraries).arg(program);
        command
    }

    /// The same as the user and the group that own nothing: not every program runs as root. It may read what root may,
    /// since the cache can be in a directory of root. access(2) ignores that without `no_setuid_fixup`.
    pub(crate) fn command_as_nobody(&self, name: &str) -> Command {
        let command = self.command(name);
        let mut lowered = Command::new("setpriv");
        lowered.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]);
        lowered.args(["--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup", "--"]);
        lowered.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            lowered.env(name, value.unwrap_or_default());
        }
        lowered
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.bin
    }
}

/// usr/lib/<architecture>, where the packages of libraries put them.
fn libraries(root: &Path) -> Option<PathBuf> {
    let has_libraries = |dir: &PathBuf| entries(dir).iter().any(|file| file.to_string_lossy().contains(".so"));
    entries(&root.join("usr/lib")).into_iter().find(has_libraries)
}

/// What starts programs with the C library that was unpacked below this root.
pub(crate) fn loader(root: &Path) -> Option<PathBuf> {
    let is_loader = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"));
    entries(&libraries(root)?).into_iter().find(is_loader)
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
    /// Where they come from.
    pub(crate) archive: &'a Archive,
}

/// Where packages come from, as options of `apt-get` and `apt-cache`.
pub(crate) struct Archive {
    options: Vec<OsString>,
    /// The lists of packages; `None`: those of the machine.
    _state: Option<tempfile::TempDir>,
}

impl Archive {
    /// The release of this machine.
    pub(crate) fn own() -> Self {
        Self { options: Vec::new(), _state: None }
    }

    /// Debian's unstable suite, from where this machine gets its packages. Nothing counts as installed, so everything that
    /// a program needs is fetched, the C library too. Asks for the list of packages. Blocks.
    pub(crate) fn unstable() -> Result<Self> {
        let printed = known(|| {
            let printed = run(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]))?;
            let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
            ensure!(!printed.trim().is_empty(), "apt-get names no source of packages");
            Ok(printed)
        })?;
        let source = printed.lines().find(|line| !line.contains("security")).context("apt-get names no source of packages")?;
        let state = tempfile::tempdir()?;
        for directory in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(state.path().join(directory))?;
        }
        let (installed, sources) = (state.path().join("installed"), state.path().join("sources.list"));
        fs::write(&installed, "")?;
        fs::write(&sources, format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {source} unstable main\n"))?;
        let option = |name: &str, path: &Path| {
            let mut option = OsString::from(format!("{name}="));
            option.push(path);
            [OsString::from("-o"), option]
        };
        let options = [
            option("Dir::State", &state.path().join("state")),
            option("Dir::State::status", &installed),
            option("Dir::Cache", &state.path().join("cache")),
            option("Dir::Etc::SourceList", &sources),
            option("Dir::Etc::SourceParts", Path::new("/dev/null")),
            option("APT::Sandbox::User", Path::new("root")),
            option("Debug::NoLocking", Path::new("true")),
        ];
        let archive = Self { options: options.into_iter().flatten().collect(), _state: Some(state) };
        run(archive.command("apt-get").args(["--quiet", "update"]))?;
        Ok(archive)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options);
        command
    }
}

impl Packages<'_> {
    /// Unpacks them. `check` says whether the programs are below the root and run. Says on stderr what it does. Blocks.
    pub(crate) fn unpack(&self, check: impl Fn(&Path) -> Result<()>) -> Result<PathBuf> {
        let version = self.archive.field(self.package, "Version")?;
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
        run(self
            .archive
            .command("apt-get")
            .args(["--quiet", "--yes", "--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=true", "-o"])
            .arg(archives)
            .args(["install", self.package]))?;
        // Those are not fetched above if they are installed.
        run(self.archive.command("apt-get").current_dir(&fetched).args(["--quiet", "download", self.package]).args(self.others))?;
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

impl Archive {
    /// A field of a package's description.
    pub(crate) fn field(&self, package: &str, name: &str) -> Result<String> {
        let shown = run(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        let prefix = format!("{name}: ");
        text.lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .map(|value| value.trim().to_owned())
            .with_context(|| format!("{package} has no {name}"))
    }
}

/// Runs a program to its end; fails with what it said.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(output)
}
