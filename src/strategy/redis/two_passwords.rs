//! One user that has two passwords: the new one is added beside the current one, and an older one is removed at the same
//! time. So the current password keeps working until the next rotation.

use super::mark::{Mark, Standing, hash};
use super::reply::ServerError;
use super::session::Session;
use super::user::{User, must_be_primary, store};
use crate::plaintext::Plaintext;
use crate::strategy::{Applied, Credential, Endpoint, Fence, Problem, Refused, Tls, Undone, Unknown};

/// A server of Redis or Valkey.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it is, and how it is verified.
    pub endpoint: Endpoint,
}

/// A user that may change others.
#[derive(Clone, Copy)]
pub struct Admin<'a> {
    /// Its name and password.
    pub credential: &'a Credential,
    /// The owner of the password has not said how the server is verified. Then it is not sent: the server would learn it.
    pub bound: bool,
}

/// The strategy for one user of one server.
#[derive(Clone, Copy)]
pub struct TwoPasswords<'a> {
    /// The server.
    pub server: &'a Server,
    /// Who changes the user; `None`: the user itself.
    pub admin: Option<Admin<'a>>,
}

/// How the server came to refuse an old password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// By this call.
    Now,
    /// It did before.
    Already,
}

/// A refusal of the password alone: another password may be accepted.
const WRONG: Problem = Problem::Refused(Refused::PasswordRefused);

/// How often a change is tried if other clients change the user at the same moment.
const TRIES: usize = 4;

