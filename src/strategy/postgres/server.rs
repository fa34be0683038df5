//! A server of PostgreSQL.

use crate::strategy::endpoint::Endpoint;

/// What a session needs, beside the user and the password.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it is, and how it is verified.
    pub endpoint: Endpoint,
    /// Database.
    pub database: String,
    /// A query that a user with the new password must be able to run.
    pub query: Option<String>,
}
