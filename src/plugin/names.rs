//! Names as users type them. They are checked before any request, so that a typing error is never reported as a fault of
//! the cluster.

use crate::api::GROUP;

/// Types by which kubectl knows a RotatedSecret.
const TYPES: [&str; 3] = ["rsec", "rotatedsecret", "rotatedsecrets"];

/// The name of an object, typed as `NAME` or `TYPE/NAME`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn object(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        Some((kind, name)) if is_our_type(kind) => name,
        Some(_) => return Err("use NAME or rotatedsecret/NAME".to_owned()),
        None => text,
    };
    let parts_fit = name.split('.').all(is_label);
    if parts_fit && name.len() <= 253 {
        return Ok(name.to_owned());
    }
    Err("a name has lower case letters, digits, '-' and '.', and begins and ends with a letter or a digit".to_owned())
}

fn is_our_type(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let (kind, group) = kind.split_once('.').unwrap_or((kind.as_str(), GROUP));
    TYPES.contains(&kind) && (group == GROUP || group.strip_suffix(GROUP).is_some_and(|version| version.ends_with('.')))
}

/// A namespace. Empty, as kubectl has it: the namespace of the context.
///
/// # Errors
/// What is wrong with it.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    if text.is_empty() || (is_label(text) && text.len() <= 63) {
        return Ok(text.to_owned());
    }
    Err("a namespace has lower case letters, digits and '-', and begins and ends with a letter or a digit".to_owned())
}

fn is_label(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(alphanumeric);
    let bytes = text.as_bytes();
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_in_kubectl() {
        for typed in [
            "db",
            "rsec/db",
            "rotatedsecret/db",
            "rotatedsecrets/db",
            "RotatedSecret/db",
            "rotatedsecrets.rotated-secrets.io/db",
            "rotatedsecrets.v1alpha1.rotated-secrets.io/db",
        ] {
            assert_eq!(object(typed).as_deref(), Ok("db"), "{typed}");
        }
        assert_eq!(object("a.b-1").as_deref(), Ok("a.b-1"));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_before_anything_is_asked() {
        let long = "a".repeat(254);
        for typed in ["", "db admin", "../db", "secret/db", "rsec/", "DB", "-db", "db-", "a..b", "a/b/c", "db?x=1", "db%2f", long.as_str()]
        {
            assert!(object(typed).is_err(), "{typed:?}");
        }
        for typed in ["shop ", "Shop", "a.b", "../x", "-a", "a/b"] {
            assert!(namespace(typed).is_err(), "{typed:?}");
        }
        assert_eq!(namespace("").as_deref(), Ok(""), "as kubectl has it");
        assert_eq!(namespace("shop-1").as_deref(), Ok("shop-1"));
    }
}
