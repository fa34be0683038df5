use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:secretsmanager:us-west-2:012345678901:secret:shop/db-a1b2c3";
const VERSION: &str = "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111";

/// As the user guide shows it.
fn event() -> Value {
    json!({
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "account": "012345678901",
        "time": "2024-02-06T16:43:48Z",
        "region": "us-west-2",
        "resources": [ARN],
        "detail": {"name": "shop/db", "labelUpdated": "AWSCURRENT", "versionId": VERSION},
    })
}

/// The event with one change.
fn with(pointer: &str, value: Value) -> String {
    let mut event = event();
    *event.pointer_mut(pointer).unwrap() = value;
    event.to_string()
}

fn without(field: &str) -> String {
    let mut event = event();
    event.as_object_mut().unwrap().remove(field).unwrap();
    event.to_string()
}

fn moved(arn: &str, version: &str) -> LabelMoved {
    LabelMoved { arn: arn.to_owned(), version: VersionId::parse(version).unwrap() }
}

#[test]
fn a_message_is_read_if_it_is_the_event_of_a_secret_whose_awscurrent_moved() {
    let mut extended = event();
    extended["trace"] = json!({"deep": [1, {"er": null}]});
    extended["detail"]["previousVersionId"] = json!("x");
    for body in [event().to_string(), serde_json::to_string_pretty(&event()).unwrap(), extended.to_string()] {
        assert_eq!(LabelMoved::parse(&body), Ok(moved(ARN, VERSION)), "{body}");
    }
    let escaped = event().to_string().replace("AWSCURRENT", "\\u0041WSCURRENT");
    assert_eq!(LabelMoved::parse(&escaped), Ok(moved(ARN, VERSION)));
}

#[test]
fn events_of_other_kinds_and_labels_are_told_from_what_is_no_event() {
    let other = [
        with("/source", json!("aws.s3")),
        with("/detail-type", json!("AWS API Call via CloudTrail")),
        with("/detail/labelUpdated", json!("rotated-secrets/1")),
        with("/detail/labelUpdated", json!("awscurrent")),
        // The detail of another event has another form.
        json!({"source": "aws.ec2", "detail-type": "x", "account": "1", "resources": [], "detail": {"a": 1}}).to_string(),
    ];
    for body in other {
        assert_eq!(LabelMoved::parse(&body), Err(Useless::Other), "{body}");
    }
    let mut nested = String::new();
    for _ in 0..5000 {
        let _ = write!(nested, "[");
    }
    let sns = json!({"Type": "Notification", "Message": event().to_string()}).to_string();
    let invalid = [
        String::new(),
        "not JSON".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        nested,
        sns,
        event().to_string().replace("AWSCURRENT", "\\ud800"),
        format!("{}x", event()),
        format!("{}{}", event(), " ".repeat(LONGEST)),
        without("resources"),
        without("detail"),
        without("account"),
        with("/detail", json!("AWSCURRENT")),
        with("/detail", json!({"labelUpdated": "AWSCURRENT"})),
        with("/detail/versionId", json!("")),
        with("/detail/versionId", json!("v".repeat(65))),
        with("/detail/versionId", json!("a\nb")),
        with("/detail/versionId", json!({"x": VERSION})),
        with("/resources", json!([])),
        with("/resources", json!([ARN, ARN])),
        with("/resources/0", json!("shop/db")),
        with("/resources/0", json!("arn:aws:secretsmanager:us-west-2:012345678901:secret:shop/db")),
        with("/resources/0", json!("arn:aws:s3:::bucket")),
        // Of another account than its secret.
        with("/account", json!("999999999999")),
    ];
    for body in invalid {
        assert_eq!(LabelMoved::parse(&body), Err(Useless::Invalid), "{}", body.chars().take(300).collect::<String>());
    }
}

fn key(name: &str) -> Key {
    Key::new("shop", name)
}

fn version(id: &str) -> VersionId {
    VersionId::parse(id).unwrap()
}

/// A whole reconcile that sees this version. Says whether another one is requested.
fn reconciled(index: &EventIndex, name: &str, arn: &str, id: &str) -> Again {
    index.begins(&key(name));
    index.saw(&key(name), arn, Some(&version(id)));
    index.ends(&key(name))
}

