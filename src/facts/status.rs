//! What the object's status says of earlier reconciles.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::claims::Repairs;
use crate::api::{Abandonment, AppliedStatus, Cause, RollbackRefusal, RolloutPhase, StagedTarget, WorkloadRef};
use crate::version_id::VersionId;

/// The status as facts. Anyone who may write the status may have written it, so a decision that could harm needs a
/// second proof (tags, labels, ids).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusFacts {
    /// The ARN of the AWS secret that was ours.
    pub arn: Option<String>,
    /// Settings that the operator applied to that secret.
    pub applied: AppliedStatus,
    /// A version that the operator wrote and AWS did not show yet, and when it was created.
    pub unseen: Option<(VersionId, Timestamp)>,
    /// What was declared when a version was last made.
    pub declared: DeclaredFacts,
    /// The schedule that was in force.
    pub schedule: Option<ReportedSchedule>,
    /// The version that the newest one replaced.
    pub previous: Option<VersionId>,
    /// The newest versions, newest first.
    pub history: Vec<HistoryFact>,
    /// What the schedule counted from.
    pub last_rotation: Option<Timestamp>,
    /// Requests that were handled.
    pub requests: RequestFacts,
    /// The status speaks of the current generation of the spec.
    pub current_generation: bool,
    /// The mirrored Secret.
    pub mirror: ReportedMirror,
    /// Versions on their way to a target.
    pub staging: StagingFacts,
}

/// What the status says of versions on their way to a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StagingFacts {
    /// The version that is staged, or is about to be.
    pub announced: Option<Announced>,
    /// When this process met that record, or last tried to stage the version. AWS may not show before two minutes after that
    /// whether the version is staged. `None`: this process recorded the version, and has not sent it to AWS.
    pub met: Option<Timestamp>,
    /// Versions that are abandoned, newest first.
    pub abandoned: Vec<AbandonedFact>,
}

/// A version on its way to a target, as it is recorded before it is staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The version.
    pub version: VersionId,
    /// The target that may accept it.
    pub target: Option<StagedTarget>,
    /// The version that was current then; `None`: not recorded.
    pub from: Option<VersionId>,
}

impl Announced {
    /// Whether another writer moved `AWSCURRENT` since then. The version itself may have it.
    pub fn passed_over(&self, version: &VersionId, current: Option<&VersionId>) -> bool {
        let from = self.from.as_ref().filter(|_| self.version == *version);
        from.zip(current).is_some_and(|(from, current)| from != current && current != version)
    }
}

/// A version that does not become current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonedFact {
    /// The version.
    pub version: VersionId,
    /// When that was decided.
    pub time: Timestamp,
    /// Why.
    pub why: Abandonment,
}

impl StagingFacts {
    /// Why this version is abandoned.
    pub fn abandoned(&self, version: &VersionId) -> Option<Abandonment> {
        self.abandoned.iter().find(|fact| fact.version == *version).map(|fact| fact.why)
    }

    /// The recorded target of this version; `None`: the version is not recorded with a target.
    pub fn target_of(&self, version: &VersionId) -> Option<&StagedTarget> {
        self.announced.as_ref().filter(|announced| announced.version == *version)?.target.as_ref()
    }
}

/// What was declared when a version was last made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeclaredFacts {
    /// Its hash.
    pub hash: Option<String>,
    /// Names of all fields.
    pub all: Vec<String>,
    /// Names of the fields that had a fixed content.
    pub fixed: Vec<String>,
}

/// What the status says of the mirrored Secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReportedMirror {
    /// The version that it held.
    pub version: Option<VersionId>,
    /// The version that it held beside that one.
    pub previous: Option<VersionId>,
    /// The resourceVersion of the Secret at which a write of ours changed nothing.
    pub confirmed_revision: Option<String>,
    /// Recent repairs.
    pub repairs: Option<Repairs>,
    /// The last attempt to write it failed.
    pub failed: bool,
    /// The rollout of a version that it held.
    pub rollout: Option<ReportedRollout>,
}

/// What the status says of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRollout {
    /// The version.
    pub version: VersionId,
    /// How far it was.
    pub phase: RolloutPhase,
    /// When the operator found the version in the Secret.
    pub since: Timestamp,
    /// When every workload was healthy with it.
    pub completed: Option<Timestamp>,
    /// Some workloads waited for a user.
    pub waits_for_user: bool,
    /// How many restarts there were.
    pub total: u32,
    /// How often each workload was restarted for it, as far as the status lists them.
    pub restarts: BTreeMap<WorkloadRef, u32>,
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryFact {
    /// The version.
    pub version: VersionId,
    /// When it became current.
    pub time: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// A schedule, as reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedSchedule {
    /// The schedule and its options in words.
    pub expression: String,
    /// When the operator first saw it; `None`: it was there before the first version.
    pub since: Option<Timestamp>,
}

/// Tokens of handled requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestFacts {
    /// Rotate.
    pub rotate: Option<String>,
    /// Rollback, and why it was refused.
    pub rollback: Option<(String, Option<RollbackRefusal>)>,
    /// Refresh.
    pub refresh: Option<String>,
}

impl StatusFacts {
    /// Whether the history has this version.
    pub fn recorded(&self, version: &VersionId) -> bool {
        self.history.iter().any(|entry| entry.version == *version)
    }

    /// The newest version of the history.
    pub fn newest(&self) -> Option<&VersionId> {
        self.history.first().map(|entry| &entry.version)
    }

    /// What the schedule counted from, as reported.
    pub fn counted_from(&self) -> Option<Timestamp> {
        self.last_rotation.or(self.history.first().map(|head| head.time))
    }

    /// The version with which an AWS secret is being adopted.
    pub fn adopting(&self) -> Option<&VersionId> {
        self.history.first().filter(|head| head.cause == Cause::Adopted).map(|head| &head.version)
    }

    /// The newest version, if it is a rollback.
    pub fn rolled_back(&self) -> Option<&VersionId> {
        self.history.first().filter(|head| head.cause == Cause::RolledBack).map(|head| &head.version)
    }

    /// Versions were reported and a schedule never was: rotation is new on an object that has a value.
    pub fn rotation_is_new(&self) -> bool {
        self.schedule.is_none() && !self.history.is_empty()
    }

    /// The schedule in force is another one than `expression`.
    pub fn schedule_edited(&self, expression: &str) -> bool {
        match &self.schedule {
            Some(before) => before.expression != expression,
            None => !self.history.is_empty(),
        }
    }

    /// Since when a schedule with this `expression` is in force; `None`: it was there before the first version.
    pub fn schedule_since(&self, expression: &str, now: Timestamp) -> Option<Timestamp> {
        match &self.schedule {
            Some(before) if before.expression == expression => before.since,
            Some(_) => Some(now),
            None => (!self.history.is_empty()).then_some(now),
        }
    }
}
