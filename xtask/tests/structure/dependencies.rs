//! What Cargo.lock may contain.

use std::collections::BTreeMap;

/// A new crate is new code of other people in the operator. Raise a number in the commit that adds the crate, with the
/// reason in Cargo.toml.
const MOST_CRATES: usize = 425;
/// Crates of which the lock has several versions.
const MOST_IN_SEVERAL_VERSIONS: usize = 19;
/// The stack of TLS that the default features of the AWS SDK bring, with open advisories, and a second TLS library.
const NEVER: [(&str, &str); 6] =
    [("rustls", "0.21."), ("rustls-webpki", "0.101."), ("hyper", "0.14."), ("h2", "0.3."), ("openssl", ""), ("native-tls", "")];

/// The versions of each crate.
pub(crate) fn locked(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = ")).unwrap().trim_matches('"');
        found.entry(field("name")).or_default().push(field("version"));
    }
    found
}

/// What is wrong with them.
pub(crate) fn wrong(locked: &BTreeMap<&str, Vec<&str>>) -> Vec<String> {
    let total: usize = locked.values().map(Vec::len).sum();
    let several = locked.values().filter(|versions| versions.len() > 1).count();
    let mut wrong = Vec::new();
    if total > MOST_CRATES || several > MOST_IN_SEVERAL_VERSIONS {
        wrong
            .push(format!("{total} crates, {several} of them in several versions: more than {MOST_CRATES} and {MOST_IN_SEVERAL_VERSIONS}"));
    }
    for (name, version) in NEVER {
        let found = locked.get(name).into_iter().flatten().filter(|found| found.starts_with(version));
        wrong.extend(found.map(|found| format!("{name} {found}")));
    }
    wrong
}
