//! What the plan says of an object when there is nothing to do now.

use jiff::Timestamp;

use crate::api::condition::{ConditionType, Reason};
use crate::api::{Abandonment, RollbackRefusal, RolloutPhase, WorkloadRef, WorkloadState};
use crate::failure::Failed;
use crate::refusal::Refusal;
use crate::step::Step;
use crate::version_id::VersionId;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Carry out this step, then observe again.
    Do(Step),
    /// Nothing, until something changes or the assessment's time comes.
    Rest(Assessment),
}

/// How the object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// `spec.suspend` is true, or the Namespace suspends the object: the last conditions stay.
    Suspended,
    /// The plan stopped before mirror and schedule; what was reported of them stays.
    Blocked(Blocked),
    /// Everything was examined.
    Examined(Box<Examined>),
}

/// Why the plan stopped early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Why the plan stopped.
    pub refusal: Refusal,
    /// The condition that it belongs to.
    pub aspect: ConditionType,
    /// Why the Secret could not be written, if that is the cause.
    pub mirrored: Option<Refusal>,
    /// An existing AWS secret is about to become ours: the report comes first.
    pub adopting: bool,
    /// AWS does not show yet what was done.
    pub awaiting_consistency: bool,
    /// When to reconcile again at the latest.
    pub wake: Wake,
}

/// The result of a full examination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examined {
    /// Why each part of the object is not as declared.
    pub aspects: Aspects,
    /// What comes next by schedule.
    pub rotation: RotationOutlook,
    /// Requests that were handled, now or earlier.
    pub requests: HandledRequests,
    /// What is recorded of a version before it is carried out.
    pub staging: Option<StagingNews>,
    /// What goes on outside of the operator.
    pub goes_on: Option<String>,
    /// How far the workloads are with the version that the Secret holds; `None`: it is not known now.
    pub rollout: Option<RolloutNews>,
    /// When the previous credential is retired.
    pub retirement: Option<Timestamp>,
    /// Whether that is due, and held up by workloads that are not healthy.
    pub unsettled: bool,
    /// AWS may show an old state: what was read is not reported.
    pub awaiting_consistency: bool,
    /// When to reconcile again at the latest.
    pub wake: Wake,
}

/// What happens next to a version on its way to a target. It is in the status before it happens, so that it is not forgotten
/// after a crash or an edit of the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StagingNews {
    /// The version is about to be staged, or to be applied to another target than the recorded one.
    Announced(VersionId),
    /// The staged version is abandoned.
    Abandoned(VersionId, Abandonment),
}

/// What is reported of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutNews {
    /// The version that the Secret holds.
    pub version: VersionId,
    /// How far its rollout is.
    pub phase: RolloutPhase,
    /// When the operator found the version in the Secret.
    pub since: Timestamp,
    /// When it was completed, also if it goes on since.
    pub completed: Option<Timestamp>,
    /// How many workloads this reconcile restarted.
    pub restarted: i32,
    /// Each workload, its state, and how often it was restarted. `None`: they were not read, and what was reported stays.
    pub workloads: Option<Vec<(WorkloadRef, WorkloadState, u32)>>,
}

/// Why each part is not as declared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aspects {
    /// The AWS secret and its value.
    pub provisioned: Option<Refusal>,
    /// Its other settings. They hold up neither rotation nor mirror.
    pub settings: Option<Refusal>,
    /// The mirrored Secret.
    pub mirrored: Option<Refusal>,
    /// The age of the value.
    pub rotated: Option<Refusal>,
    /// The workloads that use the Secret, and the previous credential.
    pub rolled_out: Option<Refusal>,
}

/// What comes next by schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationOutlook {
    /// Whether anything rotates the value.
    pub rotates: bool,
    /// When the next rotation happens.
    pub next: Option<Timestamp>,
    /// End of the excluded period that deferred it.
    pub deferred: Option<Timestamp>,
    /// `spec.rotation.rotateImmediately` asks for a first rotation that has not happened: the schedule is not in force
    /// before it.
    pub first_pending: bool,
}

/// Requests that were handled, and how long others wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandledRequests {
    /// The token of the rotate request.
    pub rotate: Option<String>,
    /// The token of the rollback request, and why it is not carried out.
    pub rollback: Option<(String, Option<RollbackRefusal>)>,
    /// Until when an open request waits, because requests create versions too quickly.
    pub held_until: Option<Timestamp>,
}

/// The earliest of several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wake(pub Option<Timestamp>);

impl Wake {
    /// Wakes at `time`, or earlier if that was asked for already.
    pub fn at(&mut self, time: impl IntoIterator<Item = Timestamp>) {
        self.0 = self.0.into_iter().chain(time).min();
    }
}

impl Blocked {
    /// Blocked by this refusal.
    pub fn by(refusal: Refusal) -> Self {
        let aspect = ConditionType::Provisioned;
        Self { refusal, aspect, mirrored: None, adopting: false, awaiting_consistency: false, wake: Wake::default() }
    }
}

impl Blocked {
    /// Blocked by a step that failed.
    pub(super) fn failed(failed: &Failed) -> Self {
        Self { aspect: failed.aspect, ..Self::by(failed.refusal()) }
    }
}

impl Aspects {
    /// A step failed.
    pub(super) fn fail(&mut self, failed: &Failed) {
        let aspect = match failed.aspect {
            ConditionType::Rotated => &mut self.rotated,
            ConditionType::Mirrored => &mut self.mirrored,
            ConditionType::RolledOut => &mut self.rolled_out,
            _ => &mut self.provisioned,
        };
        *aspect = Some(failed.refusal());
    }
}

impl Examined {
    /// Whether every part is as declared, and nothing goes on.
    pub fn is_at_rest(&self) -> bool {
        let Aspects { provisioned, settings, mirrored, rotated, rolled_out } = &self.aspects;
        self.goes_on.is_none() && [provisioned, settings, mirrored, rotated, rolled_out].into_iter().all(Option::is_none)
    }
}

impl Next {
    /// Blocked by this refusal.
    pub(super) fn blocked(refusal: Refusal) -> Self {
        Self::Rest(Assessment::Blocked(Blocked::by(refusal)))
    }

    /// Blocked for this reason.
    pub(super) fn refuse(reason: Reason, message: impl Into<String>) -> Self {
        Self::blocked(Refusal::new(reason, message))
    }

    /// AWS does not show yet what was done.
    pub(super) fn await_consistency(reason: Reason, message: &str) -> Self {
        let blocked = Blocked::by(Refusal::new(reason, message));
        Self::Rest(Assessment::Blocked(Blocked { awaiting_consistency: true, ..blocked }))
    }
}

impl Assessment {
    /// When to reconcile again at the latest.
    pub fn wake(&self) -> Option<Timestamp> {
        match self {
            Self::Suspended => None,
            Self::Blocked(blocked) => blocked.wake.0,
            Self::Examined(examined) => examined.wake.0,
        }
    }

    /// Whether AWS may show an old state.
    pub fn awaits_consistency(&self) -> bool {
        match self {
            Self::Suspended => false,
            Self::Blocked(blocked) => blocked.awaiting_consistency,
            Self::Examined(examined) => examined.awaiting_consistency,
        }
    }
}
