//! Which of the waiting objects is reconciled next. Pure.
//!
//! Namespaces take turns. A namespace gets more than its share of the permits only while a reserve stays free, and only
//! if none of its reconciles hangs. A reconcile that hangs lends its permit to the others. If the share of a namespace
//! hangs, some of its urgent objects may begin beyond the share: not everything in it needs what hangs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// How many objects of a namespace may be in progress beyond its share.
const BEYOND: usize = 2;
/// Every so many permits one goes to routine work first, so that urgent work cannot hold it up forever.
const ROUTINE_FIRST: u64 = 4;

/// An object. Clones share the texts: each object at rest has some.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// How soon an object should be reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Resync, start of the operator, retry.
    Routine,
    /// The object is new, or its AWS secret changed. There may be thousands at once.
    News,
    /// A user or a pod waits for this object: an edit, a request, a deletion, a Secret that changed.
    Urgent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Since then, with this urgency now.
    Waiting(Urgency, Instant),
    Running,
    /// It runs without a permit, because it hangs.
    Lent,
}

/// Reconciles of one namespace that have begun.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    running: usize,
    lent: usize,
    /// Those of both that began beyond the share.
    beyond: usize,
}

/// Objects that wait: those of routine work, or all others.
#[derive(Debug, Default)]
struct Lane {
    /// The namespaces of these objects, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    objects: HashMap<Arc<str>, Waiting>,
}

/// Objects of one namespace in a lane, the urgent ones apart. An entry is void unless the object waits with this urgency.
#[derive(Debug, Default)]
struct Waiting {
    urgent: VecDeque<Key>,
    others: VecDeque<Key>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.others.is_empty()
    }

    /// The first one that `waits` with the urgency of its entry. `others`: that of those that are not urgent.
    fn next(&mut self, others: Urgency, waits: impl Fn(&Key, Urgency) -> bool) -> Option<Key> {
        let urgent = std::iter::from_fn(|| self.urgent.pop_front()).find(|key| waits(key, Urgency::Urgent));
        urgent.or_else(|| std::iter::from_fn(|| self.others.pop_front()).find(|key| waits(key, others)))
    }
}

/// The objects that wait and those that have a permit.
#[derive(Debug)]
pub struct Queue {
    permits: usize,
    share: usize,
    reserve: usize,
    places: HashMap<Key, Place>,
    held: HashMap<Arc<str>, Held>,
    routine: Lane,
    urgent: Lane,
    /// Objects in progress that began beyond the share of their namespace. At most as many as the reserve.
    beyond: HashSet<Key>,
    running: usize,
    lent: usize,
    waiting: usize,
    granted: u64,
}

impl Queue {
    /// With this number of permits. The share of a namespace is a quarter of them, but at least two and never all.
    pub fn new(permits: usize) -> Self {
        let permits = permits.max(1);
        let others = usize::from(permits > 1);
        Self {
            permits,
            share: (permits / 4).max(2).min(permits.saturating_sub(others).max(1)),
            reserve: (permits / 4).max(others),
            places: HashMap::new(),
            held: HashMap::new(),
            routine: Lane::default(),
            urgent: Lane::default(),
            beyond: HashSet::new(),
            running: 0,
            lent: 0,
            waiting: 0,
            granted: 0,
        }
    }

    /// The number of objects that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Since when the object waits that has waited longest. `None`: no object waits. Looks at every object of the queue.
    pub fn longest_since(&self) -> Option<Instant> {
        let since = |place: &Place| if let Place::Waiting(_, since) = place { Some(*since) } else { None };
        self.places.values().filter_map(since).min()
    }

    /// Puts an object into the queue, or makes one that waits urgent. Nothing happens if it has a permit.
    pub fn enqueue(&mut self, key: &Key, urgency: Urgency, now: Instant) {
        let since = match self.places.get(key) {
            Some(Place::Running | Place::Lent) => return,
            Some(Place::Waiting(known, _)) if *known >= urgency => return,
            Some(Place::Waiting(_, since)) => *since,
            None => {
                self.waiting = self.waiting.saturating_add(1);
                now
            }
        };
        self.places.insert(key.clone(), Place::Waiting(urgency, since));
        self.lane(urgency).push(key, urgency);
    }

