//! What the integration tests share. The only member that imports both sides: the operator and the test environment.
#![allow(missing_docs, reason = "for tests only")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]
#![allow(clippy::missing_panics_doc, reason = "the same")]

mod agreement;
pub mod commands;
pub mod fixtures;
mod gated;
pub mod jobs;
pub mod lua;
mod namespace;
pub mod timing;
mod wait;
mod world;

/// The test environment. Tests name it by these modules, and only here is said where they come from.
pub use emulator;
pub use testbed::{controlplane, mysql, node, postgres, process, promtool, python, receiver, redis, usage};
pub use xtask::{image, reference};

/// The chart, rendered by helm, and what is generated from it.
pub mod chart {
    pub use testbed::chart::*;
    pub use xtask::chart::{Release, differing, package};
}

pub use agreement::{Agreed, data, fields, ready_reason};
pub use gated::{Refusal, Refusals};
pub use namespace::{PREFIX, TestNamespace};
pub use wait::{pause, until};
pub use world::{Clients, HOME, REGION, World, control_plane, prepare};
