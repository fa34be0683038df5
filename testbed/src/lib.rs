//! The pretend world: a real control plane, a Secrets Manager emulator that follows AWS's rules, faults, and the demo. Everything that the
//! operator meets here speaks the real wire protocols, so that the unmodified binary runs against it.

pub mod chart;
pub mod controlplane;
pub mod emulator;
pub mod gate;
pub mod image;
pub mod node;
pub mod process;
pub mod promtool;
pub mod reference;
pub mod sbom;
