//! Pairs in a value: both halves come from one generation, whatever happens to the declaration.

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::*;
use crate::generate::{SshAlgorithm, SshRules, TlsRules};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn ssh(field: &str) -> Generator {
    Generator::SshKeyPair(SshRules { algorithm: SshAlgorithm::Ed25519, public_key_field: field.to_owned() })
}

fn tls(certificate: &str, ca: &str) -> Generator {
    Generator::TlsKeyPair(TlsRules {
        certificate_field: certificate.to_owned(),
        ca_field: ca.to_owned(),
        common_name: "robot".to_owned(),
        dns_names: Vec::new(),
        validity_days: 90,
    })
}

fn fields(data: &[(&str, &str)], generate: Vec<(&str, Generator)>) -> DeclaredValue {
    DeclaredValue::Fields {
        data: data.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        generate: generate.into_iter().map(|(name, generator)| (name.to_owned(), generator)).collect(),
        turns: None,
    }
}

/// The next value after `before`, which was made by `former`.
fn next(former: &DeclaredValue, declared: &DeclaredValue, before: &Map<String, Value>, fresh: bool) -> Map<String, Value> {
    let before = Payload::Text(Plaintext::from(Value::Object(before.clone()).to_string()));
    let mut rng = StdRng::seed_from_u64(7);
    let made = declared
        .compose(Some(&before), fresh, Former { fields: &former.field_names(), fixed: &former.fixed_names() }, &mut rng, NOW)
        .ok()
        .unwrap();
    assert!(declared.matches(&Payload::Text(Plaintext::from(made.expose().to_owned()))));
    serde_json::from_str(made.expose()).unwrap()
}

fn first(declared: &DeclaredValue) -> Map<String, Value> {
    let mut rng = StdRng::seed_from_u64(42);
    let made = declared.compose(None, true, Former::default(), &mut rng, NOW).ok().unwrap();
    serde_json::from_str(made.expose()).unwrap()
}

/// Whether the fields hold what one generation made.
fn together(generator: &Generator, name: &str, value: &Map<String, Value>) -> bool {
    matches!(generator.keep(name, value), Kept::Whole)
}

fn names(value: &Map<String, Value>) -> Vec<&str> {
    value.keys().map(String::as_str).collect()
}

#[test]
fn companions_are_declared_fields() {
    let declared =
        fields(&[("user", "git")], vec![("key", ssh("key.pub")), ("tls.key", tls("tls.crt", "ca.crt")), ("id", Generator::Uuid)]);
    let all = ["ca.crt", "id", "key", "key.pub", "tls.crt", "tls.key", "user"];
    assert_eq!(declared.field_names(), all);
    let value = first(&declared);
    assert_eq!(names(&value), all);
    for missing in all {
        let mut value = value.clone();
        value.remove(missing);
        assert!(!declared.matches(&Payload::Text(Plaintext::from(Value::Object(value).to_string()))), "{missing}");
    }
    let renamed = fields(&[("user", "git")], vec![("key", ssh("other")), ("tls.key", tls("tls.crt", "ca.crt")), ("id", Generator::Uuid)]);
    assert_ne!(declared.hash(), renamed.hash());
}

#[test]
fn a_rotation_renews_every_part_of_every_pair() {
    let declared = fields(&[], vec![("a", ssh("a.pub")), ("b", ssh("b.pub")), ("t", tls("c", "d"))]);
    let before = first(&declared);
    let after = next(&declared, &declared, &before, true);
    for name in declared.field_names() {
        assert_ne!(before[&name], after[&name], "{name}");
    }
    for (name, generator) in [("a", ssh("a.pub")), ("b", ssh("b.pub")), ("t", tls("c", "d"))] {
        assert!(together(&generator, name, &after), "{name}");
    }
}

#[test]
fn a_changed_declaration_keeps_pairs_as_they_are() {
    let former = fields(&[], vec![("a", ssh("a.pub")), ("t", tls("c", "d"))]);
    let before = first(&former);
    let declared = fields(&[("user", "git")], vec![("a", ssh("a.pub")), ("t", tls("c", "d")), ("p", Generator::default())]);
    let after = next(&former, &declared, &before, false);
    for name in former.field_names() {
        assert_eq!(before[&name], after[&name], "{name}");
    }
    assert_eq!(after.len(), before.len() + 2);
}

