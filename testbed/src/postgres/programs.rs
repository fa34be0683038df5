//! Where the programs of PostgreSQL are, and how they are obtained.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::packages::{self, Archive, Packages, Programs, entries, known, run};

/// What a caller says when they are missing.
pub const MISSING: &str = "PostgreSQL is not provisioned; type: cargo provision";

const DIRECTORY: &str = "postgres";

/// In the cache, or on this machine; none until they are provisioned.
pub fn find() -> Result<Option<Programs>> {
    if let Some(cached) = packages::find(DIRECTORY)?.and_then(|root| unpacked(&root)) {
        return Ok(Some(cached));
    }
    Ok(newest(Path::new("/")).map(Programs::installed))
}

/// The directory of the newest major version below `root`, as Debian lays it out.
fn newest(root: &Path) -> Option<PathBuf> {
    let major = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    let mut found = entries(&root.join("usr/lib/postgresql"));
    found.retain(|path| ["postgres", "initdb", "psql"].iter().all(|name| path.join("bin").join(name).is_file()));
    found.into_iter().max_by_key(major).map(|path| path.join("bin"))
}

fn unpacked(root: &Path) -> Option<Programs> {
    newest(root).map(|bin| Programs::unpacked(root, bin))
}

/// Their version, such as `15.14`.
pub fn version(programs: &Programs) -> Result<String> {
    let printed = run(programs.command("postgres").arg("--version"))?;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    printed.split_whitespace().nth(2).map(str::to_owned).with_context(|| format!("PostgreSQL says no version: {printed}"))
}

/// Unpacks Debian's packages if there is no PostgreSQL: some ten seconds and 60 MB. Says on stderr what it does. Blocks.
pub fn provision() -> Result<Programs> {
    const ADVICE: &str = "PostgreSQL is missing, and Debian's package `postgresql` cannot be fetched: install PostgreSQL 14 or later";
    if let Some(programs) = find()? {
        return Ok(programs);
    }
    let server = known(server_package).context(ADVICE)?;
    let client = server.replace("postgresql-", "postgresql-client-");
    let packages =
        Packages { name: "PostgreSQL", directory: DIRECTORY, package: &server, others: &[&client, "libpq5"], archive: &Archive::own() };
    let root = packages.unpack(|root| {
        let programs = unpacked(root).context("the packages do not have the programs of PostgreSQL")?;
        run(programs.command("postgres").arg("--version")).context("the unpacked PostgreSQL does not run here").map(drop)
    });
    unpacked(&root.context(ADVICE)?).context(MISSING)
}

/// The package of the release's own version, such as `postgresql-15`.
fn server_package() -> Result<String> {
    let depends = Archive::own().field("postgresql", "Depends")?;
    let package =
        depends.split([',', ' ', '|']).find(|word| word.strip_prefix("postgresql-").is_some_and(|major| major.parse::<u32>().is_ok()));
    package.map(str::to_owned).context("the package postgresql names no server")
}
