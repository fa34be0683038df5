//! The operator's image: the Dockerfile's, from a program that is there already.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::content::Image;
use super::layer::{self, Entry, Kind};
use super::{elf, recipe};

/// The repository that this command was compiled in.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The largest program that is shipped. It has 26 MB; a new dependency that adds a quarter needs a reason.
const BUDGET: usize = 33_000_000;

/// What the program may ask for at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: what is shipped.
    Nothing,
    /// Nothing but space: as it is shipped, without optimization. For tests.
    Space,
    /// This machine's libraries, which are then put into the image. For a test that uses the debug build; never shipped.
    Libraries,
}

/// The image of the operator with this program in it. `time` is that of every file, in seconds since 1970.
///
/// # Errors
/// When the program is not what `needs` says, or the certificate authorities are missing.
pub fn operator(program: &Path, needs: Needs, time: u64) -> Result<Image> {
    let repository = Path::new(REPOSITORY);
    let dockerfile = std::fs::read_to_string(repository.join("Dockerfile"))
        .with_context(|| format!("{REPOSITORY} is gone: type `cargo xtask image ...` in a clone of the repository"))?;
    let recipe = recipe::parse(&dockerfile, env!("CARGO_PKG_VERSION"))?;
    let bytes = std::fs::read(program).with_context(|| format!("{} cannot be read: build it with image/build", program.display()))?;
    let header = elf::read(&bytes).with_context(|| format!("{} is no program for an image", program.display()))?;

    let files = tempfile::Builder::new().prefix("xtask-image-").tempdir()?;
    let root = files.path().join("root");
    let output = Command::new("sh").arg(repository.join("image/assemble")).arg(program.canonicalize()?).arg(&root).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let mut entries = layer::read(&root)?;
    match (needs, header.interpreter) {
        (_, None) => {}
        (Needs::Libraries, Some(_)) => entries.extend(libraries(program)?),
        (Needs::Nothing | Needs::Space, Some(loader)) => {
            bail!("{} asks for {loader}, which is not in the image: build the static program with image/build", program.display())
        }
    }
    if needs != Needs::Libraries {
        ensure!(header.unprotected.is_empty(), "{} lacks {}", program.display(), header.unprotected.join(" and "));
    }
    if needs == Needs::Nothing {
        ensure!(bytes.len() <= BUDGET, "{} has {} bytes, more than the budget of {BUDGET}", program.display(), bytes.len());
    }
    let recipe::Recipe { user, entrypoint, labels } = recipe;
    Ok(Image { architecture: header.architecture, entries, entrypoint, user, labels, time })
}

/// The loader and the libraries that a program needs, at the paths where it searches for them, and their directories.
fn libraries(program: &Path) -> Result<Vec<Entry>> {
    let output = Command::new("ldd").arg(program).output().context("ldd cannot be started")?;
    ensure!(output.status.success(), "ldd does not know {}", program.display());
    let told = String::from_utf8(output.stdout)?;
    let paths = told.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))).map(PathBuf::from);
    let (mut entries, mut folders) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let name = |path: &Path| path.to_string_lossy().trim_start_matches('/').to_owned();
        folders.extend(path.ancestors().skip(1).map(name).filter(|name| !name.is_empty()));
        entries.push(Entry { path: name(&path), kind: Kind::File { executable: true, bytes: std::fs::read(&path)? } });
    }
    entries.extend(folders.into_iter().map(|path| Entry { path, kind: Kind::Directory }));
    Ok(entries)
}
