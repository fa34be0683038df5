//! What a composition is given of earlier versions, and why it fails.

use crate::generate::NotMade;

/// Names of the fields that were declared when a version was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Former<'a> {
    /// All fields.
    pub fields: &'a [String],
    /// Those with a fixed content.
    pub fixed: &'a [String],
}

/// The reason why no value could be composed. Carries no part of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The value exceeds AWS's maximum size.
    #[error("the value would exceed the limit of AWS of 65,536 bytes")]
    TooLarge,
    /// The cryptographic library failed.
    #[error(transparent)]
    NotMade(#[from] NotMade),
}
