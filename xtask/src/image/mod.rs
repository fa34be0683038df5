//! Images without a container engine: an archive of one layer, the same byte for byte for the same files. Docker, containerd, podman and the
//! tools that push to registries read it (an OCI layout that is a docker-archive as well).

mod archive;
mod content;
mod elf;
mod layer;
mod operator;
mod recipe;

pub use archive::Written;
pub use content::Image;
pub use elf::Architecture;
pub use layer::{Entry, Kind};
pub use operator::{Needs, operator};

#[cfg(test)]
mod tests;
