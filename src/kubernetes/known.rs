//! What the watches show of Secrets and Namespaces, so that an object at rest needs no request of its own. A watch may lag.
//! Therefore only the conclusion that nothing is to be done may be drawn from it: before anything is done, it is read again.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::compressed::Compressed;
use super::namespace::NamespacePolicy;
use super::own_writes::OwnWrites;
use super::stored::{Brief, named_as};
use crate::api::{GROUP, RotatedSecret};

/// Maximum size of the metadata of a Secret that are kept, in bytes of JSON. Those of a usual one have fewer than 3,000. What
/// is larger is read when it is needed.
const LARGEST: usize = 32 * 1024;
/// The same for what the administrator says in a Namespace, in characters.
const LARGEST_POLICY: usize = 8 * 1024;
/// Maximum size of all that is kept of one namespace, and of all of them, in bytes. Metadata of a usual Secret needs 300. A
/// tenant can create labelled Secrets.
const MOST_OF_NAMESPACE: usize = 8 * 1024 * 1024;
const MOST: usize = 64 * 1024 * 1024;
/// After an interruption, a watch is not used for so long, unless it lists meanwhile: it may be interrupted again.
const DISTRUST: Duration = Duration::from_mins(1);

/// What the watches of this process show.
#[derive(Debug, Default)]
pub struct Known {
    secrets: Shown<Compressed>,
    namespaces: Shown<NamespacePolicy>,
    lists: AtomicU64,
    /// Which of it this process wrote itself.
    pub own_writes: OwnWrites,
}

/// What is shown of one kind.
#[derive(Debug)]
struct Shown<V>(Mutex<State<V>>);

#[derive(Debug)]
struct State<V> {
    namespaces: HashMap<String, Within<V>>,
    /// Bytes that are kept of all.
    size: usize,
    /// Something was shown since the last list and is not kept.
    incomplete: bool,
    /// By the namespace that is watched, or `None` for the watch of all.
    watches: HashMap<Option<String>, Standing>,
}

/// What is shown in one namespace.
#[derive(Debug)]
struct Within<V> {
    /// By name, with the number of the list in which, or after which, it was shown, and its size in bytes.
    objects: HashMap<String, (u64, usize, V)>,
    size: usize,
}

/// Whether a watch can be used.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    lists: bool,
    interrupted: Option<Instant>,
}

impl Standing {
    fn is_usable(self, now: Instant) -> bool {
        !self.lists && self.interrupted.is_none_or(|at| now.saturating_duration_since(at) >= DISTRUST)
    }
}

impl<V> Default for Shown<V> {
    fn default() -> Self {
        Self(Mutex::new(State { namespaces: HashMap::new(), size: 0, incomplete: false, watches: HashMap::new() }))
    }
}

impl<V: Clone + PartialEq> Shown<V> {
    /// The data is complete after every change, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `part`: the namespace of the watch that would show it, if there is one for each.
    fn get(&self, namespace: &str, name: &str, part: Option<&str>, now: Instant) -> Option<V> {
        let state = self.lock();
        let unusable = |part: &Option<String>| state.watches.get(part).is_some_and(|standing| !standing.is_usable(now));
        if unusable(&None) || part.is_some_and(|part| unusable(&Some(part.to_owned()))) {
            return None;
        }
        state.namespaces.get(namespace)?.objects.get(name).map(|(_, _, value)| value.clone())
    }

    /// Whether a list was complete, is still followed, and shows no such object. False if not everything is kept.
    fn lacks(&self, namespace: &str, name: &str, part: Option<&str>, now: Instant) -> bool {
        let state = self.lock();
        let of = |part: Option<&str>| state.watches.get(&part.map(str::to_owned)).copied();
        let watches: Vec<Standing> = [of(None), part.and_then(|part| of(Some(part)))].into_iter().flatten().collect();
        let found = state.namespaces.get(namespace).is_some_and(|within| within.objects.contains_key(name));
        !found && !state.incomplete && !watches.is_empty() && watches.iter().all(|standing| standing.is_usable(now))
    }

