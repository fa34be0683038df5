//! Objects that are gone. Without a finalizer, only the watch tells of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use kube::core::{PartialObjectMeta, PartialObjectMetaExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::RotatedSecret;
use crate::audit::{Action, Entry};
use crate::fairness::Key;
use crate::kubernetes::object;
use crate::kubernetes::stored::Stored;
use crate::reconcile::Context;
use crate::status::{self, EventNote};

/// How many Events may wait. A namespace that is deleted may take thousands of objects along; the log and the metric have
/// all of them.
const MOST_WAITING: usize = 4096;
/// How often the API server is asked whether an object is gone, and how long after an attempt that failed.
const ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The most time for reports in progress at the end.
const LONGEST_END: Duration = Duration::from_secs(5);

/// Tasks that report. The process must not end before them: no other replica reports the same.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<JoinSet<()>>);

impl Reports {
    fn spawn(&self, report: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(report);
    }

    /// Waits until everything is reported. No further report may be requested: each [`Gone`] is dropped.
    pub(super) async fn end(&self) {
        self.end_within(LONGEST_END).await;
    }

    async fn end_within(&self, longest: Duration) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(longest, all).await.is_err() {
            tracing::warn!("the API server did not answer in time: not every object that is gone was reported");
        }
    }
}

/// Reports what objects leave behind.
pub(super) struct Gone {
    ctx: Arc<Context>,
    /// Whether the watch has a label selector: an object that no longer matches it is gone for the watch, and still there.
    selects: bool,
    left: mpsc::Sender<Left>,
}

/// What an object leaves behind.
struct Left {
    object: PartialObjectMeta<RotatedSecret>,
    arn: Option<String>,
    note: EventNote,
}

impl Gone {
    /// Reports one after the other, until this value is dropped. Events are slower than the rest, so they wait apart.
    /// `selects`: the watch has a label selector.
    pub(super) fn new(ctx: &Arc<Context>, selects: bool, reports: &Reports) -> Self {
        let (left, mut waiting) = mpsc::channel::<Left>(MOST_WAITING);
        let (told, mut events) = mpsc::channel::<Left>(MOST_WAITING);
        let (reporter, publisher) = (Arc::clone(ctx), ctx.events.clone());
        reports.spawn(async move {
            while let Some(left) = waiting.recv().await {
                if !selects || is_gone(&reporter, &left).await {
                    tell(&reporter, &left);
                    publish_later(&told, left);
                }
            }
        });
        reports.spawn(async move {
            while let Some(left) = events.recv().await {
                publisher.publish_lasting(&left.object, &left.note).await;
            }
        });
        Self { ctx: Arc::clone(ctx), selects, left }
    }

    /// The object is gone. `leads`: this replica reports it.
    pub(super) fn report(&self, object: &Stored, leads: bool) {
        self.ctx.memory.forget(&object.uid().unwrap_or_default());
        forget(&self.ctx, &Key::new(object.namespace().unwrap_or_default(), object.name_any()));
        let Some(object) = object.readable().filter(|_| leads) else { return };
        let Some(note) = status::events::secret_retained(object) else { return };
        let arn = object.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.clone());
        let left = Left { object: object.metadata.clone().into_response_partial(), arn, note };
        if let Err(full) = self.left.try_send(left) {
            let left = full.into_inner();
            if self.selects { not_known(&left) } else { tell(&self.ctx, &left) }
        }
    }
}

/// Forgets what is known of an object by its name.
pub(super) fn forget(ctx: &Context, key: &Key) {
    ctx.known.own_writes.forget(&key.namespace, &key.name);
    if let Some(feed) = &ctx.feed {
        feed.forget(key);
    }
    if let Some(index) = &ctx.event_index {
        index.forget(key);
    }
}

/// Whether the API server says that the object is gone. If it does not say, nothing is claimed of the object.
async fn is_gone(ctx: &Context, left: &Left) -> bool {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(RETRY_DELAY).await;
        }
        if let Ok(gone) = object::is_gone(&ctx.client, &left.object.metadata).await {
            return gone;
        }
    }
    not_known(left);
    false
}

fn not_known(left: &Left) {
    let object = name(&left.object);
    tracing::warn!(object, "an object is gone, or no longer matches --object-selector: which of both could not be read");
}

fn publish_later(events: &mpsc::Sender<Left>, left: Left) {
    if let Err(full) = events.try_send(left) {
        tracing::warn!(object = name(&full.into_inner().object), "too many Events wait; this one is not published");
    }
}

fn tell(ctx: &Context, left: &Left) {
    ctx.record(&left.object.metadata, &[Entry { arn: left.arn.clone(), ..Entry::of(Action::Retained) }]);
    tracing::info!(object = name(&left.object), note = left.note.note, "an object is gone, and its AWS secret stays");
    ctx.metrics.secret_retained();
}

fn name(object: &PartialObjectMeta<RotatedSecret>) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_requested_is_reported_before_the_end() {
        let (reports, reported) = (Reports::default(), Arc::new(Mutex::new(Vec::new())));
        let (requests, mut waiting) = mpsc::channel(10);
        reports.spawn({
            let reported = Arc::clone(&reported);
            async move {
                while let Some(request) = waiting.recv().await {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    reported.lock().unwrap().push(request);
                }
            }
        });
        for request in 0..5 {
            requests.send(request).await.unwrap();
        }
        drop(requests);
        reports.end().await;
        assert_eq!(*reported.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_report_that_hangs_does_not_keep_the_process() {
        let reports = Reports::default();
        reports.spawn(std::future::pending());
        reports.end_within(Duration::from_millis(10)).await;
    }
}
