//! The statistics of the objects that this replica knows, for metrics.

use std::borrow::Borrow;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::fleet::FleetStats;
use crate::kubernetes::packed::Packed;
use crate::reconcile::Memory;

/// What is counted beside what is always.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Each object by itself.
    pub each: bool,
    /// Objects whose value is older than this.
    pub max_age: Option<SignedDuration>,
}

/// Counts the objects.
pub fn census<O: Borrow<Packed>>(objects: impl IntoIterator<Item = O>, memory: &Memory, now: Timestamp, counted: Counted) -> FleetStats {
    let mut stats = FleetStats::default();
    for object in objects {
        let object = object.borrow();
        stats.count_status_not_written(memory.is_unwritable(&object.uid().unwrap_or_default()));
        match object.member() {
            Some(object) => {
                stats.count(object, now, counted.each);
                if let Some(max_age) = counted.max_age {
                    stats.count_age(object, now, max_age);
                }
            }
            None => stats.count_unreadable(&object.namespace().unwrap_or_default()),
        }
    }
    stats
}
