//! Two users of a test that take turns on a MySQL or MariaDB server, and their administrator.

use anyhow::Result;
use jiff::Timestamp;
use rotated_secrets::strategy::mysql::{AlternatingUsers, Server};
use rotated_secrets::strategy::{Credential, Fence};
use testkit::mysql::{Kind, MySql};

use super::mysql_stand::{checked, identified_by, server};
use super::stand::{NEW, OLD, THIRD, credential};

/// A base user that logs in with [`OLD`] and may work in a schema of its own, and an administrator with what docs/rotation-mysql.md
/// gives it.
pub(super) struct Pair {
    pub(super) kind: Kind,
    pub(super) mysql: &'static MySql,
    pub(super) base: String,
    pub(super) twin: String,
    pub(super) admin: Credential,
    pub(super) server: Server,
}

pub(super) const ADMIN: &str = "canaryAdmin-8wL1;q5";

impl Pair {
    pub(super) fn new(kind: Kind, base: &str) -> Result<Self> {
        Self::on(MySql::shared(kind)?, base)
    }

    /// The same on a server of the test's own.
    pub(super) fn on(mysql: &'static MySql, base: &str) -> Result<Self> {
        let kind = mysql.kind();
        let (twin, admin) = (format!("{base}_clone"), format!("{base}_admin"));
        mysql.sql(&format!(
            "CREATE SCHEMA IF NOT EXISTS {base}; CREATE TABLE {base}.t (a INT, b INT); \
             CREATE USER {base} {}, {admin} {}; \
             GRANT SELECT, INSERT ON {base}.* TO {base}; GRANT CREATE USER ON *.* TO {admin}; GRANT SELECT ON mysql.* TO {admin}; \
             GRANT ALL PRIVILEGES ON {base}.* TO {admin} WITH GRANT OPTION",
            identified_by(kind, OLD),
            identified_by(kind, ADMIN)
        ))?;
        let server = server(mysql);
        Ok(Self { kind, mysql, base: base.to_owned(), twin, admin: credential(&admin, ADMIN), server })
    }

    /// The same on both servers.
    pub(super) fn both(base: &str) -> Result<Vec<Self>> {
        Kind::here().into_iter().map(|kind| Self::new(kind, base)).collect()
    }

    pub(super) fn strategy(&self) -> AlternatingUsers<'_> {
        AlternatingUsers { server: &self.server, admin: &self.admin, bound: false, base: &self.base, twin: &self.twin }
    }

    pub(super) fn base(&self, password: &str) -> Credential {
        credential(&self.base, password)
    }

    pub(super) fn twin(&self, password: &str) -> Credential {
        credential(&self.twin, password)
    }

    pub(super) fn sql(&self, sql: &str) -> Result<String> {
        self.mysql.sql(sql)
    }

    /// Gives an account this password. The log does not have it from here.
    pub(super) fn set_password(&self, account: &str, password: &str) -> Result<()> {
        self.sql(&format!("ALTER USER {account} {}", identified_by(self.kind, password))).map(drop)
    }

    /// The privileges of an account, without its name and without how it logs in.
    pub(super) fn grants(&self, user: &str) -> Result<Vec<String>> {
        let text = self.sql(&format!("SHOW GRANTS FOR {user}"))?;
        let lines = text.lines().filter(|line| !line.contains("[rotated-secrets"));
        let mut lines: Vec<String> = lines
            .map(|line| {
                line.split(" IDENTIFIED ")
                    .next()
                    .unwrap_or_default()
                    .replace(&format!("O `{user}`"), "O `it`")
                    .replace(&format!("R `{user}`"), "R `it`")
            })
            .collect();
        lines.sort();
        Ok(lines)
    }

    /// The marks of the operator at the accounts of a user.
    pub(super) fn marks(&self, user: &str) -> Result<String> {
        self.sql(&match self.kind {
            Kind::MySql => format!("SELECT ATTRIBUTE FROM information_schema.USER_ATTRIBUTES WHERE USER = '{user}' ORDER BY HOST"),
            Kind::MariaDb => format!("SELECT Role FROM mysql.roles_mapping WHERE User = '{user}' AND Role LIKE '%rotated-secrets%'"),
        })
    }

    /// Of the passwords of the base user and of the second one, those that the server accepts.
    pub(super) fn accepted(&self) -> Result<[Vec<&'static str>; 2]> {
        let of = |user: &str| -> Result<Vec<&'static str>> {
            let mut accepted = Vec::new();
            for password in [OLD, NEW, THIRD] {
                if self.accepts(user, password)? {
                    accepted.push(password);
                }
            }
            Ok(accepted)
        };
        Ok([of(&self.base)?, of(&self.twin)?])
    }

    /// The same, asked by our own client, which takes a fraction of the time.
    pub(super) async fn checked(&self) -> [Vec<&'static str>; 2] {
        [checked(&self.server, &self.base).await, checked(&self.server, &self.twin).await]
    }

    /// A locked user is not accepted either.
    pub(super) fn accepts(&self, user: &str, password: &str) -> Result<bool> {
        self.mysql.accepts(user, password).or_else(|error| if format!("{error:#}").contains("locked") { Ok(false) } else { Err(error) })
    }
}

/// The version that was created at this second.
pub(super) fn version(second: i64) -> Fence {
    Fence { version: format!("version-{second}"), created: Timestamp::from_second(second).unwrap() }
}
