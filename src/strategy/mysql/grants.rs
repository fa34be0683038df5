//! What an account was granted. The text of `SHOW GRANTS` is taken apart completely and never executed: statements are
//! composed from keywords of a closed alphabet and from names in quotes, for an account that the caller chooses.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::identifier;
use super::tokens::{Token, Tokens};
use crate::strategy::fence::is_marked;

/// What an account may do.
pub(super) type Rights = BTreeSet<Right>;

/// One privilege at one place, or one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// `SELECT`, ``SELECT (`a`)`` or `GRANT OPTION`, on `*.*`, `` `db`.* ``, `` `db`.`t` `` or ``PROCEDURE `db`.`p` ``.
    Privilege { place: Place, privilege: String },
    /// A role, and whether it may be passed on.
    Role { name: String, admin: bool },
}

/// Where a privilege is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// `None`: everywhere.
    schema: Option<String>,
    /// As in a statement.
    text: String,
}

/// Who has the rights.
#[derive(Clone, Copy)]
pub(super) struct Grantee<'a> {
    pub(super) user: &'a str,
    pub(super) host: &'a str,
}

/// What comes between ON and a name.
const KINDS: [&str; 6] = ["TABLE", "PROCEDURE", "FUNCTION", "LIBRARY", "PACKAGE", "PACKAGE BODY"];

/// What follows the account, where MariaDB shows how it logs in. Nothing of it is used but GRANT OPTION.
const OF_THE_ACCOUNT: [&str; 24] = [
    "IDENTIFIED",
    "BY",
    "PASSWORD",
    "VIA",
    "USING",
    "OR",
    "REQUIRE",
    "NONE",
    "SSL",
    "X509",
    "AND",
    "ISSUER",
    "SUBJECT",
    "CIPHER",
    "WITH",
    "GRANT",
    "OPTION",
    "ADMIN",
    "MAX_QUERIES_PER_HOUR",
    "MAX_UPDATES_PER_HOUR",
    "MAX_CONNECTIONS_PER_HOUR",
    "MAX_USER_CONNECTIONS",
    "MAX_STATEMENT_TIME",
    "mysql_native_password",
];

/// Privileges with which a user can make itself or another one an administrator, if it has them everywhere or on `mysql`.
const OF_AN_ADMINISTRATOR: [&str; 18] = [
    "ALL PRIVILEGES",
    "GRANT OPTION",
    "SUPER",
    "SYSTEM_USER",
    "CREATE USER",
    "CREATE ROLE",
    "DROP ROLE",
    "ROLE_ADMIN",
    "SET_USER_ID",
    "SET_ANY_DEFINER",
    "SET USER",
    "INSERT",
    "UPDATE",
    "DELETE",
    "ALTER",
    "DROP",
    "CREATE",
    "FILE",
];

/// The most rights of an account that are read.
const MOST_RIGHTS: usize = 20_000;

/// The rights that the rows of `SHOW GRANTS` give to this account; `None`: a row is none that is known here, or is for
/// another account, or they are too many.
pub(super) fn parse<'r>(rows: impl Iterator<Item = &'r str>, grantee: Grantee<'_>) -> Option<Rights> {
    let mut rights = Rights::new();
    for row in rows {
        rights.extend(of_row(Tokens::read(row)?, grantee)?);
        if rights.len() > MOST_RIGHTS {
            return None;
        }
    }
    Some(rights)
}

fn of_row(mut row: Tokens, grantee: Grantee<'_>) -> Option<Vec<Right>> {
    // MariaDB; the table has it too.
    if row.skip_words(&["SET", "DEFAULT", "ROLE"]) {
        return Some(Vec::new());
    }
    if !row.skip_words(&["GRANT"]) {
        return None;
    }
    if matches!(row.peek(), Some(Token::Name(_))) { roles(row, grantee) } else { privileges(row, grantee) }
}

fn roles(mut row: Tokens, grantee: Grantee<'_>) -> Option<Vec<Right>> {
    let mut names = Vec::new();
    loop {
        let role = row.name()?;
        let host = if row.skip_sign('@') { Some(row.name()?) } else { None };
        // The mark of the operator is no right.
        if !is_marked(Some(&role)) {
            names.push(host.map_or_else(|| identifier(&role), |host| format!("{}@{}", identifier(&role), identifier(&host))));
        }
        if !row.skip_sign(',') {
            break;
        }
    }
    is_for(&mut row, grantee)?;
    let admin = row.skip_words(&["WITH", "ADMIN", "OPTION"]);
    row.is_at_end().then(|| names.into_iter().map(|name| Right::Role { name, admin }).collect())
}

