//! The second user: a member of the base user that works as that one, so that whatever it creates belongs to the base user.

use super::session::Session;
use super::sql::{identifier, literal, setting};
use crate::strategy::fence::{is_marked, may_be_locked};
use crate::strategy::{Problem, Refused, Unknown};

/// What AWS's rotation functions append to the name of the user that they make.
const OF_AWS: &str = "_clone";

/// What the catalog says of a role.
pub(super) struct Role {
    oid: String,
    name: String,
    /// Superuser, or may create roles, replicate, or bypass row security.
    privileged: bool,
    may_create_databases: bool,
    may_log_in: bool,
    connection_limit: String,
    /// When the password expires, as the server writes it.
    valid_until: Option<String>,
    /// It works as another role after the login.
    works_as: Option<String>,
    pub(super) comment: Option<String>,
}

impl Role {
    /// `None`: it does not exist.
    pub(super) async fn read(session: &mut Session, name: &str) -> Result<Option<Self>, Problem> {
        let sql = format!(
            "SELECT oid, rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls, rolcreatedb, rolcanlogin, rolconnlimit, rolvaliduntil, \
             (SELECT substr(setting, 6) FROM unnest(rolconfig) setting WHERE setting LIKE 'role=%'), shobj_description(oid, 'pg_authid') \
             FROM pg_roles WHERE rolname = {}",
            literal(name)
        );
        let Some(row) = session.run(&sql).await?.into_iter().next() else { return Ok(None) };
        let Ok([oid, privileged, creates, logs_in, connection_limit, valid_until, works_as, comment]) =
            <[Option<String>; 8]>::try_from(row)
        else {
            return Err(Unknown::ProtocolViolation.into());
        };
        let number = |text: Option<String>| text.filter(|text| text.parse::<i64>().is_ok()).ok_or(Unknown::ProtocolViolation);
        Ok(Some(Self {
            oid: number(oid)?,
            name: name.to_owned(),
            privileged: privileged.as_deref() != Some("f"),
            may_create_databases: creates.as_deref() != Some("f"),
            may_log_in: logs_in.as_deref() == Some("t"),
            connection_limit: number(connection_limit)?,
            valid_until,
            works_as,
            comment,
        }))
    }

    /// Whether it may be the base user: the second user can do what it can. One that others keep from logging in may not.
    pub(super) fn may_take_turns(&self) -> bool {
        (self.may_log_in || may_be_locked(self.comment.as_deref())) && !self.privileged
    }
}

/// Whether this role may be the second user. The owner of the object chooses the names, so it has to be one that the
/// operator made for this base user, or one that AWS's rotation functions made, with nothing of its own.
///
/// # Errors
/// [`Refused::TwinNotUsable`] if not.
pub(super) async fn usable(session: &mut Session, found: &Role, base: &Role) -> Result<(), Problem> {
    let member_of = session.run(&format!("SELECT roleid, admin_option FROM pg_auth_members WHERE member = {}", found.oid)).await?;
    let of_base =
        |row: &Vec<Option<String>>| matches!(row.as_slice(), [Some(role), Some(administers)] if *role == base.oid && administers == "f");
    if found.privileged || found.may_create_databases || member_of.is_empty() || !member_of.iter().all(of_base) {
        return Err(Refused::TwinNotUsable.into());
    }
    // A mark alone could be that of the base user of another pair.
    if is_marked(found.comment.as_deref()) && found.works_as.as_deref() == Some(&base.name) {
        return Ok(());
    }
    if found.name != format!("{}{OF_AWS}", base.name) {
        return Err(Refused::TwinNotUsable.into());
    }
    // What it owns or was granted itself. Memberships are not among these.
    let own = format!("SELECT 1 FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = {} LIMIT 1", found.oid);
    match session.value(&own).await? {
        None => Ok(()),
        Some(_) => Err(Refused::TwinNotUsable.into()),
    }
}

/// Makes or completes the second user in the transaction of the session. It gets its password later.
pub(super) async fn prepare(session: &mut Session, name: &str, found: Option<&Role>, base: &Role) -> Result<(), Problem> {
    if session.value(&default_role(base)).await?.is_some() {
        return Err(Refused::DefaultRole.into());
    }
    let (twin, base_name) = (identifier(name), identifier(&base.name));
    match found {
        None => session.run(&format!("CREATE ROLE {twin} NOLOGIN; GRANT {base_name} TO {twin}")).await.map(drop)?,
        Some(found) => forget_settings(session, &twin, found).await?,
    }
    let until = base.valid_until.as_deref().unwrap_or("infinity");
    let limit = &base.connection_limit;
    session.run(&format!("ALTER ROLE {twin} INHERIT CONNECTION LIMIT {limit} VALID UNTIL {}", literal(until))).await?;
    copy_settings(session, &twin, base).await
}

/// Whether the base user works as another role: by its own settings in any database, or by those of this one. The owner of
/// another database has no say.
fn default_role(base: &Role) -> String {
    format!(
        "SELECT 1 FROM pg_db_role_setting CROSS JOIN unnest(setconfig) setting WHERE split_part(setting, '=', 1) = 'role' AND (setrole = {} OR \
         setrole = 0 AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) LIMIT 1",
        base.oid
    )
}

/// ` IN DATABASE name`; nothing for all databases.
fn place(database: Option<&str>) -> String {
    database.map(|database| format!(" IN DATABASE {}", identifier(database))).unwrap_or_default()
}

async fn forget_settings(session: &mut Session, twin: &str, found: &Role) -> Result<(), Problem> {
    let sql = format!(
        "SELECT datname FROM pg_db_role_setting LEFT JOIN pg_database ON pg_database.oid = setdatabase WHERE setrole = {} AND (setdatabase = 0 \
         OR datname IS NOT NULL)",
        found.oid
    );
    for row in session.run(&sql).await? {
        let database = row.into_iter().next().flatten();
        session.run(&format!("ALTER ROLE {twin}{} RESET ALL", place(database.as_deref()))).await?;
    }
    Ok(())
}

/// The settings of the base user, also those for one database: a login reads those of its own user. The base user can
/// choose them itself, so none of them comes into force in the session of the administrator.
async fn copy_settings(session: &mut Session, twin: &str, base: &Role) -> Result<(), Problem> {
    let sql = format!(
        "SELECT datname, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1) FROM pg_db_role_setting CROSS JOIN \
         unnest(setconfig) setting LEFT JOIN pg_database ON pg_database.oid = setdatabase WHERE setrole = {} AND (setdatabase = 0 OR \
         datname IS NOT NULL)",
        base.oid
    );
    for row in session.run(&sql).await? {
        let Ok([database, Some(name), Some(value)]) = <[Option<String>; 3]>::try_from(row) else {
            return Err(Unknown::ProtocolViolation.into());
        };
        // How the base user itself logs in.
        if name == "role" || name == "session_authorization" {
            continue;
        }
        match session.run(&format!("ALTER ROLE {twin}{} SET {}", place(database.as_deref()), setting(&name, &value))).await {
            Err(Problem::Refused(Refused::NotPermitted)) => return Err(Refused::SettingNotCopied.into()),
            copied => drop(copied?),
        }
    }
    session.run(&format!("ALTER ROLE {twin} SET role TO {}", identifier(&base.name))).await.map(drop)
}
