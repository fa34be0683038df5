//! A user of a test on a MySQL or MariaDB server.

use anyhow::Result;
use rotated_secrets::strategy::Credential;
use rotated_secrets::strategy::mysql::{DualPassword, Server, SingleUser};
use testkit::mysql::{Kind, MySql};

use super::stand::{NEW, OLD, THIRD, credential, endpoint};

pub(super) struct Stand {
    pub(super) mysql: &'static MySql,
    pub(super) user: String,
    pub(super) server: Server,
}

/// The server, verified.
pub(super) fn server(mysql: &MySql) -> Server {
    Server { endpoint: endpoint(mysql.port(), mysql.ca()), database: None, query: Some("SELECT 1".to_owned()) }
}

impl Stand {
    /// A user that logs in with [`OLD`], on the server that all tests share.
    pub(super) fn new(kind: Kind, user: &str) -> Result<Self> {
        let mysql = MySql::shared(kind)?;
        let stand = Self { mysql, user: user.to_owned(), server: server(mysql) };
        stand.reset(OLD)?;
        Ok(stand)
    }

    /// The same on both servers.
    pub(super) fn both(user: &str) -> Result<Vec<Self>> {
        Kind::here().into_iter().map(|kind| Self::new(kind, user)).collect()
    }

    pub(super) fn sql(&self, sql: &str) -> Result<String> {
        self.mysql.sql(sql)
    }

    /// Makes the user again, with this password only.
    pub(super) fn reset(&self, password: &str) -> Result<()> {
        let (user, password) = (&self.user, password.replace('\\', "\\\\").replace('\'', "\\'"));
        self.sql(&format!("SET GLOBAL general_log = OFF; DROP USER IF EXISTS {user}; CREATE USER {user} IDENTIFIED BY '{password}'; SET GLOBAL general_log = ON"))
            .map(drop)
    }

    pub(super) fn with(&self, password: &str) -> Credential {
        credential(&self.user, password)
    }

    pub(super) fn single(&self) -> SingleUser<'_> {
        SingleUser { server: &self.server }
    }

    pub(super) fn dual(&self) -> DualPassword<'_> {
        DualPassword { server: &self.server }
    }

    /// Which of the passwords the server accepts, asked by other means than ours.
    pub(super) fn accepted(&self) -> Result<Vec<&'static str>> {
        let mut accepted = Vec::new();
        for password in [OLD, NEW, THIRD] {
            if self.mysql.accepts(&self.user, password)? {
                accepted.push(password);
            }
        }
        Ok(accepted)
    }
}