fn privileges(mut row: Tokens, grantee: Grantee<'_>) -> Option<Vec<Right>> {
    let mut found = Vec::new();
    loop {
        let words = row.words_until("ON")?;
        let columns = if row.skip_sign('(') { Some(columns(&mut row)?) } else { None };
        match columns {
            Some(columns) => found.extend(columns.into_iter().map(|column| format!("{words} ({column})"))),
            None if words == "USAGE" => {}
            None => found.push(words),
        }
        if !row.skip_sign(',') {
            break;
        }
    }
    if !row.skip_words(&["ON"]) {
        return None;
    }
    let place = place(&mut row)?;
    is_for(&mut row, grantee)?;
    if passes_on(row)? {
        found.push("GRANT OPTION".to_owned());
    }
    Some(found.into_iter().map(|privilege| Right::Privilege { place: place.clone(), privilege }).collect())
}

fn columns(row: &mut Tokens) -> Option<Vec<String>> {
    let mut columns = vec![identifier(&row.name()?)];
    while row.skip_sign(',') {
        columns.push(identifier(&row.name()?));
    }
    row.skip_sign(')').then_some(columns)
}

fn place(row: &mut Tokens) -> Option<Place> {
    let kind = if matches!(row.peek(), Some(Token::Word(_))) { Some(row.words()?) } else { None };
    let kind = match kind {
        Some(kind) => format!("{} ", KINDS.iter().find(|known| **known == kind)?),
        None => String::new(),
    };
    if row.skip_sign('*') {
        return (kind.is_empty() && row.skip_sign('.') && row.skip_sign('*')).then(|| Place { schema: None, text: "*.*".to_owned() });
    }
    let schema = row.name()?;
    if !row.skip_sign('.') {
        return None;
    }
    let part = if row.skip_sign('*') { "*".to_owned() } else { identifier(&row.name()?) };
    Some(Place { text: format!("{kind}{}.{part}", identifier(&schema)), schema: Some(schema) })
}

fn is_for(row: &mut Tokens, grantee: Grantee<'_>) -> Option<()> {
    if !row.skip_words(&["TO"]) {
        return None;
    }
    let user = row.name()?;
    let host = if row.skip_sign('@') { row.name()? } else { return None };
    (user == grantee.user && host == grantee.host).then_some(())
}

/// Whether the rest says so.
fn passes_on(mut row: Tokens) -> Option<bool> {
    let (mut before, mut found) = (String::new(), false);
    while let Some(token) = row.next() {
        match token {
            Token::Word(word) => {
                let number = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                if !number && !OF_THE_ACCOUNT.contains(&word.as_str()) {
                    return None;
                }
                found |= before == "GRANT" && word == "OPTION";
                before = word;
            }
            Token::Text(_) => before.clear(),
            Token::Name(_) | Token::Sign(_) => return None,
        }
    }
    Some(found)
}

impl Right {
    /// Whether a user with it may not take turns.
    pub(super) fn is_of_an_administrator(&self) -> bool {
        match self {
            Self::Privilege { place, privilege } => {
                place.schema.as_deref().is_none_or(matches_mysql) && OF_AN_ADMINISTRATOR.contains(&privilege.as_str())
            }
            Self::Role { .. } => false,
        }
    }
}

/// Whether the name of a schema, in which `%` and `_` stand for others, can mean `mysql`.
fn matches_mysql(pattern: &str) -> bool {
    fn like(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skipped| text.get(skipped..).is_some_and(|text| like(rest, text))),
            Some(('\\', rest)) => match (rest.split_first(), text.split_first()) {
                (Some((one, rest)), Some((first, text))) => first.eq_ignore_ascii_case(one) && like(rest, text),
                _ => false,
            },
            Some((one, rest)) => {
                text.split_first().is_some_and(|(first, text)| (*one == '_' || first.eq_ignore_ascii_case(one)) && like(rest, text))
            }
        }
    }
    // Each `%` multiplies the work.
    let pattern: Vec<char> = pattern.chars().collect();
    let wild = pattern.iter().filter(|char| **char == '%').count();
    wild > 6 || like(&pattern, &['m', 'y', 's', 'q', 'l'])
}

