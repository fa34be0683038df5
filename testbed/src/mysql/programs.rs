//! Where the programs are, and how they are obtained.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::packages::{self, Archive, Packages, Programs, known, run};

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// MySQL of Debian's unstable suite: the release of this machine has none.
    MySql,
    /// MariaDB of the release of this machine.
    MariaDb,
}

/// The programs of one version.
#[derive(Debug, Clone)]
pub struct Installed {
    /// Server, client, and the program that makes the first tables.
    pub programs: Programs,
    /// The root below which the packages were unpacked.
    pub root: PathBuf,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::MySql, Self::MariaDb];

    /// Those that are here. MySQL is none of this Debian release, and unstable may not have it today: then a sentence says so,
    /// and the tests go on without it. MariaDB is expected everywhere.
    pub fn here() -> Vec<Self> {
        Self::ALL.into_iter().filter(|kind| kind.obstacle().inspect(|why| eprintln!("{why}")).is_none()).collect()
    }

    /// Why tests go on without this one; `None`: they need it.
    pub fn obstacle(self) -> Option<String> {
        (self == Self::MySql && find(self).is_ok_and(|found| found.is_none()))
            .then(|| "MySQL is not provisioned, so what the tests do with it is left out; `cargo provision` says why".to_owned())
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }

    /// Server and client, below `usr`.
    pub(super) fn programs(self) -> [&'static str; 2] {
        match self {
            Self::MySql => ["../sbin/mysqld", "mysql"],
            Self::MariaDb => ["../sbin/mariadbd", "mariadb"],
        }
    }

    fn packages(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::MySql => ("mysql-server-core", &["mysql-client-core"]),
            Self::MariaDb => ("mariadb-server-core", &["mariadb-client-core"]),
        }
    }

    fn archive(self) -> Result<Archive> {
        match self {
            Self::MySql => Archive::unstable(),
            Self::MariaDb => Ok(Archive::own()),
        }
    }

    fn unpacked(self, root: &Path) -> Option<Programs> {
        let bin = root.join("usr/bin");
        let complete = self.programs().iter().all(|program| bin.join(program).is_file());
        complete.then(|| match self {
            Self::MySql => Programs::of_a_newer_release(root, bin),
            Self::MariaDb => Programs::unpacked(root, bin),
        })
    }

    /// What a caller says when they are missing.
    pub(super) fn missing(self) -> String {
        format!("{} is not provisioned; type: cargo provision", self.name())
    }
}

/// In the cache; none until they are provisioned.
pub fn find(kind: Kind) -> Result<Option<Installed>> {
    let root = packages::find(kind.directory())?;
    Ok(root.and_then(|root| Some(Installed { programs: kind.unpacked(&root)?, root })))
}

/// Unpacks the packages if they are not in the cache: some ten seconds; 60 MB for MariaDB and 330 MB for MySQL. Says on stderr
/// what it does. Blocks.
pub fn provision(kind: Kind) -> Result<Installed> {
    if let Some(found) = find(kind)? {
        return Ok(found);
    }
    let (package, others) = kind.packages();
    let advice = || format!("{} is missing, and Debian's package `{package}` cannot be fetched", kind.name());
    let archive = kind.archive().with_context(advice)?;
    known(|| archive.field(package, "Version")).with_context(advice)?;
    let packages = Packages { name: kind.name(), directory: kind.directory(), package, others, archive: &archive };
    packages
        .unpack(|root| {
            let programs = kind.unpacked(root).with_context(|| format!("the packages do not have the programs of {}", kind.name()))?;
            for program in kind.programs() {
                run(programs.command(program).arg("--version")).with_context(|| format!("the unpacked {program} does not run here"))?;
            }
            Ok(())
        })
        .with_context(advice)?;
    find(kind)?.with_context(|| kind.missing())
}
