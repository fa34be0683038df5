//! The accounts of the two users, as the tables of the server have them. An account is a user at a host, and each has a
//! password, privileges and settings of its own.

use std::collections::BTreeSet;

use super::dialect::Dialect;
use super::grants::{Grantee, Rights, parse};
use super::scramble::{is_of_caching_sha2, native_hash};
use super::session::Session;
use super::sql::{account, identifier, literal};
use super::wire::Rows;
use crate::strategy::fence::{BEGINS, Standing, is_marked};
use crate::strategy::{Credential, Fence, Problem, Refused, Unknown};

/// Of both users together. Each costs several statements and the time of a hash.
const MOST_ACCOUNTS: usize = 32;

/// The name of the attribute that has the mark of the operator, in MySQL.
pub(super) const ATTRIBUTE: &str = "rotated-secrets";

/// One account.
pub(super) struct Account {
    pub(super) user: String,
    pub(super) host: String,
    /// How it logs in.
    pub(super) plugin: String,
    /// What the server stores of the password.
    pub(super) stored: Vec<u8>,
    pub(super) locked: bool,
    /// MySQL: the password before is accepted, too.
    pub(super) has_second_password: bool,
    /// `REQUIRE` and `WITH`, as in a statement.
    pub(super) settings: String,
    /// As in a statement.
    pub(super) default_roles: BTreeSet<String>,
    /// What our marks at this account say.
    pub(super) marks: BTreeSet<String>,
}

impl Account {
    /// As in a statement.
    pub(super) fn name(&self) -> String {
        account(&self.user, &self.host)
    }

    /// Whether a login with this password succeeds, unless the account is locked.
    pub(super) fn has(&self, credential: &Credential) -> bool {
        let password = credential.password.expose().as_bytes();
        self.user == credential.user
            && match self.plugin.as_str() {
                "mysql_native_password" => self.stored == native_hash(password).as_bytes(),
                "caching_sha2_password" => is_of_caching_sha2(&self.stored, password),
                _ => false,
            }
    }

    /// What was granted to it; `None`: the text is none that is known here.
    pub(super) async fn rights(&self, session: &mut Session) -> Result<Option<Rights>, Problem> {
        shown(session, &self.name(), Grantee { user: &self.user, host: &self.host }).await
    }
}

async fn shown(session: &mut Session, account: &str, grantee: Grantee<'_>) -> Result<Option<Rights>, Problem> {
    let rows = session.run(&format!("SHOW GRANTS FOR {account}")).await?;
    Ok(parse(rows.iter().flatten().map(|text| text.as_deref().unwrap_or_default()), grantee))
}

/// What was granted to the account of the session; `None`: the text is none that is known here.
pub(super) async fn own_rights(session: &mut Session) -> Result<Option<Rights>, Problem> {
    let named = session.run("SELECT CURRENT_USER()").await?.into_iter().flatten().next().flatten();
    let Some((user, host)) = named.as_deref().and_then(|named| named.rsplit_once('@')) else { return Ok(None) };
    shown(session, "CURRENT_USER()", Grantee { user, host }).await
}

/// The accounts of the two users.
pub(super) struct Accounts(Vec<Account>);

impl Accounts {
    pub(super) async fn read(session: &mut Session, users: [&str; 2]) -> Result<Self, Problem> {
        let [base, twin] = users.map(literal);
        let mut found = Vec::new();
        for row in session.run(&accounts(session.dialect, &format!("({base}, {twin})"))).await? {
            let account = of_row(row, session.dialect).ok_or(Unknown::ProtocolViolation)?;
            // The comparison of the server ignores spaces at the end.
            if users.contains(&account.user.as_str()) {
                found.push(account);
            }
        }
        if found.len() > MOST_ACCOUNTS {
            return Err(Refused::BaseUserNotUsable.into());
        }
        let rows = session.run(&more(session.dialect, &format!("({base}, {twin})"))).await?;
        note(&mut found, rows, session.dialect).ok_or(Unknown::ProtocolViolation)?;
        Ok(Self(found))
    }

