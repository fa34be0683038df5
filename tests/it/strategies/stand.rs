//! A role of a test on a PostgreSQL server.

use std::time::Duration;

use anyhow::Result;
use rotated_secrets::plaintext::Plaintext;
use rotated_secrets::strategy::postgres::{Server, SingleUser};
use rotated_secrets::strategy::{Addresses, Credential, Endpoint, Limits, Tls, Tried};
use testkit::postgres::Postgres;

/// Passwords, each a word that occurs nowhere else.
pub(super) const OLD: &str = "canaryOld'7fK2$x9";
pub(super) const NEW: &str = "canaryNew\"4mQ8\\z1";
pub(super) const THIRD: &str = "canaryThird-0pW3:v6";

/// A busy machine takes long to answer, and no test waits for these times.
const GENEROUS: Limits = Limits { connect: Duration::from_mins(1), statement: Duration::from_mins(1), step: Duration::from_mins(3) };

pub(super) struct Stand {
    pub(super) postgres: &'static Postgres,
    pub(super) role: String,
    pub(super) server: Server,
}

pub(super) fn credential(user: &str, password: &str) -> Credential {
    Credential { user: user.to_owned(), password: Plaintext::from(password.to_owned()) }
}

/// The server at this port, verified.
pub(super) fn server(port: u16, ca: String) -> Server {
    Server { endpoint: endpoint(port, ca), database: "postgres".to_owned(), query: None }
}

/// Where a server on this port is, verified.
pub(super) fn endpoint(port: u16, ca: String) -> Endpoint {
    Endpoint {
        host: "localhost".to_owned(),
        address: "localhost".to_owned(),
        port,
        tls: Tls::Verify { names: true, ca: Some(ca) },
        addresses: Addresses::Local,
        limits: GENEROUS,
        tried: Tried::default(),
    }
}

/// The same server, reached in another way.
pub(super) fn reached(server: &Server, change: impl FnOnce(&mut Endpoint)) -> Server {
    let mut changed = server.clone();
    change(&mut changed.endpoint);
    changed
}

/// By its address, which no certificate of a tunnel is for.
pub(super) fn by_address(endpoint: &mut Endpoint) {
    (endpoint.host, endpoint.address) = ("127.0.0.1".to_owned(), "127.0.0.1".to_owned());
}

impl Stand {
    /// A role that logs in with [`OLD`], on the server that all tests share.
    pub(super) fn new(role: &str) -> Result<Self> {
        let postgres = Postgres::shared()?;
        let stand = Self { postgres, role: role.to_owned(), server: server(postgres.port(), postgres.ca()) };
        stand.sql(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN"))?;
        stand.reset(OLD)?;
        Ok(stand)
    }

    pub(super) fn sql(&self, sql: &str) -> Result<String> {
        self.postgres.sql("postgres", sql)
    }

    /// Gives the role this password.
    pub(super) fn reset(&self, password: &str) -> Result<()> {
        self.postgres.set_password(&self.role, password)
    }

    pub(super) fn with(&self, password: &str) -> Credential {
        credential(&self.role, password)
    }

    pub(super) fn strategy(&self) -> SingleUser<'_> {
        SingleUser { server: &self.server }
    }

    /// Which of the passwords the server accepts, asked by other means than ours.
    pub(super) fn accepted(&self) -> Result<Vec<&'static str>> {
        let mut accepted = Vec::new();
        for password in [OLD, NEW, THIRD] {
            if self.postgres.accepts(&self.role, password)? {
                accepted.push(password);
            }
        }
        Ok(accepted)
    }
}
