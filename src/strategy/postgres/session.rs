//! A session: statements and their rows.

use std::time::Duration;

use postgres_protocol::message::frontend;
use tokio::time::timeout;

use super::connect::connect;
use super::login::{Proof, login, of_statement, one_statement, statement};
use super::server::Server;
use super::wire::{Message, Wire, row, sqlstate};
use crate::strategy::dial::Stream;
use crate::strategy::tls::Certificate;
use crate::strategy::{Credential, Problem, Refused, Unknown};

/// Messages in the answer to one statement.
const MOST_MESSAGES: usize = 1000;
/// After this time without a statement the server ends the session: shorter than the time in which another replica takes
/// over, so that a process that was stopped cannot go on with it, within a transaction or not. In milliseconds.
const IDLE: u32 = 5000;

/// The rows of an answer.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// A session of a user.
pub(in crate::strategy) struct Session {
    wire: Wire<Box<dyn Stream>>,
    /// How long an answer may take.
    patience: Duration,
    certificate: Option<Certificate>,
    /// The process of the server, as the other side named it at the login.
    process: Option<i32>,
}

impl Session {
    /// Logs in, and sets what every session needs.
    pub(super) async fn open(server: &Server, credential: &Credential) -> Result<Self, Problem> {
        Self::start(server, credential, Proof::Any, None).await
    }

    /// The same for an administrator: the person who chooses the server and its certificate need not be the one whose
    /// password this is, so the server does not learn it.
    pub(super) async fn open_hidden(server: &Server, credential: &Credential) -> Result<Self, Problem> {
        Self::start(server, credential, Proof::Hidden, None).await
    }

    /// The same where the owner of the password has not said how the server is verified: the login is bound to the connection,
    /// so that nobody passes it on, and the server is the one with this certificate.
    pub(super) async fn open_bound(server: &Server, credential: &Credential, certificate: &Certificate) -> Result<Self, Problem> {
        Self::start(server, credential, Proof::Bound, Some(certificate)).await
    }

    /// The server's certificate; `None`: the connection is not encrypted.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    async fn start(server: &Server, credential: &Credential, proof: Proof, expected: Option<&Certificate>) -> Result<Self, Problem> {
        let opened = timeout(server.endpoint.limits.connect, async {
            let connection = connect(&server.endpoint).await?;
            let certificate = connection.certificate.clone();
            if expected.is_some() && certificate.as_ref() != expected {
                return Err(Problem::from(Refused::AnotherServer));
            }
            let (wire, process) = login(connection, &server.database, credential, proof).await?;
            Ok((wire, process, certificate))
        });
        let (wire, process, certificate) = opened.await.map_err(|_| Unknown::Timeout)??;
        let mut session = Self { wire, patience: server.endpoint.limits.statement, certificate, process };
        // The server gives up first, and says so.
        let millis = server.endpoint.limits.statement.mul_f64(0.8).as_millis();
        // What the role's own settings may have changed. SET ROLE NONE: the user that logged in, not its default role.
        let begin = format!(
            "SET search_path TO pg_catalog; SET statement_timeout TO {millis}; SET lock_timeout TO {millis}; \
             SET idle_in_transaction_session_timeout TO {IDLE}; SET ROLE NONE; \
             SET standard_conforming_strings TO on; SET datestyle TO ISO; SET default_transaction_read_only TO off"
        );
        session.run(&begin).await?;
        // Servers before PostgreSQL 14 do not know it.
        match session.run(&format!("SET idle_session_timeout TO {IDLE}")).await {
            Ok(_) | Err(Problem::Refused(Refused::Rejected)) => Ok(session),
            Err(problem) => Err(problem),
        }
    }

    /// Runs statements, and gives the rows of all of them.
    pub(super) async fn run(&mut self, sql: &str) -> Result<Rows, Problem> {
        timeout(self.patience, self.answer(sql)).await.map_err(|_| Unknown::Timeout)?
    }

    async fn answer(&mut self, sql: &str) -> Result<Rows, Problem> {
        self.wire.send(statement(sql)).await?;
        self.rows().await
    }

    async fn rows(&mut self) -> Result<Rows, Problem> {
        let (mut rows, mut error) = (Rows::new(), None);
        for _ in 0..MOST_MESSAGES {
            let Message { tag, body } = match self.wire.receive().await {
                Ok(message) => message,
                // A server that ends the session says why first.
                Err(lost) => return Err(error.unwrap_or(lost)),
            };
            match tag {
                b'Z' => return error.map_or(Ok(rows), Err),
                b'E' => error = error.or_else(|| Some(of_statement(&sqlstate(&body)))),
                b'D' => rows.push(row(&body).ok_or(Unknown::ProtocolViolation)?),
                // Done, columns, nothing to do, notices, parameters, notifications; parsed, bound, enough rows.
                b'C' | b'T' | b'I' | b'N' | b'S' | b'A' | b'1' | b'2' | b's' => {}
                // COPY, among others: it would wait for data.
                _ => return Err(Unknown::ProtocolViolation.into()),
            }
        }
        Err(Unknown::ProtocolViolation.into())
    }

    /// The only value of the only row.
    pub(super) async fn value(&mut self, sql: &str) -> Result<Option<String>, Problem> {
        let rows = self.run(sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// A pooler has passwords of its own, and names a process of its own at the login.
    pub(super) async fn refuse_a_pooler(&mut self) -> Result<(), Problem> {
        let Some(named) = self.process else { return Ok(()) };
        let process = self.value("SELECT pg_backend_pid()").await?;
        if process.as_deref() == Some(named.to_string().as_str()) { Ok(()) } else { Err(Refused::Pooler.into()) }
    }

    /// Runs the declared query, in a transaction that is read-only and rolled back, as the role that the user has after a login.
    /// The server takes one statement only: a second one after `COMMIT` would write.
    pub(super) async fn run_query(&mut self, query: Option<&str>) -> Result<(), Problem> {
        let Some(query) = query else { return Ok(()) };
        self.run("BEGIN READ ONLY; RESET search_path; RESET ROLE").await?;
        let answer = timeout(self.patience, async {
            self.wire.send(one_statement(query)).await?;
            self.rows().await
        });
        match answer.await.map_err(|_| Unknown::Timeout)? {
            Ok(_) => self.run("ROLLBACK; SET search_path TO pg_catalog; SET ROLE NONE").await.map(drop),
            Err(Problem::Refused(_)) => Err(Refused::QueryFailed.into()),
            Err(unknown @ Problem::Unknown(_)) => Err(unknown),
        }
    }

    /// Ends the session. It ends with this value too, but then the server logs a lost connection.
    pub(super) async fn close(mut self) {
        let ending = self.wire.send(|buffer| {
            frontend::terminate(buffer);
            Ok(())
        });
        let _ = timeout(Duration::from_secs(1), ending).await;
    }
}
