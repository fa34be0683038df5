//! What a reconcile writes, by tables, and how a line is made.

use jiff::Timestamp;
use serde_json::{Value, json};
use strum::VariantArray as _;

use super::*;
use crate::api::{ROLLBACK, ROTATE, RotatedSecret, RotatedSecretStatus, TICKET};
use crate::desired::fixture::UID;
use crate::version_id::VersionIds;

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf";
const MADE: &str = "2026-12-01T02:00:00Z";

fn object(annotations: &Value) -> RotatedSecret {
    let object = json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"namespace": "shop", "name": "db-admin", "uid": UID, "generation": 2, "annotations": annotations},
        "spec": {"value": {"generate": {"password": {}}}},
    });
    serde_json::from_value(object).unwrap()
}

/// The version is current and mirrored, and is the head of the history. With the fields of `more` in the place of these.
fn status(version: &str, cause: &str, more: &Value) -> RotatedSecretStatus {
    let mut status = json!({
        "observedGeneration": 2,
        "aws": {"arn": ARN},
        "mirror": {"secretName": "db-admin", "versionId": version, "lastWriteTime": MADE},
        "history": [{"versionId": version, "time": MADE, "cause": cause, "outcome": "Succeeded"}],
    });
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(status).unwrap()
}

fn v1(more: &Value) -> RotatedSecretStatus {
    status("v1", "Created", more)
}

/// Ready with this status and reason, as a field of the status.
fn ready(holds: bool, reason: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "why", "lastTransitionTime": MADE}]})
}

