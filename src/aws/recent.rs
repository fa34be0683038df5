//! A map of limited size that forgets what was not used for the longest time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

pub(super) struct Recent<K, V> {
    most: usize,
    /// Each with the number of its last use.
    entries: HashMap<K, (u64, V)>,
    uses: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    /// With at most this number of entries.
    pub(super) fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), uses: 0 }
    }

    pub(super) fn get_or_insert<Q>(&mut self, key: &Q, make: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.uses = self.uses.saturating_add(1);
        if let Some((last, value)) = self.entries.get_mut(key) {
            *last = self.uses;
            return value.clone();
        }
        if self.entries.len() >= self.most
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, (last, _))| *last).map(|(key, _)| key.clone())
        {
            self.entries.remove(oldest.borrow());
        }
        let value = make();
        self.entries.insert(key.to_owned(), (self.uses, value.clone()));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_limit_only_the_least_recently_used_entry_is_dropped() {
        let mut recent: Recent<String, u32> = Recent::new(3);
        let mut made = Vec::new();
        for name in ["a", "b", "c", "a", "d", "a", "c", "d", "b"] {
            recent.get_or_insert(name, || {
                made.push(name);
                0
            });
        }
        assert_eq!(made, ["a", "b", "c", "d", "b"], "d replaced b, the later b replaced a");
        assert_eq!(recent.entries.len(), 3);
    }
}
