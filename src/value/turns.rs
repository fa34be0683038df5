//! Two users of a database that take turns.

/// The field that names the user.
pub const USERNAME: &str = "username";

/// The users that take turns. Each rotation gives a new password to the one that is not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns {
    /// The user that the spec names.
    pub base: String,
    /// The other one.
    pub twin: String,
}

impl Turns {
    /// The user of the next value. `fresh`: it has a new password.
    fn next(&self, before: Option<&str>, fresh: bool) -> &str {
        match (before, fresh) {
            (Some(before), true) if before == self.base => &self.twin,
            (Some(before), false) if before == self.twin => &self.twin,
            _ => &self.base,
        }
    }

    /// Whether it is one of the two users.
    pub fn is(&self, user: &str) -> bool {
        user == self.base || user == self.twin
    }
}

/// The content of a field that is declared with this one, in the next value.
pub(super) fn next<'a>(turns: Option<&'a Turns>, field: &str, fixed: &'a str, before: Option<&str>, fresh: bool) -> &'a str {
    turns.filter(|_| field == USERNAME).map_or(fixed, |turns| turns.next(before, fresh))
}

/// Whether a field that is declared with this content may have that text.
pub(super) fn fits(turns: Option<&Turns>, field: &str, fixed: &str, text: &str) -> bool {
    text == fixed || (field == USERNAME && turns.is_some_and(|turns| turns.is(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_password_is_for_the_user_that_is_not_in_use() {
        let turns = Turns { base: "app".to_owned(), twin: "app_clone".to_owned() };
        for (before, fresh, next) in [
            (None, true, "app"),
            (None, false, "app"),
            (Some("app"), true, "app_clone"),
            (Some("app"), false, "app"),
            (Some("app_clone"), true, "app"),
            (Some("app_clone"), false, "app_clone"),
            (Some("another"), true, "app"),
            (Some("another"), false, "app"),
        ] {
            assert_eq!(turns.next(before, fresh), next, "{before:?}, fresh: {fresh}");
        }
        assert_eq!(super::next(Some(&turns), "host", "db", Some("app"), true), "db");
        assert_eq!(super::next(None, USERNAME, "app", Some("app"), true), "app");
        assert!(fits(Some(&turns), USERNAME, "app", "app_clone") && !fits(Some(&turns), "host", "app", "app_clone"));
        assert!(!fits(None, USERNAME, "app", "app_clone") && !fits(Some(&turns), USERNAME, "app", "other"));
    }
}
