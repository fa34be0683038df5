//! PostgreSQL. The client is ours: it proves that the server checked the password, reveals none to a server that was not
//! verified, and is bounded in size and time (docs/design/0021-strategies.md).

mod connect;
mod login;
mod server;
mod session;
mod single_user;
mod tls;
mod wire;

pub use server::{Addresses, Limits, Server};
pub use single_user::SingleUser;
pub use tls::Tls;
