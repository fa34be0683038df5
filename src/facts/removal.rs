//! What is left of an object that is being deleted.

use std::collections::BTreeSet;

use super::AwsSecret;
use crate::api::{ABANDONED_LABEL, AWSCURRENT, AWSPENDING, AWSPREVIOUS, STAGED_LABEL};
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

impl StagedLeft {
    /// A version that the operator staged for a target: no other writer derives IDs, except that AWS rotates to them for this
    /// object where a function is configured. `announced`: the version that the status says is staged.
    pub fn of(found: &AwsSecret, announced: Option<&VersionId>) -> Option<Self> {
        let ours = |version: &VersionId| found.rotation.function.is_none() || announced == Some(version);
        let marked = found.labelled(STAGED_LABEL).filter(|marked| found.labelled(AWSPREVIOUS) != Some(*marked));
        let version = found.labelled(AWSPENDING).filter(|version| marked == Some(*version) || ours(version)).or(marked)?;
        let version = Some(version).filter(|version| version.is_derived())?;
        let current = found.labelled(AWSCURRENT).filter(|current| *current != version)?;
        let [previous, abandoned] = [AWSPREVIOUS, ABANDONED_LABEL].map(|label| found.labelled(label).cloned());
        Some(Self { version: version.clone(), current: current.clone(), previous, abandoned })
    }
}