    pub(super) fn of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Account> {
        self.0.iter().filter(move |account| account.user == user)
    }

    pub(super) fn at(&self, user: &str, host: &str) -> Option<&Account> {
        self.0.iter().find(|account| account.user == user && account.host == host)
    }

    /// The hosts at which one of these works: there, those who have it may have the other user's password, too.
    pub(super) async fn proven(&self, known: &[&Credential]) -> Vec<String> {
        let mut hosts = BTreeSet::new();
        for account in &self.0 {
            // The server says how much work a hash is.
            tokio::task::yield_now().await;
            if !account.locked && known.iter().any(|credential| account.has(credential)) {
                hosts.insert(account.host.clone());
            }
        }
        hosts.into_iter().collect()
    }
}

/// What the marks of these accounts say about a version: the strongest word.
pub(super) fn standing<'a>(accounts: impl Iterator<Item = &'a Account>, fence: &Fence) -> Standing {
    let marks = accounts.flat_map(|account| &account.marks).map(|mark| fence.standing(Some(mark)));
    marks.max().unwrap_or(Standing::Unmarked)
}

/// Whether a mark of these accounts says that they have the version.
pub(super) fn is_marked_with<'a>(accounts: impl Iterator<Item = &'a Account>, fence: &Fence) -> bool {
    accounts.flat_map(|account| &account.marks).any(|mark| fence.standing(Some(mark)) == Standing::This)
}

fn accounts(dialect: Dialect, users: &str) -> String {
    let limits = "max_questions, max_updates, max_connections, max_user_connections";
    let requires = "ssl_type, ssl_cipher, x509_issuer, x509_subject";
    match dialect {
        Dialect::MySql => format!(
            "SELECT User, Host, plugin, HEX(authentication_string), account_locked = 'Y', \
             IFNULL(JSON_CONTAINS_PATH(User_attributes, 'one', '$.additional_password'), 0), {requires}, {limits}, 0, \
             JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.metadata.\"{ATTRIBUTE}\"')) FROM mysql.user WHERE User IN {users} LIMIT 100"
        ),
        // An account that logs in in several ways is none of these.
        Dialect::MariaDb => format!(
            "SELECT User, Host, IF(JSON_EXISTS(Priv, '$.auth_or'), '', plugin), HEX(authentication_string), \
             IFNULL(JSON_EXTRACT(Priv, '$.account_locked') = true, 0), 0, {requires}, {limits}, max_statement_time, default_role FROM \
             mysql.user JOIN mysql.global_priv USING (User, Host) WHERE User IN {users} AND is_role = 'N' LIMIT 100"
        ),
    }
}

/// What is in a table of its own: of MySQL the default roles, of MariaDB the marks.
fn more(dialect: Dialect, users: &str) -> String {
    match dialect {
        Dialect::MySql => {
            format!("SELECT USER, HOST, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles WHERE USER IN {users} LIMIT 1000")
        }
        Dialect::MariaDb => {
            format!("SELECT User, Host, Role, '' FROM mysql.roles_mapping WHERE User IN {users} AND INSTR(Role, '{BEGINS}') > 0 LIMIT 1000")
        }
    }
}

fn of_row(row: Vec<Option<String>>, dialect: Dialect) -> Option<Account> {
    let [user, host, plugin, stored, locked, second, kind, cipher, issuer, subject, queries, updates, connections, at_once, time, last] =
        <[Option<String>; 16]>::try_from(row).ok()?;
    let number =
        |text: Option<String>| text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let requires = requires(kind.as_deref()?, [cipher, issuer, subject])?;
    let (queries, updates, connections, at_once, time) =
        (number(queries)?, number(updates)?, number(connections)?, number(at_once)?, number(time)?);
    let time = if dialect == Dialect::MariaDb { format!(" MAX_STATEMENT_TIME {time}") } else { String::new() };
    let last = last.filter(|last| !last.is_empty());
    let (mark, role) = match dialect {
        Dialect::MySql => (last.filter(|mark| is_marked(Some(mark))), None),
        Dialect::MariaDb => (None, last.map(|role| identifier(&role))),
    };
    Some(Account {
        user: user?,
        host: host?,
        plugin: plugin?,
        stored: hex::decode(stored?).ok()?,
        locked: locked? != "0",
        has_second_password: second? != "0",
        settings: format!(
            "REQUIRE {requires} WITH MAX_QUERIES_PER_HOUR {queries} MAX_UPDATES_PER_HOUR {updates} MAX_CONNECTIONS_PER_HOUR {connections} \
             MAX_USER_CONNECTIONS {at_once}{time}"
        ),
        default_roles: role.into_iter().collect(),
        marks: mark.into_iter().collect(),
    })
}

