//! A trial of a turn of two users, which changes nothing.

use super::accounts::{Accounts, own_rights};
use super::alternating::{AlternatingUsers, of_admin};
use super::grants::{Granter, Rights, covers};
use super::names::Names;
use super::session::Session;
use super::twin::{rights, usable};
use crate::strategy::{Credential, Problem, Refused};

impl AlternatingUsers<'_> {
    /// Whether the administrator could give the user that is not in use a password. Two logins. Statements of the server take
    /// effect at once, so they are tried with an account that does not exist.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn try_rotation(&self, current: &Credential) -> Result<(), Problem> {
        self.server
            .endpoint
            .within_a_step(async {
                self.are_of_the_pair(&[current])?;
                // A rotation runs verify.sql, too.
                let mut own = Session::open(self.server, current).await?;
                own.run_query(self.server.query.as_deref()).await?;
                own.close().await;
                let mut session = self.administer().await?;
                self.could_set(&mut session, current).await.map_err(of_admin)?;
                session.close().await;
                Ok(())
            })
            .await
    }

    async fn could_set(&self, session: &mut Session, current: &Credential) -> Result<(), Problem> {
        let accounts = self.begin(session).await?;
        let hosts = accounts.proven(&[current]).await;
        if hosts.is_empty() {
            return Err(Refused::NoPasswordAccepted.into());
        }
        self.is_short_enough(session)?;
        usable(session, &accounts, self.names(), &hosts).await?;
        session.may_change_accounts().await?;
        if current.user == self.base {
            could_copy(session, &accounts, self.names(), &hosts).await
        } else {
            // The base user keeps what it has, and has to have what the second user has.
            is_covered(session, &accounts, self.names(), &hosts).await
        }
    }
}

/// Whether the administrator may grant what the second user lacks at these hosts, and revoke what is too much. What its own grants
/// do not tell is left to a rotation.
async fn could_copy(session: &mut Session, accounts: &Accounts, names: Names<'_>, hosts: &[String]) -> Result<(), Problem> {
    let Some(own) = own_rights(session).await? else { return Ok(()) };
    let administrator = Granter::with(&own);
    for host in hosts {
        let Some(base) = accounts.at(names.base, host) else { continue };
        let wanted = rights(session, base).await?;
        let found = match accounts.at(names.twin, host) {
            Some(twin) => rights(session, twin).await?,
            None => Rights::new(),
        };
        if wanted.symmetric_difference(&found).any(|right| administrator.may_grant(right) == Some(false)) {
            return Err(Refused::AdminNotPermitted.into());
        }
    }
    Ok(())
}

/// Whether the base user has what the second user has at these hosts.
async fn is_covered(session: &mut Session, accounts: &Accounts, names: Names<'_>, hosts: &[String]) -> Result<(), Problem> {
    for host in hosts {
        let (Some(base), Some(twin)) = (accounts.at(names.base, host), accounts.at(names.twin, host)) else { continue };
        let [base, twin] = [rights(session, base).await?, rights(session, twin).await?];
        if !twin.iter().all(|right| covers(&base, right)) {
            return Err(Refused::PrivilegesDiffer.into());
        }
    }
    Ok(())
}
