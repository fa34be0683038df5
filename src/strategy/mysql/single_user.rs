//! One user with one password, by [the order of all servers](crate::strategy::single_user).

use super::server::Server;
use super::session::Session;
use crate::plaintext::Plaintext;
use crate::strategy::single_user::{self, Accounts, WRONG};
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

    /// Makes sure, in a new session, that the server accepts `pending` and refuses another password, and that the user can
    /// work. Two logins.
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

    /// Whether a rotation could change the password: every user may change its own one, unless the server is read-only. One
    /// login.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn try_rotation(&self, current: &Credential) -> Result<(), Problem> {
        self.server.endpoint.within_a_step(single_user::try_rotation(self, current)).await
    }
}

impl Accounts for SingleUser<'_> {
    type Session = Session;

    async fn open(&self, credential: &Credential) -> Result<Session, Problem> {
        Session::open(self.server, credential).await
    }

    async fn rehearse(&self, session: &mut Session) -> Result<(), Problem> {
        session.run_query(self.server.query.as_deref()).await
    }

    async fn set_password(&self, session: &mut Session, password: &Plaintext) -> Result<(), Problem> {
        session.set_password(password).await
    }

    async fn try_change(&self, session: &mut Session, _: &Credential) -> Result<(), Problem> {
        if !session.can_set_its_password() {
            return Err(Refused::AuthenticationUnsupported.into());
        }
        if session.is_read_only().await? { Err(Refused::ReadOnly.into()) } else { Ok(()) }
    }

    async fn end_other_attempts(&self, session: &mut Session) -> Result<(), Problem> {
        session.end_other_changes().await
    }

    async fn works(&self, session: &mut Session, credential: &Credential) -> Result<(), Problem> {
        session.run_query(self.server.query.as_deref()).await?;
        self.refuses_another(credential).await
    }

    async fn close(&self, session: Session) {
        session.close().await;
    }
}

impl SingleUser<'_> {
    /// The protocol cannot show that the server checked the password. So it is asked with one that is wrong.
    pub(super) async fn refuses_another(&self, credential: &Credential) -> Result<(), Problem> {
        let wrong = Plaintext::from(uuid::Uuid::new_v4().to_string());
        match self.open(&Credential { user: credential.user.clone(), password: wrong }).await {
            // What the session works as is asked after the login.
            Ok(_) | Err(Problem::Refused(Refused::WrongUser)) => Err(Refused::PasswordNotRequired.into()),
            Err(WRONG) => Ok(()),
            Err(problem) => Err(problem),
        }
    }
}
