//! The unmodified binary as a process, with the rights of its own ServiceAccount, against a real API server and the emulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::large_futures, reason = "a story is a large future")]

mod chart;
mod counts;
mod credentials;
mod edges;
mod fairness;
mod feed;
mod feed_queue;
mod gate;
mod helped;
mod herd;
mod hygiene;
mod identity;
mod jobs;
mod killed;
mod leader;
mod logins;
mod names;
mod observed;
mod operator;
mod pages;
mod poison;
mod policy;
mod policy_of_objects;
mod prometheus;
mod proxy;
mod recipes;
mod recorded;
mod refused;
mod replicas;
mod rights;
mod rollout;
mod rotating;
mod scale;
mod scan;
mod scope;
mod signals;
mod stage;
mod story;
mod troubles;
