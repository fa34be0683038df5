//! The version whose value a rollback restores.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::ages;
use crate::api::{Cause, HistoryEntry, RotatedSecret};

/// The version whose value is restored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Restored {
    /// Its ID.
    pub(super) version_id: String,
    /// When it became current; absent if the history does not list it.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    /// If it is itself a rollback: the version whose value it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<String>,
}

impl Restored {
    /// From the oldest entry of the history for this version.
    pub(super) fn of(object: &RotatedSecret, version: &str) -> Self {
        let known = history(object).iter().rfind(|entry| entry.version_id == version);
        Self {
            version_id: version.to_owned(),
            time: known.map(|entry| entry.time.clone()),
            cause: known.map(|entry| entry.cause),
            copy_of: known.and_then(|entry| entry.copy_of.clone()),
        }
    }

    /// `version 3e0c..., from 12d ago (Scheduled)`.
    pub(super) fn words(&self, now: Timestamp) -> String {
        let version = &self.version_id;
        let copy = self.copy_of.as_ref().map_or_else(String::new, |older| format!(", the value of {older}"));
        match (&self.time, self.cause) {
            (Some(time), Some(cause)) => format!("version {version}, from {} ago ({}{copy})", ages::since(time.0, now), cause.as_str()),
            _ => format!("version {version}, which the history does not list"),
        }
    }
}

/// The versions that the status lists, the newest first.
pub(super) fn history(object: &RotatedSecret) -> &[HistoryEntry] {
    object.status.as_ref().map(|status| status.history.as_slice()).unwrap_or_default()
}
