//! A server of MySQL or MariaDB.

use crate::strategy::Endpoint;

/// What a session needs, beside the user and the password.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it is, and how it is verified.
    pub endpoint: Endpoint,
    /// Database; `None`: none is selected.
    pub database: Option<String>,
    /// A query that a user with the new password must be able to run.
    pub query: Option<String>,
}
