//! A session: statements and their rows.

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::dialect::{Dialect, NOT_THE_PRIMARY_PASSWORD, OPTION_PREVENTS, of_statement};
use super::login::{Connection, Stored, answer, login};
use super::scramble::native_hash;
use super::server::Server;
use super::sql::{account, literal};
use super::wire::Rows;
use crate::plaintext::Plaintext;
use crate::strategy::{Credential, Problem, Refused, Unknown};

const QUIT: u8 = 0x01;
const QUERY: u8 = 0x03;
/// After this time without a statement the server ends the session: shorter than the time in which another replica takes
/// over, so that a process that was stopped cannot go on with it. In seconds.
const IDLE: u32 = 5;

/// A session of a user.
pub(in crate::strategy) struct Session {
    wire: Connection,
    /// How long an answer may take.
    patience: std::time::Duration,
    pub(super) dialect: Dialect,
    stored: Stored,
    /// Who logged in.
    user: String,
    /// The password of the login.
    password: Plaintext,
    /// The number that the server gave it.
    id: String,
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
    /// Logs in, makes sure that the session works as the user that logged in, and sets what every session needs.
    pub(super) async fn open(server: &Server, credential: &Credential) -> Result<Self, Problem> {
        let opened = timeout(server.endpoint.limits.connect, login(server, credential));
        let (wire, stored) = opened.await.map_err(|_| Unknown::Timeout)??;
        let mut session = Self {
            wire,
            patience: server.endpoint.limits.statement,
            dialect: Dialect::MySql,
            stored,
            user: credential.user.clone(),
            password: Plaintext::from(credential.password.expose().to_owned()),
            id: String::new(),
        };
        session.identify().await?;
        session.settle().await?;
        Ok(session)
    }