/// The entries as JSON, without the ARN, which each has.
fn entries(object: &RotatedSecret, before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Vec<Value> {
    let found = changes(object, before, after);
    assert!(found.iter().all(|entry| entry.arn.as_deref() == Some(ARN)), "{found:?}");
    let without = |entry: &Entry| serde_json::to_value(Entry { arn: None, ..entry.clone() }).unwrap();
    found.iter().map(without).collect()
}

/// Before, after, and the entries.
type Row = (RotatedSecretStatus, RotatedSecretStatus, Value);

fn check(rows: &[Row]) {
    let object = object(&json!({}));
    for (number, (before, after, expected)) in rows.iter().enumerate() {
        assert_eq!(json!(entries(&object, before, after)), *expected, "row {number}");
        assert!(changes(&object, after, after).is_empty(), "row {number}: at rest");
    }
}

#[test]
fn each_new_version_is_one_entry_with_its_cause_and_one_when_it_reaches_the_secret() {
    let no_more = json!({});
    let mirrored = json!({"action": "mirrored", "version": "v2", "previousVersion": "v1"});
    let new = |action: &str, cause: &str| json!([{"action": action, "version": "v2", "previousVersion": "v1", "cause": cause}, mirrored]);
    let due = |time: &str| {
        let entry =
            json!({"versionId": "v2", "time": MADE, "cause": "Scheduled", "outcome": "Succeeded", "dueTime": time, "failedAttempts": 2});
        status("v2", "Scheduled", &json!({"history": [entry]}))
    };
    let rotated = |due: &str, late: i64| {
        let entry = json!({"action": "rotated", "version": "v2", "previousVersion": "v1", "cause": "Scheduled", "dueTime": due,
            "lateSeconds": late, "failedAttempts": 2});
        json!([entry, mirrored])
    };
    let (late, soon) = ("2026-12-01T01:59:09Z", "2026-12-01T02:00:01Z");
    // What the status before says is in the history, if it applies.
    let overdue = v1(&json!({"nextRotationTime": late, "failures": {"count": 2}}));
    let copied = json!({"history": [{"versionId": "v2", "time": MADE, "cause": "RolledBack", "outcome": "Succeeded", "copyOf": "v0"}]});
    let restored = json!([
        {"action": "rolledBack", "version": "v2", "previousVersion": "v1", "copyOf": "v0", "cause": "RolledBack"}, mirrored,
    ]);
    let rows: Vec<Row> = vec![
        (
            RotatedSecretStatus::default(),
            v1(&no_more),
            json!([{"action": "created", "version": "v1", "cause": "Created"}, {"action": "mirrored", "version": "v1"}]),
        ),
        (v1(&no_more), due(late), rotated(late, 51)),
        (v1(&no_more), due(soon), rotated(soon, 0)),
        (overdue, status("v2", "Scheduled", &no_more), new("rotated", "Scheduled")),
        (v1(&no_more), status("v2", "Requested", &no_more), new("rotated", "Requested")),
        (v1(&no_more), status("v2", "SpecChanged", &no_more), new("rotated", "SpecChanged")),
        (v1(&no_more), status("v2", "Adopted", &no_more), new("adopted", "Adopted")),
        (v1(&no_more), status("v2", "External", &no_more), new("changedInAws", "External")),
        (v1(&no_more), status("v2", "RolledBack", &copied), restored),
    ];
    check(&rows);
}

#[test]
fn the_secret_is_told_if_it_has_another_version() {
    let mirror = |more: &Value| {
        let mut mirror = json!({"secretName": "db-admin", "versionId": "v1", "lastWriteTime": MADE});
        mirror.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        v1(&json!({"mirror": mirror}))
    };
    let rewritten = mirror(&json!({"lastWriteTime": "2026-12-01T02:00:07Z"}));
    let by = mirror(&json!({"repairs": {"count": 1, "lastTime": MADE, "manager": "forged"}}));
    let without = || v1(&json!({"mirror": null}));
    let rows: Vec<Row> = vec![
        (without(), v1(&json!({})), json!([{"action": "mirrored", "version": "v1"}])),
        (v1(&json!({})), without(), json!([])),
        // Repairs are told when they are made, not by what users may write.
        (v1(&json!({})), by, json!([])),
        (v1(&json!({})), rewritten.clone(), json!([])),
        (v1(&json!({"observedGeneration": 1})), rewritten, json!([])),
        (v1(&json!({})), mirror(&json!({"previousVersionId": "v0"})), json!([])),
    ];
    check(&rows);
}

#[test]
fn an_abandoned_version_and_the_end_of_a_rollout_are_entries() {
    let history = json!({"history": [
        {"versionId": "v2", "time": MADE, "cause": "Scheduled", "outcome": "Abandoned", "reason": "VerifyFailed", "dueTime": MADE,
            "failedAttempts": 4},
        {"versionId": "v1", "time": MADE, "cause": "Created", "outcome": "Succeeded"},
    ]});
    let rollout = |phase: &str, end: Option<&str>| {
        let workloads = json!([{"kind": "Deployment", "name": "app", "state": "Healthy", "restarts": 1}]);
        v1(&json!({"rollout": {"versionId": "v1", "phase": phase, "startTime": MADE, "completionTime": end, "workloads": workloads}}))
    };
    let rows: Vec<Row> = vec![
        (
            v1(&json!({})),
            v1(&history),
            json!([{"action": "abandoned", "version": "v2", "cause": "Scheduled", "reason": "VerifyFailed", "dueTime": MADE,
                "failedAttempts": 4}]),
        ),
        (rollout("Waiting", None), rollout("Completed", Some(MADE)), json!([{"action": "rolledOut", "version": "v1"}])),
        (v1(&json!({})), rollout("Waiting", None), json!([])),
    ];
    check(&rows);
}

#[test]
fn a_refusal_is_an_entry_once_and_neither_a_failure_nor_progress_is_one() {
    let fine = || v1(&ready(true, "Succeeded"));
    let ill = |reason: &str| v1(&ready(false, reason));
    let failing = |reason: &str| {
        let mut more = ready(false, reason);
        more["failures"] = json!({"count": 1, "steps": [{"step": "Put", "reason": reason}]});
        v1(&more)
    };
    let stalled = |reason: &str| {
        let mut more = ready(false, reason);
        let stalled = json!({"type": "Stalled", "status": "True", "reason": "NotOwned", "message": "why", "lastTransitionTime": MADE});
        more["conditions"].as_array_mut().unwrap().push(stalled);
        v1(&more)
    };
    let refused = |reason: &str| json!([{"action": "refused", "reason": reason}]);
    let answered = json!({"requests": {"rollback": "undo", "rollbackRefused": "VersionNotFound"}});
    let rows: Vec<Row> = vec![
        (fine(), ill("NotOwned"), refused("NotOwned")),
        (ill("NotOwned"), ill("NameNotAllowed"), refused("NameNotAllowed")),
        (ill("Progressing"), ill("NotOwned"), refused("NotOwned")),
        (fine(), failing("AccessDenied"), json!([])),
        (failing("AccessDenied"), ill("NotOwned"), refused("NotOwned")),
        (fine(), ill("Progressing"), json!([])),
        (fine(), ill("Creating"), json!([])),
        (fine(), ill("Suspended"), json!([])),
        (ill("NotOwned"), fine(), json!([])),
        // Stalled kept it while AWS could not be read.
        (stalled("Throttled"), stalled("NotOwned"), json!([])),
        (v1(&json!({})), v1(&answered), json!([{"action": "refused", "reason": "RollbackRefused"}])),
    ];
    check(&rows);
    for (annotation, request) in [("undo:AWSPREVIOUS", Some("undo")), ("undo", None), ("undo:", None)] {
        let asking = object(&json!({ROLLBACK: annotation}));
        let found = changes(&asking, &v1(&json!({})), &v1(&answered));
        assert_eq!(found[0].request.as_deref(), request, "{annotation}");
    }
}

#[test]
fn the_token_of_a_request_is_the_one_from_which_the_id_of_the_version_follows() {
    let ids = VersionIds::of(UID);
    let (asked, undone) = (ids.request("please"), ids.rollback("undo"));
    let now = object(&json!({ROTATE: "please", ROLLBACK: "undo:AWSPREVIOUS"}));
    let later = object(&json!({ROTATE: "again", ROLLBACK: "another:AWSPREVIOUS"}));
    let handled = json!({"requests": {"rotate": "please", "rollback": "undo"}});
    for (object, more) in [(&now, &json!({})), (&later, &handled)] {
        for (version, cause, token, annotation) in [(&asked, "Requested", "please", ROTATE), (&undone, "RolledBack", "undo", ROLLBACK)] {
            let found = changes(object, &v1(&json!({})), &status(version.as_str(), cause, more));
            assert_eq!((found[0].request.as_deref(), found[0].annotation()), (Some(token), Some(annotation)), "{cause}");
        }
    }
    for (version, cause) in [(&asked, "Scheduled"), (&ids.first(), "Requested"), (&asked, "RolledBack")] {
        let found = changes(&now, &v1(&json!({})), &status(version.as_str(), cause, &json!({})));
        assert_eq!((found[0].request.as_deref(), found[0].annotation()), (None, None), "{cause}");
    }
}

fn line(entry: &Entry, annotations: &Value) -> String {
    entry.line(&object(annotations).metadata, "prod", MADE.parse::<Timestamp>().unwrap()).unwrap()
}

#[test]
fn a_line_has_the_object_the_entry_and_the_ticket_and_nothing_that_does_not_apply() {
    let entry = Entry { version: Some("v1".to_owned()), late_seconds: Some(0), ..Entry::of(Action::Kept) };
    let expected = format!(
        r#"{{"audit":"rotated-secrets.io/v1","time":"{MADE}","cluster":"prod","namespace":"shop","name":"db-admin","uid":"{UID}","action":"kept","version":"v1","lateSeconds":0,"ticket":"CHG-7"}}"#
    );
    assert_eq!(line(&entry, &json!({TICKET: "CHG-7"})), expected);
    assert!(!line(&entry, &json!({TICKET: ""})).contains("ticket") && !line(&entry, &json!({})).contains("ticket"));
}

#[test]
fn a_ticket_covers_what_a_person_asked_for_only() {
    let of = |action: Action, cause: &'static str, request: Option<&str>| {
        let entry = Entry { cause: Some(cause), request: request.map(str::to_owned), ..Entry::of(action) };
        line(&entry, &json!({TICKET: "CHG-7"})).contains("CHG-7")
    };
    assert!(of(Action::Rotated, "Requested", Some("please")) && of(Action::Rotated, "SpecChanged", None));
    assert!(of(Action::DeletionScheduled, "", None));
    assert!(!of(Action::Rotated, "Scheduled", None) && !of(Action::ChangedInAws, "External", None));
    assert!(!of(Action::Repaired, "", None) && !of(Action::Refused, "", None));
}

