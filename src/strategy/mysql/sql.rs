//! Text in statements.

/// A text as a literal. Sessions have `NO_BACKSLASH_ESCAPES`, so a backslash is only that.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_quotes() {
        assert_eq!(literal(r"it's \'; DROP USER a; --"), r"'it''s \''; DROP USER a; --'");
    }
}
