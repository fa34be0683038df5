//! Rotated Secrets: a Kubernetes operator that creates secrets in AWS Secrets Manager, rotates them and mirrors them
//! into Kubernetes Secrets.
//!
//! A reconcile of one object: **observe** (read AWS and Kubernetes, compare with the spec) -> **plan** (pure: at
//! most one step, or an assessment) -> **act** (one change, recorded in the journal) -> observe again. When no step is
//! left, the **status** is written, with Events and metrics. The process holds no state between reconciles.

// Times, counts and lengths come from objects, statuses and AWS. Arithmetic on them saturates or is checked, so that no
// input can panic. Modules with arithmetic on bounded numbers only have an exception; xtask/tests/structure lists them.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod api;
pub mod audit;
pub mod aws;
pub mod backoff;
pub mod cli;
pub mod command;
pub mod compare;
pub mod controller;
pub mod desired;
pub mod election;
pub mod endpoints;
pub mod facts;
pub mod failure;
pub mod fairness;
pub mod feed;
mod flags;
pub mod fleet;
pub mod generate;
pub mod identity;
pub mod journal;
pub mod kubernetes;
pub mod lint;
pub mod manifest;
pub mod metrics;
pub mod plaintext;
pub mod plan;
pub mod plugin;
pub mod process;
mod proxy;
pub mod reconcile;
pub mod refusal;
pub mod schedule;
pub mod status;
pub mod step;
pub mod strategy;
pub mod telemetry;
pub mod text;
pub mod unreadable;
pub mod value;
pub mod version_id;
