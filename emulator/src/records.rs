//! What was called, and how it went. Counted and logged without any value.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::store::is_write;

/// Calls by operation and outcome. Clones are one set of counters.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    calls: Arc<Mutex<BTreeMap<(String, String), u64>>>,
    outdated: Arc<AtomicU64>,
}

impl Counters {
    /// All counts, by (operation, `ok` or the error's code).
    pub fn all(&self) -> BTreeMap<(String, String), u64> {
        self.cells().clone()
    }

    /// Calls of an operation with an outcome (`ok` or a code).
    pub fn count(&self, operation: &str, outcome: &str) -> u64 {
        self.sum(|(op, result)| op == operation && result == outcome)
    }

    /// Calls of an operation, with any result.
    pub fn total(&self, operation: &str) -> u64 {
        self.sum(|(op, _)| op == operation)
    }

    /// Writes that were not refused.
    pub fn writes(&self) -> u64 {
        self.sum(|(op, result)| is_write(op) && result == "ok")
    }

    /// All calls.
    pub fn calls(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Reads that a fault answered from an older state, with another answer than the newest state has.
    pub fn outdated(&self) -> u64 {
        self.outdated.load(Ordering::SeqCst)
    }

    /// Back to zero.
    pub fn reset(&self) {
        self.cells().clear();
        self.outdated.store(0, Ordering::SeqCst);
    }

    pub(crate) fn note_outdated(&self) {
        self.outdated.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn note(&self, operation: &str, outcome: &str) {
        *self.cells().entry((operation.to_owned(), outcome.to_owned())).or_default() += 1;
    }

    fn sum(&self, fits: impl Fn(&(String, String)) -> bool) -> u64 {
        self.cells().iter().filter(|(key, _)| fits(key)).map(|(_, count)| count).sum()
    }

    fn cells(&self) -> MutexGuard<'_, BTreeMap<(String, String), u64>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call as it was logged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Its place in the order in which calls took effect, from zero.
    pub order: u64,
    /// The emulator's time.
    pub at: Timestamp,
    /// The Region it was signed for.
    pub region: String,
    /// The operation.
    pub operation: String,
    /// `ok`, or the error's code.
    pub outcome: String,
    /// Whether the caller got the answer; a fault may lose it.
    pub answered: bool,
    /// The request's members that name things (ids, labels, tokens, windows), never a value.
    pub request: Map<String, Value>,
}

/// Only these members are copied into the log: a list of what may be shown stays safe when AWS adds a member.
const SHOWN: &[&str] = &[
    "Name",
    "SecretId",
    "SecretIdList",
    "ClientRequestToken",
    "VersionId",
    "VersionStage",
    "VersionStages",
    "MoveToVersionId",
    "RemoveFromVersionId",
    "RecoveryWindowInDays",
    "ForceDeleteWithoutRecovery",
    "Tags",
    "TagKeys",
    "Description",
    "KmsKeyId",
    "AddReplicaRegions",
    "RemoveReplicaRegions",
    "Filters",
    "MaxResults",
    "IncludePlannedDeletion",
    "IncludeDeprecated",
    "RotateImmediately",
    "RotationLambdaARN",
    "RotationRules",
    "QueueUrl",
    "MaxNumberOfMessages",
    "WaitTimeSeconds",
    "RoleArn",
    "RoleSessionName",
];

/// The newest calls; older ones are dropped when there are too many.
#[derive(Debug)]
pub(crate) struct Journal {
    next: u64,
    room: usize,
    records: VecDeque<CallRecord>,
}

impl Journal {
    pub(crate) fn new(room: usize) -> Self {
        Self { next: 0, room, records: VecDeque::new() }
    }

    pub(crate) fn note(&mut self, at: Timestamp, region: &str, operation: &str, request: &Value, outcome: &str, answered: bool) {
        let shown = |(key, value): (&String, &Value)| SHOWN.contains(&key.as_str()).then(|| (key.clone(), value.clone()));
        let request = request.as_object().into_iter().flatten().filter_map(shown).collect();
        self.records.push_back(CallRecord {
            order: self.next,
            at,
            region: region.to_owned(),
            operation: operation.to_owned(),
            outcome: outcome.to_owned(),
            answered,
            request,
        });
        self.next += 1;
        if self.records.len() > self.room {
            self.records.pop_front();
        }
    }

    pub(crate) fn all(&self) -> Vec<CallRecord> {
        self.records.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
    }
}
