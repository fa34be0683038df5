//! Tables of objects and the word for each.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-06-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A healthy object of long ago, with `change` merged into it.
fn object(change: &Value) -> RotatedSecret {
    let mut object = json!({
        "apiVersion": "rotated-secrets.io/v1alpha1",
        "kind": "RotatedSecret",
        "metadata": {"name": "db", "namespace": "shop", "generation": 2, "creationTimestamp": "2026-05-01T12:00:00Z"},
        "spec": {"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}},
        "status": {
            "observedGeneration": 2,
            "conditions": [condition_json("Ready", "True", "Succeeded", "fine")],
            "aws": {"arn": "arn:x", "currentVersionId": "v2"},
            "mirror": {"secretName": "db", "versionId": "v2"},
            "lastRotationTime": "2026-05-20T12:00:00Z",
            "nextRotationTime": "2026-06-19T12:00:00Z",
        },
    });
    merge(&mut object, change);
    serde_json::from_value(object).unwrap()
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

fn condition_json(of: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": of, "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW})
}

fn unready(reason: &str) -> Value {
    json!([condition_json("Ready", "False", reason, "why it is not")])
}

#[test]
fn every_object_has_one_word_and_it_is_the_worst_that_is_true() {
    let stalled =
        json!([condition_json("Ready", "False", "NotOwned", "not ours"), condition_json("Stalled", "True", "NotOwned", "not ours")]);
    let overdue =
        json!(
            [condition_json("Ready", "False", "Throttled", "slow"), condition_json("Rotated", "False", "Overdue", "a rotation was due"),]
        );
    for (what, change, state, fine) in [
        ("healthy", json!({}), State::Ready, true),
        ("pinned", json!({"spec": {"target": {"versionStage": "AWSPREVIOUS"}}}), State::Pinned, true),
        (
            "pinned and due",
            json!({"spec": {"target": {"versionStage": "AWSPREVIOUS"}}, "status": {"nextRotationTime": "2026-06-01T11:58:30Z"}}),
            State::Due,
            true,
        ),
        ("never rotates", json!({"status": {"nextRotationTime": null}}), State::Ready, true),
        ("stalled", json!({"status": {"conditions": stalled}}), State::Stalled, false),
        ("stalled and late", json!({"status": {"conditions": stalled, "nextRotationTime": "2026-05-30T12:00:00Z"}}), State::Stalled, false),
        ("overdue", json!({"status": {"conditions": overdue}}), State::Overdue, false),
        ("late and nobody says so", json!({"status": {"nextRotationTime": "2026-06-01T11:57:59Z"}}), State::Overdue, false),
        ("due this minute", json!({"status": {"nextRotationTime": "2026-06-01T11:58:30Z"}}), State::Due, true),
        ("spec changed long ago", json!({"metadata": {"generation": 3}}), State::Unattended, false),
        (
            "spec changed just now",
            json!({"metadata": {"generation": 3, "managedFields": [{"manager": "kubectl", "operation": "Update", "time": "2026-06-01T11:59:00Z"}]}}),
            State::Progressing,
            false,
        ),
        (
            "only the operator wrote just now",
            json!({"metadata": {"generation": 3, "managedFields": [
                {"manager": "kubectl", "operation": "Update", "time": "2026-06-01T10:00:00Z"},
                {"manager": "rotated-secrets", "operation": "Update", "time": "2026-06-01T11:59:00Z"},
            ]}}),
            State::Unattended,
            false,
        ),
        ("refresh not acknowledged", json!({"metadata": {"annotations": {"rotated-secrets.io/refresh": "a"}}}), State::Unattended, false),
        (
            "refresh acknowledged",
            json!({"metadata": {"annotations": {"rotated-secrets.io/refresh": "a"}}, "status": {"requests": {"refresh": "a"}}}),
            State::Ready,
            true,
        ),
        (
            "attempt missed",
            json!({"status": {"conditions": unready("Throttled"), "failures": {"count": 2, "nextAttemptTime": "2026-06-01T11:00:00Z"}}}),
            State::Unattended,
            false,
        ),
        (
            "attempt to come",
            json!({"status": {"conditions": unready("Throttled"), "failures": {"count": 2, "nextAttemptTime": "2026-06-01T12:01:00Z"}}}),
            State::Failing,
            false,
        ),
        ("settling", json!({"status": {"conditions": unready("Progressing")}}), State::Progressing, false),
        ("new", json!({"status": null, "metadata": {"creationTimestamp": "2026-06-01T11:59:30Z"}}), State::Progressing, false),
        ("new, and nobody comes", json!({"status": null}), State::Unattended, false),
        ("deleting", json!({"metadata": {"deletionTimestamp": NOW}}), State::Progressing, false),
        ("suspended", json!({"spec": {"suspend": true}}), State::Suspended, true),
        (
            "suspended and late",
            json!({"spec": {"suspend": true}, "status": {"nextRotationTime": "2026-05-01T12:00:00Z"}}),
            State::Suspended,
            true,
        ),
        (
            "suspended in a bad state",
            json!({"spec": {"suspend": true}, "status": {"conditions": unready("Suspended")}}),
            State::Suspended,
            false,
        ),
        (
            "rotation suspended and due",
            json!({"spec": {"rotation": {"suspend": true}}, "status": {"conditions": [
                condition_json("Ready", "False", "Suspended", "due"), condition_json("Rotated", "False", "Suspended", "due"),
            ], "nextRotationTime": null}}),
            State::Suspended,
            false,
        ),
    ] {
        let health = judge(&object(&change), now(), &Flags::default());
        assert_eq!((health.state, health.is_fine()), (state, fine), "{what}: {health:?}");
        assert_eq!(health.message.is_none(), state == State::Ready, "{what}: {health:?}");
    }
}

