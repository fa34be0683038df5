//! Two users with the same privileges that take turns. The password of the one that is not in use is changed by an
//! administrator, so the current password keeps working.

use super::server::Server;
use super::session::Session;
use super::single_user::SingleUser;
use super::sql::{identifier, literal, verifier};
use super::twin::{self, Role};
use crate::plaintext::Plaintext;
use crate::strategy::fence::{Standing, State, has_it_or_later};
use crate::strategy::tls::Certificate;
use crate::strategy::{Applied, Credential, Fence, Problem, Refused, Undone};

/// The strategy for two users of one server.
#[derive(Clone, Copy)]
pub struct AlternatingUsers<'a> {
    /// The server.
    pub server: &'a Server,
    /// A user that may create roles and change their passwords.
    pub admin: &'a Credential,
    /// The owner of the administrator's password has not said how the server is verified.
    pub bound: bool,
    /// The user that the spec names.
    pub base: &'a str,
    /// The second one, which the strategy makes.
    pub twin: &'a str,
}

/// In bytes: PostgreSQL truncates longer names.
const LONGEST_NAME: usize = 63;

/// A refusal of the password alone.
const WRONG: Problem = Problem::Refused(Refused::PasswordRefused);

impl AlternatingUsers<'_> {
    /// Makes the server accept `pending`. At most three logins. `current`: what the object has now. The administrator acts
    /// only for those who can log in as one of the two users, so that nobody gains a right by naming a user.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known. The current password works in either case.
    pub async fn apply(&self, pending: &Credential, current: &Credential, fence: &Fence) -> Result<Applied, Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair([pending, current])?;
                if self.accepts(pending).await? {
                    return Ok(Applied::Already);
                }
                let Some(shown) = self.proof(current).await? else { return Err(Refused::NoPasswordAccepted.into()) };
                let mut session = self.administer(shown).await?;
                session.refuse_a_pooler().await?;
                self.set(&mut session, pending, current, fence).await.map_err(of_admin)?;
                session.close().await;
                Ok(Applied::Now)
            })
            .await
    }

    /// Makes sure, in a new session, that the server accepts `pending`, and that the user has the privileges of the base user,
    /// because it works as that one.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                let mut session = Session::open(self.server, pending).await?;
                let user = session.value("SELECT session_user::text").await?;
                session.run("RESET ROLE").await?;
                let works_as = session.value("SELECT current_user::text").await?;
                session.run("SET ROLE NONE").await?;
                let expected = if pending.user == self.twin { Some(self.base) } else { works_as.as_deref() };
                if user.as_deref() != Some(pending.user.as_str()) || works_as.as_deref() != expected {
                    return Err(Refused::WrongUser.into());
                }
                session.run_query(self.server.query.as_deref()).await?;
                session.close().await;
                Ok(())
            })
            .await
    }

    /// Makes sure that the server does not accept `pending` because of this version, now or later, and that it accepts
    /// `current`. At most six logins, two of them with one password. If the server does not have `current`, which another writer
    /// put, `previous` shows that the administrator may act.
    ///
    /// # Errors
    /// [`Refused::CannotUndo`] if it still accepts `pending`, [`Refused::NoPasswordAccepted`] if it does not accept `current`, or
    /// what else it answers.
    pub async fn undo(
        &self,
        pending: &Credential,
        fence: &Fence,
        current: &Credential,
        previous: Option<&Credential>,
    ) -> Result<Undone, Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair([pending])?;
                let same_user = pending.user == current.user;
                // Of one user, the server accepts the staged password or the current one.
                let shown_by = [Some(current), Some(pending).filter(|_| same_user), previous].into_iter().flatten();
                let Some(shown) = self.proof_of_one(shown_by).await? else { return Err(Refused::NoPasswordAccepted.into()) };
                let mut session = self.administer(shown).await?;
                let before = self.withdraw(&mut session, pending, fence, current).await.map_err(of_admin)?;
                session.close().await;
                // What the user had before this version is not taken away, also if it is the same password.
                let had_it_before = matches!(before, Some(Standing::Older | Standing::Withdrawn | Standing::Later));
                if !had_it_before && self.accepts(pending).await? {
                    return Err(Refused::CannotUndo.into());
                }
                if same_user && !self.accepts(current).await? {
                    return Err(Refused::NoPasswordAccepted.into());
                }
                Ok(if before == Some(Standing::This) { Undone::Now } else { Undone::Nothing })
            })
            .await
    }

    /// Takes the right to log in from the user that is not in use, and sees that the server refuses `old`. The next version of
    /// that user gives it back. At most four logins. `fence`: of the version that is current. Open sessions go on.
    ///
    /// # Errors
    /// [`Refused::Superseded`] if the user has a later version, [`Refused::CannotUndo`] if the server still accepts `old`, or what
    /// else it answers.
    pub async fn retire(&self, old: &Credential, current: &Credential, fence: &Fence) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair([old, current])?;
                match self.proof(old).await {
                    Ok(None) => return Ok(()),
                    // It can be one that the rules of the server keep out of this address only.
                    Ok(Some(_)) | Err(Problem::Refused(Refused::LoginNotPermitted)) => {}
                    Err(problem) => return Err(problem),
                }
                if old.user == current.user {
                    return Err(Refused::CannotUndo.into());
                }
                let Some(shown) = self.proof(current).await? else { return Err(Refused::NoPasswordAccepted.into()) };
                let mut session = self.administer(shown).await?;
                session.refuse_a_pooler().await?;
                self.lock(&mut session, old, fence).await.map_err(of_admin)?;
                session.close().await;
                if self.accepts(old).await? { Err(Refused::CannotUndo.into()) } else { Ok(()) }
            })
            .await
    }

    /// Whether the server accepts a value of one of the two users. One login, without the administrator.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn check(server: &Server, [base, twin]: [&str; 2], current: &Credential) -> Result<(), Problem> {
        if ![base, twin].contains(&current.user.as_str()) {
            return Err(Refused::UserChanged.into());
        }
        SingleUser { server }.check(current).await
    }

    /// Whether the administrator could give the user that is not in use a password: it does that in a transaction that is rolled
    /// back. Two logins. `fence`: later than every version that the server can have.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn try_rotation(&self, current: &Credential, fence: &Fence) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair([current])?;
                let mut own = Session::open(self.server, current).await?;
                let shown = own.certificate().cloned();
                own.run_query(self.server.query.as_deref()).await?;
                own.close().await;
                let mut session = self.administer(shown).await?;
                session.refuse_a_pooler().await?;
                let next = if current.user == self.twin { self.base } else { self.twin };
                let password = Plaintext::from(uuid::Uuid::new_v4().to_string());
                let pending = Credential { user: next.to_owned(), password };
                self.change(&mut session, &pending, current, fence).await.map_err(of_admin)?;
                session.run("ROLLBACK").await?;
                session.close().await;
                Ok(())
            })
            .await
    }

    /// The names can be from a status, which is untrusted. A longer name would be another one to the server.
    fn are_of_the_pair<const N: usize>(&self, credentials: [&Credential; N]) -> Result<(), Problem> {
        let pair = [self.base, self.twin];
        let are_names = self.base != self.twin && pair.iter().all(|name| (1..=LONGEST_NAME).contains(&name.len()));
        if are_names && credentials.iter().all(|credential| pair.contains(&credential.user.as_str())) {
            Ok(())
        } else {
            Err(Refused::UserChanged.into())
        }
    }

    /// Whether this password logs in. For a user that may not log in, the server has an answer of its own.
    async fn accepts(&self, credential: &Credential) -> Result<bool, Problem> {
        match self.proof(credential).await {
            Err(Problem::Refused(Refused::LoginNotPermitted)) => Ok(false),
            answer => Ok(answer?.is_some()),
        }
    }

    /// The proof of the first of these that is of one of the two users and is accepted.
    async fn proof_of_one<'c>(&self, credentials: impl Iterator<Item = &'c Credential>) -> Result<Option<Option<Certificate>>, Problem> {
        for credential in credentials.filter(|credential| self.are_of_the_pair([credential]).is_ok()) {
            if let Some(shown) = self.proof(credential).await? {
                return Ok(Some(shown));
            }
        }
        Ok(None)
    }

    /// Logs in. Gives the certificate of the server that accepted the password, if there is one; `None`: it is refused.
    async fn proof(&self, credential: &Credential) -> Result<Option<Option<Certificate>>, Problem> {
        match Session::open(self.server, credential).await {
            Ok(session) => {
                let shown = session.certificate().cloned();
                session.close().await;
                Ok(Some(shown))
            }
            Err(WRONG) => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// `proven`: certificate of the server at which the object's password works. The administrator acts at that server only.
    async fn administer(&self, proven: Option<Certificate>) -> Result<Session, Problem> {
        let opened = match (self.bound, proven) {
            (false, _) => Session::open_hidden(self.server, self.admin).await,
            (true, Some(certificate)) => Session::open_bound(self.server, self.admin, &certificate).await,
            (true, None) => Err(Refused::WeakAuthentication.into()),
        };
        match opened {
            Err(WRONG) => Err(Refused::AdminRefused.into()),
            opened => opened,
        }
    }

    /// One transaction: a user is either as it was, or complete.
    async fn set(&self, session: &mut Session, pending: &Credential, current: &Credential, fence: &Fence) -> Result<(), Problem> {
        self.change(session, pending, current, fence).await?;
        session.run("COMMIT").await.map(drop)
    }

    /// The same without the end of the transaction.
    async fn change(&self, session: &mut Session, pending: &Credential, current: &Credential, fence: &Fence) -> Result<(), Problem> {
        let (base, twin) = self.roles(session).await?;
        if current.user == self.twin && twin.is_none() {
            return Err(Refused::TwinNotUsable.into());
        }
        let is_twin = pending.user == self.twin;
        let before = if is_twin { twin.as_ref() } else { Some(&base) }.and_then(|role| role.comment.as_deref());
        if !fence.standing(before).admits() {
            return Err(Refused::Superseded.into());
        }
        if is_twin {
            twin::prepare(session, self.twin, twin.as_ref(), &base).await?;
        }
        self.mark(session, &pending.user, &fence.comment(before, State::InForce)).await?;
        let password = verifier(&pending.password);
        session.run(&format!("ALTER ROLE {} LOGIN PASSWORD '{password}'", identifier(&pending.user))).await.map(drop)
    }

    /// The user is not to have the version. If it has, it loses the password, or gets the current one back if that is its own.
    /// Gives how it stood; `None`: the user does not exist.
    async fn withdraw(
        &self,
        session: &mut Session,
        pending: &Credential,
        fence: &Fence,
        current: &Credential,
    ) -> Result<Option<Standing>, Problem> {
        let (base, twin) = self.roles(session).await?;
        let Some(role) = (if pending.user == self.twin { twin } else { Some(base) }) else { return Ok(None) };
        let before = fence.standing(role.comment.as_deref());
        if !before.admits() {
            return Ok(Some(before));
        }
        self.mark(session, &pending.user, &fence.comment(role.comment.as_deref(), State::Withdrawn)).await?;
        if before == Standing::This {
            let password = if pending.user == current.user { format!("'{}'", verifier(&current.password)) } else { "NULL".to_owned() };
            session.run(&format!("ALTER ROLE {} PASSWORD {password}", identifier(&pending.user))).await?;
        }
        session.run("COMMIT").await?;
        Ok(Some(before))
    }

    /// One transaction: the user is either as it was, or cannot log in and is marked.
    async fn lock(&self, session: &mut Session, old: &Credential, fence: &Fence) -> Result<(), Problem> {
        let (base, twin) = self.roles(session).await?;
        let Some(role) = (if old.user == self.twin { twin } else { Some(base) }) else { return Ok(()) };
        let before = role.comment.as_deref();
        if has_it_or_later(before, fence) {
            return Err(Refused::Superseded.into());
        }
        // What was withdrawn since then stays withdrawn.
        if fence.standing(before) != Standing::Later {
            self.mark(session, &old.user, &fence.comment(before, State::Retired)).await?;
        }
        session.run(&format!("ALTER ROLE {} NOLOGIN", identifier(&old.user))).await?;
        session.run("COMMIT").await.map(drop)
    }

    async fn mark(&self, session: &mut Session, user: &str, comment: &str) -> Result<(), Problem> {
        session.run(&format!("COMMENT ON ROLE {} IS {}", identifier(user), literal(comment))).await.map(drop)
    }

    /// Begins a transaction, one at a time for each base user, and gives the two roles if they may be changed.
    async fn roles(&self, session: &mut Session) -> Result<(Role, Option<Role>), Problem> {
        let key = literal(self.base);
        session.run(&format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('rotated-secrets'), hashtext({key}))")).await?;
        let base = Role::read(session, self.base).await?.ok_or(Refused::BaseUserMissing)?;
        if !base.may_take_turns() {
            return Err(Refused::BaseUserNotUsable.into());
        }
        let twin = Role::read(session, self.twin).await?;
        if let Some(twin) = &twin {
            twin::usable(session, twin, &base).await?;
        }
        Ok((base, twin))
    }
}

/// What the server says to the administrator.
fn of_admin(problem: Problem) -> Problem {
    match problem {
        Problem::Refused(Refused::NotPermitted) => Refused::AdminNotPermitted.into(),
        problem => problem,
    }
}
