//! The object's status: read as untrusted input at the beginning of a reconcile, written once at its end. Pure.
//! Losing the status costs reads, never a rotation.

mod bounds;
mod change;
mod conditions;
pub mod deletion;
pub mod events;
mod failures;
mod history;
mod note;
mod read;
mod requests;
mod rollout;
mod secret_write;
mod settings;
mod staged;
mod stalled;
mod suspension;
mod write;

pub use change::ConditionChange;
pub use events::event_notes;
pub use failures::{Attempt, Attempts, Waits, early, failed_before, mirror_failed, waits};
pub use history::{abandoned, recorded, unrecorded};
pub use note::EventNote;
pub use read::{read, repair_delayed, urgent};
pub use requests::{delayed, rollback_refused};
pub use rollout::rolled_out;
pub use secret_write::SecretWrite;
pub use write::{Outcome, placed, write};

#[cfg(test)]
mod tests;
