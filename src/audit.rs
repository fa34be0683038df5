//! The audit stream: one line of JSON for each new version, each write that corrects or ends something, and each refusal. A
//! line consists of names, version IDs, times, closed words, and tokens and tickets of users, never of a value or of the text
//! of an error.

mod changes;
mod entry;
mod sink;

pub use changes::changes;
pub use entry::{Action, Entry, SCHEMA};
pub use sink::{Audit, AuditLog};

#[cfg(test)]
mod tests;
