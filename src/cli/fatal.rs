//! The error of the command line.

/// Error that stops the operator: one sentence with the cause and the action to take.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(pub(super) String);
