//! The second user: at each host an account with the privileges and settings of the base user's one. Each statement takes effect
//! by itself, so an account is locked and has no password until it is complete.

use super::accounts::{Account, Accounts};
use super::dialect::Dialect;
use super::grants::{Right, Rights, covers, grant, revoke};
use super::mark::{Mark, any_password, attribute};
use super::names::Names;
use super::session::Session;
use super::sql::{account, literal};
use crate::strategy::fence::may_be_locked;
use crate::strategy::{Problem, Refused};

/// What AWS's rotation functions append to the name of the user that they make.
const OF_AWS: &str = "_clone";

/// The rights of an account, which can be given to another one.
pub(super) async fn rights(session: &mut Session, account: &Account) -> Result<Rights, Problem> {
    account.rights(session).await?.ok_or(Refused::GrantNotCopied.into())
}

/// Makes sure that the base user may take turns at these hosts, and that every account with the name of the second user is
/// one that the operator made for it, or one that AWS's rotation functions made, with nothing more than the base user has.
/// The owner of the object chooses the names.
pub(super) async fn usable(session: &mut Session, accounts: &Accounts, names: Names<'_>, hosts: &[String]) -> Result<(), Problem> {
    for host in hosts {
        let Some(base) = accounts.at(names.base, host) else { continue };
        let locked = base.locked && !base.marks.iter().any(|mark| may_be_locked(Some(mark)));
        if locked || rights(session, base).await?.iter().any(Right::is_of_an_administrator) {
            return Err(Refused::BaseUserNotUsable.into());
        }
    }
    for twin in accounts.of(names.twin) {
        let Some(base) = accounts.at(names.base, &twin.host) else { return Err(Refused::TwinNotUsable.into()) };
        if names.made(twin) {
            continue;
        }
        if twin.user != format!("{}{OF_AWS}", base.user) {
            return Err(Refused::TwinNotUsable.into());
        }
        let (Some(own), Some(of_base)) = (twin.rights(session).await?, base.rights(session).await?) else {
            return Err(Refused::TwinNotUsable.into());
        };
        if !own.iter().all(|right| covers(&of_base, right)) {
            return Err(Refused::TwinNotUsable.into());
        }
    }
    Ok(())
}

/// Makes the second user at these hosts, or completes it. It gets its password later.
pub(super) async fn prepare(
    session: &mut Session,
    accounts: &Accounts,
    names: Names<'_>,
    hosts: &[String],
    mark: &Mark<'_>,
) -> Result<(), Problem> {
    let missing: Vec<&Account> =
        hosts.iter().filter(|host| accounts.at(names.twin, host).is_none()).filter_map(|host| accounts.at(names.base, host)).collect();
    if !missing.is_empty() {
        session.run(&creation(session.dialect, names, &missing, mark)).await?;
    }
    let all: Vec<String> = hosts.iter().map(|host| account(names.twin, host)).collect();
    mark.set_before(session, &all.join(", ")).await?;
    let made = Accounts::read(session, [names.base, names.twin]).await?;
    for host in hosts {
        let (Some(base), Some(twin)) = (made.at(names.base, host), made.at(names.twin, host)) else {
            return Err(Refused::TwinNotUsable.into());
        };
        copy(session, base, twin).await?;
    }
    // What was copied is looked at again before anybody can log in with it.
    let made = Accounts::read(session, [names.base, names.twin]).await?;
    for host in hosts {
        let (Some(base), Some(twin)) = (made.at(names.base, host), made.at(names.twin, host)) else {
            return Err(Refused::TwinNotUsable.into());
        };
        if !are_same(session, base, twin).await? {
            return Err(Refused::PrivilegesDiffer.into());
        }
    }
    Ok(())
}

fn creation(dialect: Dialect, names: Names<'_>, like: &[&Account], mark: &Mark<'_>) -> String {
    let each = like.iter().map(|base| {
        let name = account(names.twin, &base.host);
        match dialect {
            Dialect::MySql => format!("{name} IDENTIFIED WITH {} BY {}", base.plugin, literal(&any_password())),
            Dialect::MariaDb => format!("{name} IDENTIFIED VIA mysql_native_password USING '{}'", names.no_password()),
        }
    });
    let each = each.collect::<Vec<_>>().join(", ");
    match dialect {
        Dialect::MySql => format!("CREATE USER {each} ACCOUNT LOCK {}", attribute(&mark.text)),
        Dialect::MariaDb => format!("CREATE USER {each} ACCOUNT LOCK"),
    }
}

/// Gives the second user's account what the base user's one has, and takes the rest away.
async fn copy(session: &mut Session, base: &Account, twin: &Account) -> Result<(), Problem> {
    let name = twin.name();
    if twin.settings != base.settings {
        session.run(&format!("ALTER USER {name} {}", base.settings)).await?;
    }
    let (wanted, found) = (rights(session, base).await?, twin.rights(session).await?.ok_or(Refused::TwinNotUsable)?);
    for statement in revoke(found.difference(&wanted), &name).into_iter().chain(grant(wanted.difference(&found), &name)) {
        session.run(&statement).await.map_err(|problem| match problem {
            // Each kind of object has an error of its own for it.
            Problem::Refused(Refused::Rejected | Refused::NotPermitted) => Refused::AdminNotPermitted.into(),
            problem => problem,
        })?;
    }
    if twin.default_roles != base.default_roles {
        let roles = base.default_roles.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let roles = if roles.is_empty() { "NONE" } else { &roles };
        let statement = match session.dialect {
            Dialect::MySql => format!("ALTER USER {name} DEFAULT ROLE {roles}"),
            Dialect::MariaDb => format!("SET DEFAULT ROLE {roles} FOR {name}"),
        };
        session.run(&statement).await?;
    }
    Ok(())
}

/// Whether the two accounts have the same privileges and settings.
pub(super) async fn are_same(session: &mut Session, base: &Account, twin: &Account) -> Result<bool, Problem> {
    Ok(twin.settings == base.settings
        && twin.default_roles == base.default_roles
        && rights(session, base).await? == rights(session, twin).await?)
}
