//! A map of bounded size, by uid. When the recent entries are as many as they may be, they become the earlier ones, and those
//! that were not used since then are removed. So no entry is searched for, however many objects users create.

use std::collections::HashMap;

/// How many entries each generation has, unless there is a reason for more. Twice as many are remembered at most.
pub(super) const MANY: usize = 16 * 1024;

/// Two generations of entries.
#[derive(Debug)]
pub(super) struct Generations<E> {
    recent: HashMap<Box<str>, Box<E>>,
    earlier: HashMap<Box<str>, Box<E>>,
}

impl<E> Default for Generations<E> {
    fn default() -> Self {
        Self { recent: HashMap::new(), earlier: HashMap::new() }
    }
}

impl<E> Generations<E> {
    /// The entry of this object, if there is one. It is recent then.
    pub(super) fn get(&mut self, uid: &str, many: usize) -> Option<&mut E> {
        if let Some(entry) = self.earlier.remove(uid) {
            self.insert(uid, entry, many);
        }
        self.recent.get_mut(uid).map(Box::as_mut)
    }

    /// The entry of this object, or a new one. `many`: how many entries each generation may have.
    pub(super) fn entry(&mut self, uid: &str, many: usize) -> &mut E
    where
        E: Default,
    {
        if !self.recent.contains_key(uid) {
            let entry = self.earlier.remove(uid).unwrap_or_default();
            self.insert(uid, entry, many);
        }
        self.recent.entry(uid.into()).or_default()
    }

    fn insert(&mut self, uid: &str, entry: Box<E>, many: usize) {
        if self.recent.len() >= many {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(uid.into(), entry);
    }

    /// The entry of this object, wherever it is.
    pub(super) fn find(&self, uid: &str) -> Option<&E> {
        self.recent.get(uid).or_else(|| self.earlier.get(uid)).map(Box::as_ref)
    }

    pub(super) fn remove(&mut self, uid: &str) {
        self.recent.remove(uid);
        self.earlier.remove(uid);
    }

    /// Changes all entries.
    pub(super) fn each(&mut self, change: impl Fn(&mut E)) {
        self.recent.values_mut().chain(self.earlier.values_mut()).for_each(|entry| change(entry));
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.recent.len().saturating_add(self.earlier.len())
    }
}