impl TwoPasswords<'_> {
    /// Makes the server accept `pending` and `current`, and no other password unless these two are the same. At most four logins,
    /// one of them of the administrator, who acts only for those who can log in as the user.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known. What the server accepted before, it accepts in either case, except
    /// for passwords older than `current`.
    pub async fn apply(
        &self,
        pending: &Credential,
        current: &Credential,
        previous: Option<&Credential>,
        fence: &Fence,
    ) -> Result<Applied, Problem> {
        let step = async {
            if pending.user != current.user {
                return Err(Refused::UserChanged.into());
            }
            let known = [Some(pending), Some(current), previous.filter(|previous| previous.user == current.user)];
            let Some(proven) = self.proof(known).await? else { return Err(self.none_accepted(known).await.into()) };
            let mut session = self.act(proven).await?;
            let [new, old] = [pending, current].map(|credential| hash(credential.password.expose()));
            // A version with the same password ends none: pods may have the one before.
            let kept = |user: &User| if new == old { user.passwords().cloned().collect() } else { Vec::new() };
            let before = change(&mut session, &pending.user, |user| match user.standing(fence) {
                Standing::Older | Standing::This => {
                    let wanted = [vec![new.clone(), old.clone()], kept(user)].concat();
                    Ok(Some(with_mark(wanted, Mark::of(fence, false))))
                }
                Standing::Withdrawn | Standing::Later => Err(Refused::Superseded.into()),
            });
            let before = before.await.map_err(|problem| self.of_acting(problem))?;
            // Also if nothing was changed: the attempt that did it may have ended before.
            store(&mut session).await?;
            Ok(if before.hashes.contains(&new) { Applied::Already } else { Applied::Now })
        };
        self.server.endpoint.within_a_step(step).await
    }

    /// Makes sure, in a new session, that the server accepts `pending` as the password of this user, and no other text.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        let step = async {
            self.log_in(pending).await?.is_of(&pending.user).await?;
            let other = Credential { user: pending.user.clone(), password: Plaintext::from(uuid::Uuid::new_v4().to_string()) };
            if self.accepts(&other).await? { Err(Refused::PasswordNotRequired.into()) } else { Ok(()) }
        };
        self.server.endpoint.within_a_step(step).await
    }

    /// Makes the server refuse `pending`, now and later, and accept `current`, both seen by a login. At most six logins. If
    /// `current` is of another user, `previous` takes its place.
    ///
    /// # Errors
    /// [`Refused::NoPasswordAccepted`] if it accepts none of them, [`Refused::CannotUndo`] if it still accepts `pending` or if the
    /// user would have no other password, or what else it answers.
    pub async fn undo(
        &self,
        pending: &Credential,
        current: &Credential,
        previous: Option<&Credential>,
        fence: &Fence,
    ) -> Result<Undone, Problem> {
        let step = async {
            if pending.is(current) {
                return Err(Refused::CannotUndo.into());
            }
            let of_user = |credential: &&Credential| credential.user == pending.user;
            let (current, previous) = (Some(current).filter(of_user), previous.filter(of_user));
            let Some(proven) = self.proof([current, Some(pending), previous]).await? else {
                // Another writer put a value of another user, and this user does not have the staged password.
                return if current.is_none() { Ok(Undone::Nothing) } else { Err(Refused::NoPasswordAccepted.into()) };
            };
            let staged = hash(pending.password.expose());
            let kept = current.or(previous).filter(|kept| !kept.is(pending)).map(|kept| hash(kept.password.expose()));
            let mut session = self.act(proven).await?;
            let before = change(&mut session, &pending.user, |user| {
                if user.standing(fence) == Standing::Later {
                    return Ok(None);
                }
                let mut wanted: Vec<String> = user.passwords().filter(|hash| **hash != staged).cloned().collect();
                wanted.extend(kept.clone());
                if wanted.is_empty() { Err(Refused::CannotUndo.into()) } else { Ok(Some(with_mark(wanted, Mark::of(fence, true)))) }
            });
            let before = before.await.map_err(|problem| self.of_acting(problem))?;
            store(&mut session).await?;
            if self.accepts(pending).await? {
                return Err(Refused::CannotUndo.into());
            }
            if let Some(current) = current
                && !self.accepts(current).await?
            {
                return Err(Refused::NoPasswordAccepted.into());
            }
            Ok(if before.hashes.contains(&staged) { Undone::Now } else { Undone::Nothing })
        };
        self.server.endpoint.within_a_step(step).await
    }

    /// Whether the server accepts a value. One login, without the administrator.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn check(&self, current: &Credential) -> Result<(), Problem> {
        self.server.endpoint.within_a_step(async { self.log_in(current).await.map(drop) }).await
    }

    /// Makes the server refuse an old password, seen by a login. `current` is the value of the version that the user has.
    ///
    /// # Errors
    /// [`Refused::CannotUndo`] if it is the current one or is still accepted, [`Refused::Superseded`] if the user has another
    /// version, or what else the server answers.
    pub async fn retire(&self, old: &Credential, current: &Credential, fence: &Fence) -> Result<Retired, Problem> {
        let step = async {
            if old.user != current.user {
                return Err(Refused::UserChanged.into());
            }
            let (gone, kept) = (hash(old.password.expose()), hash(current.password.expose()));
            if gone == kept {
                return Err(Refused::CannotUndo.into());
            }
            let Some(proven) = self.proof([Some(current)]).await? else { return Err(Refused::NoPasswordAccepted.into()) };
            let mut session = self.act(proven).await?;
            let before = change(&mut session, &current.user, |user| {
                if user.standing(fence) != Standing::This {
                    return Err(Refused::Superseded.into());
                }
                let mut wanted = user.hashes.clone();
                wanted.retain(|hash| *hash != gone);
                Ok(Some(wanted))
            });
            let before = before.await.map_err(|problem| self.of_acting(problem))?;
            store(&mut session).await?;
            if self.accepts(old).await? {
                return Err(Refused::CannotUndo.into());
            }
            Ok(if before.hashes.contains(&gone) { Retired::Now } else { Retired::Already })
        };
        self.server.endpoint.within_a_step(step).await
    }

    /// Whether a rotation could change the password: the user is read and given nothing new. Two logins with an administrator.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn try_rotation(&self, current: &Credential) -> Result<(), Problem> {
        let step = async {
            let proven = self.proof([Some(current)]).await?.ok_or(WRONG)?;
            let mut session = self.act(proven).await?;
            let tried = change(&mut session, &current.user, |_| Ok(None)).await;
            tried.map_err(|problem| self.of_acting(problem))?;
            // A password that the user does not have is removed: that fails, and creates no user.
            let nothing = format!("!{}", hash(&uuid::Uuid::new_v4().to_string()));
            match session.run(&["ACL", "SETUSER", &current.user, &nothing]).await? {
                Ok(_) | Err(ServerError::NoSuchPassword) => Ok(()),
                Err(error) => Err(self.of_acting(error.problem())),
            }
        };
        self.server.endpoint.within_a_step(step).await
    }

    async fn log_in(&self, credential: &Credential) -> Result<Session, Problem> {
        Session::open(&self.server.endpoint, credential).await
    }

    async fn accepts(&self, credential: &Credential) -> Result<bool, Problem> {
        match self.log_in(credential).await {
            Ok(_) => Ok(true),
            Err(WRONG) => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    /// A session of the user with the first of these that is accepted.
    async fn proof<const N: usize>(&self, known: [Option<&Credential>; N]) -> Result<Option<Session>, Problem> {
        for credential in known.into_iter().flatten() {
            match self.log_in(credential).await {
                Ok(mut session) => {
                    session.is_of(&credential.user).await?;
                    return Ok(Some(session));
                }
                Err(WRONG) => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(None)
    }

    /// The session that changes the user: that of the administrator, at the server at which the user's password works, or the
    /// user's own.
    async fn act(&self, proven: Session) -> Result<Session, Problem> {
        let mut session = match &self.admin {
            None => proven,
            Some(admin) => self.administer(admin, &proven).await?,
        };
        must_be_primary(&mut session).await.map_err(|problem| self.of_acting(problem))?;
        Ok(session)
    }

    async fn administer(&self, admin: &Admin<'_>, proven: &Session) -> Result<Session, Problem> {
        if admin.bound {
            return Err(Refused::WeakAuthentication.into());
        }
        match Session::open_at(&self.server.endpoint, admin.credential, proven.certificate()).await {
            Err(WRONG) => Err(Refused::AdminRefused.into()),
            opened => opened,
        }
    }

    /// Servers do not tell a wrong password from a user that is disabled. The administrator looks, and tells only those who
    /// know a password of the user. The server has not proven by the user's password that it is the right one, so the
    /// administrator's password goes only to one whose certificate is verified for the host.
    async fn none_accepted<const N: usize>(&self, known: [Option<&Credential>; N]) -> Refused {
        let none = Refused::NoPasswordAccepted;
        let Some(Admin { credential, bound: false }) = self.admin else { return none };
        if !matches!(self.server.endpoint.tls, Tls::Verify { names: true, .. }) {
            return none;
        }
        let Some(user) = known.into_iter().flatten().next().map(|first| &first.user) else { return none };
        let Ok(mut session) = Session::open(&self.server.endpoint, credential).await else { return none };
        let Ok(Some(found)) = User::read(&mut session, user).await else { return none };
        let has = |password: &Plaintext| found.hashes.contains(&hash(password.expose()));
        if known.into_iter().flatten().any(|credential| has(&credential.password)) && !found.enabled {
            Refused::LoginNotPermitted
        } else {
            none
        }
    }

    /// What the server says to the one who changes the user.
    fn of_acting(&self, problem: Problem) -> Problem {
        match problem {
            Problem::Refused(Refused::NotPermitted) if self.admin.is_some() => Refused::AdminNotPermitted.into(),
            problem => problem,
        }
    }
}

/// Reads the user and gives it what `decide` says, or nothing new. Gives what it was before. A user without a mark gets one
/// first: without it, the change of a replica that was stopped here would fit the user also after other changes.
async fn change(
    session: &mut Session,
    name: &str,
    decide: impl Fn(&User) -> Result<Option<Vec<String>>, Problem>,
) -> Result<User, Problem> {
    for _ in 0..TRIES {
        let user = User::read(session, name).await?.ok_or(Refused::BaseUserMissing)?;
        if user.without_password {
            return Err(Refused::PasswordNotRequired.into());
        }
        if !user.enabled {
            return Err(Refused::LoginNotPermitted.into());
        }
        let Some(wanted) = decide(&user)? else { return Ok(user) };
        if !user.is_marked() {
            user.replace(session, name, &with_mark(user.hashes.clone(), Mark::first())).await?;
            continue;
        }
        if user.replace(session, name, &wanted).await? {
            return Ok(user);
        }
    }
    Err(Unknown::ConcurrentChange.into())
}

/// Each hash once, and the mark.
fn with_mark(mut hashes: Vec<String>, mark: Mark) -> Vec<String> {
    hashes.sort();
    hashes.dedup();
    hashes.push(mark.hash());
    hashes
}
