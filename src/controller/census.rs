//! The statistics of the objects that this replica knows, for metrics.

use std::borrow::Borrow;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::fleet::FleetStats;
use crate::kubernetes::stored::Stored;
use crate::reconcile::Memory;

/// Counts the objects. `each`: also in the statistics per object.
pub fn census<O: Borrow<Stored>>(objects: impl IntoIterator<Item = O>, memory: &Memory, now: Timestamp, each: bool) -> FleetStats {
    let mut stats = FleetStats::default();
    for object in objects {
        let object = object.borrow();
        stats.count_status_not_written(memory.is_unwritable(&object.uid().unwrap_or_default()));
        match object.readable() {
            Some(object) => stats.count(object, now, each),
            None => stats.count_unreadable(&object.namespace().unwrap_or_default()),
        }
    }
    stats
}
