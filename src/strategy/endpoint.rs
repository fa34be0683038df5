//! Which server a target is, and how long it may take.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::tls::Tls;
use crate::strategy::{Problem, Unknown};

/// The server of a declaration. Nothing of it comes from a value: those who write values must not choose the server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name or address that the certificate is for.
    pub host: String,
    /// Name or address to connect to.
    pub address: String,
    /// Port.
    pub port: u16,
    /// How it is verified.
    pub tls: Tls,
    /// Which addresses the name may lead to.
    pub addresses: Addresses,
    /// How long it may take.
    pub limits: Limits,
    /// The address that was tried last.
    pub tried: Tried,
}

/// The address that was tried last, for the message when nothing answers. A name may lead to several.
#[derive(Debug, Clone, Default)]
pub struct Tried(Arc<Mutex<Option<IpAddr>>>);

impl Tried {
    /// The address, if there was one.
    pub fn last(&self) -> Option<IpAddr> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, address: Option<IpAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

impl Endpoint {
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
