//! What AWS and Kubernetes show of one object during one reconcile. Nothing here is compared with the spec: that is
//! [`crate::compare`]. No plaintext.

mod claims;
pub mod pace;
mod removal;
mod replica;
mod secret;
mod status;
mod workload;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use claims::{Claims, Repairs};
pub use pace::Charged;
pub use removal::{Remains, SecretLeft, StagedLeft};
pub use replica::{Replica, ReplicaState};
pub use secret::{AwsSecret, Listed, RotationFacts};
pub use status::{
    AbandonedFact, Announced, DeclaredFacts, HistoryFact, ReportedMirror, ReportedRollout, ReportedSchedule, RequestFacts, StagingFacts,
    StatusFacts,
};
pub use workload::{Pods, Replacement, Workload};

use crate::refusal::Refusal;
use crate::schedule::{ExcludedDays, ScheduleError};
use crate::version_id::VersionId;

/// Everything that one round of reads found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// What the namespace may do, and who acts for it.
    pub access: Access,
    /// Our finalizer is on the object.
    pub finalizer: bool,
    /// The AWS secret, as `DescribeSecret` shows it.
    pub secret: Option<AwsSecret>,
    /// The Secret of the target's name.
    pub mirror: Option<MirrorFacts>,
    /// Where the AWS secret is, compared with where the spec and the flags put it.
    pub place: Place,
    /// Single versions and documents that were read because a comparison needed them.
    pub reads: Reads,
    /// Up to when this process has charged versions.
    pub charged: Charged,
    /// When the target is asked next whether it accepts the current value; `None`: never.
    pub check_due: Option<Timestamp>,
    /// The workloads that use the Secret; `None`: they were not read in this reconcile.
    pub workloads: Option<Vec<Workload>>,
}

/// Where the AWS secret is, compared with where the spec and the flags put it today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// There.
    #[default]
    AsConfigured,
    /// Where the recorded ARN says, and it is used there. The text says where the flags would put it.
    Recorded(String),
    /// The recorded ARN is elsewhere, and nothing proves that it is this object's. No secret may be created in its stead.
    Unproved(Refusal),
    /// The operator may have begun to create the secret elsewhere, and AWS may not show it before this time.
    Unsettled(Refusal, Timestamp),
}

/// What the administrator's annotations allow, and who acts in AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The namespace may use the AWS name.
    pub name_allowed: bool,
    /// The administrator's annotation lists the name, so that its value may be read, also if another object owns it.
    pub listed: bool,
    /// The namespace may use the rotation function; `true` if none is declared.
    pub function_allowed: bool,
    /// The namespace may use the host of the target; `true` if none is declared.
    pub host_allowed: bool,
    /// Why no identity may act for the object.
    pub refused: Option<Refusal>,
    /// Days without scheduled rotations in this namespace, or why the annotation is invalid.
    pub excluded: Result<Vec<ExcludedDays>, ScheduleError>,
}

impl Default for Access {
    fn default() -> Self {
        Self { name_allowed: true, listed: false, function_allowed: true, host_allowed: true, refused: None, excluded: Ok(Vec::new()) }
    }
}

impl Access {
    /// Whether AWS may be asked about the secret at all.
    pub fn granted(&self) -> bool {
        self.name_allowed && self.refused.is_none()
    }
}

/// The metadata of the Secret of the target's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MirrorFacts {
    /// Our object is its controller.
    pub ours: bool,
    /// It has no controller, and its annotation names our object as the one that may adopt it.
    pub adoptable: bool,
    /// The version that its annotation names.
    pub version: Option<VersionId>,
    /// The version whose values it holds beside those, as its annotation says.
    pub previous: Option<VersionId>,
    /// It has the declared layout, and only the operator wrote its data.
    pub intact: bool,
    /// When the operator last wrote it, to the second.
    pub written: Option<Timestamp>,
    /// `LastChangedDate` of the AWS secret at that time.
    pub changed: Option<Timestamp>,
    /// Its resourceVersion.
    pub revision: Option<String>,
    /// When the certificate in it expires.
    pub not_after: Option<Timestamp>,
    /// Who else claims it.
    pub claims: Claims,
}

/// Facts about versions never change, so they are read once in a reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reads {
    /// When versions were created.
    pub created: BTreeMap<VersionId, Timestamp>,
    /// Whether the value of a version has the declared fields.
    pub matches: BTreeMap<VersionId, bool>,
    /// The resource policy.
    pub policy: Option<PolicyRead>,
}

/// One read of the resource policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRead {
    /// `LastChangedDate` of the secret at the time of the read. A later date makes the read stale.
    pub changed: Option<Timestamp>,
    /// A hash of what the policy means; `None`: there is no policy. `Err`: AWS denies the read.
    pub meaning: Result<Option<String>, Refusal>,
}
