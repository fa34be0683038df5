//! What the cluster shows, by watches: which objects are Ready, and since when a Secret has its value. Polling would cost the API server
//! more than the operator does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

const POLL: Duration = Duration::from_millis(10);

/// The key of the mirrored value.
pub(super) const FIELD: &str = "password";

/// The kind of the objects.
pub(super) fn kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("rotated-secrets.io", "v1alpha1", "RotatedSecret"), "rotatedsecrets")
}

/// Follows the cluster until it is dropped.
pub(super) struct Seen {
    state: Arc<Mutex<State>>,
    _work: JoinSet<()>,
}

#[derive(Default)]
struct State {
    ready: BTreeSet<String>,
    /// By namespace and name: the value, and when it was first seen.
    values: BTreeMap<String, (String, Instant)>,
}

impl Seen {
    pub(super) fn new(admin: &Client) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let mut work = JoinSet::new();
        let objects: Api<DynamicObject> = Api::all_with(admin.clone(), &kind());
        let objects = watcher(objects, watcher::Config::default()).default_backoff().applied_objects();
        work.spawn(follow(objects, Arc::clone(&state), |state, object| {
            if is_ready(&object) {
                state.ready.insert(key(&object));
            }
        }));
        let secrets: Api<Secret> = Api::all(admin.clone());
        let secrets = watcher(secrets, watcher::Config::default()).default_backoff().applied_objects();
        work.spawn(follow(secrets, Arc::clone(&state), |state, secret| {
            let value = secret.data.as_ref().and_then(|data| data.get(FIELD));
            let Some(value) = value.map(|value| String::from_utf8_lossy(&value.0).into_owned()) else { return };
            let name = key(&secret);
            if state.values.get(&name).is_none_or(|(known, _)| *known != value) {
                state.values.insert(name, (value, Instant::now()));
            }
        }));
        Self { state, _work: work }
    }

    /// How many objects have been Ready.
    pub(super) fn ready(&self) -> usize {
        lock(&self.state).ready.len()
    }

    /// How many Secrets with this in their name have a value that they did not have then.
    pub(super) fn changed(&self, part: &str, since: Instant) -> usize {
        lock(&self.state).values.iter().filter(|(name, (_, at))| *at > since && name.contains(part)).count()
    }

    /// The value of a Secret.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        lock(&self.state).values.get(name).map(|(value, _)| value.clone())
    }

    /// When the Secret got this value after `since`; `None` if it has another one, or has had it since before.
    pub(super) fn value_since(&self, name: &str, value: &str, since: Instant) -> Option<Instant> {
        lock(&self.state).values.get(name).filter(|(known, at)| known == value && *at > since).map(|(_, at)| *at)
    }
}

/// Waits until the probe gives a value.
pub(super) async fn until<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if start.elapsed() > deadline {
            bail!("waited {} s until {what}, in vain", deadline.as_secs());
        }
        sleep(POLL).await;
    }
}

async fn follow<K>(changes: impl Stream<Item = Result<K, watcher::Error>>, state: Arc<Mutex<State>>, note: impl Fn(&mut State, K)) {
    let mut changes = std::pin::pin!(changes);
    while let Some(change) = changes.next().await {
        if let Ok(object) = change {
            note(&mut lock(&state), object);
        }
    }
}

fn key(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let mut ready = conditions.into_iter().flatten().filter(|condition| condition.get("type").is_some_and(|kind| kind == "Ready"));
    ready.any(|condition| condition.get("status").is_some_and(|status| status == "True"))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
