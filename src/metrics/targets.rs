//! What targets of rotations refuse, by namespace. A status shows it only until the next attempt, so it is counted.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::api::condition::Reason;
use crate::fleet::{MOST_NAMESPACES, OTHERS};

/// A label with the name of a namespace, or a reason.
type Name = (&'static str, String);

/// Reasons with which a target refuses a password.
const REASONS: [Reason; 4] = [Reason::ApplyFailed, Reason::VerifyFailed, Reason::AbandonFailed, Reason::TargetDiverged];

/// Refusals by namespace and reason.
#[derive(Default)]
pub(super) struct TargetRefusals {
    pub(super) counters: Family<[Name; 2], Counter>,
    /// Namespaces that have a series.
    namespaces: Mutex<BTreeSet<String>>,
}

impl TargetRefusals {
    /// Counts a failure of an object of this namespace, if its reason is that of a target.
    pub(super) fn count(&self, namespace: &str, reason: &'static str) {
        if !REASONS.iter().any(|known| known.as_str() == reason) {
            return;
        }
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let namespace = if namespaces.len() < MOST_NAMESPACES || namespaces.contains(namespace) { namespace } else { OTHERS };
        namespaces.insert(namespace.to_owned());
        self.counters.get_or_create(&[("object_namespace", namespace.to_owned()), ("reason", reason.to_owned())]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(refusals: &TargetRefusals, namespace: &str, reason: &str) -> u64 {
        refusals.counters.get_or_create(&[("object_namespace", namespace.to_owned()), ("reason", reason.to_owned())]).get()
    }

    #[test]
    fn refusals_of_targets_are_counted_by_namespace_and_many_namespaces_share_one_name() {
        let refusals = TargetRefusals::default();
        for number in 0..MOST_NAMESPACES + 5 {
            refusals.count(&format!("team-{number}"), "ApplyFailed");
        }
        refusals.count("team-0", "TargetDiverged");
        refusals.count("team-0", "AccessDenied");
        assert_eq!((counted(&refusals, "team-0", "ApplyFailed"), counted(&refusals, "team-0", "TargetDiverged")), (1, 1));
        assert_eq!((counted(&refusals, "team-0", "AccessDenied"), counted(&refusals, OTHERS, "ApplyFailed")), (0, 5));
    }
}