#[test]
fn a_public_key_that_moves_to_another_field_stays_with_its_private_key() {
    let former = fields(&[], vec![("a", ssh("a.pub")), ("b", ssh("b.pub"))]);
    let before = first(&former);
    let of = |declared: &DeclaredValue| next(&former, declared, &before, false);

    let renamed = of(&fields(&[], vec![("a", ssh("id.pub")), ("b", ssh("b.pub"))]));
    assert_eq!((&renamed["a"], &renamed["id.pub"]), (&before["a"], &before["a.pub"]));
    assert_eq!(names(&renamed), ["a", "b", "b.pub", "id.pub"]);

    // The field that it moves to holds another key's public half.
    let taken = of(&fields(&[], vec![("a", ssh("b.pub"))]));
    assert_eq!((&taken["a"], &taken["b.pub"]), (&before["a"], &before["a.pub"]));
    assert_eq!(names(&taken), ["a", "b.pub"]);
}

#[test]
fn a_certificate_that_would_be_another_keys_is_renewed_with_its_key() {
    let former = fields(&[], vec![("a", tls("a.crt", "a.ca")), ("b", tls("b.crt", "b.ca"))]);
    let before = first(&former);
    for moved in [tls("b.crt", "a.ca"), tls("a.crt", "b.ca"), tls("other", "a.ca")] {
        let after = next(&former, &fields(&[], vec![("a", moved.clone())]), &before, false);
        assert_ne!(after["a"], before["a"]);
        assert!(together(&moved, "a", &after));
        assert_eq!(after.len(), 3);
    }
}

#[test]
fn a_field_that_becomes_a_pair_is_renewed_and_a_pair_that_goes_takes_all_its_parts_along() {
    let pair = fields(&[("user", "git")], vec![("key", ssh("key.pub"))]);
    let password = fields(&[("user", "git")], vec![("key", Generator::default())]);
    let after = next(&password, &pair, &first(&password), false);
    assert!(together(&ssh("key.pub"), "key", &after) && after["key"].as_str().unwrap().starts_with("-----BEGIN"));

    let gone = fields(&[("user", "git")], vec![]);
    assert_eq!(names(&next(&pair, &gone, &after, false)), ["user"]);
}

#[test]
fn a_pair_that_somebody_put_into_aws_is_kept_until_the_next_rotation() {
    let declared = fields(&[], vec![("key", ssh("key.pub"))]);
    let foreign = json!({"key": "-----BEGIN RSA PRIVATE KEY-----\nx", "key.pub": "ssh-rsa x"});
    let more = fields(&[("user", "git")], vec![("key", ssh("key.pub"))]);
    let kept = next(&declared, &more, foreign.as_object().unwrap(), false);
    assert_eq!((&kept["key"], &kept["key.pub"]), (&foreign["key"], &foreign["key.pub"]));
    assert!(together(&ssh("key.pub"), "key", &next(&declared, &more, &kept, true)));
}

#[test]
fn a_field_with_a_fixed_content_that_is_generated_now_is_made_new_and_others_are_kept() {
    let password = || Generator::default();
    let former = fields(&[("password", "changeme"), ("user", "app")], vec![("token", password())]);
    let declared = fields(&[("user", "app")], vec![("token", password()), ("password", password())]);
    let before = first(&former);
    let after = next(&former, &declared, &before, false);
    assert_eq!((&after["token"], &after["user"]), (&before["token"], &before["user"]));
    assert_ne!(after["password"], "changeme");
    // A field that was generated before, or that others added, is kept.
    let kept = next(&declared, &declared, &after, false);
    assert_eq!(kept, after);
    let unknown = fields(&[("user", "app")], vec![("token", password())]);
    assert_eq!(next(&unknown, &declared, &before, false)["password"], "changeme");
}
