//! The layer: a tar in the order of the paths, with nothing in it that differs between two runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tar::{Builder, EntryType, Header};

/// A file or directory of the image. All belong to root, and only root may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without a leading slash.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Whether it is a program.
        executable: bool,
        /// What is in it.
        bytes: Vec<u8>,
    },
}

/// Everything below a directory. Of the permissions only the executable bit is preserved, because the rest depends on the umask.
pub(super) fn read(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(&folder)? {
            let path = found?.path();
            let name = path.strip_prefix(root)?.to_str().context("a file's name is no text")?.to_owned();
            let data = path.symlink_metadata()?;
            let kind = if data.is_dir() {
                folders.push(path);
                Kind::Directory
            } else if data.is_file() {
                Kind::File { executable: data.permissions().mode() & 0o111 != 0, bytes: fs::read(&path)? }
            } else {
                bail!("{name} is neither a file nor a directory");
            };
            entries.push(Entry { path: name, kind });
        }
    }
    Ok(entries)
}

/// The layer as an uncompressed tar.
pub(super) fn tar(entries: &[Entry], time: u64) -> Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    let sorted: BTreeMap<&str, &Kind> = entries.iter().map(|entry| (entry.path.as_str(), &entry.kind)).collect();
    anyhow::ensure!(sorted.len() == entries.len(), "two files of the image have the same path");
    for (path, kind) in sorted {
        let mut header = Header::new_ustar();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(time);
        let (mode, entry_type, bytes): (u32, EntryType, &[u8]) = match kind {
            Kind::Directory => (0o755, EntryType::Directory, &[]),
            Kind::File { executable: true, bytes } => (0o755, EntryType::Regular, bytes),
            Kind::File { executable: false, bytes } => (0o644, EntryType::Regular, bytes),
        };
        header.set_mode(mode);
        header.set_entry_type(entry_type);
        header.set_size(bytes.len() as u64);
        layer.append_data(&mut header, path, bytes)?;
    }
    Ok(layer.into_inner()?)
}