#[test]
fn an_event_requests_every_object_that_saw_another_version_and_no_others() {
    let index = EventIndex::default();
    for (name, arn, id) in [("a", "arn:1", "v1"), ("b", "arn:1", "v1"), ("c", "arn:1", "v2"), ("d", "arn:2", "v1")] {
        assert_eq!(reconciled(&index, name, arn, id), Again::No);
    }
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::Requested(vec![key("a"), key("b")]));
    assert_eq!(reconciled(&index, "a", "arn:1", "v2"), Again::No);
    // A duplicate, while one of them has not been reconciled yet.
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::Requested(vec![key("b")]));
    assert_eq!(reconciled(&index, "b", "arn:1", "v2"), Again::No);
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::Echo);
    // One that comes late asks once for each object, which sees that nothing changed.
    assert_eq!(index.arrives(moved("arn:1", "v1")), Arrival::Requested(vec![key("a"), key("b"), key("c")]));
    assert_eq!(index.arrives(moved("arn:9", "v1")), Arrival::Unknown);
}

#[test]
fn an_event_during_a_reconcile_is_compared_when_that_ends() {
    let index = EventIndex::default();
    assert_eq!(reconciled(&index, "a", "arn:1", "v1"), Again::No);
    // Its own write.
    index.begins(&key("a"));
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::InProgress);
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::InProgress);
    index.saw(&key("a"), "arn:1", Some(&version("v2")));
    assert_eq!(index.ends(&key("a")), Again::No);
    // A change after the read, also after many duplicates.
    index.begins(&key("a"));
    index.saw(&key("a"), "arn:1", Some(&version("v2")));
    for _ in 0..20 {
        assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::InProgress);
    }
    assert_eq!(index.arrives(moved("arn:1", "v3")), Arrival::InProgress);
    assert_eq!(index.ends(&key("a")), Again::Now);
    assert_eq!(index.ends(&key("a")), Again::Later, "once at once");
    // A reconcile that observed nothing.
    index.begins(&key("a"));
    assert_eq!(index.arrives(moved("arn:1", "v3")), Arrival::InProgress);
    assert_eq!(index.ends(&key("a")), Again::Now);
    assert_eq!(index.arrives(moved("arn:1", "v3")), Arrival::Requested(vec![key("a")]));
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::Echo);
}

#[test]
fn an_event_during_the_first_reconcile_of_an_object_is_not_missed() {
    let index = EventIndex::default();
    index.begins(&key("new"));
    // It has read v1 and is not known yet.
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::Unknown);
    index.saw(&key("new"), "arn:1", Some(&version("v1")));
    assert_eq!(index.ends(&key("new")), Again::Now);
    assert_eq!(reconciled(&index, "new", "arn:1", "v2"), Again::No);
    // What is remembered of unknown secrets is bounded.
    for number in 0..=MOST_UNKNOWN * 2 {
        index.arrives(moved(&format!("arn:u{number}"), "v1"));
    }
    assert!(index.state().unknown.len() <= MOST_UNKNOWN);
}

#[test]
fn what_is_gone_or_moved_is_not_requested_and_a_cleared_index_knows_nothing() {
    let index = EventIndex::default();
    for name in ["a", "b"] {
        assert_eq!(reconciled(&index, name, "arn:1", "v1"), Again::No);
    }
    assert_eq!(reconciled(&index, "b", "arn:2", "v1"), Again::No);
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::Requested(vec![key("a")]));
    index.forget(&key("a"));
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::Unknown);
    assert!(!index.state().secrets.contains_key("arn:1"));
    index.clear();
    assert_eq!(index.arrives(moved("arn:2", "v2")), Arrival::Unknown);
    assert_eq!(index.ends(&key("b")), Again::No);
}

#[test]
fn a_reconcile_that_reads_an_older_state_than_its_event_is_repeated_once_later() {
    let index = EventIndex::default();
    assert_eq!(reconciled(&index, "a", "arn:1", "v1"), Again::No);
    let asked = Arrival::Requested(vec![key("a")]);
    for (seen, again) in [("v1", [Again::Later, Again::No]), ("v2", [Again::No, Again::No]), ("v1", [Again::Later, Again::No])] {
        let event = if seen == "v2" { "v2" } else { "v0" };
        assert_eq!(index.arrives(moved("arn:1", event)), asked, "{seen}");
        assert_eq!(again, [(); 2].map(|()| reconciled(&index, "a", "arn:1", seen)), "{seen}");
    }
    // The event of its next version arrives during a reconcile, and the one after that reads an older state.
    index.begins(&key("a"));
    assert_eq!(index.arrives(moved("arn:1", "v2")), Arrival::InProgress);
    index.saw(&key("a"), "arn:1", Some(&version("v1")));
    assert_eq!(index.ends(&key("a")), Again::Now);
    assert_eq!(reconciled(&index, "a", "arn:1", "v1"), Again::Later);
    assert_eq!(reconciled(&index, "a", "arn:1", "v2"), Again::No);
    // What an event of another secret named is not awaited.
    assert_eq!(index.arrives(moved("arn:1", "v3")), asked);
    assert_eq!(reconciled(&index, "a", "arn:2", "v1"), Again::No);
}
