//! A failure and the condition that it belongs to. The step decides which one that is, not the adapter that failed.

use crate::api::condition::{ConditionType, Reason};
use crate::backoff::Class;
use crate::failure::{Failed, Failure};
use crate::status::Attempt;
use crate::step::Step;

/// Why a reconcile ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stopped {
    /// What failed.
    pub(super) attempt: Attempt,
    /// Why.
    pub(super) failed: Failed,
}

impl Stopped {
    /// A read failed.
    pub(super) fn read(failed: Failed) -> Self {
        Self { attempt: Attempt::Read, failed }
    }
}

/// A failure of a call for a secret of which AWS shows that it is, or is not, scheduled for deletion. A call tells a deletion
/// before a read shows it. The next read decides, because the operator may have to restore the secret.
pub(super) fn for_secret(shown_deleted: bool, failure: Failure) -> Failure {
    if failure.reason == Reason::ScheduledForDeletion && !shown_deleted {
        return Failure::conflict("AWS says that the secret is scheduled for deletion, and does not show it yet; the operator reads again");
    }
    failure
}

/// A step failed. `unread`: the value could not be read in AWS. That is reported under Provisioned, like every read.
pub(super) fn in_step(step: &Step, unread: bool, failure: Failure) -> Failed {
    of(if unread { ConditionType::Provisioned } else { aspect(step) }, failure)
}

/// A read for this condition failed.
pub(super) fn of(aspect: ConditionType, failure: Failure) -> Failed {
    // A bug says nothing about any part of the object.
    let aspect = if failure.class == Class::Bug { ConditionType::Ready } else { aspect };
    Failed { aspect, failure }
}

fn aspect(step: &Step) -> ConditionType {
    match step {
        Step::AddFinalizer | Step::RemoveFinalizer | Step::RecordPlace => ConditionType::Ready,
        Step::CreateMirror { .. } | Step::ReplaceMirror { .. } | Step::AdoptMirror { .. } | Step::ReleaseMirror => ConditionType::Mirrored,
        Step::FindWorkloads | Step::Restart { .. } | Step::Retire { .. } => ConditionType::RolledOut,
        Step::Apply { .. }
        | Step::Verify { .. }
        | Step::Check { .. }
        | Step::Abandon { .. }
        | Step::ConfigureRotation { .. }
        | Step::RotateNow { .. }
        | Step::CancelRotation => ConditionType::Rotated,
        Step::Create { .. }
        | Step::Put { .. }
        | Step::Promote { .. }
        | Step::Settle { .. }
        | Step::MoveLabel { .. }
        | Step::RestoreCurrent { .. }
        | Step::SetDescription { .. }
        | Step::SetKey { .. }
        | Step::Tag { .. }
        | Step::Untag { .. }
        | Step::PutPolicy
        | Step::DeletePolicy
        | Step::Replicate { .. }
        | Step::StopReplicating { .. }
        | Step::SetReplicaKey { .. }
        | Step::Restore
        | Step::Adopt { .. }
        | Step::ClaimRotation
        | Step::ReleaseRotation
        | Step::Delete { .. } => ConditionType::Provisioned,
    }
}
