//! What every comparison sees.

use jiff::Timestamp;

use crate::desired::Desired;
use crate::facts::{Facts, StatusFacts};
use crate::journal::Journal;
use crate::version_id::VersionId;

/// A fact that a comparison lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// When this version was created, and whether its value has the declared fields.
    Version(VersionId),
    /// The resource policy.
    Policy,
}

/// What every comparison sees.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) want: &'a Desired,
    pub(crate) facts: &'a Facts,
    pub(crate) status: &'a StatusFacts,
    pub(crate) journal: &'a Journal,
    pub(crate) now: Timestamp,
}

/// Kubernetes keeps whole seconds.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
