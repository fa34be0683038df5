//! Watches, each with a backoff of its own, and one list at a time.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, future, stream};
use kube::Resource;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// Number of objects in one page of a list. An object has at most 1.5 MiB in etcd, so a page has at most 75 MiB.
pub const PAGE: u32 = 50;

/// Permit to list. One watch holds it at a time, so that one page is in memory, however many namespaces are watched.
#[derive(Clone)]
pub struct Lists {
    permit: Arc<Semaphore>,
    /// Time limit of a page. The permit is released afterwards, and the request continues.
    page_timeout: Duration,
}

impl Default for Lists {
    fn default() -> Self {
        Self { permit: Arc::new(Semaphore::new(1)), page_timeout: Duration::from_secs(30) }
    }
}

/// The events of all objects of `K` with these labels. An interruption is logged and counted, and the watch restarts after
/// a backoff of its own.
pub fn events<K>(
    api: Api<K>,
    labels: Option<&str>,
    lists: Lists,
    metrics: Metrics,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config { label_selector: labels.map(str::to_owned), page_size: Some(PAGE), ..watcher::Config::default() };
    one_list_at_a_time(watcher(api, config), lists).default_backoff().filter(move |event| {
        if let Err(error) = event {
            let phase = phase(error);
            metrics.watch_error(phase);
            tracing::warn!(resource = &*K::plural(&()), phase, "a watch was interrupted; restarting it");
        }
        future::ready(event.is_ok())
    })
}

/// A list lasts from `Init` to `InitDone` or an error.
fn one_list_at_a_time<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    lists: Lists,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
    struct State<S> {
        events: S,
        lists: Lists,
        /// The next poll begins a list.
        begins: bool,
        listing: Option<OwnedSemaphorePermit>,
    }
    let state = State { events: Box::pin(events), lists, begins: false, listing: None };
    stream::unfold(state, |mut state| async {
        if std::mem::take(&mut state.begins) {
            state.listing = Arc::clone(&state.lists.permit).acquire_owned().await.ok();
        }
        let in_time = match state.listing {
            Some(_) => tokio::time::timeout(state.lists.page_timeout, state.events.next()).await.ok(),
            None => Some(state.events.next().await),
        };
        let event = if let Some(event) = in_time {
            event
        } else {
            state.listing = None;
            state.events.next().await
        }?;
        match &event {
            Ok(Event::Init) => state.begins = true,
            Ok(Event::InitApply(_)) => {}
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) | Err(_) => state.listing = None,
        }
        Some((event, state))
    })
}

fn phase(error: &watcher::Error) -> &'static str {
    match error {
        watcher::Error::InitialListFailed(_) => "list",
        watcher::Error::WatchStartFailed(_) => "watch start",
        watcher::Error::WatchError(_) => "watch",
        watcher::Error::WatchFailed(_) => "stream",
        watcher::Error::NoResourceVersion => "no resource version",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch that lists one page of one object.
    fn listing() -> impl Stream<Item = watcher::Result<Event<u8>>> + Send {
        stream::iter([Event::Init, Event::InitApply(1), Event::InitDone, Event::Apply(2)].map(Ok))
    }

    #[tokio::test]
    async fn a_list_begins_when_the_one_before_is_done() {
        let lists = Lists::default();
        let mut one = Box::pin(one_list_at_a_time(listing(), lists.clone()));
        let mut other = Box::pin(one_list_at_a_time(listing(), lists));
        for expected in ["init", "apply"] {
            assert!(one.next().await.is_some(), "{expected}");
        }
        assert!(matches!(other.next().await, Some(Ok(Event::Init))));
        assert!(futures::poll!(other.next()).is_pending(), "the first one is under way");
        assert!(matches!(one.next().await, Some(Ok(Event::InitDone))));
        assert!(matches!(other.next().await, Some(Ok(Event::InitApply(1)))));
        assert!(matches!(one.next().await, Some(Ok(Event::Apply(2)))), "events need no permit");
    }

    #[tokio::test]
    async fn a_list_that_fails_makes_nobody_wait() {
        let lists = Lists::default();
        let failing = stream::iter([Ok(Event::<u8>::Init), Err(watcher::Error::NoResourceVersion), Ok(Event::Init)]);
        let mut one = Box::pin(one_list_at_a_time(failing, lists.clone()));
        for _ in 0..2 {
            assert!(one.next().await.is_some());
        }
        let other: Vec<_> = one_list_at_a_time(listing(), lists).collect().await;
        assert_eq!(other.len(), 4);
    }

    #[tokio::test]
    async fn a_list_that_hangs_makes_the_others_wait_for_a_while_only() {
        let lists = Lists { page_timeout: Duration::from_millis(20), ..Lists::default() };
        let hanging = stream::iter([Ok(Event::<u8>::Init)]).chain(stream::pending());
        let mut one = Box::pin(one_list_at_a_time(hanging, lists.clone()));
        assert!(one.next().await.is_some());
        let other = one_list_at_a_time(listing(), lists).collect::<Vec<_>>();
        tokio::select! {
            other = other => assert_eq!(other.len(), 4),
            _ = one.next() => panic!("it hangs"),
        }
    }
}
