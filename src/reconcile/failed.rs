//! A failure and the condition that it belongs to. The step decides which one that is, not the adapter that failed.

use crate::api::condition::ConditionType;
use crate::backoff::Class;
use crate::failure::Failure;
use crate::step::Step;

/// Why a reconcile ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// The condition.
    pub(super) aspect: ConditionType,
    /// The failure.
    pub(super) failure: Failure,
}

impl Failed {
    /// A step failed.
    pub(super) fn in_step(step: &Step, failure: Failure) -> Self {
        Self::of(aspect(step), failure)
    }

    /// A read for this condition failed.
    pub(super) fn of(aspect: ConditionType, failure: Failure) -> Self {
        // A bug says nothing about any part of the object.
        let aspect = if failure.class == Class::Bug { ConditionType::Ready } else { aspect };
        Self { aspect, failure }
    }
}

fn aspect(step: &Step) -> ConditionType {
    match step {
        Step::AddFinalizer | Step::RemoveFinalizer => ConditionType::Ready,
        Step::CreateMirror { .. } | Step::ReplaceMirror { .. } | Step::AdoptMirror { .. } | Step::ReleaseMirror => ConditionType::Mirrored,
        Step::ConfigureRotation { .. } | Step::RotateNow { .. } | Step::CancelRotation => ConditionType::Rotated,
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
