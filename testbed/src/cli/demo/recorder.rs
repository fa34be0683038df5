//! Writes down, meanwhile, when AWS's labels and the mirrored Secret changed, for the table at the end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emulator::Emulator;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinSet;

use super::aws::{CURRENT, PREVIOUS};
use super::kubelet::VERSION_ID;

const PERIOD: Duration = Duration::from_millis(25);

/// Watches until it is dropped.
pub(super) struct Recorder {
    seen: Arc<Mutex<Seen>>,
    _work: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    labels: Vec<Labels>,
    mirrored: Vec<(String, Timestamp)>,
}

/// How the labels stood at some time.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) current: String,
    pub(super) previous: Option<String>,
    /// When the current version was made, by AWS's clock.
    pub(super) made: Timestamp,
}

impl Recorder {
    pub(super) fn start(emulator: Emulator, client: Client, namespace: &str, secret: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut work = JoinSet::new();
        work.spawn({
            let seen = Arc::clone(&seen);
            async move {
                loop {
                    if let Some(labels) = look(&emulator) {
                        let mut seen = lock(&seen);
                        if seen.labels.last() != Some(&labels) {
                            seen.labels.push(labels);
                        }
                    }
                    tokio::time::sleep(PERIOD).await;
                }
            }
        });
        work.spawn({
            let seen = Arc::clone(&seen);
            let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client, namespace);
            let config = watcher::Config::default().fields(&format!("metadata.name={secret}"));
            async move {
                let mut changes = std::pin::pin!(watcher(secrets, config).default_backoff().applied_objects());
                while let Some(change) = changes.next().await {
                    let Ok(secret) = change else { continue };
                    let Some(version) = secret.annotations().get(VERSION_ID) else { continue };
                    let mut seen = lock(&seen);
                    if seen.mirrored.iter().all(|(known, _)| known != version) {
                        seen.mirrored.push((version.clone(), Timestamp::now()));
                    }
                }
            }
        });
        Self { seen, _work: work }
    }

    /// Each state of the labels, in the order in which they came.
    pub(super) fn labels(&self) -> Vec<Labels> {
        lock(&self.seen).labels.clone()
    }

    /// When the mirrored Secret was first seen to hold a version.
    pub(super) fn mirrored(&self, version: &str) -> Option<Timestamp> {
        lock(&self.seen).mirrored.iter().find(|(known, _)| known == version).map(|(_, at)| *at)
    }
}

/// There is one secret in the demo's AWS.
fn look(emulator: &Emulator) -> Option<Labels> {
    let secret = emulator.secrets().into_iter().next()?;
    let current = secret.labelled(CURRENT)?;
    Some(Labels { current: current.id.clone(), previous: secret.labels.get(PREVIOUS).cloned(), made: current.created })
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