    /// A login can lead to an anonymous account, or a proxy to that of another user. Nothing is changed there.
    async fn identify(&mut self) -> Result<(), Problem> {
        let rows = self.run("SELECT VERSION(), CONNECTION_ID(), CURRENT_USER(), @@proxy_user").await?;
        let Ok([Some(version), Some(id), Some(account), proxy]) = <[_; 4]>::try_from(rows.into_iter().next().unwrap_or_default()) else {
            return Err(Unknown::ProtocolViolation.into());
        };
        if !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Unknown::ProtocolViolation.into());
        }
        (self.dialect, self.id) = (Dialect::of(&version), id);
        let name = account.rsplit_once('@').map(|(name, _)| name);
        if name == Some(self.user.as_str()) && proxy.is_none() { Ok(()) } else { Err(Refused::WrongUser.into()) }
    }

    /// What the server's defaults, its `init_connect` or the declared query can have changed.
    async fn settle(&mut self) -> Result<(), Problem> {
        // The server gives up first, and says so.
        let seconds = self.patience.mul_f64(0.8).as_secs().max(1);
        let charset = ["client", "connection", "results"].map(|part| format!("SESSION character_set_{part} = 'utf8mb4'")).join(", ");
        self.run(&format!(
            "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', SESSION wait_timeout = {IDLE}, SESSION lock_wait_timeout = {seconds}, \
             SESSION innodb_lock_wait_timeout = {seconds}, {charset}"
        ))
        .await
        .map(drop)
    }

    /// Runs one statement, and gives its rows.
    pub(super) async fn run(&mut self, sql: &str) -> Result<Rows, Problem> {
        self.answer_to(sql).await?.map_err(of_statement)
    }

    /// The same; inside, the code of an error.
    async fn answer_to(&mut self, sql: &str) -> Result<Result<Rows, u16>, Problem> {
        let answered = timeout(self.patience, async {
            self.wire.command(QUERY, sql).await?;
            answer(&mut self.wire).await
        });
        answered.await.map_err(|_| Unknown::Timeout)?
    }

    /// The password of the login.
    pub(super) fn password(&self) -> &Plaintext {
        &self.password
    }

    /// Whether [`Self::set_password`] knows how the account logs in.
    pub(super) fn can_set_its_password(&self) -> bool {
        self.dialect == Dialect::MySql || self.stored == Stored::Native
    }

    /// Changes the password of the account that logged in.
    pub(super) async fn set_password(&mut self, password: &Plaintext) -> Result<(), Problem> {
        match self.dialect {
            Dialect::MySql => self.alter_user(password).await,
            // MariaDB writes the text of PASSWORD('..') into its logs. So it gets what it stores.
            Dialect::MariaDb if self.stored == Stored::Native => {
                match self.answer_to(&format!("SET PASSWORD = '{}'", native_hash(password.expose().as_bytes()))).await? {
                    Ok(_) => Ok(()),
                    Err(OPTION_PREVENTS) if !self.is_read_only().await? => Err(Refused::Rejected.into()),
                    Err(code) => Err(of_statement(code)),
                }
            }
            Dialect::MariaDb => Err(Refused::AuthenticationUnsupported.into()),
        }
    }

    /// The other option that prevents a change is that the server wants to judge passwords (`strict_password_validation`).
    pub(super) async fn is_read_only(&mut self) -> Result<bool, Problem> {
        let rows = self.run("SELECT @@GLOBAL.read_only").await?;
        let value = rows.into_iter().flatten().next().flatten();
        Ok(!value.is_some_and(|value| value == "0" || value == "OFF"))
    }

    /// Changes the primary password, if it is `from`: the server compares and changes in one step. `false`: it is another one,
    /// and nothing is changed.
    pub(super) async fn replace_primary(&mut self, from: &Plaintext, to: &Plaintext, old: Old) -> Result<bool, Problem> {
        if self.dialect == Dialect::MariaDb {
            return Err(Refused::DualPasswordUnsupported.into());
        }
        let retain = if old == Old::Retained { " RETAIN CURRENT PASSWORD" } else { "" };
        let [from, to] = [from, to].map(|password| Zeroizing::new(literal(password.expose())));
        match self.answer_to(&Zeroizing::new(format!("ALTER USER USER() IDENTIFIED BY {} REPLACE {}{retain}", *to, *from))).await? {
            Ok(_) => Ok(true),
            Err(NOT_THE_PRIMARY_PASSWORD) => Ok(false),
            // A server that is called MySQL and does not know it.
            Err(1064) => Err(Refused::DualPasswordUnsupported.into()),
            Err(code) => Err(of_statement(code)),
        }
    }

    /// Whether the user may have two passwords. It changes nothing.
    pub(super) async fn may_have_two_passwords(&mut self) -> Result<bool, Problem> {
        if self.dialect == Dialect::MariaDb {
            return Err(Refused::DualPasswordUnsupported.into());
        }
        // The privileges of the roles in force are among these.
        let rows = self.run("SHOW GRANTS").await?;
        let mut texts = rows.into_iter().flatten().flatten();
        Ok(texts.any(|text| text.contains("APPLICATION_PASSWORD_ADMIN") || text.contains("CREATE USER")))
    }

    /// Whether the user may change accounts: one that does not exist is changed.
    pub(super) async fn may_change_accounts(&mut self) -> Result<(), Problem> {
        let nobody = account(&format!("rs-{}", &uuid::Uuid::new_v4().simple().to_string()[..20]), "localhost");
        match self.answer_to(&format!("ALTER USER {nobody} ACCOUNT LOCK")).await? {
            // ER_CANNOT_USER: there is no such account.
            Ok(_) | Err(1396) => Ok(()),
            Err(code) => Err(of_statement(code)),
        }
    }

    /// Takes the secondary password away.
    pub(super) async fn discard_secondary(&mut self) -> Result<(), Problem> {
        self.run("ALTER USER USER() DISCARD OLD PASSWORD").await.map(drop)
    }

    /// MySQL takes a text only, and writes `<secret>` into its logs instead.
    async fn alter_user(&mut self, password: &Plaintext) -> Result<(), Problem> {
        let text = Zeroizing::new(literal(password.expose()));
        let plain = Zeroizing::new(format!("ALTER USER USER() IDENTIFIED BY {}", *text));
        match self.run(&plain).await {
            // A policy (PASSWORD REQUIRE CURRENT) wants the present password named.
            Err(Problem::Refused(Refused::CurrentPasswordRequired)) => {
                let current = Zeroizing::new(literal(self.password.expose()));
                self.run(&Zeroizing::new(format!("{} REPLACE {}", *plain, *current))).await.map(drop)
            }
            answer => answer.map(drop),
        }
    }

    /// Ends sessions of this user that wait with a change of a password: those of attempts whose connection was lost.
    pub(super) async fn end_other_changes(&mut self) -> Result<(), Problem> {
        // Without a further privilege, a user sees its own sessions only. Without FULL, 100 characters of a statement: those of
        // an application are of any length.
        let rows = match self.run("SHOW PROCESSLIST").await {
            Err(Problem::Refused(_)) => return Ok(()),
            rows => rows?,
        };
        for row in rows {
            let mut columns = row.into_iter();
            let (Some(Some(id)), Some(user), Some(statement)) = (columns.next(), columns.next(), columns.nth(5)) else { continue };
            // MySQL shows the account instead of USER().
            let changes = statement.is_some_and(|text| text.starts_with("ALTER USER") || text.starts_with("SET PASSWORD"));
            if !changes || id == self.id || user.as_ref() != Some(&self.user) || !id.bytes().all(|byte| byte.is_ascii_digit()) {
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
            Ok(_) => {
                self.run("ROLLBACK").await?;
                // A function of the user can change settings, and the next password is a literal.
                self.settle().await
            }
            Err(Problem::Refused(_)) => Err(Refused::QueryFailed.into()),
            Err(unknown @ Problem::Unknown(_)) => Err(unknown),
        }
    }

    /// Ends the session. It ends with this value too, but then the server logs a lost connection.
    pub(super) async fn close(mut self) {
        let _ = timeout(std::time::Duration::from_secs(1), self.wire.command(QUIT, "")).await;
    }
}
