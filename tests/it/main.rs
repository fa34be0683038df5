//! One binary, since each test binary links the operator, the SDK and the test environment again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::large_futures, reason = "a story is a large future")]

mod admission;
mod admission_objects;
mod admission_rules;
mod behaviour;
mod campaign;
mod circumstances;
mod clock;
mod crash;
mod definition;
mod documents;
mod examples;
mod generators;
mod gitops;
mod monitoring;
mod replicas;
mod runbook;
mod schedules;
mod stories;
mod strategies;
mod workloads;
