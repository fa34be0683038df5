//! Rotation strategies: what `apply`, `verify` and `undo` mean for a target that has to know the value. One folder for
//! each, with its driver. The answers are closed sets of words: text of a server or of a driver never leaves its folder.

mod dial;
mod endpoint;
mod fence;
pub mod job;
pub mod mysql;
pub mod postgres;
mod problem;
pub mod redis;
mod single_user;
mod tls;
pub mod webhook;

pub use endpoint::{Addresses, Endpoint, Limits, Tried};
pub use fence::Fence;
pub use problem::{Problem, Refused, Unknown};
pub use tls::Tls;

use crate::plaintext::Plaintext;
use crate::value::Payload;

/// A user and a password, as a value has them.
pub struct Credential {
    /// The field `username`.
    pub user: String,
    /// The field `password`.
    pub password: Plaintext,
}

impl Credential {
    /// The fields of a value.
    ///
    /// # Errors
    /// [`Refused::ValueUnusable`] if it lacks them, or has what no database accepts.
    pub fn of(value: &Payload) -> Result<Self, Problem> {
        let field = |name| value.field(name).filter(|text| !text.is_empty() && !text.expose().contains('\0'));
        match (field("username"), field("password")) {
            (Some(user), Some(password)) => Ok(Self { user: user.expose().to_owned(), password }),
            _ => Err(Refused::ValueUnusable.into()),
        }
    }

    /// Whether the other one is the same to a target.
    pub fn is(&self, other: &Self) -> bool {
        self.user == other.user && self.password.expose() == other.password.expose()
    }
}

/// How the target came to accept a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// By this call.
    Now,
    /// It did before.
    Already,
}

/// How the target came to refuse a value again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// By this call: the earlier value is in force again.
    Now,
    /// It never accepted the value, and it accepts the earlier one.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_both_fields_and_nothing_that_a_database_cannot_have() {
        let of = |json: &str| Credential::of(&Payload::Text(Plaintext::from(json.to_owned())));
        let found = of(r#"{"username":"app","password":"a\"b","host":"elsewhere"}"#).ok().unwrap();
        assert_eq!((found.user.as_str(), found.password.expose()), ("app", "a\"b"));
        for json in [
            r#"{"username":"app"}"#,
            r#"{"password":"p"}"#,
            r#"{"username":"app","password":""}"#,
            r#"{"username":"","password":"p"}"#,
            r#"{"username":"app","password":"a\u0000b"}"#,
            r#"{"username":"app","password":7}"#,
            "text",
        ] {
            assert_eq!(of(json).err(), Some(Problem::Refused(Refused::ValueUnusable)), "{json}");
        }
    }
}
