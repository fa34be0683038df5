//! Events: messages for the owner of an object. A failure to publish one does not fail the reconcile.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::status::EventNote;

/// Publishes Events.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Publishes with `client`, as the reporting controller of the operator.
    pub fn new(client: kube::Client) -> Self {
        let reporter = Reporter { controller: crate::api::FIELD_MANAGER.to_owned(), instance: None };
        Self(Recorder::new(client, reporter))
    }

    /// Publishes one Event about `object`.
    pub async fn publish(&self, object: &impl Resource<DynamicType = ()>, note: &EventNote) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.clone(),
            note: Some(note.note.chars().take(900).collect()),
            action: note.action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(reason = note.reason, code = code(&error), "an Event could not be published");
        }
    }
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}