/// Whether an account with these rights may do what this one allows.
pub(super) fn covers(rights: &Rights, right: &Right) -> bool {
    let by_all = match right {
        Right::Privilege { place, privilege } if privilege != "GRANT OPTION" => {
            rights.contains(&Right::Privilege { place: place.clone(), privilege: "ALL PRIVILEGES".to_owned() })
        }
        Right::Privilege { .. } => false,
        Right::Role { name, .. } => rights.contains(&Right::Role { name: name.clone(), admin: true }),
    };
    by_all || rights.contains(right)
}

/// An account that gives rights to others. The server says how many rights there are, so none of them is looked for in all others.
pub(super) struct Granter<'r> {
    rights: &'r Rights,
    /// Neither a role nor a pattern of names gives it more.
    is_clear: bool,
}

impl<'r> Granter<'r> {
    pub(super) fn with(rights: &'r Rights) -> Self {
        let is_clear = |found: &Right| match found {
            Right::Privilege { place, .. } => place.schema.as_ref().is_none_or(|schema| !schema.contains(['%', '_', '\\'])),
            Right::Role { .. } => false,
        };
        Self { rights, is_clear: rights.iter().all(is_clear) }
    }

    /// Whether it may give this right to another account. Rights for all of the server or for the schema include it. `None`: its
    /// rights do not tell, because of roles, of patterns of names, or of `ALL PRIVILEGES`, which MySQL shows as a list for all
    /// of the server.
    pub(super) fn may_grant(&self, right: &Right) -> Option<bool> {
        let Right::Privilege { place, privilege } = right else { return None };
        let mut places = vec![place.clone(), Place { schema: None, text: "*.*".to_owned() }];
        places.extend(place.schema.as_ref().map(|schema| Place { text: format!("{}.*", identifier(schema)), ..place.clone() }));
        let at = |wanted: &str| {
            let has = |place: &Place, privilege: &str| {
                self.rights.contains(&Right::Privilege { place: place.clone(), privilege: privilege.to_owned() })
            };
            places.iter().any(|place| has(place, wanted) || wanted != "GRANT OPTION" && has(place, "ALL PRIVILEGES"))
        };
        let of_columns = privilege.split_once(" (").map_or(privilege.as_str(), |(all, _)| all);
        if at("GRANT OPTION") && (at(privilege) || at(of_columns)) {
            return Some(true);
        }
        (privilege != "ALL PRIVILEGES" && self.is_clear).then_some(false)
    }
}

/// The statements that take these rights from an account.
pub(super) fn revoke<'r>(rights: impl Iterator<Item = &'r Right>, account: &str) -> Vec<String> {
    statements(rights, |what, on| format!("REVOKE {what}{on} FROM {account}"))
}

/// The statements that give these rights to an account.
pub(super) fn grant<'r>(rights: impl Iterator<Item = &'r Right>, account: &str) -> Vec<String> {
    let rights: Vec<&Right> = rights.collect();
    let admins = rights.iter().filter_map(|right| match right {
        Right::Role { name, admin: true } => Some(format!("GRANT {name} TO {account} WITH ADMIN OPTION")),
        _ => None,
    });
    let others = rights.iter().copied().filter(|right| !matches!(right, Right::Role { admin: true, .. }));
    admins.chain(statements(others, |what, on| format!("GRANT {what}{on} TO {account}"))).collect()
}

/// One for each place, each role, and `ALL PRIVILEGES`, which stands alone.
fn statements<'r>(rights: impl Iterator<Item = &'r Right>, render: impl Fn(&str, &str) -> String) -> Vec<String> {
    let (mut found, mut places) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
    for right in rights {
        match right {
            Right::Role { name, .. } => found.push(render(name, "")),
            Right::Privilege { place, privilege } if privilege == "ALL PRIVILEGES" => {
                found.push(render(privilege, &format!(" ON {}", place.text)));
            }
            Right::Privilege { place, privilege } => places.entry(&place.text).or_default().push(privilege),
        }
    }
    found.extend(places.into_iter().map(|(place, privileges)| render(&privileges.join(", "), &format!(" ON {place}"))));
    found
}

#[cfg(test)]
mod tests;
