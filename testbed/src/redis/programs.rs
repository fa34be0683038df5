//! Where the programs of Redis are, and how they are obtained.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::packages::{self, Archive, Packages, Programs, known, run};

/// What a caller says when they are missing.
pub const MISSING: &str = "Redis is not provisioned; type: cargo provision";

const DIRECTORY: &str = "redis";

/// In the cache, or on this machine; none until they are provisioned.
pub fn find() -> Result<Option<Programs>> {
    if let Some(cached) = packages::find(DIRECTORY)?.filter(|root| has(root)) {
        return Ok(Some(unpacked(&cached)));
    }
    let root = Path::new("/");
    Ok(has(root).then(|| Programs::installed(root.join("usr/bin"))))
}

fn has(root: &Path) -> bool {
    ["redis-server", "redis-cli"].iter().all(|name| root.join("usr/bin").join(name).is_file())
}

fn unpacked(root: &Path) -> Programs {
    Programs::unpacked(root, root.join("usr/bin"))
}

/// Unpacks Debian's packages if there is no Redis: a few seconds and 10 MB. Says on stderr what it does. Blocks.
pub fn provision() -> Result<Programs> {
    const ADVICE: &str = "Redis is missing, and Debian's package `redis-server` cannot be fetched: install Redis 7 or later";
    if let Some(programs) = find()? {
        return Ok(programs);
    }
    let archive = Archive::own();
    known(|| archive.field("redis-server", "Version")).context(ADVICE)?;
    let packages = Packages { name: "Redis", directory: DIRECTORY, package: "redis-server", others: &["redis-tools"], archive: &archive };
    let root = packages.unpack(|root| {
        let version = run(unpacked(root).command("redis-server").arg("--version"));
        version.context("the unpacked Redis does not run here").map(drop)
    });
    Ok(unpacked(&root.context(ADVICE)?))
}
