//! One user with two passwords: the one before keeps working until the next rotation. MySQL calls them the primary and the
//! secondary one, and does not tell which of them a session has used.
//! <https://dev.mysql.com/doc/refman/9.0/en/password-management.html#dual-passwords>

use super::dialect::Dialect;
use super::server::Server;
use super::session::{Old, Session};
use super::single_user::SingleUser;
use crate::strategy::single_user::{Accounts as _, WRONG, is_refused, log_in_with_an_older_one};
use crate::strategy::{Applied, Credential, Problem, Refused, Undone};

/// The strategy for one user with two passwords.
#[derive(Debug, Clone, Copy)]
pub struct DualPassword<'a> {
    /// The server.
    pub server: &'a Server,
}

impl DualPassword<'_> {
    /// Makes the server accept `pending` as the primary password and `current` as the secondary one. At most three logins.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known. The server accepts `current` in either case.
    pub async fn apply(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        self.server.endpoint.within_a_step(self.make_primary(pending, current, previous)).await
    }

    async fn make_primary(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        if pending.user != current.user {
            return Err(Refused::UserChanged.into());
        }
        let users = self.users();
        let (mut session, applied) = match users.open(pending).await {
            Ok(session) => (session, Applied::Already),
            Err(WRONG) => (log_in_with_an_older_one(&users, current, previous).await?, Applied::Now),
            Err(problem) => return Err(problem),
        };
        if session.dialect == Dialect::MariaDb {
            return Err(Refused::DualPasswordUnsupported.into());
        }
        session.run_query(self.server.query.as_deref()).await?;
        // Which password is the primary one is not known: an attempt may have ended before, or the staged one may be the
        // secondary one because it was in use before. RETAIN keeps the primary one. So the current one becomes that first.
        match session.set_password(&current.password, Old::Retained).await {
            // A policy (password_history) forbids to set a password again. Then what is applied stays as it is, and otherwise
            // the current one counts as the primary one.
            Err(Problem::Refused(Refused::Rejected)) if applied == Applied::Already => {
                session.close().await;
                return Ok(Applied::Already);
            }
            Ok(()) | Err(Problem::Refused(Refused::Rejected)) => {}
            Err(problem) => return Err(problem),
        }
        session.set_password(&pending.password, Old::Retained).await?;
        session.close().await;
        Ok(applied)
    }

    /// Makes sure, in a new session, that the server accepts `pending` and refuses another password, and that the user can
    /// work. Two logins.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        self.users().verify(pending).await
    }

    /// Makes the server refuse `pending`, now and later, and accept `current`, both seen by a login. At most five logins. No
    /// secondary password is left.
    ///
    /// # Errors
    /// [`Refused::NoPasswordAccepted`] if it accepts none of them, [`Refused::CannotUndo`] if it still accepts `pending`, or
    /// what else it answers.
    pub async fn undo(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        if pending.user != current.user {
            return self.users().undo(pending, current, previous).await;
        }
        self.server.endpoint.within_a_step(self.withdraw(pending, current, previous)).await
    }

    async fn withdraw(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        if pending.is(current) {
            return Err(Refused::CannotUndo.into());
        }
        let users = self.users();
        let (mut session, done) = match users.open(pending).await {
            Ok(session) => (session, Undone::Now),
            Err(WRONG) => (log_in_with_an_older_one(&users, current, previous).await?, Undone::Nothing),
            Err(problem) => return Err(problem),
        };
        session.end_other_changes().await?;
        session.set_password(&current.password, Old::Replaced).await?;
        discard_old(&mut session).await?;
        session.close().await;
        is_refused(&users, pending).await?;
        match users.open(current).await {
            Ok(session) => session.close().await,
            Err(WRONG) => return Err(Refused::NoPasswordAccepted.into()),
            Err(problem) => return Err(problem),
        }
        Ok(done)
    }

    /// Makes the server refuse `old`, which is the password before `current`, seen by a login.
    ///
    /// # Errors
    /// [`Refused::CannotUndo`] if it still accepts `old`, or what else it answers.
    pub async fn retire(&self, old: &Credential, current: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                let users = self.users();
                let mut session = users.open(current).await?;
                discard_old(&mut session).await?;
                session.close().await;
                is_refused(&users, old).await
            })
            .await
    }

    /// Whether the server accepts a value. One login.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn check(&self, current: &Credential) -> Result<(), Problem> {
        self.users().check(current).await
    }

    fn users(&self) -> SingleUser<'_> {
        SingleUser { server: self.server }
    }
}

async fn discard_old(session: &mut Session) -> Result<(), Problem> {
    session.run("ALTER USER USER() DISCARD OLD PASSWORD").await.map(drop)
}
