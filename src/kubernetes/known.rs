//! What the watches show of Secrets and Namespaces, so that an object at rest needs no request of its own. A watch may lag.
//! Therefore only the conclusion that nothing is to be done may be drawn from it: before anything is done, it is read again.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::compressed::Compressed;
use super::namespace::NamespacePolicy;
use super::stored::{Brief, named_as};

/// Maximum size of the metadata of a Secret that are kept, in bytes of JSON. Those of a usual one have fewer than 3,000. What
/// is larger is read when it is needed.
const LARGEST: usize = 32 * 1024;
/// The same for what the administrator says in a Namespace, in characters.
const LARGEST_POLICY: usize = 8 * 1024;

/// What the watches of this process show.
#[derive(Debug, Default)]
pub struct Known {
    secrets: Shown<Compressed>,
    namespaces: Shown<NamespacePolicy>,
    lists: AtomicU64,
}

/// What is shown of one kind.
#[derive(Debug)]
struct Shown<V>(Mutex<ByNamespace<V>>);

/// By namespace and name, each with the number of the list in which, or after which, it was shown.
type ByNamespace<V> = HashMap<String, HashMap<String, (u64, V)>>;

impl<V> Default for Shown<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Shown<V> {
    /// The data is complete after every change, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, ByNamespace<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, namespace: &str, name: &str) -> Option<V> {
        self.lock().get(namespace)?.get(name).map(|(_, value)| value.clone())
    }

    /// `None`: it is not kept.
    fn set(&self, namespace: String, name: String, list: u64, value: Option<V>) {
        let mut all = self.lock();
        if let Some(value) = value {
            all.entry(namespace).or_default().insert(name, (list, value));
        } else if let Some(within) = all.get_mut(&namespace) {
            within.remove(&name);
            if within.is_empty() {
                all.remove(&namespace);
            }
        }
    }

    /// A list is complete: what was shown before and is not in it is gone.
    fn keep(&self, part: Option<&str>, list: u64) {
        self.lock().retain(|namespace, within| {
            if part.is_none_or(|part| part == namespace) {
                within.retain(|_, (shown, _)| *shown == list);
            }
            !within.is_empty()
        });
    }
}

impl Known {
    /// The metadata of a Secret, as JSON. `None`: it is not known.
    pub(super) fn secret(&self, namespace: &str, name: &str) -> Option<String> {
        self.secrets.get(namespace, name)?.text()
    }

    /// What a Namespace says. `None`: it is not known.
    pub fn namespace(&self, name: &str) -> Option<NamespacePolicy> {
        self.namespaces.get("", name)
    }

    /// The Namespace was read, and says this.
    pub fn correct_namespace(&self, name: &str, read: &NamespacePolicy) {
        let list = self.namespaces.lock().get("").and_then(|all| all.get(name)).map(|(list, _)| *list);
        if let Some(list) = list {
            self.namespaces.set(String::new(), name.to_owned(), list, Some(read.clone()));
        }
    }

    /// Takes the events of a watch of Secrets: of those in one namespace, or of all.
    pub fn sees_secrets(self: &Arc<Self>, part: Option<&str>) -> impl FnMut(&watcher::Result<Event<WatchedSecret>>) + Send + use<> {
        let place = |secret: &WatchedSecret| (secret.namespace().unwrap_or_default(), secret.name_any());
        sees(Arc::clone(self), part, |known| &known.secrets, place, |secret| secret.text.clone())
    }

    /// Takes the events of the watch of Namespaces.
    pub fn sees_namespaces(self: &Arc<Self>) -> impl FnMut(&watcher::Result<Event<Brief<Namespace>>>) + Send + use<> {
        let kept = |namespace: &Brief<Namespace>| Some(NamespacePolicy::read(namespace)).filter(|policy| policy.len() <= LARGEST_POLICY);
        sees(Arc::clone(self), None, |known| &known.namespaces, |namespace| (String::new(), namespace.name_any()), kept)
    }
}

/// Takes the events of a watch. `part`: the namespace that is watched. `place`: namespace and name. `kept`: what is kept of an
/// object.
fn sees<K, V, S, P, F>(
    known: Arc<Known>,
    part: Option<&str>,
    shown: S,
    place: P,
    kept: F,
) -> impl FnMut(&watcher::Result<Event<K>>) + Send + use<K, V, S, P, F>
where
    V: Clone,
    S: Fn(&Known) -> &Shown<V> + Send,
    P: Fn(&K) -> (String, String) + Send,
    F: Fn(&K) -> Option<V> + Send,
{
    let part = part.map(str::to_owned);
    let mut list = 0;
    move |event| {
        let Ok(event) = event else { return };
        let shown = shown(&known);
        match event {
            Event::Init => list = known.lists.fetch_add(1, Ordering::Relaxed),
            Event::InitApply(object) | Event::Apply(object) => {
                let (namespace, name) = place(object);
                shown.set(namespace, name, list, kept(object));
            }
            Event::InitDone => shown.keep(part.as_deref(), list),
            Event::Delete(object) => {
                let (namespace, name) = place(object);
                shown.set(namespace, name, list, None);
            }
        }
    }
}

/// A Secret of which only the metadata are requested.
#[derive(Clone)]
pub struct WatchedSecret {
    /// What [`Brief`] has.
    metadata: ObjectMeta,
    /// All of it, if it is not too large.
    text: Option<Compressed>,
}

impl fmt::Debug for WatchedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedSecret").field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for WatchedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = (raw.get().len() <= LARGEST).then(|| Compressed::of(raw.get()));
        Ok(Self { metadata: Brief::<Secret>::decode(raw.get()).metadata, text })
    }
}

impl Resource for WatchedSecret {
    named_as!(Secret);

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
