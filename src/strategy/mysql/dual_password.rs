//! One user with two passwords: the one before keeps working until the next rotation. MySQL calls them the primary and the
//! secondary one, and does not tell which of them a session has used. The old password is no fence here, since it keeps
//! working: so each change names the primary password that it replaces, and MySQL compares and changes in one step. A replica
//! that was stopped and wakes up late changes nothing.
//! <https://dev.mysql.com/doc/refman/9.0/en/password-management.html#dual-passwords>

use super::server::Server;
use super::session::{Old, Session};
use super::single_user::SingleUser;
use crate::plaintext::Plaintext;
use crate::strategy::single_user::{Accounts as _, WRONG, is_accepted, is_refused, log_in_with_an_older_one};
use crate::strategy::{Applied, Credential, Problem, Refused, Undone};

/// The strategy for one user with two passwords.
#[derive(Debug, Clone, Copy)]
pub struct DualPassword<'a> {
    /// The server.
    pub server: &'a Server,
    /// Whether the previous version was created after the current one. Then its password can be the primary one: another client
    /// has made an older version current in AWS, or a late replica has applied one that was abandoned. An older previous version
    /// is one that a late replica has read, and that can be in use again.
    pub previous_is_later: bool,
}

impl DualPassword<'_> {
    /// Makes the server accept `pending` as the primary password and `current` as the secondary one. At most three logins.
    /// `previous`: the password before, or one that was abandoned, which can be the primary one.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known. The server accepts `current` in either case, if it did before.
    pub async fn apply(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        self.server.endpoint.within_a_step(self.make_primary(pending, current, previous)).await
    }

    async fn make_primary(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        if pending.user != current.user {
            return Err(Refused::UserChanged.into());
        }
        let users = self.users();
        let (mut session, accepted) = match users.open(pending).await {
            Ok(session) => (session, true),
            Err(WRONG) => (log_in_with_an_older_one(&users, current, previous).await?, false),
            Err(problem) => return Err(problem),
        };
        session.run_query(self.server.query.as_deref()).await?;
        // A version with the same password ends none: to set it again would replace the secondary one, which pods may have.
        if accepted && pending.is(current) {
            session.close().await;
            return Ok(Applied::Already);
        }
        let primary = if accepted { current.password.expose() } else { session.password().expose() };
        let primary = Plaintext::from(primary.to_owned());
        let mut replaced = session.replace_primary(&primary, &pending.password, Old::Retained).await;
        if !accepted && replaced == Ok(false) && self.restore_primary(&mut session, current, previous).await? {
            replaced = session.replace_primary(&primary, &pending.password, Old::Retained).await;
        }
        session.close().await;
        match replaced {
            // Also if the staged one was the secondary one, because it was in use before.
            Ok(true) => Ok(if accepted { Applied::Already } else { Applied::Now }),
            // The primary one is not the current one: an attempt ended before, or a later one was set. A policy
            // (password_history) speaks first, and forbids to set it again. In each case the server accepts it, and this attempt
            // changes nothing.
            Ok(false) | Err(Problem::Refused(Refused::Rejected)) if accepted => Ok(Applied::Already),
            // What AWS has as current is the secondary one, and AWS does not have the primary one: another client has set it.
            Ok(false) => Err(Refused::Superseded.into()),
            Err(problem) => Err(problem),
        }
    }

    /// Makes sure, in a new session, that the server accepts `pending` and refuses another password, and that the user can
    /// work. Two logins.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        self.users().verify(pending).await
    }

    /// Makes the server refuse `pending`, now and later, and accept `current` as the primary password, both seen by a login. At
    /// most five logins. If `current` is of another user, `previous` takes its place.
    ///
    /// # Errors
    /// [`Refused::NoPasswordAccepted`] if it accepts none of them, [`Refused::Superseded`] if the primary one is none of them,
    /// [`Refused::CannotUndo`] if there is no other value of that user, or what else it answers.
    pub async fn undo(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        self.server.endpoint.within_a_step(self.withdraw(pending, current, previous)).await
    }

    async fn withdraw(&self, pending: &Credential, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        if pending.is(current) {
            return Err(Refused::CannotUndo.into());
        }
        let users = self.users();
        let (mut session, done) = match users.open(pending).await {
            Ok(session) => (session, Undone::Now),
            Err(WRONG) if pending.user != current.user => return Ok(Undone::Nothing),
            Err(WRONG) => (log_in_with_an_older_one(&users, current, previous).await?, Undone::Nothing),
            Err(problem) => return Err(problem),
        };
        let same_user = |value: &&Credential| value.user == pending.user && !pending.is(value);
        let Some(kept) = Some(current).filter(same_user).or(previous.filter(same_user)) else {
            return Err(Refused::CannotUndo.into());
        };
        session.end_other_changes().await?;
        let login = Plaintext::from(session.password().expose().to_owned());
        if !session.replace_primary(&login, &kept.password, Old::Replaced).await? {
            // The login was by the secondary one. It goes only if the other one is the one to keep, or becomes it.
            if !session.replace_primary(&kept.password, &kept.password, Old::Replaced).await?
                && !self.restore_primary(&mut session, kept, previous).await?
            {
                return Err(Refused::Superseded.into());
            }
            session.discard_secondary().await?;
        }
        session.close().await;
        is_refused(&users, pending).await?;
        is_accepted(&users, kept).await?;
        Ok(done)
    }

    /// Makes the server refuse `old`, which is the password before `current`, seen by a login.
    ///
    /// # Errors
    /// [`Refused::Superseded`] if `current` is not the primary one, [`Refused::CannotUndo`] if the server still accepts `old`,
    /// or what else it answers.
    pub async fn retire(&self, old: &Credential, current: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                let users = self.users();
                let mut session = users.open(current).await?;
                // Otherwise the current one would go.
                if !session.replace_primary(&current.password, &current.password, Old::Replaced).await? {
                    return Err(Refused::Superseded.into());
                }
                session.discard_secondary().await?;
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

    /// Whether a rotation could change the password: the server is not read-only, and the user may have two passwords. One login.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn try_rotation(&self, current: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                let users = self.users();
                let mut session = users.open(current).await?;
                users.rehearse(&mut session).await?;
                users.try_change(&mut session, current).await?;
                let may = session.may_have_two_passwords().await?;
                session.close().await;
                if may { Ok(()) } else { Err(Refused::NotPermitted.into()) }
            })
            .await
    }

    /// Makes `current`, by which the session has logged in as the secondary password, the primary one, if `previous` is it. `false`:
    /// nothing is changed.
    async fn restore_primary(&self, session: &mut Session, current: &Credential, previous: Option<&Credential>) -> Result<bool, Problem> {
        let by_current = self.previous_is_later && session.password().expose() == current.password.expose();
        let Some(previous) = previous.filter(|previous| by_current && previous.user == current.user) else { return Ok(false) };
        // The secondary password stays, so `current` is accepted all the time.
        match session.replace_primary(&previous.password, &current.password, Old::Replaced).await {
            // A policy (password_history) forbids to set it again. It does not speak of the new password.
            Err(Problem::Refused(Refused::Rejected)) => Ok(false),
            answer => answer,
        }
    }

    fn users(&self) -> SingleUser<'_> {
        SingleUser { server: self.server }
    }
}
