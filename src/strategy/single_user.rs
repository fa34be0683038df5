//! One user with one password, in any kind of server: in which order passwords are tried, and what a change, its
//! verification and its withdrawal consist of. Between the change in the server and the write of the mirror, new logins with
//! the mirrored password fail.

use super::{Applied, Credential, Problem, Refused, Undone};
use crate::plaintext::Plaintext;

/// A refusal of the password alone: another password may be accepted.
pub(super) const WRONG: Problem = Problem::Refused(Refused::PasswordRefused);

/// How a user changes its own password in a kind of server.
pub(super) trait Accounts {
    type Session;

    /// Logs in. `PasswordRefused` means that only the password is wrong.
    async fn open(&self, credential: &Credential) -> Result<Self::Session, Problem>;

    /// Makes sure that a session with the present password does what one with the new password is to do. What fails now is not
    /// the new password's fault, and would fail once no other one is left.
    async fn rehearse(&self, session: &mut Self::Session) -> Result<(), Problem>;

    /// Changes the password of the user that logged in.
    async fn set_password(&self, session: &mut Self::Session, password: &Plaintext) -> Result<(), Problem>;

    /// Makes sure that the user could change its password, and changes nothing.
    async fn try_change(&self, session: &mut Self::Session, credential: &Credential) -> Result<(), Problem>;

    /// Ends attempts of the operator whose connection was lost. They may still wait for a lock in the server.
    async fn end_other_attempts(&self, session: &mut Self::Session) -> Result<(), Problem>;

    /// Makes sure that the session is one of this user, that the server asked for the password, and that the user can work.
    async fn works(&self, session: &mut Self::Session, credential: &Credential) -> Result<(), Problem>;

    /// Ends the session.
    async fn close(&self, session: Self::Session);
}

/// Makes the server accept `pending`. At most three logins.
///
/// # Errors
/// The server's refusal, or that its answer is not known. Then the server accepts `pending` or what it accepted before.
pub(super) async fn apply<A: Accounts>(
    accounts: &A,
    pending: &Credential,
    current: &Credential,
    previous: Option<&Credential>,
) -> Result<Applied, Problem> {
    if pending.user != current.user {
        return Err(Refused::UserChanged.into());
    }
    match accounts.open(pending).await {
        Ok(session) => {
            accounts.close(session).await;
            return Ok(Applied::Already);
        }
        Err(WRONG) => {}
        Err(problem) => return Err(problem),
    }
    let mut session = log_in_with_an_older_one(accounts, current, previous).await?;
    accounts.rehearse(&mut session).await?;
    accounts.set_password(&mut session, &pending.password).await?;
    accounts.close(session).await;
    Ok(Applied::Now)
}

/// Makes sure, in a new session, that the server accepts `pending` and that the user can work.
///
/// # Errors
/// Why not, or that it is not known.
pub(super) async fn verify<A: Accounts>(accounts: &A, pending: &Credential) -> Result<(), Problem> {
    let mut session = accounts.open(pending).await?;
    accounts.works(&mut session, pending).await?;
    accounts.close(session).await;
    Ok(())
}

/// Makes the server refuse `pending`, now and later, and accept `current`, both seen by a login. At most five logins. If
/// `current` is of another user, `previous` takes its place.
///
/// # Errors
/// [`Refused::NoPasswordAccepted`] if it accepts none of them, [`Refused::CannotUndo`] if it still accepts `pending` and there
/// is no other value of that user, or what else it answers.
pub(super) async fn undo<A: Accounts>(
    accounts: &A,
    pending: &Credential,
    current: &Credential,
    previous: Option<&Credential>,
) -> Result<Undone, Problem> {
    if pending.is(current) {
        return Err(Refused::CannotUndo.into());
    }
    if pending.user != current.user {
        return undo_of_another(accounts, pending, previous).await;
    }
    let (mut session, done) = match accounts.open(pending).await {
        Ok(session) => (session, Undone::Now),
        Err(WRONG) => (log_in_with_an_older_one(accounts, current, previous).await?, Undone::Nothing),
        Err(problem) => return Err(problem),
    };
    accounts.end_other_attempts(&mut session).await?;
    accounts.set_password(&mut session, &current.password).await?;
    accounts.close(session).await;
    is_refused(accounts, pending).await?;
    is_accepted(accounts, current).await?;
    Ok(done)
}

/// Whether the server accepts a value. One login.
pub(super) async fn check<A: Accounts>(accounts: &A, current: &Credential) -> Result<(), Problem> {
    accounts.close(accounts.open(current).await?).await;
    Ok(())
}

/// Whether a rotation could change the password. Nothing is changed. One login.
pub(super) async fn try_rotation<A: Accounts>(accounts: &A, current: &Credential) -> Result<(), Problem> {
    let mut session = accounts.open(current).await?;
    accounts.rehearse(&mut session).await?;
    accounts.try_change(&mut session, current).await?;
    accounts.close(session).await;
    Ok(())
}

/// Another writer put a value of another user, which the server need not have. The user of `pending` gets `previous` back.
async fn undo_of_another<A: Accounts>(accounts: &A, pending: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
    let mut session = match accounts.open(pending).await {
        Ok(session) => session,
        Err(WRONG) => return Ok(Undone::Nothing),
        Err(problem) => return Err(problem),
    };
    let same_user = |previous: &&Credential| previous.user == pending.user && !pending.is(previous);
    let Some(previous) = previous.filter(same_user) else { return Err(Refused::CannotUndo.into()) };
    accounts.end_other_attempts(&mut session).await?;
    accounts.set_password(&mut session, &previous.password).await?;
    accounts.close(session).await;
    is_refused(accounts, pending).await?;
    Ok(Undone::Now)
}

/// Makes sure that the server refuses what is to be undone.
pub(super) async fn is_refused<A: Accounts>(accounts: &A, pending: &Credential) -> Result<(), Problem> {
    match accounts.open(pending).await {
        Ok(_) => Err(Refused::CannotUndo.into()),
        Err(WRONG) => Ok(()),
        Err(problem) => Err(problem),
    }
}

/// Makes sure that the server accepts what it is to have again.
pub(super) async fn is_accepted<A: Accounts>(accounts: &A, kept: &Credential) -> Result<(), Problem> {
    match check(accounts, kept).await {
        Err(WRONG) => Err(Refused::NoPasswordAccepted.into()),
        answer => answer,
    }
}

/// The old password is also what keeps a replica out that was stopped and wakes up late: once another one has applied a
/// later version, it is refused.
pub(super) async fn log_in_with_an_older_one<A: Accounts>(
    accounts: &A,
    current: &Credential,
    previous: Option<&Credential>,
) -> Result<A::Session, Problem> {
    match accounts.open(current).await {
        Err(WRONG) => {}
        opened => return opened,
    }
    let Some(previous) = previous.filter(|previous| previous.user == current.user) else {
        return Err(Refused::NoPasswordAccepted.into());
    };
    match accounts.open(previous).await {
        Err(WRONG) => Err(Refused::NoPasswordAccepted.into()),
        opened => opened,
    }
}
