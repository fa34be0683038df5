//! A trial of a turn of two users, which changes nothing.

use super::accounts::{Accounts, own_rights};
use super::alternating::{AlternatingUsers, of_admin};
use super::grants::{Rights, may_grant};
use super::names::Names;
use super::session::Session;
use super::twin::{rights, usable};
use crate::strategy::single_user::WRONG;
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
                if !self.logs_in(current).await? {
                    return Err(WRONG);
                }
                let mut session = self.administer().await?;
                self.could_set(&mut session, current).await.map_err(of_admin)?;
                session.close().await;
                Ok(())
            })
            .await
    }

    async fn could_set(&self, session: &mut Session, current: &Credential) -> Result<(), Problem> {
        let accounts = self.begin(session).await?;
        let hosts = accounts.proven(&[current]);
        if hosts.is_empty() {
            return Err(Refused::NoPasswordAccepted.into());
        }
        usable(session, &accounts, self.names(), &hosts).await?;
        session.may_change_accounts().await?;
        could_grant(session, &accounts, self.names(), &hosts).await
    }
}

/// Whether the administrator may grant what the second user lacks at these hosts. What its own grants do not tell is left to a
/// rotation.
async fn could_grant(session: &mut Session, accounts: &Accounts, names: Names<'_>, hosts: &[String]) -> Result<(), Problem> {
    let Some(own) = own_rights(session).await? else { return Ok(()) };
    for host in hosts {
        let Some(base) = accounts.at(names.base, host) else { continue };
        let wanted = rights(session, base).await?;
        let found = match accounts.at(names.twin, host) {
            Some(twin) => twin.rights(session).await?.ok_or(Refused::TwinNotUsable)?,
            None => Rights::new(),
        };
        if wanted.difference(&found).any(|right| may_grant(&own, right) == Some(false)) {
            return Err(Refused::AdminNotPermitted.into());
        }
    }
    Ok(())
}
