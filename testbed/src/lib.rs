//! The test environment: a real control plane, a real node, the programs that tests need, and the demo. Everything that the operator meets here
//! speaks the real wire protocols, so that the unmodified binary runs against it.

pub mod chart;
pub mod controlplane;
pub mod moto;
pub mod mysql;
pub mod node;
pub mod packages;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod promtool;
pub mod python;
pub mod receiver;
pub mod redis;
mod sandbox;
pub mod usage;
