//! What a cause asks for.

use crate::api::Cause;
use crate::step::{Source, Step};
use crate::version_id::VersionId;

/// A new version that a cause asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) struct Intent {
    /// Its id, which follows from the cause.
    pub(in crate::plan) version: VersionId,
    /// Where its value comes from; `None`: it is staged already.
    pub(in crate::plan) source: Option<Source>,
    /// Why.
    pub(in crate::plan) cause: Cause,
}

/// What a rule proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) enum Proposal {
    /// Nothing: the next rule decides.
    Nothing,
    /// A new version.
    Version(Intent),
    /// A step that makes no version.
    Step(Step),
    /// Nothing may be started now: no further rule is asked.
    Wait,
}
