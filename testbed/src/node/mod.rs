//! A real node without a container engine: kubelet, containerd and runc with a control plane of their own, in namespaces of their own. Pods run, are
//! probed, mount Secrets and reach the API server as anywhere. It takes root; [`obstacle`] tells where it cannot be had.

mod config;
mod image;
mod machine;
mod programs;

pub use config::NAME;
pub use image::Build;
pub use machine::{APPLICATION, Node, POD_IMAGE, fingerprint, obstacle};
pub use programs::{Programs, find, provision};

pub use crate::sandbox::namespaces::ADDRESS;
