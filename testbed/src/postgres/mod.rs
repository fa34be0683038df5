//! A real PostgreSQL server. The programs of this machine if it has them; else Debian's packages are unpacked into the cache, without installing
//! anything.

mod programs;
mod server;

pub use programs::{MISSING, Programs, find, provision};
pub use server::{Certificate, Postgres};
