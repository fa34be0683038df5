//! One user, whose password changes. Between the change in the server and the write of the mirror, new logins with the
//! mirrored password fail.

use super::login::APPLICATION_NAME;
use super::server::Server;
use super::session::Session;
use super::sql::{literal, verifier};
use crate::plaintext::Plaintext;
use crate::strategy::{Applied, Credential, Problem, Refused, Undone};

/// The strategy for one user of one server.
#[derive(Debug, Clone, Copy)]
pub struct SingleUser<'a> {
    /// The server.
    pub server: &'a Server,
}

/// A refusal of the password alone: another password may be accepted.
const WRONG: Problem = Problem::Refused(Refused::PasswordRefused);

impl SingleUser<'_> {
    /// Makes the server accept `pending`. At most three logins.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known. Then the server accepts `pending` or what it accepted before.
    pub async fn apply(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                if pending.user != current.user {
                    return Err(Refused::UserChanged.into());
                }
                match self.log_in(pending).await {
                    Ok(session) => {
                        session.close().await;
                        return Ok(Applied::Already);
                    }
                    Err(WRONG) => {}
                    Err(problem) => return Err(problem),
                }
                let mut session = self.log_in_with_an_older_one(current, previous).await?;
                // What fails for the old password is not the new one's fault, and would fail once no other one is left.
                session.run_query(self.server.query.as_deref()).await?;
                set_password(&mut session, &pending.password).await?;
                session.close().await;
                Ok(Applied::Now)
            })
            .await
    }

    /// Makes sure, in a new session, that the server accepts `pending` and that the user can work.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                let mut session = self.log_in(pending).await?;
                let user = session.value("SELECT session_user::text").await?;
                if user.as_deref() != Some(pending.user.as_str()) {
                    return Err(Refused::WrongUser.into());
                }
                session.run_query(self.server.query.as_deref()).await?;
                session.close().await;
                Ok(())
            })
            .await
    }

    /// Makes the server refuse `pending`, now and later, and accept `current`, both seen by a login. At most five logins. If
    /// `current` is of another user, `previous` takes its place.
    ///
    /// # Errors
    /// [`Refused::NoPasswordAccepted`] if it accepts none of them, [`Refused::CannotUndo`] if it still accepts `pending` and there
    /// is no other value of that user, or what else it answers.
    pub async fn undo(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                if pending.is(current) {
                    return Err(Refused::CannotUndo.into());
                }
                if pending.user != current.user {
                    return self.undo_of_another(pending, previous).await;
                }
                let (mut session, done) = match self.log_in(pending).await {
                    Ok(session) => (session, Undone::Now),
                    Err(WRONG) => (self.log_in_with_an_older_one(current, previous).await?, Undone::Nothing),
                    Err(problem) => return Err(problem),
                };
                // An attempt that lost its connection may still wait for a lock in the server.
                end_other_attempts(&mut session).await?;
                set_password(&mut session, &current.password).await?;
                session.close().await;
                match self.log_in(pending).await {
                    Ok(_) => return Err(Refused::CannotUndo.into()),
                    Err(WRONG) => {}
                    Err(problem) => return Err(problem),
                }
                match self.log_in(current).await {
                    Ok(session) => session.close().await,
                    Err(WRONG) => return Err(Refused::NoPasswordAccepted.into()),
                    Err(problem) => return Err(problem),
                }
                Ok(done)
            })
            .await
    }

    /// Another writer put a value of another user, which the server need not have. The user of `pending` gets `previous` back.
    async fn undo_of_another(&self, pending: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        let mut session = match self.log_in(pending).await {
            Ok(session) => session,
            Err(WRONG) => return Ok(Undone::Nothing),
            Err(problem) => return Err(problem),
        };
        let same_user = |previous: &&Credential| previous.user == pending.user && !pending.is(previous);
        let Some(previous) = previous.filter(same_user) else { return Err(Refused::CannotUndo.into()) };
        end_other_attempts(&mut session).await?;
        set_password(&mut session, &previous.password).await?;
        session.close().await;
        match self.log_in(pending).await {
            Ok(_) => Err(Refused::CannotUndo.into()),
            Err(WRONG) => Ok(Undone::Now),
            Err(problem) => Err(problem),
        }
    }

    /// Whether the server accepts a value. One login.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn check(&self, current: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.log_in(current).await?.close().await;
                Ok(())
            })
            .await
    }

    async fn log_in(&self, credential: &Credential) -> Result<Session, Problem> {
        Session::open(self.server, credential).await
    }

    /// The old password is also what keeps a replica out that was stopped and wakes up late: once another one has applied a
    /// later version, it is refused.
    async fn log_in_with_an_older_one(&self, current: &Credential, previous: Option<&Credential>) -> Result<Session, Problem> {
        match self.log_in(current).await {
            Err(WRONG) => {}
            opened => return opened,
        }
        let Some(previous) = previous.filter(|previous| previous.user == current.user) else {
            return Err(Refused::NoPasswordAccepted.into());
        };
        match self.log_in(previous).await {
            Err(WRONG) => Err(Refused::NoPasswordAccepted.into()),
            opened => opened,
        }
    }
}

/// Ends the operator's other sessions of this user. What such a session committed before, the next statement replaces; if
/// both change the role at the same moment, one of them fails, and the undo is repeated.
async fn end_other_attempts(session: &mut Session) -> Result<(), Problem> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = session_user AND pid <> pg_backend_pid() AND \
         application_name = {}",
        literal(APPLICATION_NAME)
    );
    match session.run(&sql).await {
        // A server can deny it to the user. Then the end of the statement's time remains.
        Ok(_) | Err(Problem::Refused(_)) => Ok(()),
        Err(unknown) => Err(unknown),
    }
}

async fn set_password(session: &mut Session, password: &Plaintext) -> Result<(), Problem> {
    session.run(&format!("ALTER ROLE SESSION_USER PASSWORD '{}'", verifier(password))).await.map(drop)
}
