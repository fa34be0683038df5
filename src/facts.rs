//! Facts that an AWS answer states and the planner decides on. This module depends on neither.

mod replica;

pub use replica::{Replica, ReplicaState};
