//! The permits of the running controllers. An object that waits is an entry in the queue, not a future: the controller
//! is told when it gets its permit.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::queue::{Key, Queue, Urgency};
use crate::metrics::Metrics;

/// The permits, shared by all controllers.
pub struct Permits {
    state: Mutex<State>,
    metrics: Metrics,
}

struct State {
    queue: Queue,
    /// Objects that have a permit and were not reconciled yet.
    granted: HashSet<Key>,
    /// Whom to tell when an object that waits gets its permit.
    wake: HashMap<Key, UnboundedSender<Key>>,
    /// Objects whose next reconcile is not routine for a reason that the object itself does not show.
    hurried: HashMap<Key, Urgency>,
    closed: bool,
}

/// Whether an object may be reconciled now.
pub enum Answer {
    /// Now.
    Granted(Permit),
    /// When its key is sent.
    Waiting,
    /// Never: the operator stops.
    Stopped,
}

impl Permits {
    /// This number of permits.
    pub fn new(permits: usize, metrics: Metrics) -> Arc<Self> {
        let (granted, wake, hurried) = <(HashSet<Key>, HashMap<_, _>, HashMap<_, _>)>::default();
        let state = State { queue: Queue::new(permits), granted, wake, hurried, closed: false };
        Arc::new(Self { state: Mutex::new(state), metrics })
    }

    /// Asks for a permit. `wake` receives the key of the object if it has to wait.
    pub fn ask(self: &Arc<Self>, key: &Key, urgency: Urgency, wake: &UnboundedSender<Key>) -> Answer {
        let mut state = self.lock();
        if state.closed {
            return Answer::Stopped;
        }
        if !state.granted.remove(key) {
            let urgency = state.hurried.remove(key).map_or(urgency, |hurried| hurried.max(urgency));
            state.queue.enqueue(key, urgency, Instant::now());
            state.wake.insert(key.clone(), wake.clone());
            self.grant(&mut state, Some(key));
            if !state.granted.remove(key) {
                return Answer::Waiting;
            }
        }
        state.hurried.remove(key);
        Answer::Granted(Permit { permits: Arc::clone(self), key: key.clone() })
    }

    /// How long the object has been waiting that has waited longest for a permit. Zero if no object waits.
    pub fn longest_wait(&self) -> Duration {
        self.lock().queue.longest_since().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The next reconcile of this object is as urgent as this, or more.
    pub fn hurry(&self, key: Key, urgency: Urgency) {
        let mut state = self.lock();
        if !state.closed {
            let known = state.hurried.entry(key).or_insert(urgency);
            *known = urgency.max(*known);
        }
    }

    /// The object does not exist any more.
    pub fn forget(&self, key: &Key) {
        let mut state = self.lock();
        state.hurried.remove(key);
        // A permit that is in use is returned by its reconcile.
        let unused = state.granted.remove(key) || state.wake.remove(key).is_some();
        if unused {
            self.give_back(&mut state, key);
        }
    }

    /// From now on nothing begins.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for key in std::mem::take(&mut state.granted) {
            state.queue.remove(&key);
        }
        state.wake.clear();
        state.hurried.clear();
    }

    fn grant(&self, state: &mut State, asking: Option<&Key>) {
        while let Some(key) = if state.closed { None } else { state.queue.grant() } {
            let wake = state.wake.remove(&key);
            state.granted.insert(key.clone());
            if asking != Some(&key) && wake.is_none_or(|wake| wake.send(key.clone()).is_err()) {
                // Its controller has ended.
                state.granted.remove(&key);
                state.queue.remove(&key);
            }
        }
        self.metrics.reconciles_waiting(state.queue.waiting());
    }

    fn give_back(&self, state: &mut State, key: &Key) {
        state.queue.remove(key);
        self.grant(state, None);
    }

    /// The data is complete after every change, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit to reconcile one object. It ends when this is dropped.
#[must_use]
pub struct Permit {
    permits: Arc<Permits>,
    key: Key,
}

impl Permit {
    /// The reconcile hangs if it lasts longer than this: others may use the permit meanwhile. If too many hang for that, this is
    /// tried again after the same time. Never ends.
    pub async fn lend_after(&self, hangs: Duration) -> Infallible {
        loop {
            tokio::time::sleep(hangs).await;
            self.lend();
        }
    }

