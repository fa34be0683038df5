//! Text in statements.

/// A text as a literal. Sessions have `NO_BACKSLASH_ESCAPES`, so a backslash is only that.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A user at a host.
pub(super) fn account(user: &str, host: &str) -> String {
    format!("{}@{}", literal(user), literal(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_quotes() {
        assert_eq!(literal(r"it's \'; DROP USER a; --"), r"'it''s \''; DROP USER a; --'");
        assert_eq!(identifier("a`; DROP USER a; --"), "`a``; DROP USER a; --`");
        assert_eq!(account("o'x", "10.%"), "'o''x'@'10.%'");
    }
}
