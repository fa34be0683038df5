//! Events of Secrets Manager: what a message says, and which objects it concerns. Anyone who may send to the queue can write one, so
//! nothing of it is used but to look up objects that this process knows, and none of its text is shown.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::desired::SecretArn;
use crate::fairness::Key;
use crate::version_id::VersionId;

/// The longest message that is read. An event has up to 1,500 bytes: its longest part is the name, twice.
const LONGEST: usize = 16 * 1024;
/// How many ARNs of unknown secrets are remembered, for objects that are about to be known.
const MOST_UNKNOWN: usize = 1000;
/// How many versions are remembered of an object that is being reconciled.
const MOST_ARRIVED: usize = 2;

/// AWSCURRENT of a secret moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMoved {
    arn: String,
    version: VersionId,
}

/// Why a message names no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Useless {
    /// It is no event of EventBridge, or one that contradicts itself.
    Invalid,
    /// An event of another kind, or of another staging label.
    Other,
}

/// Only what is used. Other fields may be there.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Envelope {
    source: String,
    detail_type: String,
    account: String,
    resources: Vec<String>,
    detail: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    label_updated: String,
    version_id: String,
}

impl LabelMoved {
    /// Reads the body of a message.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/event-detail-secret-label-updated.html>
    ///
    /// # Errors
    /// Why it names no change.
    pub fn parse(body: &str) -> Result<Self, Useless> {
        let envelope: Option<Envelope> = (body.len() <= LONGEST).then(|| serde_json::from_str(body).ok()).flatten();
        let envelope = envelope.ok_or(Useless::Invalid)?;
        if envelope.source != "aws.secretsmanager" || envelope.detail_type != "Secret Label Updated" {
            return Err(Useless::Other);
        }
        let detail: Detail = serde_json::from_value(envelope.detail).map_err(|_| Useless::Invalid)?;
        if detail.label_updated != "AWSCURRENT" {
            return Err(Useless::Other);
        }
        let [arn] = envelope.resources.as_slice() else { return Err(Useless::Invalid) };
        let arn = SecretArn::parse(arn).filter(|arn| arn.account.to_string() == envelope.account).ok_or(Useless::Invalid)?;
        let version = VersionId::parse(&detail.version_id).ok_or(Useless::Invalid)?;
        Ok(Self { arn: arn.text, version })
    }
}

/// Whether an object is reconciled again because of events, after a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It saw what the events named, or there were none.
    No,
    /// An event arrived meanwhile of a version that it did not see.
    Now,
    /// It was requested by an event and did not see its version. AWS may have answered from an older state.
    Later,
}

/// What an event is to the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// These objects have not seen this version: they are reconciled.
    Requested(Vec<Key>),
    /// An object with this secret is being reconciled. What it saw is compared when that ends.
    InProgress,
    /// Every object with this secret has seen this version.
    Echo,
    /// No object is known that has this secret.
    Unknown,
}

/// The AWS secret of each object that this process has reconciled, and the version that it saw. A new process knows nothing, and
/// reconciles every object once.
#[derive(Debug, Default)]
pub struct EventIndex(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    objects: HashMap<Key, Known>,
    /// By ARN. Several objects may mirror one secret.
    secrets: HashMap<Arc<str>, Vec<Key>>,
    /// Objects that are being reconciled, with what arrived meanwhile.
    busy: HashMap<Key, Vec<VersionId>>,
    /// The last version of secrets that no object is known to have. The first reconcile of an object may have read before it.
    unknown: HashMap<String, VersionId>,
}

#[derive(Debug)]
struct Known {
    /// Shared with the index.
    arn: Arc<str>,
    version: Option<VersionId>,
    /// That of the last event that requested a reconcile, until one has ended.
    awaited: Option<VersionId>,
}

impl EventIndex {
    /// The data is complete after every change, so a poisoned lock is used as it is.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reconcile of the object begins.
    pub fn begins(&self, key: &Key) {
        self.state().busy.insert(key.clone(), Vec::new());
    }

    /// The object saw its AWS secret, and the version that AWSCURRENT is on.
    pub fn saw(&self, key: &Key, arn: &str, version: Option<&VersionId>) {
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(known) = state.objects.get_mut(key).filter(|known| *known.arn == *arn) {
            known.version = version.cloned();
        } else {
            let shared = state.secrets.get_key_value(arn).map_or_else(|| arn.into(), |(known, _)| Arc::clone(known));
            state.remove(key);
            // Hardly any secret has a second object.
            state.secrets.entry(Arc::clone(&shared)).or_insert_with(|| Vec::with_capacity(1)).push(key.clone());
            if let (Some(earlier), Some(arrived)) = (state.unknown.get(arn), state.busy.get_mut(key)) {
                arrived.push(earlier.clone());
            }
            state.objects.insert(key.clone(), Known { arn: shared, version: version.cloned(), awaited: None });
        }
    }

    /// The reconcile of the object has ended. An event leads to two more of them at most: it may be old, or forged.
    pub fn ends(&self, key: &Key) -> Again {
        let mut state = self.state();
        let arrived = state.busy.remove(key).unwrap_or_default();
        let Some(known) = state.objects.get_mut(key) else { return if arrived.is_empty() { Again::No } else { Again::Now } };
        let awaited = known.awaited.take();
        known.awaited = arrived.into_iter().find(|version| Some(version) != known.version.as_ref());
        match (&known.awaited, awaited) {
            (Some(_), _) => Again::Now,
            (None, Some(awaited)) if Some(&awaited) != known.version.as_ref() => Again::Later,
            (None, _) => Again::No,
        }
    }

    /// The object is gone.
    pub fn forget(&self, key: &Key) {
        let mut state = self.state();
        state.remove(key);
        state.busy.remove(key);
    }

    /// Forgets everything. What another leader did meanwhile is not known.
    pub fn clear(&self) {
        *self.state() = State::default();
    }

    /// An event arrived.
    pub fn arrives(&self, event: LabelMoved) -> Arrival {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(keys) = state.secrets.get(event.arn.as_str()) else {
            if state.unknown.len() >= MOST_UNKNOWN {
                state.unknown.clear();
            }
            state.unknown.insert(event.arn, event.version);
            return Arrival::Unknown;
        };
        let (mut requested, mut in_progress) = (Vec::new(), false);
        let mut asked = HashSet::new();
        for key in keys.iter().filter(|key| asked.insert(*key)) {
            if let Some(arrived) = state.busy.get_mut(key) {
                in_progress = true;
                // The object sees one version. So of more than one, one differs.
                if arrived.len() < MOST_ARRIVED && !arrived.contains(&event.version) {
                    arrived.push(event.version.clone());
                }
            } else if let Some(known) = state.objects.get_mut(key).filter(|known| known.version.as_ref() != Some(&event.version)) {
                known.awaited = Some(event.version.clone());
                requested.push(key.clone());
            }
        }
        match (requested.is_empty(), in_progress) {
            (false, _) => Arrival::Requested(requested),
            (true, true) => Arrival::InProgress,
            (true, false) => Arrival::Echo,
        }
    }
}

impl State {
    fn remove(&mut self, key: &Key) {
        let Some(known) = self.objects.remove(key) else { return };
        if let Some(keys) = self.secrets.get_mut(&known.arn) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.secrets.remove(&known.arn);
            }
        }
    }
}

#[cfg(test)]
mod tests;