    fn lend(&self) {
        let mut state = self.permits.lock();
        state.queue.lend(&self.key);
        self.permits.grant(&mut state, None);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.permits.lock();
        self.permits.give_back(&mut state, &self.key);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    struct Scene {
        permits: Arc<Permits>,
        wake: UnboundedSender<Key>,
        woken: UnboundedReceiver<Key>,
    }

    impl Scene {
        fn new(permits: usize) -> Self {
            let (wake, woken) = unbounded_channel();
            Self { permits: Permits::new(permits, Metrics::new()), wake, woken }
        }

        fn ask(&self, name: &str) -> Answer {
            self.permits.ask(&Key::new("shop", name), Urgency::Routine, &self.wake)
        }

        fn granted(&self, name: &str) -> Permit {
            match self.ask(name) {
                Answer::Granted(permit) => permit,
                Answer::Waiting | Answer::Stopped => panic!("{name} has no permit"),
            }
        }

        fn woken(&mut self) -> Option<Arc<str>> {
            self.woken.try_recv().ok().map(|key| key.name)
        }
    }

    #[test]
    fn an_object_that_waited_is_told_and_has_its_permit_when_it_asks_again() {
        let mut scene = Scene::new(1);
        let first = scene.granted("a");
        assert!(matches!(scene.ask("b"), Answer::Waiting) && matches!(scene.ask("c"), Answer::Waiting));
        assert!(matches!(scene.ask("b"), Answer::Waiting), "asked again, it waits still");
        assert_eq!(scene.woken(), None);
        drop(first);
        assert_eq!((scene.woken().as_deref(), scene.woken()), (Some("b"), None));
        assert!(matches!(scene.ask("c"), Answer::Waiting), "the permit is the other's");
        drop(scene.granted("b"));
        assert_eq!(scene.woken().as_deref(), Some("c"));
        drop(scene.granted("c"));
        drop(scene.granted("a"));
    }

    #[test]
    fn the_longest_wait_is_zero_unless_an_object_waits() {
        let scene = Scene::new(1);
        let first = scene.granted("a");
        assert_eq!(scene.permits.longest_wait(), Duration::ZERO, "it has a permit");
        assert!(matches!(scene.ask("b"), Answer::Waiting));
        assert!(scene.permits.lock().queue.longest_since().is_some());
        scene.permits.forget(&Key::new("shop", "b"));
        assert_eq!(scene.permits.longest_wait(), Duration::ZERO);
        drop(first);
    }

    #[test]
    fn an_object_whose_secret_changed_is_first() {
        let mut scene = Scene::new(1);
        let first = scene.granted("a");
        assert!(matches!(scene.ask("b"), Answer::Waiting));
        scene.permits.hurry(Key::new("shop", "c"), Urgency::Urgent);
        scene.permits.hurry(Key::new("shop", "c"), Urgency::News);
        assert!(matches!(scene.ask("c"), Answer::Waiting));
        drop(first);
        assert_eq!(scene.woken().as_deref(), Some("c"));
    }

    #[test]
    fn a_permit_of_an_object_that_is_gone_passes_to_the_next_one() {
        let mut scene = Scene::new(1);
        let first = scene.granted("a");
        for name in ["b", "c", "d"] {
            assert!(matches!(scene.ask(name), Answer::Waiting));
        }
        scene.permits.forget(&Key::new("shop", "c"));
        drop(first);
        assert_eq!(scene.woken().as_deref(), Some("b"));
        scene.permits.forget(&Key::new("shop", "b"));
        assert_eq!(scene.woken().as_deref(), Some("d"));
        let used = scene.granted("d");
        scene.permits.forget(&Key::new("shop", "d"));
        assert!(matches!(scene.ask("e"), Answer::Waiting), "a permit in use stays in use");
        drop(used);
        assert_eq!(scene.woken().as_deref(), Some("e"));
    }

    #[test]
    fn a_lent_permit_is_used_by_the_next_one() {
        let mut scene = Scene::new(1);
        let hanging = scene.granted("a");
        let other = Key::new("bank", "b");
        assert!(matches!(scene.permits.ask(&other, Urgency::Routine, &scene.wake), Answer::Waiting));
        hanging.lend();
        assert_eq!(scene.woken().as_deref(), Some("b"));
    }

    #[tokio::test]
    async fn a_permit_that_could_not_be_lent_is_lent_when_fewer_hang() {
        const HANGS: Duration = Duration::from_millis(1);
        let mut scene = Scene::new(4);
        let mut hanging = Vec::new();
        // Namespaces begin one after the other, each with all permits that it gets, until no more are free.
        for namespace in 0.. {
            let (before, namespace) = (hanging.len(), format!("n{namespace}"));
            for number in 0..4 {
                let key = Key::new(namespace.as_str(), number.to_string());
                match scene.permits.ask(&key, Urgency::Urgent, &scene.wake) {
                    Answer::Granted(permit) => hanging.push(Box::pin(async move { permit.lend_after(HANGS).await })),
                    Answer::Waiting | Answer::Stopped => scene.permits.forget(&key),
                }
            }
            if hanging.len() == before {
                break;
            }
            for _ in 0..3 {
                tokio::time::sleep(2 * HANGS).await;
                assert!(hanging.iter_mut().all(|permit| futures::future::FutureExt::now_or_never(permit).is_none()));
            }
        }
        let victim = Key::new("victim", "a");
        assert!(matches!(scene.permits.ask(&victim, Urgency::Urgent, &scene.wake), Answer::Waiting), "as many hang as may");
        while scene.woken.try_recv().is_ok() {}
        hanging.drain(..4);
        let woken = async { while scene.woken.recv().await.is_some_and(|key| key != victim) {} };
        tokio::select! {
            () = woken => {}
            _ = futures::future::select_all(hanging) => {}
            () = tokio::time::sleep(Duration::from_mins(5)) => panic!("no permit was lent again"),
        }
    }

    #[test]
    fn after_the_end_nothing_begins() {
        let mut scene = Scene::new(1);
        let first = scene.granted("a");
        assert!(matches!(scene.ask("b"), Answer::Waiting));
        scene.permits.close();
        drop(first);
        assert_eq!(scene.woken(), None);
        assert!(matches!(scene.ask("b"), Answer::Stopped) && matches!(scene.ask("c"), Answer::Stopped));
    }
}