#[test]
fn a_due_time_that_nobody_speaks_of_points_at_the_operator() {
    let health = judge(&object(&json!({"status": {"nextRotationTime": "2026-06-01T11:00:00Z"}})), now(), &Flags::default());
    assert!(health.message.unwrap().contains("kubectl rotatedsecret doctor"));
    assert_eq!(health.overdue_seconds, Some(3600));
}

#[test]
fn the_worst_comes_first_and_then_what_is_due_first() {
    let mut all: Vec<Health> = [
        ("a", json!({})),
        ("b", json!({"status": {"nextRotationTime": null}})),
        ("c", json!({"status": {"nextRotationTime": "2026-06-02T12:00:00Z"}})),
        ("d", json!({"status": {"conditions": unready("Throttled")}})),
        ("e", json!({"status": {"conditions": [condition_json("Stalled", "True", "NotOwned", "")]}})),
        ("f", json!({"status": {"nextRotationTime": "2026-05-02T12:00:00Z"}})),
    ]
    .into_iter()
    .map(|(name, mut change)| {
        merge(&mut change, &json!({"metadata": {"name": name}}));
        judge(&object(&change), now(), &Flags::default())
    })
    .collect();
    sort(&mut all);
    assert_eq!(all.iter().map(|health| health.name.as_str()).collect::<String>(), "efdcab");
}

#[test]
fn the_states_are_listed_worst_first() {
    assert!(State::ALL.is_sorted());
}

#[test]
fn the_fields_for_machines_are_those_of_the_document() {
    let change = json!({
        "metadata": {"annotations": {"rotated-secrets.io/rotate": "a"}},
        "status": {"conditions": unready("Throttled"), "nextRotationTime": "2026-06-01T11:00:00Z",
            "failures": {"count": 2, "since": NOW, "nextAttemptTime": NOW}},
    });
    let written = serde_json::to_value(judge(&object(&change), now(), &Flags::default())).unwrap();
    let document = include_str!("../../../docs/plugin.md");
    for field in written.as_object().unwrap().keys() {
        assert!(document.contains(&format!("`{field}`")), "docs/plugin.md says nothing of {field}");
    }
    assert_eq!(written["state"], "Overdue");
    assert_eq!(written["pendingRequests"], json!(["rotate"]));
    assert_eq!(written["nextRotationTime"], "2026-06-01T11:00:00Z");
    assert_eq!(written["failures"]["count"], 2);
}

#[test]
fn what_waits_for_a_user_is_told_while_aws_cannot_be_read() {
    let conditions = json!([
        condition_json("Ready", "False", "AwsUnavailable", "AWS does not answer"),
        condition_json("Stalled", "True", "NotOwned", "not ours: ask its owner"),
    ]);
    let health = judge(&object(&json!({"status": {"conditions": conditions}})), now(), &Flags::default());
    assert_eq!((health.state, health.reason.as_deref(), health.shown_reason()), (State::Stalled, Some("AwsUnavailable"), Some("NotOwned")));
    assert_eq!(health.message.as_deref(), Some("not ours: ask its owner; at the moment: AWS does not answer"));
}
