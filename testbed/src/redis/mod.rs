//! A real Redis server. The programs of this machine if it has them; else Debian's packages are unpacked into the cache, without installing
//! anything.

mod programs;
mod server;

pub use programs::{MISSING, find, provision};
pub use server::{Redis, Setup, Users};

pub use crate::sandbox::authority::Certificate;
