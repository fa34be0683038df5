//! Which events of Secrets request reconciles, and how urgent these are.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::{self, Event};
use tokio::sync::mpsc::UnboundedSender;

use super::initial::Initial;
use super::owner::{key, owner, owners};
use super::{own, urgent};
use crate::fairness::{Key, Permits, Urgency};
use crate::kubernetes::known::{Known, WatchedSecret};
use crate::kubernetes::mirror::was_edited;
use crate::kubernetes::packed::Packed;

/// Decides of each event of one watch.
pub(super) struct SecretEvents {
    pub(super) known: Arc<Known>,
    pub(super) permits: Arc<Permits>,
    pub(super) store: Store<Packed>,
    pub(super) wake: UnboundedSender<Key>,
    pub(super) initial: Initial,
    /// Reconciles had begun before the list ended that is under way.
    pub(super) late: bool,
}

impl SecretEvents {
    /// Whether the event requests a reconcile. If another client changed the Secret, or it is gone, its object is urgent.
    pub(super) fn is_news(&mut self, event: &watcher::Result<Event<WatchedSecret>>) -> bool {
        let store = &self.store;
        let of = |secret: &WatchedSecret| Some(Key::new(secret.namespace()?, owner(secret, store)?.name));
        let news = own::is_news(&self.known.own_writes, event, of);
        match event {
            Ok(Event::Init) => self.late = self.initial.done(),
            Ok(Event::InitApply(secret)) => {
                self.late |= self.initial.done();
                if secret.former_controller().is_some() {
                    self.hurry(secret);
                }
            }
            Ok(Event::Apply(secret)) if news || secret.former_controller().is_some() => {
                self.hurry(secret);
                return true;
            }
            Ok(Event::Delete(secret)) => self.hurry(secret),
            Ok(Event::InitDone) if self.late => self.compare(),
            Ok(Event::Apply(_) | Event::InitDone) | Err(_) => {}
        }
        news
    }

    fn hurry(&self, secret: &WatchedSecret) {
        for object in owners(secret, &self.store) {
            self.permits.hurry(Key::new(object.namespace.unwrap_or_default(), object.name), Urgency::Urgent);
        }
    }

    /// A list names what exists, and not what was deleted while no watch was open. So each object is compared with it.
    fn compare(&self) {
        let (known, permits) = (&self.known, &self.permits);
        for object in self.store.state() {
            let unpacked = object.unpack();
            let Some(readable) = unpacked.readable() else { continue };
            let Some(mirror) = readable.status.as_ref().and_then(|status| status.mirror.as_ref()) else { continue };
            if was_edited(known, readable) {
                urgent::request(permits, &self.wake, &key(&object), Urgency::Urgent);
            } else if !known.shows_secret(&readable.namespace().unwrap_or_default(), &mirror.secret_name) {
                // Not all of the list is kept. The receiver ends with the controller.
                let _ = self.wake.send(key(&object));
            }
        }
    }
}
