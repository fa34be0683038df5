//! Which server, and how long it may take.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use super::tls::Tls;
use crate::strategy::{Problem, Unknown};

/// The server of a declaration. Nothing of it comes from a value: those who write values must not choose the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name or address that the certificate is for.
    pub host: String,
    /// Name or address to connect to.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// How it is verified.
    pub tls: Tls,
    /// A query that a user with the new password must be able to run.
    pub query: Option<String>,
    /// Which addresses the name may lead to.
    pub addresses: Addresses,
    /// How long it may take.
    pub limits: Limits,
}

impl Server {
    /// Bounds the time of a step.
    pub(super) async fn within_a_step<T>(&self, step: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        timeout(self.limits.step, step).await.map_err(|_| Problem::from(Unknown::Timeout))?
    }
}

/// Which addresses a name may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addresses {
    /// None of this machine or of its neighbourhood.
    #[default]
    Remote,
    /// Those of this machine (loopback), too: for tests and the demo.
    Local,
}

/// How long a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To connect and to log in.
    pub connect: Duration,
    /// To answer one statement.
    pub statement: Duration,
    /// For everything that one step does.
    pub step: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), statement: Duration::from_secs(10), step: Duration::from_secs(30) }
    }
}
