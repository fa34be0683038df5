//! What `lint` has found.

use serde::Serialize;

/// The fields of `lint -o json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) files: usize,
    pub(super) objects: usize,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) findings: Vec<Entry>,
}

#[derive(Debug, Serialize)]
pub(super) struct Entry {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) level: &'static str,
    pub(super) rule: &'static str,
    pub(super) field: String,
    pub(super) message: String,
}