    /// The object that gets the next permit, if one is free for any that waits.
    pub fn grant(&mut self) -> Option<Key> {
        if self.running >= self.permits {
            return None;
        }
        let lanes = if self.granted % ROUTINE_FIRST == ROUTINE_FIRST - 1 {
            [Urgency::Routine, Urgency::News]
        } else {
            [Urgency::News, Urgency::Routine]
        };
        let mut next = lanes.into_iter().find_map(|urgency| self.take(urgency, Self::has_place));
        if next.is_none() && self.permits.saturating_sub(self.running) > self.reserve {
            next = lanes.into_iter().find_map(|urgency| self.take(urgency, |_, held, _| held.lent == 0));
        }
        let key = next?;
        self.places.insert(key.clone(), Place::Running);
        let share = self.share;
        let held = self.held.entry(key.namespace.clone()).or_default();
        if held.lent > 0 && held.running.saturating_add(held.lent) >= share {
            held.beyond = held.beyond.saturating_add(1);
            self.beyond.insert(key.clone());
        }
        held.running = held.running.saturating_add(1);
        self.running = self.running.saturating_add(1);
        self.waiting = self.waiting.saturating_sub(1);
        self.granted = self.granted.saturating_add(1);
        Some(key)
    }

    /// Whether a namespace that holds so many permits may have another one for work of this urgency.
    fn has_place(&self, held: Held, urgency: Urgency) -> bool {
        let within_share = held.running.saturating_add(held.lent) < self.share;
        let hangs = held.lent > 0 && held.running < self.share;
        let beyond = hangs && held.beyond < BEYOND && self.beyond.len() < self.reserve;
        within_share || (urgency > Urgency::Routine && beyond)
    }

    /// The reconcile of this object hangs: its permit is free, as long as fewer hang than there are permits. Those beyond
    /// the shares come on top, so that they take nothing from others.
    pub fn lend(&mut self, key: &Key) {
        if self.lent >= self.permits.saturating_add(self.reserve) || self.places.get(key) != Some(&Place::Running) {
            return;
        }
        self.places.insert(key.clone(), Place::Lent);
        let held = self.held.entry(key.namespace.clone()).or_default();
        held.running = held.running.saturating_sub(1);
        held.lent = held.lent.saturating_add(1);
        self.running = self.running.saturating_sub(1);
        self.lent = self.lent.saturating_add(1);
    }

    /// The object neither waits nor runs any longer.
    pub fn remove(&mut self, key: &Key) {
        let Some(place) = self.places.remove(key) else { return };
        let held = self.held.entry(key.namespace.clone()).or_default();
        match place {
            Place::Waiting(..) => self.waiting = self.waiting.saturating_sub(1),
            Place::Running => {
                held.running = held.running.saturating_sub(1);
                self.running = self.running.saturating_sub(1);
            }
            Place::Lent => {
                held.lent = held.lent.saturating_sub(1);
                self.lent = self.lent.saturating_sub(1);
            }
        }
        if self.beyond.remove(key) {
            held.beyond = held.beyond.saturating_sub(1);
        }
        if held.running.saturating_add(held.lent) == 0 {
            self.held.remove(&key.namespace);
        }
    }

    fn lane(&mut self, urgency: Urgency) -> &mut Lane {
        match urgency {
            Urgency::Routine => &mut self.routine,
            Urgency::News | Urgency::Urgent => &mut self.urgent,
        }
    }

    /// The first object of the first namespace in turn that may have another permit. `urgency`: the lowest of the lane.
    fn take(&mut self, urgency: Urgency, may: impl Fn(&Self, Held, Urgency) -> bool) -> Option<Key> {
        for _ in 0..self.lane(urgency).turns.len() {
            let namespace = self.lane(urgency).turns.pop_front()?;
            if !may(self, self.held.get(&namespace).copied().unwrap_or_default(), urgency) {
                self.lane(urgency).turns.push_back(namespace);
                continue;
            }
            let mut objects = self.lane(urgency).objects.remove(&namespace).unwrap_or_default();
            let waits = |key: &Key, urgency| matches!(self.places.get(key), Some(Place::Waiting(known, _)) if *known == urgency);
            let found = objects.next(urgency, waits);
            if !objects.is_empty() {
                self.lane(urgency).objects.insert(namespace.clone(), objects);
                self.lane(urgency).turns.push_back(namespace);
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

impl Lane {
    fn push(&mut self, key: &Key, urgency: Urgency) {
        let objects = self.objects.entry(key.namespace.clone()).or_default();
        if objects.is_empty() {
            self.turns.push_back(key.namespace.clone());
        }
        let objects = if urgency == Urgency::Urgent { &mut objects.urgent } else { &mut objects.others };
        objects.push_back(key.clone());
    }
}

#[cfg(test)]
mod tests;
