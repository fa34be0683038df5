//! The kubectl plugin end to end: its own process against the real API server and the emulator, while the operator runs in this one. Whatever
//! it writes is searched for the values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::large_futures, reason = "a story is a large future")]

mod commands;
mod completion;
mod connection;
mod doctor;
mod habits;
mod lint;
mod many;
mod operator;
mod report;
mod requests;
mod rollback;
mod scene;
mod schedule;
mod share;
mod skew;
mod status;
mod verify;
