//! PostgreSQL. The client is ours: it proves that the server checked the password, reveals none to a server that was not
//! verified, and is bounded in size and time (docs/design/0021-strategies.md).

mod alternating;
mod connect;
mod login;
mod server;
mod session;
mod single_user;
mod sql;
mod twin;
mod wire;

pub use alternating::AlternatingUsers;
pub use server::Server;
pub use single_user::SingleUser;
