//! The content of an image.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::elf::{self, Architecture};
use super::layer::{Entry, Kind};

/// An image of one layer.
#[derive(Debug, Clone)]
pub struct Image {
    /// What its programs are made for.
    pub architecture: Architecture,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// The program that runs, with arguments that are always there.
    pub entrypoint: Vec<String>,
    /// Who runs it, as `uid:gid`.
    pub user: String,
    /// The labels, such as `org.opencontainers.image.version`.
    pub labels: BTreeMap<String, String>,
    /// The time of every file and of the image itself, in seconds since 1970.
    pub time: u64,
}

impl Image {
    /// Of one static program that is there under its own name and runs as the user that the operator runs as. For the tests' own programs.
    ///
    /// # Errors
    /// When the program cannot be read or is no static program.
    pub fn of_program(program: &Path) -> Result<Self> {
        let bytes = std::fs::read(program)?;
        let header = elf::read(&bytes)?;
        anyhow::ensure!(header.interpreter.is_none(), "{} is not static", program.display());
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            architecture: header.architecture,
            entries: vec![Entry { path: name.clone(), kind: Kind::File { executable: true, bytes } }],
            entrypoint: vec![format!("/{name}")],
            user: "65532:65532".to_owned(),
            labels: BTreeMap::new(),
            time: 0,
        })
    }
}
