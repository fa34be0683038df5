//! Who lists.

use crate::identity::Identity;

/// Who lists, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    pub identity: Identity,
    pub region: String,
}
