//! Text in statements.

use crate::plaintext::Plaintext;

/// A name as an identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal. Sessions have `standard_conforming_strings`, so a backslash is only that.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Parameters whose value is a list of names, as `pg_dump` knows them. Extensions cannot add one.
/// <https://github.com/postgres/postgres/blob/REL_18_0/src/bin/pg_dump/dumputils.c>
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// `name TO value`, for a value as the catalog has it.
pub(super) fn setting(name: &str, value: &str) -> String {
    let parameter = name.split('.').map(identifier).collect::<Vec<_>>().join(".");
    let value = if LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        elements(value).iter().map(|element| literal(element)).collect::<Vec<_>>().join(", ")
    } else {
        literal(value)
    };
    format!("{parameter} TO {value}")
}

/// The elements of a list: separated by commas, in double quotes if they need them. At least one.
fn elements(list: &str) -> Vec<String> {
    let (mut elements, mut element, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = list.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                element.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => elements.push(std::mem::take(&mut element)),
            char if char.is_whitespace() && !quoted => {}
            char => element.push(char),
        }
    }
    elements.push(element);
    elements
}

/// What the server stores of a password, as it is: the password is in no log of it. Base64, digits and `$:-`, so nothing
/// that ends a literal.
pub(super) fn verifier(password: &Plaintext) -> String {
    postgres_protocol::password::scram_sha_256(password.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_quotes() {
        assert_eq!(identifier(r#"a"; DROP ROLE b; --"#), r#""a""; DROP ROLE b; --""#);
        assert_eq!(literal(r"it's \'"), r"'it''s \'''");
    }

    #[test]
    fn a_setting_is_copied_as_the_catalog_has_it() {
        for (name, value, expected) in [
            ("search_path", r#""$user", public, "Odd, ""schema""""#, r#""search_path" TO '$user', 'public', 'Odd, "schema"'"#),
            ("search_path", r#""""#, r#""search_path" TO ''"#),
            ("search_path", "", r#""search_path" TO ''"#),
            ("search_path", r#""x'); DROP ROLE a; --""#, r#""search_path" TO 'x''); DROP ROLE a; --'"#),
            ("DateStyle", "ISO, DMY", r#""DateStyle" TO 'ISO, DMY'"#),
            ("app.tenant", "it's", r#""app"."tenant" TO 'it''s'"#),
            (r#"a"b.c; d"#, "", r#""a""b"."c; d" TO ''"#),
        ] {
            assert_eq!(setting(name, value), expected, "{name}");
        }
    }
}
