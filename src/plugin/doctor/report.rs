//! The report of `doctor`.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Finding {
    Ok,
    /// Not as it could be, and only some commands need it.
    Note,
    Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) check: &'static str,
    pub(super) result: Finding,
    pub(super) message: String,
}

/// The fields of `doctor -o json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Line>,
}

impl Report {
    pub(super) fn add(&mut self, check: &'static str, result: Finding, message: impl Into<String>) {
        self.checks.push(Line { check, result, message: message.into() });
    }
}
