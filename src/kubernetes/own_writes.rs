//! The writes of this process to Secrets. The watch shows each of them, and such an event must not make its object
//! urgent, nor request a reconcile of its own: the one that wrote the Secret tells its result in the status. Only an
//! event that shows exactly one revision that this process wrote is left out. A list may show several changes as one
//! object, and is never left out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most revisions of one Secret that are kept. A reconcile with more writes is followed by another reconcile.
const MOST: usize = 16;

/// The writes that the watch has not shown yet, and what it shows of a Secret during the reconcile of its object. By
/// namespace and name of the object.
#[derive(Debug, Default)]
pub struct OwnWrites(Mutex<HashMap<(String, String), Entry>>);

#[derive(Debug, Default)]
struct Entry {
    in_progress: bool,
    /// Revisions that this process wrote and the watch has not shown.
    written: Vec<Box<str>>,
    /// Revisions that the watch showed during the reconcile. The answer to a write may come after its event.
    shown: Vec<Box<str>>,
}

impl Entry {
    fn is_own(&mut self, revision: &str) -> bool {
        let found = self.written.iter().position(|written| **written == *revision);
        if let Some(found) = found {
            self.written.swap_remove(found);
        }
        found.is_some()
    }
}

impl OwnWrites {
    /// The map is complete after every change, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reconcile of the object begins.
    pub fn begins(&self, namespace: &str, name: &str) {
        self.lock().entry((namespace.to_owned(), name.to_owned())).or_default().in_progress = true;
    }

    /// The reconcile in progress has written this revision of the Secret. Without one in progress, nothing is kept.
    pub fn wrote(&self, namespace: &str, name: &str, revision: Option<&str>) {
        let mut entries = self.lock();
        let entry = entries.get_mut(&(namespace.to_owned(), name.to_owned())).filter(|entry| entry.in_progress);
        if let (Some(entry), Some(revision)) = (entry, revision)
            && entry.written.len() < MOST
        {
            entry.written.push(revision.into());
        }
    }

    /// The reconcile ends. `reported`: it came to its end, so that its result is in the status. Returns whether the
    /// watch has shown meanwhile what this process did not write, or what is in no status.
    pub fn ends(&self, namespace: &str, name: &str, reported: bool) -> bool {
        let mut entries = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let Some(entry) = entries.get_mut(&key) else { return false };
        entry.in_progress = false;
        if !reported {
            entry.written.clear();
        }
        let mut foreign = false;
        for revision in std::mem::take(&mut entry.shown) {
            foreign |= !entry.is_own(&revision);
        }
        if entry.written.is_empty() {
            entries.remove(&key);
        }
        foreign
    }

    /// The watch shows a change of the Secret. Returns whether that is news: otherwise this process wrote it, or the
    /// end of the reconcile in progress decides.
    pub fn sees(&self, namespace: &str, name: &str, revision: Option<&str>) -> bool {
        let mut entries = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let (Some(entry), Some(revision)) = (entries.get_mut(&key), revision) else { return true };
        if entry.in_progress {
            if entry.shown.len() < MOST {
                entry.shown.push(revision.into());
                return false;
            }
            return true;
        }
        let own = entry.is_own(revision);
        if !own {
            // Nothing is known of what comes after it.
            entry.written.clear();
        }
        if entry.written.is_empty() {
            entries.remove(&key);
        }
        !own
    }

    /// A list shows the Secret, or it or its object is gone: the events of earlier writes do not come any more.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut entries = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let Some(entry) = entries.get_mut(&key) else { return };
        entry.written.clear();
        if !entry.in_progress {
            entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl OwnWrites {
        fn event(&self, revision: &str) -> bool {
            self.sees("shop", "db", Some(revision))
        }

        fn write(&self, revision: &str) {
            self.wrote("shop", "db", Some(revision));
        }

        fn size(&self) -> usize {
            self.lock().len()
        }
    }

    #[test]
    fn events_of_own_writes_are_no_news_before_or_after_the_end_of_the_reconcile() {
        let own = OwnWrites::default();
        own.begins("shop", "db");
        own.write("10");
        assert!(!own.event("10"));
        // The event comes before the answer.
        assert!(!own.event("11"));
        own.write("11");
        own.write("12");
        assert!(!own.ends("shop", "db", true));
        assert!(!own.event("12"));
        assert_eq!(own.size(), 0, "nothing is kept of what was shown");
        assert!(own.event("12"), "an event is left out once");
    }

    #[test]
    fn a_change_of_another_client_is_never_left_out() {
        let own = OwnWrites::default();
        assert!(own.event("9"), "without a reconcile");
        own.begins("shop", "db");
        own.write("10");
        assert!(!own.event("10"));
        assert!(!own.event("13"), "the end decides");
        own.write("15");
        assert!(own.ends("shop", "db", true));
        assert!(own.event("14"));
        assert!(own.event("15"), "after a foreign change nothing is left out");
        assert!(own.sees("shop", "other", Some("15")));
        assert!(own.sees("shop", "db", None));
        assert_eq!(own.size(), 0);
    }

    #[test]
    fn what_a_reconcile_wrote_that_was_interrupted_is_news() {
        let own = OwnWrites::default();
        own.begins("shop", "db");
        own.write("10");
        assert!(!own.event("10"));
        own.write("11");
        assert!(own.ends("shop", "db", false));
        assert!(own.event("11"));
        assert_eq!(own.size(), 0);
    }

    #[test]
    fn what_a_list_shows_or_what_is_gone_is_forgotten() {
        let own = OwnWrites::default();
        own.begins("shop", "db");
        own.write("10");
        assert!(!own.ends("shop", "db", true));
        own.forget("shop", "db");
        assert_eq!(own.size(), 0);
        assert!(own.event("10"));
        own.write("12");
        assert_eq!(own.size(), 0, "without a reconcile in progress nothing is kept");
    }

    #[test]
    fn more_events_than_are_kept_are_news() {
        let own = OwnWrites::default();
        own.begins("shop", "db");
        for revision in 0..MOST * 2 {
            own.write(&revision.to_string());
        }
        let news = (0..MOST * 2).filter(|revision| own.event(&revision.to_string())).count();
        assert_eq!(news, MOST);
        assert!(!own.ends("shop", "db", true));
    }
}
