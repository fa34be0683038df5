//! Watches, each with a backoff of its own, and one list at a time.

use std::pin::Pin;
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

/// The longest time limit of a page.
pub(super) const LONGEST_PAGE: Duration = Duration::from_mins(5);

/// Permit to list. One watch holds it at a time, so that one page is in memory, however many namespaces are watched.
#[derive(Clone)]
pub struct Lists {
    permit: Arc<Semaphore>,
    /// Time limit of a page. Afterwards the request is given up, with the part of the page that has arrived, and another
    /// watch may list. The next attempt has twice the time.
    page_timeout: Duration,
}

impl Default for Lists {
    fn default() -> Self {
        Self { permit: Arc::new(Semaphore::new(1)), page_timeout: Duration::from_secs(30) }
    }
}

/// The events of all objects of `K` with these labels. An interruption is logged, counted and told to `interrupted`, and the
/// watch restarts after a backoff of its own.
pub fn events<K, I>(
    api: Api<K>,
    labels: Option<&str>,
    lists: Lists,
    metrics: Metrics,
    interrupted: I,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K, I>
where
    I: Fn() + Send,
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config { label_selector: labels.map(str::to_owned), page_size: Some(PAGE), ..watcher::Config::default() };
    one_list_at_a_time(move || watcher(api.clone(), config.clone()), lists).default_backoff().filter(move |event| {
        if let Err(error) = event {
            let phase = phase(error);
            metrics.watch_error(phase);
            interrupted();
            tracing::warn!(resource = &*K::plural(&()), phase, "a watch was interrupted; restarting it");
        }
        future::ready(event.is_ok())
    })
}

/// A list lasts from `Init` to `InitDone` or an error. `watch` begins the watch again when a page takes too long.
fn one_list_at_a_time<K: Send + 'static, S>(
    watch: impl Fn() -> S + Send,
    lists: Lists,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    S: Stream<Item = watcher::Result<Event<K>>> + Send,
{
    struct State<S, W> {
        watch: W,
        events: Pin<Box<S>>,
        lists: Lists,
        /// The next poll begins a list.
        begins: bool,
        listing: Option<OwnedSemaphorePermit>,
        patience: Duration,
    }
    let patience = lists.page_timeout;
    let state = State { events: Box::pin(watch()), watch, lists, begins: false, listing: None, patience };
    stream::unfold(state, |mut state| async {
        if std::mem::take(&mut state.begins) {
            state.listing = Arc::clone(&state.lists.permit).acquire_owned().await.ok();
        }
        let in_time = match state.listing {
            Some(_) => tokio::time::timeout(state.patience, state.events.next()).await.ok(),
            None => Some(state.events.next().await),
        };
        let event = if let Some(event) = in_time {
            event?
        } else {
            state.events = Box::pin((state.watch)());
            state.patience = state.patience.saturating_mul(2).min(LONGEST_PAGE);
            Err(watcher::Error::InitialListFailed(kube::Error::Service("a page did not arrive in time".into())))
        };
        match &event {
            Ok(Event::Init) => state.begins = true,
            Ok(Event::InitApply(_)) => {}
            Ok(Event::InitDone) => {
                state.listing = None;
                state.patience = state.lists.page_timeout;
            }
            Ok(Event::Apply(_) | Event::Delete(_)) | Err(_) => state.listing = None,
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
        let mut one = Box::pin(one_list_at_a_time(listing, lists.clone()));
        let mut other = Box::pin(one_list_at_a_time(listing, lists));
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
        let failing = || stream::iter([Ok(Event::<u8>::Init), Err(watcher::Error::NoResourceVersion), Ok(Event::Init)]);
        let mut one = Box::pin(one_list_at_a_time(failing, lists.clone()));
        for _ in 0..2 {
            assert!(one.next().await.is_some());
        }
        let other: Vec<_> = one_list_at_a_time(listing, lists).collect().await;
        assert_eq!(other.len(), 4);
    }

    #[tokio::test]
    async fn a_list_that_hangs_is_given_up_before_another_one_begins() {
        let lists = Lists { page_timeout: Duration::from_millis(20), ..Lists::default() };
        let response = Arc::new(());
        let hanging = || {
            let response = Arc::clone(&response);
            stream::iter([Ok(Event::<u8>::Init)]).chain(stream::pending().inspect(move |_| drop(Arc::clone(&response))))
        };
        let mut one = Box::pin(one_list_at_a_time(hanging, lists.clone()));
        assert!(matches!(one.next().await, Some(Ok(Event::Init))));
        let held = Arc::downgrade(&response);
        assert!(matches!(one.next().await, Some(Err(watcher::Error::InitialListFailed(_)))));
        assert_eq!(held.strong_count(), 2, "one new request in place of the first");
        let other: Vec<_> = one_list_at_a_time(listing, lists).collect().await;
        assert_eq!(other.len(), 4);
        assert!(matches!(one.next().await, Some(Ok(Event::Init))), "it lists again from the beginning");
    }

    #[tokio::test]
    async fn a_slow_page_arrives_after_some_attempts() {
        let lists = Lists { page_timeout: Duration::from_millis(10), ..Lists::default() };
        let slow = || {
            let late = stream::once(tokio::time::sleep(Duration::from_millis(100))).map(|()| Ok(Event::InitApply(1)));
            stream::iter([Ok(Event::<u8>::Init)]).chain(late).chain(stream::iter([Ok(Event::InitDone)]))
        };
        let events: Vec<_> = one_list_at_a_time(slow, lists).collect().await;
        assert!(events.iter().any(Result::is_err));
        assert!(matches!(events.as_slice(), [.., Ok(Event::Init), Ok(Event::InitApply(1)), Ok(Event::InitDone)]));
    }
}
