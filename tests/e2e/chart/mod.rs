//! The Helm chart, by the real helm, against a real API server.

mod files;
mod flags;
mod hardened;
mod installed;
mod namespaced;
mod on_node;
mod options;
mod policies;
mod rendered;
mod reused;
mod typed;
mod wrong;

use std::path::PathBuf;

/// A file next to these tests.
fn values(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/chart/values").join(name)
}