fn requires(kind: &str, names: [Option<String>; 3]) -> Option<String> {
    let demands = ["CIPHER", "ISSUER", "SUBJECT"].into_iter().zip(names);
    let demands = demands.filter_map(|(word, name)| Some(format!("{word} {}", literal(&name.filter(|name| !name.is_empty())?))));
    match kind {
        "" => Some("NONE".to_owned()),
        "ANY" => Some("SSL".to_owned()),
        "X509" => Some("X509".to_owned()),
        "SPECIFIED" => Some(demands.collect::<Vec<_>>().join(" AND ")).filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn note(accounts: &mut [Account], rows: Rows, dialect: Dialect) -> Option<()> {
    for row in rows {
        let [Some(user), Some(host), Some(role), Some(at)] = <[Option<String>; 4]>::try_from(row).ok()? else { return None };
        let Some(account) = accounts.iter_mut().find(|account| account.user == user && account.host == host) else { continue };
        match dialect {
            Dialect::MySql => account.default_roles.insert(format!("{}@{}", identifier(&role), identifier(&at))),
            Dialect::MariaDb => is_marked(Some(&role)) && account.marks.insert(role),
        };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, names: [&str; 3], limits: &str, last: &str) -> Vec<Option<String>> {
        let [cipher, issuer, subject] = names;
        let texts = ["app", "%", "caching_sha2_password", "2A", "0", "1", kind, cipher, issuer, subject, limits, "2", "3", "4", "0", last];
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn what_an_account_requires_is_written_as_a_statement_has_it() {
        let settings = |kind: &str, names: [&str; 3]| of_row(row(kind, names, "1", ""), Dialect::MySql).map(|account| account.settings);
        let limits = "WITH MAX_QUERIES_PER_HOUR 1 MAX_UPDATES_PER_HOUR 2 MAX_CONNECTIONS_PER_HOUR 3 MAX_USER_CONNECTIONS 4";
        for (kind, names, expected) in [
            ("", ["", "", ""], "NONE"),
            ("ANY", ["", "", ""], "SSL"),
            ("X509", ["", "", ""], "X509"),
            ("SPECIFIED", ["a", "b'c", ""], "CIPHER 'a' AND ISSUER 'b''c'"),
        ] {
            assert_eq!(settings(kind, names), Some(format!("REQUIRE {expected} {limits}")), "{kind}");
        }
        assert_eq!(settings("SPECIFIED", ["", "", ""]), None);
        assert_eq!(settings("NONE; DROP USER a", ["", "", ""]), None);
    }

    #[test]
    fn what_is_no_number_is_in_no_statement_and_what_is_no_mark_is_none() {
        for limits in ["", "-1", "1; DROP USER a"] {
            assert!(of_row(row("", ["", "", ""], limits, ""), Dialect::MySql).is_none(), "{limits}");
        }
        let marks = |last: &str| of_row(row("", ["", "", ""], "1", last), Dialect::MySql).unwrap().marks.len();
        assert_eq!((marks("of the shop"), marks("x [rotated-secrets version one of 1000]")), (0, 1));
        assert!(of_row(Vec::new(), Dialect::MariaDb).is_none());
        let role = of_row(row("", ["", "", ""], "1", "r`"), Dialect::MariaDb).unwrap();
        assert_eq!((role.default_roles, role.marks.len()), (["`r```".to_owned()].into(), 0));
    }
}
