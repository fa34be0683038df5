//! Namespaces on this machine for a node and its control plane, and the connections into them.

pub(crate) mod authority;
pub(crate) mod forward;
pub(crate) mod namespaces;
