//! Comparison of KMS key identifiers: alias, key ID, or the ARN of either.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id>

/// The AWS managed key of Secrets Manager, which AWS omits from responses.
pub const DEFAULT: &str = "alias/aws/secretsmanager";
/// The same, as the AWS documentation writes it.
pub const DEFAULT_SHORT: &str = "aws/secretsmanager";

/// Whether two identifiers refer to the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    Same,
    Different,
    /// An alias and a key ID: only KMS could tell, and the operator does not call KMS.
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
    /// For an ARN: everything before the resource, which contains region and account.
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

/// Compares the desired key with the key that AWS reports. `None`: AWS reports no key, which means the default key.
pub fn compare(wanted: &str, shown: Option<&str>) -> Sameness {
    let (wanted, shown) = (parse(wanted), parse(shown.filter(|shown| !shown.is_empty()).unwrap_or(DEFAULT)));
    if wanted.kind != shown.kind {
        // The AWS managed key is never reported by its ID.
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
