//! KMS keys by any of their names: an alias, an id, or the ARN of either.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id>

/// The key of the service, which AWS leaves out of its answers.
pub const DEFAULT: &str = "alias/aws/secretsmanager";

/// Whether two names name one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// They do.
    Same,
    /// They do not.
    Different,
    /// An alias and an id: only KMS knows, and we do not ask it.
    Unknown,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Alias,
    Id,
}

#[derive(Debug)]
struct Name<'a> {
    kind: Kind,
    word: &'a str,
    /// Of an ARN: all before the name, which says region and account.
    place: Option<&'a str>,
}

fn parse(name: &str) -> Name<'_> {
    let (place, name) = match name.rsplit_once(':') {
        Some((place, name)) if place.starts_with("arn:") => (Some(place), name),
        _ => (None, name),
    };
    match (name.strip_prefix("alias/"), name.strip_prefix("key/")) {
        (Some(alias), _) => Name { kind: Kind::Alias, word: alias, place },
        (None, Some(id)) => Name { kind: Kind::Id, word: id, place },
        (None, None) => Name { kind: Kind::Id, word: name, place },
    }
}

/// Whether the key that is wanted is the one that AWS shows; `None`: AWS shows none, which is its default key.
pub fn compare(wanted: &str, shown: Option<&str>) -> Sameness {
    let (wanted, shown) = (parse(wanted), parse(shown.filter(|shown| !shown.is_empty()).unwrap_or(DEFAULT)));
    if wanted.kind != shown.kind {
        // The service's own key is never shown by its id.
        let own = [&wanted, &shown].into_iter().any(|name| name.kind == Kind::Alias && name.word == "aws/secretsmanager");
        return if own { Sameness::Different } else { Sameness::Unknown };
    }
    let apart = wanted.place.zip(shown.place).is_some_and(|(one, other)| one != other);
    if wanted.word == shown.word && !apart { Sameness::Same } else { Sameness::Different }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn one_key_has_many_names() {
        let arn = |resource: &str| format!("arn:aws:kms:eu-central-1:123456789012:{resource}");
        let (key, alias) = (arn(&format!("key/{ID}")), arn("alias/shop"));
        let same = [("alias/shop", "alias/shop"), ("alias/shop", &alias), (&alias, "alias/shop"), (ID, &key), (&key, ID), (&key, &key)];
        for (wanted, shown) in same {
            assert_eq!(compare(wanted, Some(shown)), Sameness::Same, "{wanted} {shown}");
        }
        for wanted in [DEFAULT, &arn(DEFAULT)] {
            assert_eq!(compare(wanted, None), Sameness::Same, "{wanted}");
            assert_eq!(compare(wanted, Some("")), Sameness::Same, "{wanted}");
            assert_eq!(compare(wanted, Some(DEFAULT)), Sameness::Same, "{wanted}");
        }
        let there = alias.replace("eu-central-1", "eu-west-1");
        let account = key.replace("123456789012", "210987654321");
        let different = [
            ("alias/shop", "alias/sho"),
            ("alias/op", "alias/shop"),
            (&alias, there.as_str()),
            (&key, account.as_str()),
            (ID, "1234abcd-12ab-34cd-56ef-1234567890ac"),
            (DEFAULT, ID),
            (DEFAULT, "alias/shop"),
        ];
        for (wanted, shown) in different {
            assert_eq!(compare(wanted, Some(shown)), Sameness::Different, "{wanted} {shown}");
        }
        for wanted in ["alias/shop", ID, &key] {
            assert_eq!(compare(wanted, None), Sameness::Different, "{wanted} and the default key");
        }
        for (wanted, shown) in [("alias/shop", ID), ("alias/shop", &key), (ID, "alias/shop"), (&key, &alias)] {
            assert_eq!(compare(wanted, Some(shown)), Sameness::Unknown, "{wanted} {shown}");
        }
    }
}
