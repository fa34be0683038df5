//! Where the programs of PostgreSQL are, and how they are obtained.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, Archive, Packages, Programs, entries, known, run};

/// What a caller says when they are missing.
pub const MISSING: &str = "PostgreSQL is not provisioned; type: cargo provision";

/// Which release servers are of: `newest`, or that of this machine.
pub const VARIABLE: &str = "TESTBED_POSTGRES";

/// The programs that tests use.
const NAMES: [&str; 3] = ["postgres", "initdb", "psql"];

/// Where PostgreSQL comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The version of this machine's release of Debian.
    Own,
    /// The version of Debian's unstable suite.
    Newest,
}

impl Release {
    /// As [`VARIABLE`] says. Fails if it is set to anything but `newest`.
    pub fn chosen() -> Result<Self> {
        match env::var(VARIABLE).as_deref() {
            Err(_) => Ok(Self::Own),
            Ok("newest") => Ok(Self::Newest),
            Ok(other) => bail!("{VARIABLE} is {other:?}; it can be \"newest\" or not set"),
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Own => "postgres",
            Self::Newest => "postgres-newest",
        }
    }

    fn archive(self) -> Result<Archive> {
        match self {
            Self::Own => Ok(Archive::own()),
            Self::Newest => Archive::unstable(),
        }
    }
}

/// Those of the chosen release.
pub fn find() -> Result<Option<Programs>> {
    find_release(Release::chosen()?)
}

/// In the cache, or on this machine; none until they are provisioned.
pub fn find_release(release: Release) -> Result<Option<Programs>> {
    if let Some(cached) = packages::find(release.directory())?.and_then(|root| unpacked(&root)) {
        return Ok(Some(cached));
    }
    Ok((release == Release::Own).then(|| newest(Path::new("/"))).flatten().map(Programs::installed))
}

/// The directory of the newest major version below `root`, as Debian lays it out.
fn newest(root: &Path) -> Option<PathBuf> {
    let major = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    let mut found = entries(&root.join("usr/lib/postgresql"));
    found.retain(|path| NAMES.iter().all(|name| path.join("bin").join(name).is_file()));
    found.into_iter().max_by_key(major).map(|path| path.join("bin"))
}

fn unpacked(root: &Path) -> Option<Programs> {
    newest(root).map(|bin| if by_script(&bin) { Programs::installed(bin) } else { Programs::unpacked(root, bin) })
}

/// Whether scripts start them ([`start_by_loader`]), which know where the libraries are.
fn by_script(bin: &Path) -> bool {
    bin.join(format!("{}.program", NAMES[0])).is_file()
}

/// Their version, such as `15.14`.
pub fn version(programs: &Programs) -> Result<String> {
    let printed = run(programs.command("postgres").arg("--version"))?;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    printed.split_whitespace().nth(2).map(str::to_owned).with_context(|| format!("PostgreSQL says no version: {printed}"))
}

/// Those of the chosen release.
pub fn provision() -> Result<Programs> {
    provision_release(Release::chosen()?)
}

/// Unpacks Debian's packages if there is no PostgreSQL: some ten seconds, and 60 MB (250 MB for the newest release). Says on
/// stderr what it does. Blocks.
pub fn provision_release(release: Release) -> Result<Programs> {
    const ADVICE: &str = "PostgreSQL is missing, and Debian's package `postgresql` cannot be fetched: install PostgreSQL 14 or later";
    if let Some(programs) = find_release(release)? {
        return Ok(programs);
    }
    let archive = release.archive().context(ADVICE)?;
    let server = known(|| server_package(&archive)).context(ADVICE)?;
    let client = server.replace("postgresql-", "postgresql-client-");
    let others = [client.as_str(), "libpq5"];
    let packages = Packages { name: "PostgreSQL", directory: release.directory(), package: &server, others: &others, archive: &archive };
    let root = packages.unpack(|root| {
        if release == Release::Newest {
            start_by_loader(root)?;
        }
        let programs = unpacked(root).context("the packages do not have the programs of PostgreSQL")?;
        run(programs.command("postgres").arg("--version")).context("the unpacked PostgreSQL does not run here").map(drop)
    });
    unpacked(&root.context(ADVICE)?).context(MISSING)
}

/// Puts a script in the place of each program, which starts it with the C library that was unpacked with it: `initdb` starts
/// `postgres` without our help.
fn start_by_loader(root: &Path) -> Result<()> {
    let bin = newest(root).context("the packages do not have the programs of PostgreSQL")?;
    let Some(loader) = packages::loader(root) else { bail!("the packages do not have the loader of the C library") };
    let loader = loader.strip_prefix(root.join("usr/lib"))?;
    let directory = loader.parent().context("a loader is in a directory")?;
    for name in NAMES {
        let (script, program) = (bin.join(name), bin.join(format!("{name}.program")));
        fs::rename(&script, &program)?;
        // From usr/lib/postgresql/<version>/bin to usr/lib.
        let text = format!(
            "#!/bin/sh\nlib=\"${{0%/*}}/../../..\"\nexec \"$lib/{}\" --argv0 \"$0\" --library-path \"$lib/{}\" \"$0.program\" \"$@\"\n",
            loader.display(),
            directory.display()
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The package of the archive's own version, such as `postgresql-15`.
fn server_package(archive: &Archive) -> Result<String> {
    let depends = archive.field("postgresql", "Depends")?;
    let package =
        depends.split([',', ' ', '|']).find(|word| word.strip_prefix("postgresql-").is_some_and(|major| major.parse::<u32>().is_ok()));
    package.map(str::to_owned).context("the package postgresql names no server")
}
