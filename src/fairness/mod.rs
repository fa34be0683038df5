//! Shares of what all objects use together, so that one tenant or one endpoint cannot slow down the others
//! (docs/design/0015-fairness.md).

mod pauses;
mod permits;
mod queue;

pub use pauses::Pauses;
pub use permits::{Answer, Permit, Permits};
pub use queue::{Key, Queue, Urgency};