#[test]
fn text_of_users_is_bounded_and_cannot_end_a_line_or_add_a_field() {
    let forged = "x\"}\n{\"audit\":\"rotated-secrets.io/v1\",\"action\":\"rotated\r\u{2028}\u{1b}[31m\u{202e}\u{85}";
    let long = forged.repeat(100);
    let texts = || Some(long.clone());
    let entry = Entry {
        version: texts(),
        previous_version: texts(),
        copy_of: texts(),
        arn: texts(),
        reason: texts(),
        manager: texts(),
        request: texts(),
        requester: texts(),
        ..Entry::of(Action::Refused)
    };
    let line = line(&entry, &json!({TICKET: long}));
    assert!(line.len() < 64 * 1024 && !line.chars().any(crate::text::is_unsafe), "{line}");
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&read["action"], &read["audit"]), (&json!("refused"), &json!(SCHEMA)));
    assert_eq!(read.as_object().unwrap().len(), 6 + 9 + 1, "{line}");
    let first: String = long.chars().take(256).collect();
    assert!(["version", "reason", "request", "requester", "ticket"].iter().all(|field| read[field] == json!(first)));
    assert_eq!(read["arn"].as_str().unwrap().chars().count(), 2048);
}

#[test]
fn the_page_names_each_action_and_each_field() {
    let page = include_str!("../../docs/observability.md");
    for action in Action::VARIANTS {
        let word = serde_json::to_value(action).unwrap();
        assert!(page.contains(&format!("`{}`", word.as_str().unwrap())), "{word}");
    }
    let some = || Some(String::new());
    let full = Entry {
        version: some(),
        previous_version: some(),
        copy_of: some(),
        cause: Some(""),
        due_time: some(),
        late_seconds: Some(1),
        failed_attempts: Some(1),
        arn: some(),
        reason: some(),
        step: Some(""),
        manager: some(),
        request: some(),
        requester: some(),
        ..Entry::of(Action::Rotated)
    };
    let read: Value = serde_json::from_str(&line(&full, &json!({TICKET: "1"}))).unwrap();
    for field in read.as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{field}`")), "{field}");
    }
}
