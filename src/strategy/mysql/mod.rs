//! MySQL and MariaDB. The client is ours, for the reasons that PostgreSQL's is (docs/design/0021-strategies.md).

mod accounts;
mod alternating;
mod dialect;
mod dual_password;
mod grants;
mod login;
mod mark;
mod names;
mod scramble;
mod server;
mod session;
mod single_user;
mod sql;
mod tokens;
mod trial;
mod twin;
mod wire;

pub use alternating::AlternatingUsers;
pub use dual_password::DualPassword;
pub use server::Server;
pub use single_user::SingleUser;
