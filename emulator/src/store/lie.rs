//! Lists that are not true.

use serde_json::Value;

use super::arn::ACCOUNT;

/// What `ListSecrets` shows and is not so. Everything else tells the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListLie {
    /// No secret at all.
    Nothing,
    /// Beside each secret, one of the same name, tags and labels in another account.
    Strangers,
    /// Dates of change that are a year ahead.
    Future,
}

/// A date in an entry is seconds.
const YEAR: f64 = 365.0 * 24.0 * 3600.0;

impl ListLie {
    pub(super) fn told(self, entries: Vec<Value>) -> Vec<Value> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Strangers => entries.into_iter().flat_map(|entry| [stranger(entry.clone()), entry]).collect(),
            Self::Future => entries.into_iter().map(ahead).collect(),
        }
    }
}

fn stranger(mut entry: Value) -> Value {
    if let Some(arn) = entry.get_mut("ARN") {
        *arn = arn.as_str().unwrap_or_default().replace(ACCOUNT, "999999999999").into();
    }
    entry
}

fn ahead(mut entry: Value) -> Value {
    if let Some(changed) = entry.get_mut("LastChangedDate") {
        *changed = (changed.as_f64().unwrap_or_default() + YEAR).into();
    }
    entry
}
