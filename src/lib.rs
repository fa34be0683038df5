//! Rotated Secrets: a Kubernetes operator that owns the whole life of a credential in AWS Secrets Manager.
//!
//! One turn for one object: **observe** (reads, no plaintext) -> **plan** (pure: facts -> at most one step, or rest until t) -> **act** (one
//! effect) -> look again, and when nothing is left to do -> **report** (status, event, metric). Nothing is remembered in the process.

pub mod endpoints;
pub mod api;
pub mod aws;
pub mod backoff;
pub mod fleet;
pub mod cli;
pub mod kubernetes;
pub mod controller;
pub mod desired;
pub mod election;
pub mod facts;
pub mod failure;
pub mod generate;
pub mod identity;
pub mod version_id;
pub mod metrics;
pub mod plaintext;
pub mod plan;
pub mod plugin;
pub mod reconcile;
pub mod refusal;
pub mod status;
pub mod schedule;
pub mod telemetry;
pub mod unreadable;
pub mod value;
