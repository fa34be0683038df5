//! Repairs of mirrored Secrets, by namespace.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::fleet::{MOST_NAMESPACES, OTHERS};

/// The label with the name of a namespace.
type Name = (&'static str, String);

/// Repairs by namespace.
#[derive(Default)]
pub(super) struct Repairs {
    pub(super) counters: Family<[Name; 1], Counter>,
    /// Namespaces that have a series.
    namespaces: Mutex<BTreeSet<String>>,
}

impl Repairs {
    /// Counts a repair in this namespace, or in all others when there are too many.
    pub(super) fn count(&self, namespace: &str) {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let namespace = if namespaces.len() < MOST_NAMESPACES || namespaces.contains(namespace) { namespace } else { OTHERS };
        namespaces.insert(namespace.to_owned());
        self.counters.get_or_create(&[("object_namespace", namespace.to_owned())]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_are_counted_by_namespace_and_many_namespaces_share_one_name() {
        let repairs = Repairs::default();
        for number in 0..MOST_NAMESPACES + 5 {
            repairs.count(&format!("team-{number}"));
        }
        repairs.count("team-0");
        let counted = |namespace: &str| repairs.counters.get_or_create(&[("object_namespace", namespace.to_owned())]).get();
        assert_eq!((counted("team-0"), counted("team-1"), counted(OTHERS)), (2, 1, 5));
    }
}
