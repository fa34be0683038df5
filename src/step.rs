//! The mutations that the operator knows. Each kind has a crash plan (tests/it).

use std::collections::{BTreeMap, BTreeSet};

use strum::{EnumDiscriminants, EnumString, IntoStaticStr, VariantArray};

use crate::api::{AWSCURRENT, AWSPENDING, Cause, WorkloadRef};
use crate::facts::pace::Limited;
use crate::value::short_hash;
use crate::version_id::VersionId;

/// Where the value of a new version comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Composed from the declared fields and the predecessor's value.
    Compose,
    /// A copy of an older version.
    Copy {
        /// That version.
        of: VersionId,
    },
}

/// The staging label that a new version gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `AWSCURRENT`: the version is in use at once.
    Current,
    /// `AWSPENDING`: the version is promoted later.
    Pending,
}

/// The one next mutation. Names and version ids only, never secret material.
#[derive(Debug, Clone, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(name(StepKind), derive(PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray))]
#[strum_discriminants(doc = "The kind of a step, for metrics, logs and tests.")]
pub enum Step {
    /// Add our finalizer to the object.
    AddFinalizer,
    /// Remove it.
    RemoveFinalizer,
    /// Record in the status where the AWS secret is about to become ours.
    RecordPlace,
    /// Create the AWS secret with its first value.
    Create {
        /// The id of the first version.
        version: VersionId,
    },
    /// Write a new version.
    Put {
        /// Its id.
        version: VersionId,
        /// Where its value comes from.
        source: Source,
        /// The version that it follows; `None`: there is none.
        predecessor: Option<VersionId>,
        /// Why.
        cause: Cause,
        /// The label that it gets.
        stage: Stage,
        /// The retention label that it takes over in the same call.
        label: Option<String>,
    },
    /// Make the target accept a staged version.
    Apply {
        /// The staged version.
        version: VersionId,
        /// The current version, which the target accepts.
        from: VersionId,
    },
    /// Make sure that the target accepts a staged version, in a new session.
    Verify {
        /// The staged version.
        version: VersionId,
    },
    /// See whether the target still accepts the current version.
    Check {
        /// The current version.
        version: VersionId,
    },
    /// Move `AWSCURRENT` to a version that is staged, if `from` still has it.
    Promote {
        /// The staged version.
        version: VersionId,
        /// The current version.
        from: VersionId,
    },
    /// Make the target accept the current version again instead of a staged one, and take `AWSPENDING` off that.
    Abandon {
        /// The staged version.
        version: VersionId,
        /// The current version.
        current: VersionId,
    },
    /// Take `AWSPENDING` off a version that is current.
    Settle {
        /// That version.
        version: VersionId,
    },
    /// Move a retention label of ours.
    MoveLabel {
        /// The label.
        label: String,
        /// The version that has it; `None`: none.
        from: Option<VersionId>,
        /// The version that gets it; `None`: none.
        to: Option<VersionId>,
    },
    /// A write of ours replaced an external value that came between our read and our write: make that value current
    /// again.
    RestoreCurrent {
        /// The external version.
        to: VersionId,
        /// Ours, which must still be current.
        from: VersionId,
    },
    /// Set the description.
    SetDescription {
        /// The declared one.
        description: String,
    },
    /// Set the KMS key.
    SetKey {
        /// Empty: back to the default key, as AWS writes it.
        key: String,
    },
    /// Add tags that are missing or differ.
    Tag {
        /// These.
        tags: BTreeMap<String, String>,
    },
    /// Remove tags that the operator applied and that are no longer declared, and the consent to an adoption that is done.
    Untag {
        /// Their keys.
        keys: BTreeSet<String>,
    },
    /// Put the declared resource policy.
    PutPolicy,
    /// Delete the resource policy that the operator put.
    DeletePolicy,
    /// Replicate the AWS secret to further regions, or again to one where that failed.
    Replicate {
        /// Regions and their keys; no key: the default key of the region.
        replicas: BTreeMap<String, Option<String>>,
    },
    /// Remove replicas.
    StopReplicating {
        /// Their regions.
        regions: BTreeSet<String>,
    },
    /// Set the KMS key of one replica.
    SetReplicaKey {
        /// Its region.
        region: String,
        /// The declared key.
        key: String,
    },
    /// Cancel the scheduled deletion of our AWS secret.
    Restore,
    /// Tag an existing AWS secret as ours.
    Adopt {
        /// Ours and the user's.
        tags: BTreeMap<String, String>,
    },
    /// Create the mirrored Secret.
    CreateMirror {
        /// With this version.
        version: VersionId,
    },
    /// Replace the content of the mirrored Secret.
    ReplaceMirror {
        /// With this version.
        version: VersionId,
        /// Read the label again first: the version may be older than what the mirror holds.
        confirm: bool,
    },
    /// Adopt an existing Secret and replace its content.
    AdoptMirror {
        /// With this version.
        version: VersionId,
    },
    /// Remove our owner reference from the Secret, so that it stays.
    ReleaseMirror,
    /// Read the workloads that use the Secret.
    FindWorkloads,
    /// Write the version into the pod template of a workload, which replaces its pods.
    Restart {
        /// The version that the Secret holds.
        version: VersionId,
        /// The workload.
        workload: WorkloadRef,
    },
    /// Make the target refuse the previous credential.
    Retire {
        /// Its version.
        version: VersionId,
        /// The current version, which the target accepts.
        current: VersionId,
    },
    /// Tag the AWS secret: this object manages its rotation by AWS.
    ClaimRotation,
    /// Configure rotation by AWS with the declared function and rules.
    ConfigureRotation {
        /// Rotate to this version at once; `None`: by schedule only.
        version: Option<VersionId>,
    },
    /// Start a rotation by AWS now.
    RotateNow {
        /// To this version.
        version: VersionId,
    },
    /// Turn rotation by AWS off.
    CancelRotation,
    /// Remove the tag that [`Step::ClaimRotation`] set.
    ReleaseRotation,
    /// Schedule the AWS secret for deletion.
    Delete {
        /// The recovery window in days.
        window: i32,
    },
}

