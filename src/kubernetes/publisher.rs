//! Events: messages for the owner of an object. A failure to publish one does not fail the reconcile.
//!
//! kube's recorder counts Events that differ only in their note, so the second of two rotations would be shown with the
//! version of the first.

mod recent;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Resource;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use self::recent::{Publication, Recent};
use crate::api::FIELD_MANAGER;
use crate::metrics::Metrics;
use crate::status::EventNote;
use crate::text::bounded;

/// The maximum length of a note in bytes. The API server accepts 1024.
const MAX_NOTE: usize = 1000;

/// Publishes Events.
#[derive(Clone)]
pub struct Events {
    client: kube::Client,
    recent: Arc<Mutex<Recent>>,
    /// The operator itself, in its own namespace.
    home: Option<ObjectReference>,
    metrics: Metrics,
}

impl Events {
    /// Publishes with `client`, as the reporting controller of the operator. `metrics` count what is not accepted.
    pub fn new(client: kube::Client, metrics: Metrics) -> Self {
        Self { client, recent: Arc::default(), home: None, metrics }
    }

    /// With an object in the namespace of the operator, about which Events are published that must outlast their namespace.
    #[must_use]
    pub fn at_home(self, home: ObjectReference) -> Self {
        Self { home: Some(home), ..self }
    }

    /// Publishes one Event about `object`.
    pub async fn publish(&self, object: &impl Resource<DynamicType = ()>, note: &EventNote) {
        if let Err(error) = self.record(note, object.object_ref(&()), None).await {
            self.lost(note, &error);
        }
    }

    fn lost(&self, note: &EventNote, error: &kube::Error) {
        self.metrics.event_not_published();
        tracing::warn!(reason = note.reason, note = note.note, code = code(error), "an Event could not be published");
    }

    /// Publishes one Event about `object`. A namespace that is being deleted accepts no new Events: then it is published in
    /// the namespace of the operator.
    pub async fn publish_lasting(&self, object: &impl Resource<DynamicType = ()>, note: &EventNote) {
        let reference = object.object_ref(&());
        let Err(error) = self.record(note, reference.clone(), None).await else { return };
        let Some(home) = self.home.as_ref().filter(|_| matches!(code(&error), 403 | 404)) else {
            self.lost(note, &error);
            return;
        };
        let (namespace, name) = (reference.namespace.clone().unwrap_or_default(), reference.name.clone().unwrap_or_default());
        let note = EventNote { note: format!("RotatedSecret {namespace}/{name}: {}", note.note), ..note.clone() };
        if let Err(error) = self.record(&note, home.clone(), Some(reference)).await {
            self.lost(&note, &error);
        }
    }

    /// Creates the Event, or counts the same one again.
    async fn record(&self, note: &EventNote, regarding: ObjectReference, related: Option<ObjectReference>) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let object = regarding.uid.clone().or_else(|| regarding.name.clone()).unwrap_or_default();
        let events = Api::<Event>::namespaced(self.client.clone(), &namespace);
        let publication = self.recent.lock().unwrap_or_else(PoisonError::into_inner).next(&object, note, now);
        let (name, count) = match publication {
            Publication::TooMany => {
                tracing::info!(reason = note.reason, note = note.note, "not published: too many Events of this reason");
                return Ok(());
            }
            Publication::Again { name, count } => {
                let series = json!({"series": {"count": count, "lastObservedTime": MicroTime(now)}});
                match events.patch(&name, &PatchParams::default(), &Patch::Merge(series)).await {
                    Ok(_) => (name, count),
                    // It was deleted meanwhile.
                    Err(error) if code(&error) == 404 => (create(&events, note, regarding, related, now).await?, 1),
                    Err(error) => return Err(error),
                }
            }
            Publication::New => (create(&events, note, regarding, related, now).await?, 1),
        };
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).published(&object, note, &name, count, now);
        Ok(())
    }
}

/// Creates the Event and returns its name.
async fn create(
    events: &Api<Event>,
    note: &EventNote,
    regarding: ObjectReference,
    related: Option<ObjectReference>,
    now: Timestamp,
) -> Result<String, kube::Error> {
    let name = format!("{}.{:x}", regarding.name.as_deref().unwrap_or(FIELD_MANAGER), now.as_nanosecond());
    let event = Event {
        metadata: ObjectMeta { name: Some(name.clone()), namespace: regarding.namespace.clone(), ..ObjectMeta::default() },
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(note.reason.clone()),
        note: Some(bounded(&note.note, MAX_NOTE)),
        action: Some(note.action.to_owned()),
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(FIELD_MANAGER.to_owned()),
        regarding: Some(regarding),
        related,
        ..Event::default()
    };
    events.create(&PostParams::default(), &event).await?;
    Ok(name)
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}
