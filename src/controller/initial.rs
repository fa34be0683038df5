//! The first lists of the watches. Reconciles begin after them: what a list shows of an object that was reconciled before
//! would have it reconciled once more.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, future, stream};
use kube::runtime::reflector::Store;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

use crate::kubernetes::packed::Packed;

/// After this time, reconciles begin without the lists: a watch that cannot list must not hold up the objects.
const LONGEST: Duration = Duration::from_secs(30);

/// The lists that reconciles wait for.
#[derive(Clone)]
pub(super) struct Initial {
    /// How many are not done.
    missing: Arc<watch::Sender<usize>>,
    patience: Duration,
}

impl Initial {
    /// Waits for nothing yet.
    pub(super) fn new() -> Self {
        Self { missing: Arc::new(watch::Sender::new(0)), patience: LONGEST }
    }

    /// The events of a watch, whose first list is waited for.
    pub(super) fn wait_for<K, S>(&self, events: S) -> impl Stream<Item = watcher::Result<Event<K>>> + use<K, S>
    where
        S: Stream<Item = watcher::Result<Event<K>>>,
    {
        self.missing.send_modify(|missing| *missing = missing.saturating_add(1));
        let missing = Arc::clone(&self.missing);
        let mut done = false;
        events.inspect(move |event| {
            if matches!(event, Ok(Event::InitDone)) && !std::mem::replace(&mut done, true) {
                missing.send_modify(|missing| *missing = missing.saturating_sub(1));
            }
        })
    }

    /// Whether all of them are done.
    pub(super) fn done(&self) -> bool {
        *self.missing.borrow() == 0
    }

    /// One item, when all of them are done or have taken too long.
    pub(super) fn ends(&self) -> impl Stream<Item = ()> + use<> {
        let (missing, patience) = (Arc::clone(&self.missing), self.patience);
        stream::once(async move {
            let mut lists = missing.subscribe();
            let in_time = tokio::time::timeout(patience, lists.wait_for(|missing| *missing == 0)).await.is_ok();
            if !in_time {
                tracing::warn!("a watch could not list yet; reconciling without it");
                missing.send_replace(0);
            }
        })
    }
}

/// Resolves with `stop` if the store is not ready then: no reconcile has begun. A controller ends only after its store is ready.
pub(super) async fn stopped_before_ready(store: Store<Packed>, stop: impl Future<Output = ()>) {
    stop.await;
    if store.wait_until_ready().now_or_never().is_some() {
        future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> impl Stream<Item = watcher::Result<Event<u8>>> {
        stream::iter([Event::Init, Event::InitApply(1), Event::InitDone, Event::Init, Event::InitDone].map(Ok))
    }

    #[tokio::test]
    async fn reconciles_begin_when_every_watch_has_listed_once() {
        let initial = Initial::new();
        let (mut one, other) = (Box::pin(initial.wait_for(list())), initial.wait_for(list()));
        let mut ends = Box::pin(initial.ends());
        while one.next().await.is_some() {}
        assert!(!initial.done() && futures::poll!(ends.next()).is_pending(), "the second list of one watch is not that of the other");
        assert_eq!(other.count().await, 5);
        assert!(initial.done());
        assert_eq!(ends.collect::<Vec<_>>().await, [()]);
    }

    #[tokio::test]
    async fn a_watch_that_cannot_list_holds_reconciles_up_for_a_while_only() {
        let initial = Initial { patience: Duration::from_millis(10), ..Initial::new() };
        let _watch = initial.wait_for(stream::pending::<watcher::Result<Event<u8>>>());
        assert_eq!(initial.ends().collect::<Vec<_>>().await, [()]);
        assert!(initial.done());
    }
}
