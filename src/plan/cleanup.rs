//! What to do for an object that is being deleted.

use std::collections::BTreeSet;

use super::{Assessment, Next};
use crate::compare::{MirrorState, Observation, Ownership};
use crate::desired::Desired;
use crate::step::Step;

/// What to do next. A step that AWS does not show yet counts as done.
pub fn plan_cleanup(want: &Desired, seen: &Observation) -> Next {
    if want.suspended {
        return Next::Rest(Assessment::Suspended);
    }
    if !seen.finalizer {
        return Next::Rest(Assessment::Released);
    }
    let steps = [release_mirror(want, seen), stop_replicating(want, seen), delete(want, seen)];
    let next = steps.into_iter().flatten().find(|step| !seen.journal.tried(step));
    Next::Do(next.unwrap_or(Step::RemoveFinalizer))
}

fn release_mirror(want: &Desired, seen: &Observation) -> Option<Step> {
    let retained = want.target.as_ref().is_some_and(|target| target.retained);
    (retained && matches!(seen.mirror, MirrorState::Ours { .. })).then_some(Step::ReleaseMirror)
}

/// Whether the AWS secret is deleted with the object.
fn deletes(want: &Desired, seen: &Observation) -> bool {
    let ours = seen.secret.as_ref().is_some_and(|secret| secret.ownership == Ownership::Ours && !secret.deleted);
    want.delete_after_days.is_some() && want.value.is_some() && seen.access.granted() && ours
}

/// AWS refuses to delete a secret that has replicas. They can be made again as long as the secret can be restored.
fn stop_replicating(want: &Desired, seen: &Observation) -> Option<Step> {
    let replicas = seen.secret.as_ref().filter(|_| deletes(want, seen))?.replicas.iter();
    let regions: BTreeSet<String> = replicas.map(|replica| replica.region.clone()).collect();
    (!regions.is_empty()).then_some(Step::StopReplicating { regions })
}

fn delete(want: &Desired, seen: &Observation) -> Option<Step> {
    let window = want.delete_after_days.filter(|_| deletes(want, seen))?;
    Some(Step::Delete { window })
}
