//! Two users with the same privileges that take turns. The password of the one that is not in use is changed by an
//! administrator, so the current password keeps working. A user has an account for each host, so all of this is done for
//! each host at which the object's password works. Statements take effect one by one, so the password comes last.

use super::accounts::{Account, Accounts, is_marked_with, standing};
use super::dialect::Dialect;
use super::grants::{Rights, covers};
use super::mark::{Mark, Password, names_of};
use super::names::Names;
use super::server::Server;
use super::session::Session;
use super::single_user::SingleUser;
use super::sql::literal;
use super::twin::{self, are_same, usable};
use crate::strategy::fence::{Standing, State, has_it_or_later};
use crate::strategy::single_user::{self, WRONG};
use crate::strategy::{Applied, Credential, Fence, Problem, Refused, Undone, Unknown};

/// The strategy for two users of one server.
#[derive(Clone, Copy)]
pub struct AlternatingUsers<'a> {
    /// The server.
    pub server: &'a Server,
    /// A user that may create users, change their passwords, and grant what the base user has.
    pub admin: &'a Credential,
    /// The owner of the administrator's password has not said how the server is verified. Then it is not sent: the server could
    /// pass the login on, or learn the password.
    pub bound: bool,
    /// The user that the spec names.
    pub base: &'a str,
    /// The second one, which the strategy makes.
    pub twin: &'a str,
}

