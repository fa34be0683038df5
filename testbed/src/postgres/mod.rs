//! A real PostgreSQL server. The programs of this machine if it has them; else Debian's packages are unpacked into the cache, without installing
//! anything.

pub mod pooler;
mod programs;
mod server;

pub use programs::{MISSING, Release, VARIABLE, find, find_release, provision, provision_release, version};
pub use server::Postgres;

pub use crate::sandbox::authority::Certificate;
