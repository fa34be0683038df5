//! A session: statements and their rows.

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::dialect::Dialect;
use super::login::{Connection, Stored, answer, login};
use super::scramble::native_hash;
use super::server::Server;
use super::sql::literal;
use crate::plaintext::Plaintext;
use crate::strategy::{Credential, Problem, Refused, Unknown};

const QUIT: u8 = 0x01;
const QUERY: u8 = 0x03;
/// After this time without a statement the server ends the session: shorter than the time in which another replica takes
/// over, so that a process that was stopped cannot go on with it. In seconds.
const IDLE: u32 = 5;

/// The rows of an answer.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// A session of a user.
pub(in crate::strategy) struct Session {
    wire: Connection,
    /// How long an answer may take.
    patience: std::time::Duration,
    pub(super) dialect: Dialect,
    stored: Stored,
    /// The password of the login.
    password: Plaintext,
}

/// What becomes of the password that the user had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// It is refused from then on.
    Replaced,
    /// It becomes the second password, instead of the one that was.
    Retained,
}

impl Session {
    /// Logs in, and sets what every session needs.
    pub(super) async fn open(server: &Server, credential: &Credential) -> Result<Self, Problem> {
        let opened = timeout(server.endpoint.limits.connect, login(server, credential));
        let (wire, stored) = opened.await.map_err(|_| Unknown::Timeout)??;
        let password = Plaintext::from(credential.password.expose().to_owned());
        let mut session = Self { wire, patience: server.endpoint.limits.statement, dialect: Dialect::MySql, stored, password };
        // The server gives up first, and says so.
        let seconds = server.endpoint.limits.statement.mul_f64(0.8).as_secs().max(1);
        session
            .run(&format!(
                "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', SESSION wait_timeout = {IDLE}, SESSION lock_wait_timeout = {seconds}, \
                 SESSION innodb_lock_wait_timeout = {seconds}"
            ))
            .await?;
        let version = session.value("SELECT VERSION()").await?.ok_or(Unknown::ProtocolViolation)?;
        session.dialect = Dialect::of(&version);
        Ok(session)
    }

    /// Runs one statement, and gives its rows.
    pub(super) async fn run(&mut self, sql: &str) -> Result<Rows, Problem> {
        let answered = timeout(self.patience, async {
            self.wire.command(QUERY, sql).await?;
            answer(&mut self.wire).await
        });
        answered.await.map_err(|_| Unknown::Timeout)?
    }

    /// The first value of the only row.
    pub(super) async fn value(&mut self, sql: &str) -> Result<Option<String>, Problem> {
        let rows = self.run(sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// The name of the account that the server chose for the login, without its host.
    pub(super) async fn user(&mut self) -> Result<Option<String>, Problem> {
        let account = self.value("SELECT CURRENT_USER()").await?;
        Ok(account.and_then(|account| account.rsplit_once('@').map(|(user, _)| user.to_owned())))
    }

    /// Changes the password of the account that logged in.
    pub(super) async fn set_password(&mut self, password: &Plaintext, old: Old) -> Result<(), Problem> {
        match (self.dialect, old) {
            (Dialect::MySql, _) => self.alter_user(password, old).await,
            (Dialect::MariaDb, Old::Retained) => Err(Refused::DualPasswordUnsupported.into()),
            // MariaDB writes the text of PASSWORD('..') into its logs. So it gets what it stores.
            (Dialect::MariaDb, Old::Replaced) if self.stored == Stored::Native => {
                self.run(&format!("SET PASSWORD = '{}'", native_hash(password.expose().as_bytes()))).await.map(drop)
            }
            (Dialect::MariaDb, Old::Replaced) => Err(Refused::AuthenticationUnsupported.into()),
        }
    }

    /// MySQL takes a text only, and writes `<secret>` into its logs instead.
    async fn alter_user(&mut self, password: &Plaintext, old: Old) -> Result<(), Problem> {
        let text = Zeroizing::new(literal(password.expose()));
        let retain = if old == Old::Retained { " RETAIN CURRENT PASSWORD" } else { "" };
        let plain = Zeroizing::new(format!("ALTER USER USER() IDENTIFIED BY {}{retain}", *text));
        match self.run(&plain).await {
            // A policy (PASSWORD REQUIRE CURRENT) wants the present password named.
            Err(Problem::Refused(Refused::CurrentPasswordRequired)) => {
                let current = Zeroizing::new(literal(self.password.expose()));
                let naming = Zeroizing::new(format!("ALTER USER USER() IDENTIFIED BY {} REPLACE {}{retain}", *text, *current));
                self.run(&naming).await.map(drop)
            }
            answer => answer.map(drop),
        }
    }

    /// Ends sessions of this user that wait with a change of a password: those of attempts whose connection was lost.
    pub(super) async fn end_other_changes(&mut self) -> Result<(), Problem> {
        let own = self.value("SELECT CONNECTION_ID()").await?;
        // Without a further privilege, a user sees its own sessions only.
        let rows = match self.run("SHOW FULL PROCESSLIST").await {
            Err(Problem::Refused(_)) => return Ok(()),
            rows => rows?,
        };
        for row in rows {
            let mut columns = row.into_iter();
            let (Some(Some(id)), Some(statement)) = (columns.next(), columns.nth(6)) else { continue };
            // MySQL shows the account instead of USER().
            let changes = statement.is_some_and(|text| text.starts_with("ALTER USER") || text.starts_with("SET PASSWORD"));
            if !changes || Some(&id) == own.as_ref() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            match self.run(&format!("KILL {id}")).await {
                // It ended by itself.
                Ok(_) | Err(Problem::Refused(_)) => {}
                Err(unknown) => return Err(unknown),
            }
        }
        Ok(())
    }

    /// Runs the declared query, in a transaction that is read-only and rolled back.
    pub(super) async fn run_query(&mut self, query: Option<&str>) -> Result<(), Problem> {
        let Some(query) = query else { return Ok(()) };
        self.run("START TRANSACTION READ ONLY").await?;
        match self.run(query).await {
            Ok(_) => self.run("ROLLBACK").await.map(drop),
            Err(Problem::Refused(_)) => Err(Refused::QueryFailed.into()),
            Err(unknown @ Problem::Unknown(_)) => Err(unknown),
        }
    }

    /// Ends the session. It ends with this value too, but then the server logs a lost connection.
    pub(super) async fn close(mut self) {
        let _ = timeout(std::time::Duration::from_secs(1), self.wire.command(QUIT, "")).await;
    }
}