impl AlternatingUsers<'_> {
    /// Makes the server accept `pending`. At most three logins. `current`: what the object has now. The administrator acts
    /// only for those who can log in as one of the two users, and at each host only for those whose password works there.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known. The current password works in either case.
    pub async fn apply(&self, pending: &Credential, current: &Credential, fence: &Fence) -> Result<Applied, Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair(&[pending, current])?;
                if !self.exists_with(pending).await? && !self.logs_in(current).await? {
                    return Err(Refused::NoPasswordAccepted.into());
                }
                let mut session = self.administer().await?;
                let applied = self.set(&mut session, pending, current, fence).await.map_err(of_admin)?;
                session.close().await;
                Ok(applied)
            })
            .await
    }

    /// Makes sure, in a new session, that the server accepts `pending` and refuses another password, and that the user may do
    /// what the other one may. At most three logins.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair(&[pending])?;
                single_user::verify(&SingleUser { server: self.server }, pending).await?;
                let mut session = self.administer().await?;
                self.compare(&mut session, pending).await.map_err(of_admin)?;
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
                self.are_of_the_pair(&[pending])?;
                let same_user = pending.user == current.user;
                // Of one user, the server accepts the staged password or the current one.
                let known = [Some(current), Some(pending).filter(|_| same_user), previous];
                let known: Vec<&Credential> =
                    known.into_iter().flatten().filter(|credential| self.are_of_the_pair(&[credential]).is_ok()).collect();
                if !self.one_logs_in(&known).await? {
                    return Err(Refused::NoPasswordAccepted.into());
                }
                let mut session = self.administer().await?;
                let before = self.withdraw(&mut session, pending, fence, current, &known).await.map_err(of_admin)?;
                session.close().await;
                // What the user had before this version is not taken away, also if it is the same password.
                let had_it_before = matches!(before, Some((Standing::Older | Standing::Withdrawn | Standing::Later, _)));
                let accepted = if before.is_none() { self.exists_with(pending).await? } else { self.accepts(pending).await? };
                if !had_it_before && accepted {
                    return Err(Refused::CannotUndo.into());
                }
                if same_user && !self.logs_in(current).await? {
                    return Err(Refused::NoPasswordAccepted.into());
                }
                Ok(if before.is_some_and(|(_, taken)| taken) { Undone::Now } else { Undone::Nothing })
            })
            .await
    }

    /// Locks the user that is not in use, if its password is still the one of `old`, and sees that the server refuses it. The
    /// next version of that user unlocks it. `fence`: of the version that is current.
    ///
    /// # Errors
    /// [`Refused::Superseded`] if the user has a later version, [`Refused::CannotUndo`] if the server still accepts `old`, or what
    /// else it answers.
    pub async fn retire(&self, old: &Credential, current: &Credential, fence: &Fence) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair(&[old, current])?;
                if old.user == current.user {
                    return if self.accepts(old).await? { Err(Refused::CannotUndo.into()) } else { Ok(()) };
                }
                match self.logs_in(old).await {
                    Ok(false) => return Ok(()),
                    // The account can be locked, and the server can refuse the operator's address only.
                    Ok(true) | Err(Problem::Refused(Refused::LoginNotPermitted)) => {}
                    Err(problem) => return Err(problem),
                }
                if !self.logs_in(current).await? {
                    return Err(Refused::NoPasswordAccepted.into());
                }
                let mut session = self.administer().await?;
                self.lock(&mut session, old, current, fence).await.map_err(of_admin)?;
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

    /// The names can be from a status, which is untrusted.
    pub(super) fn are_of_the_pair(&self, credentials: &[&Credential]) -> Result<(), Problem> {
        let pair = [self.base, self.twin];
        let are_names = self.base != self.twin && pair.iter().all(|name| !name.is_empty());
        if are_names && credentials.iter().all(|credential| pair.contains(&credential.user.as_str())) {
            Ok(())
        } else {
            Err(Refused::UserChanged.into())
        }
    }

    pub(super) fn names(&self) -> Names<'_> {
        Names { base: self.base, twin: self.twin }
    }

    /// Whether this password logs in.
    async fn logs_in(&self, credential: &Credential) -> Result<bool, Problem> {
        match Session::open(self.server, credential).await {
            Ok(session) => {
                session.close().await;
                Ok(true)
            }
            Err(WRONG) => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    /// The same of a user that may be locked, for which the server has a word of its own.
    async fn accepts(&self, credential: &Credential) -> Result<bool, Problem> {
        match self.logs_in(credential).await {
            Err(Problem::Refused(Refused::LoginNotPermitted)) => Ok(false),
            answer => answer,
        }
    }

    /// The same of a user that may not exist. Then MySQL asks for the password in a way that it chooses at random.
    async fn exists_with(&self, credential: &Credential) -> Result<bool, Problem> {
        match self.accepts(credential).await {
            Err(Problem::Refused(Refused::WeakAuthentication | Refused::AuthenticationUnsupported)) => Ok(false),
            answer => answer,
        }
    }

    async fn one_logs_in(&self, credentials: &[&Credential]) -> Result<bool, Problem> {
        for credential in credentials {
            if self.logs_in(credential).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A session of the administrator. Names in what it is shown are in backquotes.
    pub(super) async fn administer(&self) -> Result<Session, Problem> {
        if self.bound {
            return Err(Refused::WeakAuthentication.into());
        }
        let mut session = match Session::open(self.server, self.admin).await {
            Err(WRONG) => Err(Refused::AdminRefused.into()),
            opened => opened,
        }?;
        session.run("SET SESSION sql_quote_show_create = 1").await?;
        Ok(session)
    }

    /// Waits for other attempts for this base user, also for those whose connection was lost, and reads the accounts of both users.
    pub(super) async fn begin(&self, session: &mut Session) -> Result<Accounts, Problem> {
        let seconds = self.server.endpoint.limits.statement.mul_f64(0.8).as_secs().max(1);
        let rows = session.run(&format!("SELECT GET_LOCK({}, {seconds})", literal(&self.names().lock()))).await?;
        match rows.into_iter().flatten().next().flatten().as_deref() {
            Some("1") => {}
            Some(_) => return Err(Unknown::Timeout.into()),
            None => return Err(Unknown::ServerUnavailable.into()),
        }
        let accounts = Accounts::read(session, [self.base, self.twin]).await?;
        if accounts.of(self.base).next().is_none() {
            return Err(Refused::BaseUserMissing.into());
        }
        Ok(accounts)
    }

    async fn set(&self, session: &mut Session, pending: &Credential, current: &Credential, fence: &Fence) -> Result<Applied, Problem> {
        let accounts = self.begin(session).await?;
        let hosts = accounts.proven(&[current, pending]).await;
        if hosts.is_empty() {
            return Err(Refused::NoPasswordAccepted.into());
        }
        self.is_short_enough(session)?;
        usable(session, &accounts, self.names(), &hosts).await?;
        let is_twin = pending.user == self.twin;
        if self.is_complete(session, &accounts, pending, &hosts).await? {
            return Ok(Applied::Already);
        }
        let before: Vec<&Account> = hosts.iter().filter_map(|host| accounts.at(&pending.user, host)).collect();
        if !standing(before.iter().copied(), fence).admits() {
            return Err(Refused::Superseded.into());
        }
        let mark = Mark::new(self.names(), fence, State::InForce);
        if is_twin {
            twin::prepare(session, &accounts, self.names(), &hosts, &mark).await?;
        } else {
            mark.set_before(session, &names_of(&before)).await?;
        }
        let made = Accounts::read(session, [self.base, self.twin]).await?;
        let changed: Vec<&Account> = hosts.iter().filter_map(|host| made.at(&pending.user, host)).collect();
        mark.change(session, &changed, Password::Is(pending), "ACCOUNT UNLOCK").await?;
        mark.drop_others(session, before.into_iter()).await?;
        Ok(Applied::Now)
    }

    /// MySQL has no longer names.
    pub(super) fn is_short_enough(&self, session: &Session) -> Result<(), Problem> {
        let too_long = session.dialect == Dialect::MySql && self.twin.chars().count() > 32;
        if too_long { Err(Refused::TwinNotUsable.into()) } else { Ok(()) }
    }

    /// Whether nothing is left to do at these hosts.
    async fn is_complete(
        &self,
        session: &mut Session,
        accounts: &Accounts,
        pending: &Credential,
        hosts: &[String],
    ) -> Result<bool, Problem> {
        for host in hosts {
            let found = accounts.at(&pending.user, host);
            let needed = pending.user == self.twin || found.is_some();
            if needed && !found.is_some_and(|account| account.has(pending) && !account.locked) {
                return Ok(false);
            }
            if let (true, Some(base), Some(twin)) = (pending.user == self.twin, accounts.at(self.base, host), found)
                && !are_same(session, base, twin).await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The user is not to have the version. If it has, it loses the password, or gets the current one back if that is its own.
    /// Gives how it stood and whether it had the password by this version; `None`: the user does not exist.
    async fn withdraw(
        &self,
        session: &mut Session,
        pending: &Credential,
        fence: &Fence,
        current: &Credential,
        known: &[&Credential],
    ) -> Result<Option<(Standing, bool)>, Problem> {
        let accounts = self.begin(session).await?;
        let hosts = accounts.proven(known).await;
        if hosts.is_empty() {
            return Err(Refused::NoPasswordAccepted.into());
        }
        usable(session, &accounts, self.names(), &hosts).await?;
        let found: Vec<&Account> = hosts.iter().filter_map(|host| accounts.at(&pending.user, host)).collect();
        if found.is_empty() {
            return Ok(None);
        }
        let (before, has_it) = (standing(found.iter().copied(), fence), is_marked_with(found.iter().copied(), fence));
        // In MariaDB an attempt can have ended after its mark: then the one before is still there.
        let unfinished = before == Standing::Withdrawn && has_it;
        if !(before.admits() || unfinished) {
            return Ok(Some((before, false)));
        }
        let before = if has_it { Standing::This } else { before };
        let mark = Mark::new(self.names(), fence, State::Withdrawn);
        mark.set_before(session, &names_of(&found)).await?;
        let taken: Vec<&Account> = found.iter().copied().filter(|account| has_it && account.has(pending)).collect();
        if taken.is_empty() {
            mark.set_alone(session, &found).await?;
        } else {
            let password = if pending.user == current.user { Password::Is(current) } else { Password::None };
            mark.change(session, &taken, password, "").await?;
        }
        mark.drop_others(session, found.into_iter()).await?;
        Ok(Some((before, !taken.is_empty())))
    }

    async fn lock(&self, session: &mut Session, old: &Credential, current: &Credential, fence: &Fence) -> Result<(), Problem> {
        let accounts = self.begin(session).await?;
        let hosts = accounts.proven(&[current]).await;
        usable(session, &accounts, self.names(), &hosts).await?;
        let found = hosts.iter().filter_map(|host| accounts.at(&old.user, host));
        let found: Vec<&Account> = found.filter(|account| account.has(old) && !account.locked).collect();
        if found.iter().flat_map(|account| &account.marks).any(|mark| has_it_or_later(Some(mark), fence)) {
            return Err(Refused::Superseded.into());
        }
        if found.is_empty() {
            return Ok(());
        }
        let names = names_of(&found);
        // What was withdrawn since then stays withdrawn.
        if standing(found.iter().copied(), fence) == Standing::Later {
            return session.run(&format!("ALTER USER {names} ACCOUNT LOCK")).await.map(drop);
        }
        let mark = Mark::new(self.names(), fence, State::Retired);
        mark.set_before(session, &names).await?;
        session.run(&format!("ALTER USER {names} ACCOUNT LOCK{}", mark.clause(session.dialect))).await?;
        mark.drop_others(session, found.into_iter()).await
    }

    /// Clients that have the value of the other user get this one, and must not miss anything.
    async fn compare(&self, session: &mut Session, pending: &Credential) -> Result<(), Problem> {
        let accounts = Accounts::read(session, [self.base, self.twin]).await?;
        let hosts = accounts.proven(&[pending]).await;
        let mut same = !hosts.is_empty();
        for host in &hosts {
            same &= match (accounts.at(self.base, host), accounts.at(self.twin, host)) {
                (Some(base), Some(twin)) if pending.user == self.twin => are_same(session, base, twin).await?,
                (Some(base), Some(twin)) => {
                    let [base, twin]: [Rights; 2] = [twin::rights(session, base).await?, twin::rights(session, twin).await?];
                    twin.iter().all(|right| covers(&base, right))
                }
                (Some(_), None) => true,
                (None, _) => false,
            };
        }
        if same { Ok(()) } else { Err(Refused::PrivilegesDiffer.into()) }
    }
}

/// What the server says to the administrator.
pub(super) fn of_admin(problem: Problem) -> Problem {
    match problem {
        Problem::Refused(Refused::NotPermitted) => Refused::AdminNotPermitted.into(),
        problem => problem,
    }
}