    /// Keeps a value of this size; `None`: none. `shown`: the object is there.
    fn set(&self, namespace: &str, name: &str, list: u64, shown: bool, value: Option<(usize, V)>) {
        let mut state = self.lock();
        state.remove(namespace, name);
        let Some((size, value)) = value else {
            state.incomplete |= shown;
            return;
        };
        let within = state.namespaces.get(namespace).map_or(0, |within| within.size);
        if within.saturating_add(size) > MOST_OF_NAMESPACE || state.size.saturating_add(size) > MOST {
            state.incomplete = true;
            return;
        }
        state.size = state.size.saturating_add(size);
        let within = state.namespaces.entry(namespace.to_owned()).or_insert_with(|| Within { objects: HashMap::new(), size: 0 });
        within.size = within.size.saturating_add(size);
        within.objects.insert(name.to_owned(), (list, size, value));
    }

    /// A list is complete: what was shown before and is not in it is gone.
    fn keep(&self, part: Option<&str>, list: u64) {
        let mut state = self.lock();
        let mut gone = Vec::new();
        for (namespace, within) in state.namespaces.iter().filter(|(namespace, _)| part.is_none_or(|part| part == *namespace)) {
            let old = within.objects.iter().filter(|(_, (shown, _, _))| *shown != list);
            gone.extend(old.map(|(name, _)| (namespace.clone(), name.clone())));
        }
        for (namespace, name) in gone {
            state.remove(&namespace, &name);
        }
    }

    fn stands(&self, part: Option<&str>, change: impl FnOnce(&mut Standing)) {
        change(self.lock().watches.entry(part.map(str::to_owned)).or_default());
    }
}

impl<V> State<V> {
    fn remove(&mut self, namespace: &str, name: &str) {
        let Some(within) = self.namespaces.get_mut(namespace) else { return };
        if let Some((_, size, _)) = within.objects.remove(name) {
            within.size = within.size.saturating_sub(size);
            self.size = self.size.saturating_sub(size);
        }
        if within.objects.is_empty() {
            self.namespaces.remove(namespace);
        }
    }
}

impl Known {
    /// The metadata of a Secret, as JSON. `None`: it is not known.
    pub(super) fn secret(&self, namespace: &str, name: &str) -> Option<String> {
        self.secrets.get(namespace, name, Some(namespace), Instant::now())?.text()
    }

    /// Whether the watch shows this Secret, and its metadata are kept.
    pub fn shows_secret(&self, namespace: &str, name: &str) -> bool {
        self.secrets.get(namespace, name, Some(namespace), Instant::now()).is_some()
    }

    /// Whether a watch of Secrets shows all there are, and this one is not among them.
    pub(super) fn lacks_secret(&self, namespace: &str, name: &str) -> bool {
        self.secrets.lacks(namespace, name, Some(namespace), Instant::now())
    }

    /// What a Namespace says. `None`: it is not known.
    pub fn namespace(&self, name: &str) -> Option<NamespacePolicy> {
        self.namespaces.get("", name, None, Instant::now())
    }

    /// The Namespace was read, and says something else than what was `shown`. What the watch has shown since stays.
    pub fn correct_namespace(&self, name: &str, shown: &NamespacePolicy, read: &NamespacePolicy) {
        let mut state = self.namespaces.lock();
        let known = state.namespaces.get_mut("").and_then(|within| within.objects.get_mut(name));
        if let Some((_, _, known)) = known.filter(|(_, _, known)| known == shown) {
            known.clone_from(read);
        }
    }

    /// A watch was interrupted: of Secrets, in one namespace or in all.
    pub fn secrets_interrupted(&self, part: Option<&str>) {
        self.secrets.stands(part, |standing| standing.interrupted = Some(Instant::now()));
    }

