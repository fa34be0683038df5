//! What the plan decides on: facts of AWS and Kubernetes, small and printable.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::lambda_rotation::LambdaRotationFacts;
use super::settings::Settings;
use crate::api::RollbackRefusal;
use crate::desired::Refusal;
use crate::version_id::VersionId;

/// What was seen. No plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Whether the namespace may use this AWS name.
    pub name_allowed: bool,
    /// Why nobody may act in AWS for this object.
    pub refused: Option<Refusal>,
    /// Whether the namespace may use the rotation function, if one is declared.
    pub function_allowed: bool,
    /// Our finalizer is on the object.
    pub finalizer: bool,
    /// The AWS secret.
    pub remote: Option<Remote>,
    /// Whether the AWS secret is where the spec and the flags put it.
    pub place: Place,
    /// The mirrored Secret.
    pub mirror: Mirror,
    /// Versions that were read in this turn and must not be mirrored, and why.
    pub unfit: BTreeMap<VersionId, Unfit>,
    /// What the status reports of earlier turns.
    pub reported: Reported,
    /// Version ids that AWS said are used up, found in this turn, and when those versions were made.
    pub spent: BTreeMap<VersionId, Timestamp>,
    /// The resourceVersion of the Secret.
    pub mirror_revision: Option<String>,
    /// The mirror was already written in this turn.
    pub mirror_written: bool,
    /// The version that was written in this turn, and the one that it was meant to follow.
    pub wrote: Option<(VersionId, VersionId)>,
    /// The version that was written in this turn for a rollback, and the one whose value it has.
    pub rolled_back: Option<(VersionId, VersionId)>,
    /// Versions that a person names and AWS does not have, found in this turn.
    pub missing: BTreeSet<VersionId>,
    /// Settings of the AWS secret that were tried in this turn, and what AWS said if it refused.
    pub tried: BTreeMap<String, Option<Refusal>>,
}

/// The AWS secret, as DescribeSecret shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The full ARN.
    pub arn: String,
    /// Whose it is, by its tags.
    pub ownership: Ownership,
    /// Scheduled for deletion.
    pub deleted: bool,
    /// AWS itself (a rotation function that is not ours, or the service that owns it) changes the value.
    pub foreign_rotation: bool,
    /// Rotation by AWS, as far as it concerns us.
    pub rotation: LambdaRotationFacts,
    /// AWSCURRENT and when the value became current.
    pub current: Option<Current>,
    /// AWSPREVIOUS.
    pub previous: Option<VersionId>,
    /// AWSPENDING.
    pub pending: Option<VersionId>,
    /// Every staging label, these three among them.
    pub labels: BTreeMap<String, VersionId>,
    /// Declared tags that are missing or differ.
    pub missing_tags: BTreeMap<String, String>,
    /// A description is declared and differs.
    pub description_differs: bool,
    /// What else is not as declared.
    pub settings: Settings,
    /// An AWS service owns it.
    pub service_owned: bool,
    /// The ARN that was ours; another secret has the name now.
    pub replaced: Option<String>,
    /// Any modification.
    pub last_changed: Option<Timestamp>,
}

/// Where the AWS secret is, compared with where the spec and the flags put it today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// There.
    #[default]
    AsConfigured,
    /// Where the recorded ARN says; it is used there. The sentence says where the flags would put it.
    Recorded(String),
    /// The recorded ARN is elsewhere, and nothing proves that it is this object's. Nothing may be created in its stead.
    Unproved(Refusal),
}

/// Why a version must not be mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Said in `Mirrored`.
    pub refusal: Refusal,
    /// What helps.
    pub cure: Cure,
}

/// What makes a fit version after one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Any version that the operator writes: it has the declared fields.
    Write,
    /// The same, but fields that others added would be lost, so a person must ask for it.
    Request,
    /// Another value in AWS or another spec.
    Value,
}

/// The current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Its id.
    pub version: VersionId,
    /// When the value became this one.
    pub changed: Timestamp,
    /// What the schedule counts from: as `changed`, but a change of the declared fields is no rotation and does not move it.
    pub anchor: Timestamp,
    /// Whether its fields are as declared; asked only where the status does not know.
    pub fits: Option<bool>,
}

/// Whose an AWS secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Our cluster, namespace, name and uid.
    Ours,
    /// Our cluster, namespace and name with another uid, and this object has had no AWS secret yet: an object of this name was deleted, and ours
    /// came in its place.
    Former,
    /// Another object's.
    Another,
    /// Nobody says.
    Nobody,
    /// Nobody says, and the object may adopt it.
    Adoptable,
}

/// The Secret of the target's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// None is asked for.
    Unwanted,
    /// Not there.
    Absent,
    /// Somebody else's.
    Foreign,
    /// Somebody else's, and the object may adopt it.
    Adoptable,
    /// Ours.
    Ours {
        /// The version that it holds.
        version: Option<VersionId>,
        /// Nobody but us wrote it, and it is laid out as asked.
        intact: bool,
        /// When we last wrote it.
        written: Option<Timestamp>,
    },
}

/// What the status reports of earlier turns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// Hash of what was declared when a version was last made.
    pub declared: Option<String>,
    /// Since when the present schedule is in force, if it was edited.
    pub schedule_since: Option<Timestamp>,
    /// The schedule is another one than reported: what it makes due is announced before it happens.
    pub schedule_edited: bool,
    /// Versions were reported, a schedule never: rotation is new on an object that has a value.
    pub unscheduled: bool,
    /// The version with which an AWS secret is being adopted, as the history says.
    pub adopting: Option<VersionId>,
    /// A schedule was never reported.
    pub never_scheduled: bool,
    /// Rotate requests that were handled.
    pub rotate_handled: Option<String>,
    /// Rollback requests that were handled, and why the last one was not carried out.
    pub rollback_handled: Option<(String, Option<RollbackRefusal>)>,
    /// The version that was reported last, if that was a rollback.
    pub rolled_back: Option<VersionId>,
    /// The versions of the history, newest first.
    pub history: Vec<VersionId>,
}
