//! One user, whose password changes, by [the order of all servers](crate::strategy::single_user).

use super::login::APPLICATION_NAME;
use super::server::Server;
use super::session::Session;
use super::sql::{literal, verifier};
use crate::plaintext::Plaintext;
use crate::strategy::single_user::{self, Accounts};
use crate::strategy::{Applied, Credential, Problem, Refused, Undone};

/// The strategy for one user of one server.
#[derive(Debug, Clone, Copy)]
pub struct SingleUser<'a> {
    /// The server.
    pub server: &'a Server,
}

impl SingleUser<'_> {
    /// Makes the server accept `pending`. At most three logins.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known. Then the server accepts `pending` or what it accepted before.
    pub async fn apply(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        self.server.endpoint.within_a_step(single_user::apply(self, pending, current, previous)).await
    }

    /// Makes sure, in a new session, that the server accepts `pending` and that the user can work.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        self.server.endpoint.within_a_step(single_user::verify(self, pending)).await
    }

    /// Makes the server refuse `pending`, now and later, and accept `current`, both seen by a login. At most five logins. If
    /// `current` is of another user, `previous` takes its place.
    ///
    /// # Errors
    /// [`Refused::NoPasswordAccepted`] if it accepts none of them, [`Refused::CannotUndo`] if it still accepts `pending` and there
    /// is no other value of that user, or what else it answers.
    pub async fn undo(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        self.server.endpoint.within_a_step(single_user::undo(self, pending, current, previous)).await
    }

    /// Whether the server accepts a value. One login.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn check(&self, current: &Credential) -> Result<(), Problem> {
        self.server.endpoint.within_a_step(single_user::check(self, current)).await
    }

    /// Whether a rotation could change the password: it is set in a transaction that is rolled back. One login.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn try_rotation(&self, current: &Credential) -> Result<(), Problem> {
        self.server.endpoint.within_a_step(single_user::try_rotation(self, current)).await
    }
}

impl Accounts for SingleUser<'_> {
    type Session = Session;

    /// Succeeds only if the server made sure of the password.
    async fn open(&self, credential: &Credential) -> Result<Session, Problem> {
        Session::open(self.server, credential).await
    }

    async fn rehearse(&self, session: &mut Session) -> Result<(), Problem> {
        session.refuse_a_pooler().await?;
        session.run_query(self.server.query.as_deref()).await
    }

    async fn set_password(&self, session: &mut Session, password: &Plaintext) -> Result<(), Problem> {
        session.run(&format!("ALTER ROLE SESSION_USER PASSWORD '{}'", verifier(password))).await.map(drop)
    }

    /// The present password again, so that nothing is changed even if another program between here and the server commits it.
    async fn try_change(&self, session: &mut Session, credential: &Credential) -> Result<(), Problem> {
        session.run("BEGIN").await?;
        self.set_password(session, &credential.password).await?;
        session.run("ROLLBACK").await.map(drop)
    }

    /// What such a session committed before, the next statement replaces; if both change the role at the same moment, one of
    /// them fails, and the undo is repeated.
    async fn end_other_attempts(&self, session: &mut Session) -> Result<(), Problem> {
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

    async fn works(&self, session: &mut Session, credential: &Credential) -> Result<(), Problem> {
        let user = session.value("SELECT session_user::text").await?;
        if user.as_deref() != Some(credential.user.as_str()) {
            return Err(Refused::WrongUser.into());
        }
        session.run_query(self.server.query.as_deref()).await
    }

    async fn close(&self, session: Session) {
        session.close().await;
    }
}
