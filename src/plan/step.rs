//! The mutations that the operator knows. Each has its crash plans.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::Cause;
use crate::version_id::VersionId;

/// The one next mutation. Names and version ids only, never secret material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Put our finalizer on the object.
    AddFinalizer,
    /// Take it away.
    RemoveFinalizer,
    /// Create the AWS secret with its first value.
    Create {
        /// The id of that first version.
        version: VersionId,
    },
    /// Write a new current version.
    Write {
        /// Its id.
        version: VersionId,
        /// The version whose fields are carried along.
        predecessor: Option<VersionId>,
        /// Why.
        cause: Cause,
    },
    /// Write the value of an older version as a new current version: a person asked for it.
    RollBack {
        /// The id of the new version.
        version: VersionId,
        /// The one whose value it gets.
        to: VersionId,
        /// The one that it follows.
        predecessor: VersionId,
    },
    /// Move a staging label of ours.
    Label {
        /// Which.
        label: String,
        /// The version that carries it now; `None`: none does.
        from: Option<VersionId>,
        /// The version that is to carry it; `None`: none.
        to: Option<VersionId>,
    },
    /// Somebody else's value came between our look and our write, which AWS cannot refuse: make it current again.
    RestoreCurrent {
        /// Theirs.
        to: VersionId,
        /// Ours, which must still be current.
        from: VersionId,
    },
    /// Set the description.
    Describe {
        /// To this.
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
    /// Take tags away that the operator set and nobody asks for any more.
    Untag {
        /// Their keys.
        keys: BTreeSet<String>,
    },
    /// Put the declared resource policy.
    PutPolicy,
    /// Take the operator's resource policy away.
    DeletePolicy,
    /// Replicate the AWS secret to further regions, or once more to one where that failed.
    Replicate {
        /// Regions and their keys; no key: the default one of that region.
        replicas: BTreeMap<String, Option<String>>,
    },
    /// Remove replicas.
    StopReplicating {
        /// Of these regions.
        regions: BTreeSet<String>,
    },
    /// Set the KMS key of one replica.
    SetReplicaKey {
        /// Its region.
        region: String,
        /// To this.
        key: String,
    },
    /// Take back that our AWS secret is scheduled for deletion.
    Restore,
    /// Tag an AWS secret that was there before as ours.
    Adopt {
        /// Ours and the user's.
        tags: BTreeMap<String, String>,
    },
    /// Make the mirrored Secret.
    CreateMirror {
        /// Holding this version.
        version: VersionId,
    },
    /// Write the mirrored Secret anew.
    ReplaceMirror {
        /// Holding this version.
        version: VersionId,
        /// Ask AWS a second time whether this version really is current, since it may be older than what the mirror holds.
        confirm: bool,
    },
    /// Take over a Secret that was there before: its data is replaced.
    AdoptMirror {
        /// By this version.
        version: VersionId,
    },
    /// Take our owner reference off the Secret, so that it stays.
    ReleaseMirror,
    /// Say in a tag that rotation by AWS is ours.
    ClaimRotation,
    /// Have AWS rotate, by the declared rules and with the declared function.
    ConfigureRotation {
        /// Rotate to this version at once; `None`: by schedule only.
        version: Option<VersionId>,
    },
    /// Have AWS rotate now.
    RotateNow {
        /// To this version.
        version: VersionId,
    },
    /// Have AWS rotate no more.
    CancelRotation,
    /// Take that tag away.
    ReleaseRotation,
    /// Schedule the AWS secret for deletion.
    Delete {
        /// Days for which it can be restored.
        window: i32,
    },
}

impl Step {
    /// Every kind of step. A crash plan must exist for each.
    pub const KINDS: [&'static str; 28] = [
        "AddFinalizer",
        "RemoveFinalizer",
        "Create",
        "Write",
        "RollBack",
        "Label",
        "RestoreCurrent",
        "Describe",
        "SetKey",
        "Tag",
        "Untag",
        "PutPolicy",
        "DeletePolicy",
        "Replicate",
        "StopReplicating",
        "SetReplicaKey",
        "Restore",
        "Adopt",
        "CreateMirror",
        "ReplaceMirror",
        "AdoptMirror",
        "ReleaseMirror",
        "ClaimRotation",
        "ConfigureRotation",
        "RotateNow",
        "CancelRotation",
        "ReleaseRotation",
        "Delete",
    ];

    /// The kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddFinalizer => "AddFinalizer",
            Self::RemoveFinalizer => "RemoveFinalizer",
            Self::Create { .. } => "Create",
            Self::Write { .. } => "Write",
            Self::RollBack { .. } => "RollBack",
            Self::Label { .. } => "Label",
            Self::RestoreCurrent { .. } => "RestoreCurrent",
            Self::Describe { .. } => "Describe",
            Self::SetKey { .. } => "SetKey",
            Self::Tag { .. } => "Tag",
            Self::Untag { .. } => "Untag",
            Self::PutPolicy => "PutPolicy",
            Self::DeletePolicy => "DeletePolicy",
            Self::Replicate { .. } => "Replicate",
            Self::StopReplicating { .. } => "StopReplicating",
            Self::SetReplicaKey { .. } => "SetReplicaKey",
            Self::Restore => "Restore",
            Self::Adopt { .. } => "Adopt",
            Self::AdoptMirror { .. } => "AdoptMirror",
            Self::CreateMirror { .. } => "CreateMirror",
            Self::ReplaceMirror { .. } => "ReplaceMirror",
            Self::ReleaseMirror => "ReleaseMirror",
            Self::ClaimRotation => "ClaimRotation",
            Self::ConfigureRotation { .. } => "ConfigureRotation",
            Self::RotateNow { .. } => "RotateNow",
            Self::CancelRotation => "CancelRotation",
            Self::ReleaseRotation => "ReleaseRotation",
            Self::Delete { .. } => "Delete",
        }
    }

    /// Whether it keeps a setting of the AWS secret, beside its value: AWS's refusal is said and does not end the turn.
    pub fn keeps_a_setting(&self) -> bool {
        self.once().is_some() && !matches!(self, Self::Restore | Self::Adopt { .. })
    }

    /// A step that AWS may not show at once is done once a turn: what tells it from others.
    pub fn once(&self) -> Option<String> {
        match self {
            Self::Describe { .. }
            | Self::SetKey { .. }
            | Self::Tag { .. }
            | Self::Untag { .. }
            | Self::PutPolicy
            | Self::DeletePolicy
            | Self::Replicate { .. }
            | Self::StopReplicating { .. }
            | Self::Restore
            | Self::Adopt { .. } => Some(self.kind().to_owned()),
            Self::SetReplicaKey { region, .. } => Some(format!("{} {region}", self.kind())),
            _ => None,
        }
    }
}
