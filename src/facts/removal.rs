//! What is left of an object that is being deleted.

use std::collections::BTreeSet;

use crate::desired::SecretPlace;
use crate::version_id::VersionId;

/// What was found so far. AWS is asked only if the plan needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remains {
    /// The Secret to retain is owned by the object.
    pub mirror: bool,
    /// The AWS secret; `None`: AWS was not asked.
    pub secret: Option<SecretLeft>,
}

/// The AWS secret of an object that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretLeft {
    /// It must not be touched: the reason.
    OutOfReach(String),
    /// AWS shows no secret.
    Absent,
    /// AWS shows a secret whose tags do not name this object.
    Foreign,
    /// AWS shows a secret of an earlier object of the same name, which this object did not adopt.
    Former {
        /// The full ARN.
        arn: String,
        /// Where it is.
        place: SecretPlace,
        /// It is scheduled for deletion.
        deleted: bool,
    },
    /// AWS shows a secret with the tags of this object, or one that it was adopting.
    Ours {
        /// The full ARN.
        arn: String,
        /// Where it is.
        place: SecretPlace,
        /// It is scheduled for deletion.
        deleted: bool,
        /// Regions of its replicas.
        replicas: BTreeSet<String>,
        /// The version that is staged for a target.
        staged: Option<StagedLeft>,
    },
}

/// A version that is staged for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedLeft {
    /// The version.
    pub version: VersionId,
    /// The current one.
    pub current: VersionId,
    /// The one before it.
    pub previous: Option<VersionId>,
    /// The one that was abandoned last.
    pub abandoned: Option<VersionId>,
}
