//! Events of Secrets that only show what this process wrote.

use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::mpsc::UnboundedSender;

use super::urgent;
use crate::fairness::{Key, Permits, Urgency};
use crate::kubernetes::known::WatchedSecret;
use crate::kubernetes::own_writes::OwnWrites;

/// Whether the event of a Secret requests a reconcile. `of`: the object that it concerns.
pub(super) fn is_news(own: &OwnWrites, event: &watcher::Result<Event<WatchedSecret>>, of: impl Fn(&WatchedSecret) -> Option<Key>) -> bool {
    match event {
        Ok(Event::Apply(shown)) => {
            let revision = shown.resource_version();
            of(shown).is_none_or(|key| own.sees(&key.namespace, &key.name, revision.as_deref()))
        }
        Ok(Event::InitApply(shown) | Event::Delete(shown)) => {
            if let Some(key) = of(shown) {
                own.forget(&key.namespace, &key.name);
            }
            true
        }
        Ok(Event::Init | Event::InitDone) | Err(_) => true,
    }
}

/// A reconcile in progress. When it ends, what another client did to the Secret meanwhile requests another one.
pub(super) struct InProgress<'a> {
    own: &'a OwnWrites,
    permits: &'a Permits,
    key: Key,
    wake: &'a UnboundedSender<Key>,
    reported: bool,
}

impl<'a> InProgress<'a> {
    pub(super) fn new(own: &'a OwnWrites, permits: &'a Permits, key: Key, wake: &'a UnboundedSender<Key>) -> Self {
        own.begins(&key.namespace, &key.name);
        Self { own, permits, key, wake, reported: false }
    }

    /// It was not interrupted.
    pub(super) fn reported(&mut self) {
        self.reported = true;
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        if self.own.ends(&self.key.namespace, &self.key.name, self.reported) {
            urgent::request(self.permits, self.wake, &self.key, Urgency::Urgent);
        }
    }
}
