//! Real servers of MySQL and MariaDB: Debian's packages, unpacked into the cache without installing anything.

mod programs;
mod server;

pub use programs::{Kind, find, provision};
pub use server::MySql;

pub use crate::sandbox::authority::Certificate;
