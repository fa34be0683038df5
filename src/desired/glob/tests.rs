use super::*;

#[test]
fn one_glob_of_the_list_is_enough_and_none_is_never() {
    let table = [
        ("", "a", false),
        (" ,\n, ", "a", false),
        (" ,\n, ", "", false),
        ("shared/*", "shared/key", true),
        ("shared/*", "shared/", true),
        ("shared/*", "shared", false),
        ("shared/*", "shared/a/b", true),
        ("shared/*", "x/shared/key", false),
        ("shared/key", "shared/key-secret", false),
        ("shared/key?", "shared/key", false),
        ("shared/k?y", "shared/key", true),
        ("shared/[a-z]", "shared/a", false),
        ("a.b", "axb", false),
        ("*", "anything/at/all", true),
        ("*", "", true),
        ("other,shared/*", "shared/key", true),
        ("other\nshared/* last", "last", true),
        ("other, \r\n shared/*\r\n", "shared/key", true),
        ("Shared/*", "shared/key", false),
        ("é*", "éa", true),
    ];
    for (globs, name, allowed) in table {
        assert_eq!(glob_allows(globs, name), allowed, "{globs:?} {name:?}");
    }
}

#[test]
fn globs_mean_what_their_definition_says() {
    fn defined(glob: &[u8], name: &[u8]) -> bool {
        match (glob.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some((b'*', rest)), None) => defined(rest, name),
            (Some((b'*', rest)), Some((_, shorter))) => defined(rest, name) || defined(glob, shorter),
            (Some((c, rest)), Some((n, shorter))) => (*c == b'?' || c == n) && defined(rest, shorter),
            (Some(_), None) => false,
        }
    }
    fn words(letters: &[u8], longest: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        for at in 0.. {
            let Some(word) = all.get(at).cloned().filter(|word: &Vec<u8>| word.len() < longest) else { break };
            all.extend(letters.iter().map(|letter| [word.as_slice(), &[*letter]].concat()));
        }
        all
    }
    let names = words(b"ab", 6);
    let globs = words(b"ab*?", 5);
    assert_eq!((names.len(), globs.len()), (127, 1365));
    for glob in &globs {
        for name in &names {
            assert_eq!(matches(glob, name), defined(glob, name), "{} {}", glob.escape_ascii(), name.escape_ascii());
        }
    }
}

#[test]
fn no_name_makes_a_glob_slow() {
    // With exponential backtracking this would not terminate: more than 10^100 combinations.
    let name = "a".repeat(20_000);
    let glob = format!("{}b", "a*".repeat(100));
    assert!(!glob_allows(&glob, &name));
    assert!(glob_allows(&glob, &format!("{name}b")));
    assert!(glob_allows(&"*".repeat(1000), &name));
    assert!(!glob_allows(&format!("{}b", "*a".repeat(100)), &name));
}

#[test]
fn only_an_arn_with_its_account_allows_an_arn() {
    let arn = "arn:aws:secretsmanager:us-east-1:222233334444:secret:shared/db-AbCdEf";
    for globs in [
        arn,
        "arn:aws:secretsmanager:us-east-1:222233334444:secret:shared/*",
        "arn:*:secretsmanager:*:222233334444:secret:shared/db-??????",
        "other/*, arn:aws:secretsmanager:us-east-1:222233334444:secret:*",
    ] {
        assert!(glob_allows_arn(globs, arn), "{globs}");
    }
    for globs in [
        "",
        "*",
        "arn:*",
        "shared/*",
        "*shared/db*",
        "arn:aws:secretsmanager:us-east-1:*:secret:shared/*",
        "arn:aws:secretsmanager:us-east-1:22223333444?:secret:shared/*",
        "arn:aws:secretsmanager:us-east-1:555566667777:secret:shared/*",
        "arn:aws:secretsmanager:eu-west-1:222233334444:secret:shared/*",
        "arn:aws:*:us-east-1:222233334444:secret:shared/*",
    ] {
        assert!(!glob_allows_arn(globs, arn), "{globs}");
    }
}
