//! Objects that are gone. Without a finalizer, only the watch tells of them.

use std::sync::Arc;

use kube::ResourceExt;
use kube::core::{PartialObjectMeta, PartialObjectMetaExt as _};
use tokio::sync::mpsc;

use crate::api::RotatedSecret;
use crate::audit::{Action, Entry};
use crate::kubernetes::stored::Stored;
use crate::reconcile::Context;
use crate::status::{self, EventNote};

/// How many Events may wait. A namespace that is deleted may take thousands of objects along; the log and the metric have
/// all of them.
const MOST_WAITING: usize = 4096;

/// Reports what objects leave behind.
pub(super) struct Gone {
    ctx: Arc<Context>,
    events: mpsc::Sender<(PartialObjectMeta<RotatedSecret>, EventNote)>,
}

impl Gone {
    /// Publishes Events one after the other, until this value is dropped.
    pub(super) fn new(ctx: &Arc<Context>) -> Self {
        let (events, mut waiting) = mpsc::channel(MOST_WAITING);
        let publisher = ctx.events.clone();
        tokio::spawn(async move {
            while let Some((object, note)) = waiting.recv().await {
                publisher.publish_lasting(&object, &note).await;
            }
        });
        Self { ctx: Arc::clone(ctx), events }
    }

    /// The object is gone. `leads`: this replica reports it.
    pub(super) fn report(&self, object: &Stored, leads: bool) {
        self.ctx.memory.forget(&object.uid().unwrap_or_default());
        let Some(object) = object.readable().filter(|_| leads) else { return };
        let Some(note) = status::events::secret_retained(object) else { return };
        let arn = object.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.clone());
        self.ctx.record(&object.metadata, &[Entry { arn, ..Entry::of(Action::Retained) }]);
        let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        tracing::info!(object = name, note = note.note, "an object is gone, and its AWS secret stays");
        self.ctx.metrics.secret_retained();
        let metadata = object.metadata.clone().into_response_partial();
        if self.events.try_send((metadata, note)).is_err() {
            tracing::warn!(object = name, "too many Events wait; this one is not published");
        }
    }
}
