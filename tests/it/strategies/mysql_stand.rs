//! A user of a test on a MySQL or MariaDB server.

use anyhow::Result;
use aws_lc_rs::digest;
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

/// How a user logs in with this password. The general log does not have it from here: MySQL writes `<secret>`, and MariaDB gets
/// the hash.
pub(super) fn identified_by(kind: Kind, password: &str) -> String {
    match kind {
        Kind::MySql => format!("IDENTIFIED BY '{}'", password.replace('\\', "\\\\").replace('\'', "\\'")),
        Kind::MariaDb => {
            let sha1 = |bytes: &[u8]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
            format!("IDENTIFIED BY PASSWORD '*{}'", hex::encode_upper(sha1(sha1(password.as_bytes()).as_ref())))
        }
    }
}

/// Which of the passwords log in as this user, as our own client sees it.
pub(super) async fn checked(server: &Server, user: &str) -> Vec<&'static str> {
    let mut accepted = Vec::new();
    for password in [OLD, NEW, THIRD] {
        if (SingleUser { server }).check(&credential(user, password)).await.is_ok() {
            accepted.push(password);
        }
    }
    accepted
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
        self.reset_and(password, "")
    }

    /// The same, and more statements.
    pub(super) fn reset_and(&self, password: &str, more: &str) -> Result<()> {
        let user = &self.user;
        self.sql(&format!("DROP USER IF EXISTS {user}; CREATE USER {user} {}{more}", identified_by(self.mysql.kind(), password))).map(drop)
    }

    pub(super) fn with(&self, password: &str) -> Credential {
        credential(&self.user, password)
    }

    pub(super) fn single(&self) -> SingleUser<'_> {
        SingleUser { server: &self.server }
    }

    pub(super) fn dual(&self) -> DualPassword<'_> {
        DualPassword { server: &self.server, previous_is_later: false }
    }

    /// Which of the passwords is the primary one, if a user may have two. It is set again, which changes nothing else.
    pub(super) fn primary(&self) -> Result<Option<&'static str>> {
        for password in [OLD, NEW, THIRD].into_iter().filter(|_| self.mysql.kind() == Kind::MySql) {
            if self.mysql.accepts(&self.user, password)? {
                let text = password.replace('\\', "\\\\").replace('\'', "\\'");
                let again = format!("ALTER USER USER() IDENTIFIED BY '{text}' REPLACE '{text}'");
                if self.mysql.sql_as(&self.user, password, &again).is_ok() {
                    return Ok(Some(password));
                }
            }
        }
        Ok(None)
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
