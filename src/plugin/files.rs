//! Files of the command line.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Trouble;

/// Most bytes of a file of manifests: one that is larger is something else.
pub(super) const MANIFESTS: u64 = 16 << 20;
/// What kubectl reads of a directory.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A text and where it is from.
#[derive(Debug)]
pub(super) struct File {
    /// The path as it was given; `-` is standard input.
    pub(super) path: String,
    pub(super) text: String,
}

/// Reads the files and the files in the directories. `recursive`: also below them. `most`: bytes of a file.
pub(super) fn read(paths: &[PathBuf], recursive: bool, most: u64) -> Result<Vec<File>, Trouble> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            files.push(File { path: "-".to_owned(), text: text(std::io::stdin().lock(), "standard input", most)? });
        } else if path.is_dir() {
            let mut found = Vec::new();
            collect(path, recursive, &mut found)?;
            if found.is_empty() {
                let below = if recursive { "" } else { "; --recursive reads the directories below too" };
                return Err(Trouble::usage(format!("{} has no file with the ending yaml, yml or json{below}", path.display())));
            }
            for path in found {
                files.push(open(&path, most)?);
            }
        } else {
            files.push(open(path, most)?);
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

fn open(path: &Path, most: u64) -> Result<File, Trouble> {
    let shown = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Trouble::usage(format!("there is no file {shown}")),
        _ => Trouble::usage(format!("{shown} cannot be read")),
    })?;
    Ok(File { text: text(file, &shown, most)?, path: shown })
}

fn text(from: impl std::io::Read, name: &str, most: u64) -> Result<String, Trouble> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|_| Trouble::usage(format!("{name} cannot be read")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(Trouble::usage(format!("{name} is larger than {} MiB", most >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| Trouble::usage(format!("{name} is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_refused_with_the_limit() {
        let most = 1 << 20;
        let read = |bytes: usize| text(vec![b'x'; bytes].as_slice(), "f", most).map(|text| text.len()).map_err(|trouble| trouble.message);
        assert_eq!(read(most.try_into().unwrap()), Ok(1 << 20));
        assert_eq!(read((1 << 20) + 1), Err("f is larger than 1 MiB".to_owned()));
    }
}
