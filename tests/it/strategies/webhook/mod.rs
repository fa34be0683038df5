//! Webhooks.

mod contract;
mod hostile;
mod stand;
