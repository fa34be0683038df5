use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;

fn values(text: &str) -> Vec<Value> {
    let read = read(text);
    assert_eq!(read.defect, None, "{text}");
    read.documents.iter().map(Node::to_json).collect()
}

#[test]
fn documents_are_read_as_kubectl_reads_them() {
    for (text, expected) in [
        ("a: 1\n---\nb: [x, 'y']\n", vec![json!({"a": 1}), json!({"b": ["x", "y"]})]),
        ("{\"a\":\n\t{\"b\": \"1\"}}", vec![json!({"a": {"b": "1"}})]),
        ("a: on\nb: 'on'\nc: !!str on\n", vec![json!({"a": true, "b": "on", "c": "on"})]),
        ("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n", vec![json!({"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}})]),
        ("a: 1\na: 2\n", vec![json!({"a": 2})]),
        ("# nothing\n", vec![]),
        ("day: 2026-12-20\n", vec![json!({"day": "2026-12-20"})]),
    ] {
        assert_eq!(values(text), expected, "{text}");
    }
}

#[test]
fn scalars_are_those_of_yaml_1_1() {
    for (text, expected) in [
        ("0644", json!(420)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("1_000", json!(1000)),
        ("-5", json!(-5)),
        ("089", json!(89)),
        ("1.5", json!(1.5)),
        ("2e3", json!(2000.0)),
        ("no", json!(false)),
        ("~", Value::Null),
        ("1h", json!("1h")),
        (".", json!(".")),
        ("1.2.3", json!("1.2.3")),
        ("rate(30 days)", json!("rate(30 days)")),
    ] {
        assert_eq!(values(&format!("a: \"x\"\nb: {text}\n")).first().map(|value| value["b"].clone()), Some(expected), "{text}");
    }
}

#[test]
fn every_part_has_its_place() {
    let read = read("kind: A\nspec:\n  list:\n  - x: 1\n  - {y: 2}\n");
    let root = &read.documents[0];
    let path = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
    for (at, line, column) in [("kind", 1, 1), ("spec.list", 3, 3), ("spec.list.1", 5, 5), ("spec.list.1.y", 5, 6), ("spec.none.x", 2, 1)] {
        assert_eq!(root.place_of(&path(at)), Place { line, column }, "{at}");
    }
}

#[test]
fn what_is_no_yaml_says_where_and_hostile_documents_end() {
    for (text, line) in [("a:\n\tb: 2\n", 2), ("a: *nothing\n", 1), ("schedule: * 8 1 * *\n", 1), ("{{ include \"x\" . }}: 1\n", 1)] {
        let defect = read(text).defect.unwrap_or_else(|| panic!("{text} is read"));
        assert_eq!(defect.place.line, line, "{defect:?}");
    }
    assert!(read(&"[".repeat(100_000)).defect.is_some());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{before}]").unwrap();
    }
    assert!(read(&bomb).defect.is_some());
    let nested: String = (0..58).map(|level| format!("&a{level} [")).collect::<Vec<_>>().concat() + &"x, ".repeat(10_000) + &"]".repeat(58);
    assert!(read(&nested).defect.is_some_and(|defect| defect.message.contains("more than")), "each copy counts");
    let many = (0..20_000).map(|key| format!("  k{key}: 1\n")).collect::<Vec<_>>().concat();
    let merged = read(&format!("a: &a\n{many}b:\n  <<: *a\n  k1: 2\n"));
    assert_eq!((merged.defect, merged.documents[0].entries()[1].value.entries().len()), (None, 20_000));
    assert_eq!(read("a: 1\n---\n{b").documents.len(), 1, "what comes before the defect is read");
}

#[test]
fn only_rotated_secrets_are_found_also_in_lists() {
    let text = "kind: Secret\napiVersion: v1\n---\nkind: RotatedSecret\napiVersion: rotated-secrets.io/v1alpha1\n---\nkind: List\n\
                apiVersion: v1\nitems:\n- {kind: ConfigMap}\n- {kind: RotatedSecret, apiVersion: rotated-secrets.io/v1}\n---\n\
                kind: rotatedsecret\napiVersion: v1\n---\n";
    assert_eq!(rotated_secrets(&read(text).documents).len(), 3);
}
