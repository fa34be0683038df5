//! Files of the command line.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Trouble;

/// A file that is larger is not a manifest.
const LARGEST: u64 = 16 << 20;
/// What kubectl reads of a directory.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A text and where it is from.
#[derive(Debug)]
pub(super) struct File {
    /// The path as it was given; `-` is standard input.
    pub(super) path: String,
    pub(super) text: String,
}

/// Reads the files and the files in the directories. `recursive`: also below them.
pub(super) fn read(paths: &[PathBuf], recursive: bool) -> Result<Vec<File>, Trouble> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            files.push(File { path: "-".to_owned(), text: text(std::io::stdin().lock(), "standard input")? });
        } else if path.is_dir() {
            let mut found = Vec::new();
            collect(path, recursive, &mut found)?;
            if found.is_empty() {
                let below = if recursive { "" } else { "; --recursive reads the directories below too" };
                return Err(Trouble::usage(format!("{} has no file with the ending yaml, yml or json{below}", path.display())));
            }
            for path in found {
                files.push(open(&path)?);
            }
        } else {
            files.push(open(path)?);
        }
    }
    Ok(files)
}

/// Does not follow links to directories, which may form a circle.
fn collect(dir: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result<(), Trouble> {
    let unreadable = || Trouble::usage(format!("the directory {} cannot be read", dir.display()));
    let entries = std::fs::read_dir(dir).map_err(|_| unreadable())?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(|_| unreadable())?;
    paths.sort_unstable();
    for path in paths {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if path.is_dir() {
            if recursive && !is_link {
                collect(&path, recursive, found)?;
            }
        } else if path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending)) {
            found.push(path);
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Trouble> {
    let shown = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Trouble::usage(format!("there is no file {shown}")),
        _ => Trouble::usage(format!("{shown} cannot be read")),
    })?;
    Ok(File { text: text(file, &shown)?, path: shown })
}

fn text(from: impl std::io::Read, name: &str) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    from.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| Trouble::usage(format!("{name} cannot be read")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(Trouble::usage(format!("{name} is larger than {} MiB", LARGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| Trouble::usage(format!("{name} is not UTF-8 text")))
}
