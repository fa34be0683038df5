//! Objects that are gone. Without a finalizer, only the watch tells of them.

use std::sync::Arc;

use kube::ResourceExt;
use kube::core::{PartialObjectMeta, PartialObjectMetaExt as _};
use tokio::sync::mpsc;

use crate::api::RotatedSecret;
use crate::audit::{Action, Entry};
use crate::kubernetes::object;
use crate::kubernetes::stored::Stored;
use crate::reconcile::Context;
use crate::status::{self, EventNote};

/// How many Events may wait. A namespace that is deleted may take thousands of objects along; the log and the metric have
/// all of them.
const MOST_WAITING: usize = 4096;

/// Reports what objects leave behind.
pub(super) struct Gone {
    ctx: Arc<Context>,
    left: mpsc::Sender<Left>,
}

/// What an object leaves behind.
struct Left {
    object: PartialObjectMeta<RotatedSecret>,
    arn: Option<String>,
    note: EventNote,
}

impl Gone {
    /// Reports one after the other, until this value is dropped.
    pub(super) fn new(ctx: &Arc<Context>) -> Self {
        let (left, mut waiting) = mpsc::channel::<Left>(MOST_WAITING);
        let reporter = Arc::clone(ctx);
        tokio::spawn(async move {
            while let Some(left) = waiting.recv().await {
                publish(&reporter, left).await;
            }
        });
        Self { ctx: Arc::clone(ctx), left }
    }

    /// The object is gone. `leads`: this replica reports it.
    pub(super) fn report(&self, object: &Stored, leads: bool) {
        self.ctx.memory.forget(&object.uid().unwrap_or_default());
        let Some(object) = object.readable().filter(|_| leads) else { return };
        let Some(note) = status::events::secret_retained(object) else { return };
        let arn = object.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.clone());
        let left = Left { object: object.metadata.clone().into_response_partial(), arn, note };
        if let Err(full) = self.left.try_send(left) {
            let left = full.into_inner();
            tracing::warn!(object = name(&left.object), "too many Events wait; this one is not published");
            tell(&self.ctx, &left);
        }
    }
}

/// An object that no longer matches the selector of this operator is gone for its watch, and still there.
async fn publish(ctx: &Context, left: Left) {
    if !object::is_gone(&ctx.client, &left.object.metadata).await {
        return;
    }
    tell(ctx, &left);
    ctx.events.publish_lasting(&left.object, &left.note).await;
}

fn tell(ctx: &Context, left: &Left) {
    ctx.record(&left.object.metadata, &[Entry { arn: left.arn.clone(), ..Entry::of(Action::Retained) }]);
    tracing::info!(object = name(&left.object), note = left.note.note, "an object is gone, and its AWS secret stays");
    ctx.metrics.secret_retained();
}

fn name(object: &PartialObjectMeta<RotatedSecret>) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
