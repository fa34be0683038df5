//! A real Kubernetes control plane without containers: etcd, kube-apiserver and kube-controller-manager as plain processes on loopback ports,
//! in a temporary directory, gone with the value that holds them.

mod account;
mod apply;
mod audit;
pub mod binaries;
mod launch;
mod place;
mod plane;
mod requests;

pub use apply::Applied;
pub use audit::AuditEvent;
pub use launch::Options;
pub use plane::ControlPlane;
pub use requests::Requests;