/// What tells a step from another in one reconcile: no step is carried out twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepKey(StepKind, String);

impl StepKey {
    /// From what [`StepKey::kind`] and [`StepKey::detail`] gave.
    pub fn parse(kind: &str, detail: &str) -> Option<Self> {
        Some(Self(kind.parse().ok()?, detail.to_owned()))
    }

    /// The kind of the step.
    pub fn kind(&self) -> StepKind {
        self.0
    }

    /// The version, label or region that tells it from others of its kind, or nothing.
    pub fn detail(&self) -> &str {
        &self.1
    }
}

impl StepKind {
    /// Whether it applies a setting of the AWS secret other than its value. A refusal by AWS is reported, and the
    /// reconcile goes on without it.
    pub fn is_setting(self) -> bool {
        matches!(
            self,
            Self::SetDescription
                | Self::SetKey
                | Self::Tag
                | Self::Untag
                | Self::PutPolicy
                | Self::DeletePolicy
                | Self::Replicate
                | Self::StopReplicating
                | Self::SetReplicaKey
                | Self::MoveLabel
                | Self::Settle
        )
    }

    /// Whether it changes nothing.
    pub fn reads(self) -> bool {
        matches!(self, Self::FindWorkloads | Self::Check)
    }

    /// Whether it writes a version, or is on the way of a version to become current.
    pub fn makes_version(self) -> bool {
        matches!(self, Self::Put) || self.is_of_staged()
    }

    /// Whether it writes the mirrored Secret.
    pub fn writes_mirror(self) -> bool {
        matches!(self, Self::CreateMirror | Self::ReplaceMirror | Self::AdoptMirror)
    }

    /// Whether it is about a version that has `AWSPENDING`.
    pub fn is_of_staged(self) -> bool {
        matches!(self, Self::Apply | Self::Verify | Self::Promote)
    }
}

impl Step {
    /// The name of the kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        StepKind::from(self).into()
    }

    /// What tells it from other steps of the same reconcile.
    pub fn key(&self) -> StepKey {
        let detail = match self {
            Self::Restart { workload, .. } => {
                let name = workload.to_string();
                // The status keeps 256 characters.
                return StepKey(self.into(), if name.len() <= 256 { name } else { short_hash(name.as_bytes()) });
            }
            Self::SetReplicaKey { region, .. } => region,
            Self::MoveLabel { label, .. } => label,
            Self::CreateMirror { version }
            | Self::ReplaceMirror { version, .. }
            | Self::AdoptMirror { version }
            | Self::Put { version, .. }
            | Self::Apply { version, .. }
            | Self::Verify { version }
            | Self::Check { version }
            | Self::Promote { version, .. }
            | Self::Abandon { version, .. }
            | Self::Retire { version, .. }
            | Self::Settle { version } => version.as_str(),
            Self::RestoreCurrent { to, .. } => to.as_str(),
            _ => "",
        };
        StepKey(self.into(), detail.to_owned())
    }

    /// As [`StepKind::is_setting`].
    pub fn is_setting(&self) -> bool {
        StepKind::from(self).is_setting()
    }

    /// Whether it writes a version with this staging label.
    pub fn puts_label(&self, moved: &str) -> bool {
        match self {
            Self::Put { stage: Stage::Current, label, .. } => moved == AWSCURRENT || label.as_deref() == Some(moved),
            Self::Put { stage: Stage::Pending, label, .. } => moved == AWSPENDING || label.as_deref() == Some(moved),
            _ => false,
        }
    }

    /// The limit that counts the version which it creates.
    pub fn limited(&self) -> Option<Limited> {
        match self {
            Self::Put { cause, .. } => Limited::of(*cause),
            Self::RotateNow { .. } => Some(Limited::Requests),
            _ => None,
        }
    }

    /// Whether it makes an AWS secret this object's.
    pub fn claims_secret(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Restore | Self::Adopt { .. })
    }

    /// As [`StepKind::writes_mirror`].
    pub fn writes_mirror(&self) -> bool {
        StepKind::from(self).writes_mirror()
    }

    /// The version that it is about, for logs.
    pub fn version(&self) -> Option<&VersionId> {
        match self {
            Self::Create { version }
            | Self::Put { version, .. }
            | Self::Apply { version, .. }
            | Self::Verify { version }
            | Self::Check { version }
            | Self::Promote { version, .. }
            | Self::Abandon { version, .. }
            | Self::Settle { version }
            | Self::Retire { version, .. }
            | Self::Restart { version, .. }
            | Self::RotateNow { version }
            | Self::RestoreCurrent { to: version, .. }
            | Self::MoveLabel { to: Some(version), .. }
            | Self::CreateMirror { version }
            | Self::AdoptMirror { version }
            | Self::ReplaceMirror { version, .. } => Some(version),
            _ => None,
        }
    }
}
