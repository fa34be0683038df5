//! Where the mark of a version is: in MySQL an attribute of the account, which changes in one statement with the password. In
//! MariaDB, whose accounts have no attributes, a role without privileges that is granted to the account, and whose name is
//! the mark: it is granted before the password changes, and the one before is dropped afterwards.

use std::collections::BTreeSet;

use super::accounts::{ATTRIBUTE, Account};
use super::dialect::Dialect;
use super::names::Names;
use super::scramble::native_hash;
use super::session::Session;
use super::sql::{identifier, literal};
use crate::strategy::fence::{State, text_of_others};
use crate::strategy::{Credential, Fence, Problem, Refused};
use zeroize::Zeroizing;

/// What becomes of a password.
#[derive(Clone, Copy)]
pub(super) enum Password<'a> {
    Is(&'a Credential),
    /// No login succeeds.
    None,
}

/// As in a statement.
pub(super) fn names_of(accounts: &[&Account]) -> String {
    accounts.iter().map(|account| account.name()).collect::<Vec<_>>().join(", ")
}

/// A mark that accounts are to have.
pub(super) struct Mark<'a> {
    names: Names<'a>,
    pub(super) text: String,
}

/// A password that nobody knows and that the rules of a server accept.
pub(super) fn any_password() -> String {
    format!("Aa1-{}", uuid::Uuid::new_v4())
}

/// The clause of a statement that sets it.
pub(super) fn attribute(text: &str) -> String {
    format!("ATTRIBUTE {}", literal(&serde_json::json!({ ATTRIBUTE: text }).to_string()))
}

impl<'a> Mark<'a> {
    pub(super) fn new(names: Names<'a>, fence: &Fence, state: State) -> Self {
        Self { names, text: fence.comment(Some(&names.tag()), state) }
    }

    /// What a statement that changes accounts ends with.
    pub(super) fn clause(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::MySql => format!(" {}", attribute(&self.text)),
            Dialect::MariaDb => String::new(),
        }
    }

    /// Before the password changes.
    pub(super) async fn set_before(&self, session: &mut Session, accounts: &str) -> Result<(), Problem> {
        if session.dialect == Dialect::MySql {
            return Ok(());
        }
        let role = identifier(&self.text);
        // Who made it may pass it on. An administrator that was there before may have made it.
        session.run(&format!("CREATE OR REPLACE ROLE {role}")).await?;
        session.run(&format!("GRANT {role} TO {accounts}")).await.map(drop)
    }

    /// Changes the password in one statement. In MySQL it takes effect as a whole, with the mark.
    pub(super) async fn change(
        &self,
        session: &mut Session,
        accounts: &[&Account],
        password: Password<'_>,
        ending: &str,
    ) -> Result<(), Problem> {
        let mut each = Vec::new();
        for account in accounts {
            let (name, plugin) = (account.name(), account.plugin.as_str());
            let known = ["mysql_native_password", "caching_sha2_password"].contains(&plugin);
            each.push(Zeroizing::new(match (session.dialect, password) {
                _ if !known => return Err(Refused::AuthenticationUnsupported.into()),
                (Dialect::MySql, Password::Is(credential)) => {
                    format!("{name} IDENTIFIED WITH {plugin} BY {}", *Zeroizing::new(literal(credential.password.expose())))
                }
                (Dialect::MySql, Password::None) => format!("{name} IDENTIFIED WITH {plugin} BY {}", literal(&any_password())),
                // MariaDB writes the text into its logs. So it gets what it stores.
                (Dialect::MariaDb, Password::Is(credential)) => {
                    format!("{name} IDENTIFIED VIA {plugin} USING '{}'", native_hash(credential.password.expose().as_bytes()))
                }
                (Dialect::MariaDb, Password::None) => format!("{name} IDENTIFIED VIA {plugin} USING '{}'", self.names.no_password()),
            }));
        }
        for account in accounts.iter().filter(|account| account.has_second_password) {
            session.run(&format!("ALTER USER {} DISCARD OLD PASSWORD", account.name())).await?;
        }
        let list = Zeroizing::new(each.iter().map(|each| each.as_str()).collect::<Vec<_>>().join(", "));
        session.run(&Zeroizing::new(format!("ALTER USER {} {ending}{}", *list, self.clause(session.dialect)))).await.map(drop)
    }

    /// The mark, and nothing else.
    pub(super) async fn set_alone(&self, session: &mut Session, accounts: &[&Account]) -> Result<(), Problem> {
        match session.dialect {
            Dialect::MySql => session.run(&format!("ALTER USER {}{}", names_of(accounts), self.clause(session.dialect))).await.map(drop),
            // It was set before.
            Dialect::MariaDb => Ok(()),
        }
    }

    /// After it has changed: takes the other marks of these accounts away, as they were before.
    pub(super) async fn drop_others<'b>(&self, session: &mut Session, before: impl Iterator<Item = &'b Account>) -> Result<(), Problem> {
        if session.dialect == Dialect::MySql {
            return Ok(());
        }
        let others: BTreeSet<&String> = before.flat_map(|account| &account.marks).filter(|mark| **mark != self.text).collect();
        for mark in others.into_iter().filter(|mark| text_of_others(mark) == self.names.tag()) {
            session.run(&format!("DROP ROLE IF EXISTS {}", identifier(mark))).await?;
        }
        Ok(())
    }
}
