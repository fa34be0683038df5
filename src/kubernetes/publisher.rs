//! Events: messages for the owner of an object. A failure to publish one does not fail the reconcile.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::status::EventNote;
use crate::text::bounded;

/// The maximum length of a note in bytes. The API server accepts 1024.
const MAX_NOTE: usize = 1000;

/// Publishes Events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    /// The operator itself, in its own namespace.
    home: Option<ObjectReference>,
}

impl Events {
    /// Publishes with `client`, as the reporting controller of the operator.
    pub fn new(client: kube::Client) -> Self {
        let reporter = Reporter { controller: crate::api::FIELD_MANAGER.to_owned(), instance: None };
        Self { recorder: Recorder::new(client, reporter), home: None }
    }

    /// With an object in the namespace of the operator, about which Events are published that must outlast their namespace.
    #[must_use]
    pub fn at_home(self, home: ObjectReference) -> Self {
        Self { home: Some(home), ..self }
    }

    /// Publishes one Event about `object`.
    pub async fn publish(&self, object: &impl Resource<DynamicType = ()>, note: &EventNote) {
        let published = self.recorder.publish(&event(note, &note.note, None), &object.object_ref(&())).await;
        if let Err(error) = published {
            tracing::warn!(reason = note.reason, note = note.note, code = code(&error), "an Event could not be published");
        }
    }

    /// Publishes one Event about `object`. A namespace that is being deleted accepts no new Events: then it is published in
    /// the namespace of the operator.
    pub async fn publish_lasting(&self, object: &impl Resource<DynamicType = ()>, note: &EventNote) {
        let reference = object.object_ref(&());
        let published = self.recorder.publish(&event(note, &note.note, None), &reference).await;
        let Err(error) = published else { return };
        let Some(home) = self.home.as_ref().filter(|_| matches!(code(&error), 403 | 404)) else {
            tracing::warn!(reason = note.reason, note = note.note, code = code(&error), "an Event could not be published");
            return;
        };
        let (namespace, name) = (reference.namespace.clone().unwrap_or_default(), reference.name.clone().unwrap_or_default());
        let text = format!("RotatedSecret {namespace}/{name}: {}", note.note);
        if let Err(error) = self.recorder.publish(&event(note, &text, Some(reference)), home).await {
            tracing::warn!(reason = note.reason, note = note.note, code = code(&error), "an Event could not be published");
        }
    }
}

fn event(note: &EventNote, text: &str, secondary: Option<ObjectReference>) -> Event {
    Event {
        type_: if note.warning { EventType::Warning } else { EventType::Normal },
        reason: note.reason.clone(),
        note: Some(bounded(text, MAX_NOTE)),
        action: note.action.to_owned(),
        secondary,
    }
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}
