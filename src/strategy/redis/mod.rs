//! Redis and Valkey. The client is ours: the replies that it reads are bounded in size, depth and time, and it connects to
//! the address that was checked (docs/design/0021-strategies.md).

mod mark;
mod reply;
mod session;
mod two_passwords;
mod user;
mod wire;

pub use two_passwords::{Admin, Retired, Server, TwoPasswords};
