//! The object's status: read as untrusted input at the beginning of a reconcile, written once at its end. Pure.
//! Losing the status costs reads, never a rotation.

mod conditions;
pub mod events;
mod history;
mod read;
mod requests;
mod settings;
mod write;

pub use events::{EventNote, event_notes};
pub use history::recorded;
pub use read::{backing_off, read};
pub use write::{Outcome, write};

#[cfg(test)]
mod tests;
