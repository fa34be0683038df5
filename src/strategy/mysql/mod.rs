//! MySQL and MariaDB. The client is ours, for the reasons that PostgreSQL's is (docs/design/0021-strategies.md).

mod dialect;
mod dual_password;
mod login;
mod scramble;
mod server;
mod session;
mod single_user;
mod sql;
mod wire;

pub use dual_password::DualPassword;
pub use server::Server;
pub use single_user::SingleUser;