    /// The watch of Namespaces was interrupted.
    pub fn namespaces_interrupted(&self) {
        self.namespaces.stands(None, |standing| standing.interrupted = Some(Instant::now()));
    }

    /// Notes which object controlled the Secret when it was shown last, if that is another one than now. To be called before the
    /// event is taken.
    pub fn note_former_controller(&self, secret: &mut WatchedSecret) {
        let shown = {
            let state = self.secrets.lock();
            let within = secret.metadata.namespace.as_deref().and_then(|namespace| state.namespaces.get(namespace));
            within.and_then(|within| within.objects.get(secret.metadata.name.as_deref()?)).map(|(_, _, text)| text.clone())
        };
        let shown = shown.and_then(|text| text.text()).map(|text| Brief::<Secret>::decode(&text).metadata);
        secret.former_controller =
            shown.as_ref().and_then(controller).filter(|former| Some(*former) != controller(&secret.metadata)).map(str::to_owned);
    }

    /// Takes the events of a watch of Secrets: of those in one namespace, or of all.
    pub fn sees_secrets(self: &Arc<Self>, part: Option<&str>) -> impl FnMut(&watcher::Result<Event<WatchedSecret>>) + Send + use<> {
        let place = |secret: &WatchedSecret| (secret.namespace().unwrap_or_default(), secret.name_any());
        sees(Arc::clone(self), part, |known| &known.secrets, place, |secret| secret.text.clone().map(|text| (text.len(), text)))
    }

    /// Takes the events of the watch of Namespaces.
    pub fn sees_namespaces(self: &Arc<Self>) -> impl FnMut(&watcher::Result<Event<Brief<Namespace>>>) + Send + use<> {
        let kept = |namespace: &Brief<Namespace>| {
            let policy = NamespacePolicy::read(namespace);
            Some((policy.len(), policy)).filter(|(size, _)| *size <= LARGEST_POLICY)
        };
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
    V: Clone + PartialEq,
    S: Fn(&Known) -> &Shown<V> + Send,
    P: Fn(&K) -> (String, String) + Send,
    F: Fn(&K) -> Option<(usize, V)> + Send,
{
    let part = part.map(str::to_owned);
    let mut list = 0;
    move |event| {
        let Ok(event) = event else { return };
        let shown = shown(&known);
        match event {
            Event::Init => {
                list = known.lists.fetch_add(1, Ordering::Relaxed);
                shown.stands(part.as_deref(), |standing| standing.lists = true);
                shown.lock().incomplete = false;
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let (namespace, name) = place(object);
                shown.set(&namespace, &name, list, true, kept(object));
            }
            Event::InitDone => {
                shown.keep(part.as_deref(), list);
                // What happened during an interruption is in the list.
                shown.stands(part.as_deref(), |standing| *standing = Standing::default());
            }
            Event::Delete(object) => {
                let (namespace, name) = place(object);
                shown.set(&namespace, &name, list, false, None);
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
    /// The name of the object that controlled it when it was shown last, if that is another one than now.
    former_controller: Option<String>,
}

impl WatchedSecret {
    /// The name of the object that controls it, if that is a `RotatedSecret`.
    pub fn controller(&self) -> Option<&str> {
        controller(&self.metadata)
    }

    /// The name of the object that controlled it before.
    pub fn former_controller(&self) -> Option<&str> {
        self.former_controller.as_deref()
    }
}

fn controller(metadata: &ObjectMeta) -> Option<&str> {
    let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let ours = controller.kind == RotatedSecret::kind(&()) && controller.api_version.split('/').next() == Some(GROUP);
    ours.then_some(controller.name.as_str())
}

impl fmt::Debug for WatchedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedSecret").field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for WatchedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let metadata = Brief::<Secret>::decode(raw.get()).metadata;
        // A Secret of nobody is no mirror.
        let text = (controller(&metadata).is_some() && raw.get().len() <= LARGEST).then(|| Compressed::of(raw.get()));
        Ok(Self { metadata, text, former_controller: None })
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
