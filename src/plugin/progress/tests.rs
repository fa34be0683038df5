//! Tables of statuses and how far a request is by them.

use serde_json::{Value, json};

use super::*;

fn asked() -> Asked {
    Asked { token: "t".to_owned(), refresh: "t".to_owned() }
}

fn flags() -> Flags {
    Flags::default().within("shop")
}

const UID: &str = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";

fn expected() -> String {
    VersionIds::of(UID).request("t").to_string()
}

fn object(spec: &Value, status: &Value) -> RotatedSecret {
    serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1",
        "kind": "RotatedSecret",
        "metadata": {"name": "db", "uid": UID, "generation": 1},
        "spec": spec,
        "status": status,
    }))
    .unwrap()
}

fn conditions(ready: &str, reason: &str, stalled: bool) -> Value {
    let one = |of: &str, status: &str| json!({"type": of, "status": status, "reason": reason, "message": "why", "lastTransitionTime": "2026-06-01T12:00:00Z"});
    if stalled { json!([one("Ready", ready), one("Provisioned", "False"), one("Stalled", "True")]) } else { json!([one("Ready", ready)]) }
}

#[test]
fn a_rotation_is_done_when_its_own_version_is_current_mirrored_and_ready() {
    let version = expected();
    let fine = conditions("True", "Succeeded", false);
    let refused = || Verdict::Refused("why".to_owned());
    for (what, status, reached, verdict) in [
        ("nothing yet", json!({"observedGeneration": 1, "conditions": fine}), (false, false, false), Verdict::Wait),
        (
            "another version came first",
            json!({"observedGeneration": 1, "conditions": fine, "aws": {"currentVersionId": "x"}, "mirror": {"versionId": "x"}}),
            (false, false, false),
            Verdict::Wait,
        ),
        (
            "current",
            json!({"observedGeneration": 1, "conditions": conditions("False", "Progressing", false), "aws": {"currentVersionId": version},
                "mirror": {"versionId": "x"}}),
            (true, false, false),
            Verdict::Wait,
        ),
        (
            "done",
            json!({"observedGeneration": 1, "conditions": fine, "aws": {"currentVersionId": version}, "mirror": {"versionId": version}}),
            (true, true, true),
            Verdict::Done,
        ),
        (
            "done, and another rotation followed",
            json!({"observedGeneration": 1, "conditions": fine, "aws": {"currentVersionId": "y"}, "mirror": {"versionId": "y"},
                "history": [{"versionId": "y", "time": "2026-06-01T12:00:00Z", "cause": "Scheduled", "outcome": "Succeeded"},
                    {"versionId": version, "time": "2026-06-01T12:00:00Z", "cause": "Requested", "outcome": "Succeeded"}]}),
            (true, true, true),
            Verdict::Done,
        ),
        (
            "stalled before the request",
            json!({"observedGeneration": 1, "conditions": conditions("False", "NotOwned", true)}),
            (false, false, false),
            Verdict::Wait,
        ),
        (
            "stalled after it",
            json!({"observedGeneration": 1, "conditions": conditions("False", "NotOwned", true), "requests": {"refresh": "t"}}),
            (false, false, false),
            refused(),
        ),
        (
            "the spec is invalid, and the operator has not reconciled since",
            json!({"observedGeneration": 1, "conditions": conditions("False", "InvalidSpec", true)}),
            (false, false, false),
            Verdict::Wait,
        ),
        (
            "the spec is invalid, and the operator has reconciled since",
            json!({"observedGeneration": 1, "conditions": conditions("False", "InvalidSpec", true), "requests": {"refresh": "t"}}),
            (false, false, false),
            refused(),
        ),
        (
            "throttled: the operator retries",
            json!({"observedGeneration": 1, "conditions": conditions("False", "Throttled", false), "requests": {"refresh": "t"}}),
            (false, false, false),
            Verdict::Wait,
        ),
    ] {
        let (steps, found) = rotation(&object(&json!({}), &status), &asked(), &flags());
        assert_eq!(((steps.current, steps.mirrored, steps.ready), found), (reached, verdict), "{what}");
    }
}

#[test]
fn an_acknowledgement_without_a_version_is_not_waited_on() {
    let status = json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false), "requests": {"rotate": "t"}});
    assert!(matches!(rotation(&object(&json!({}), &status), &asked(), &flags()).1, Verdict::Refused(_)));
}

#[test]
fn a_rollback_is_done_by_its_own_version_or_refused_by_its_own_answer() {
    let version = VersionIds::of(UID).rollback("t").to_string();
    let fine = conditions("True", "Succeeded", false);
    let status = |current: &str, requests: Value| {
        json!({"observedGeneration": 1, "conditions": fine, "aws": {"currentVersionId": current}, "mirror": {"versionId": current},
            "requests": requests})
    };
    for (status, expected) in [
        (status("x", json!({})), Verdict::Wait),
        (status(&version, json!({"rollback": "t"})), Verdict::Done),
        (
            status("x", json!({"rollback": "t", "rollbackRefused": "VersionNotFound"})),
            Verdict::Refused(RollbackRefusal::VersionNotFound.sentence().to_owned()),
        ),
        (status("x", json!({"rollback": "earlier", "rollbackRefused": "VersionNotFound"})), Verdict::Wait),
    ] {
        assert_eq!(rollback(&object(&json!({}), &status), &asked(), &flags()).1, expected, "{status}");
    }
}

#[test]
fn a_pinned_secret_is_not_waited_for() {
    let status = json!({"observedGeneration": 1, "conditions": conditions("True", "Pinned", false),
        "aws": {"currentVersionId": expected()}, "mirror": {"versionId": "old"}});
    for target in [json!({"versionId": "0".repeat(36)}), json!({"versionStage": "AWSPREVIOUS"})] {
        assert_eq!(rotation(&object(&json!({"target": target}), &status), &asked(), &flags()).1, Verdict::Done);
    }
}

#[test]
fn without_a_mirror_nothing_waits_for_one() {
    let status = json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false),
        "aws": {"currentVersionId": expected()}});
    assert_eq!(rotation(&object(&json!({"target": {"creationPolicy": "None"}}), &status), &asked(), &flags()).1, Verdict::Done);
}

#[test]
fn a_look_ends_when_it_is_acknowledged_whatever_it_found() {
    for (status, expected) in [
        (json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false)}), Verdict::Wait),
        (
            json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false), "requests": {"refresh": "t"}}),
            Verdict::Done,
        ),
        (
            json!({"observedGeneration": 1, "conditions": conditions("False", "Throttled", false), "requests": {"refresh": "t"}}),
            Verdict::Refused("why".to_owned()),
        ),
        (
            json!({"observedGeneration": 1, "conditions": conditions("False", "Progressing", false), "requests": {"refresh": "t"}}),
            Verdict::Wait,
        ),
    ] {
        assert_eq!(refreshed(&object(&json!({}), &status), &asked()), expected, "{status}");
    }
}

fn lambda_rotation(suspend: bool) -> Value {
    let function = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
    json!({"schedule": "rate(30 days)", "suspend": suspend, "lambda": {"functionArn": function}})
}

#[test]
fn a_rotation_that_aws_has_begun_is_waited_for_although_it_is_acknowledged() {
    let status = |aws: Value| json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false), "requests": {"rotate": "t"}, "aws": aws});
    let begun =
        object(&json!({"rotation": lambda_rotation(false)}), &status(json!({"currentVersionId": "old", "pendingVersionId": expected()})));
    assert_eq!(rotation(&begun, &asked(), &flags()).1, Verdict::Wait);
    let gone = object(&json!({"rotation": lambda_rotation(false)}), &status(json!({"currentVersionId": "old"})));
    assert!(matches!(rotation(&gone, &asked(), &flags()).1, Verdict::Refused(_)), "abandoned");
}

#[test]
fn what_cannot_happen_is_said_before_it_is_asked_for() {
    let generated = json!({"value": {"generate": {"password": {}}}});
    for (spec, rotate, rollback, refresh) in [
        (generated, None, None, None),
        (json!({"value": {"plainText": {}}}), None, None, None),
        (json!({}), Some("managed outside this operator"), Some("spec.target.versionId"), None),
        (json!({"value": {"data": {"a": "b"}}}), Some("only fixed fields"), None, None),
        (json!({"suspend": true, "value": {"plainText": {}}}), Some("resume db"), Some("resume db"), Some("resume db")),
        (json!({"rotation": lambda_rotation(false)}), None, Some("spec.target.versionId"), None),
        (json!({"value": {"data": {"a": "b"}}, "rotation": lambda_rotation(false)}), None, None, None),
        (json!({"rotation": lambda_rotation(true)}), Some("resume db"), Some("spec.target.versionId"), None),
    ] {
        for (asked, expected) in [(Asking::Rotate, rotate), (Asking::RollBack, rollback), (Asking::Refresh, refresh)] {
            let found = obstacle(&object(&spec, &json!({})), asked, &flags());
            assert_eq!(found.is_some(), expected.is_some(), "{spec} {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{spec}");
        }
    }
}

#[test]
fn being_late_names_the_condition_or_asks_whether_the_operator_runs() {
    let silent = object(&json!({}), &json!({"conditions": conditions("False", "Throttled", false)}));
    assert!(late(&silent, Asking::Rotate, &asked(), "3m", &flags()).contains("doctor"));
    let failing = json!({"conditions": conditions("False", "Throttled", false), "requests": {"refresh": "t"}});
    assert!(late(&object(&json!({}), &failing), Asking::Rotate, &asked(), "3m", &flags()).ends_with("why"));
}

#[test]
fn a_request_that_the_operator_holds_back_says_until_when() {
    let status =
        json!({"conditions": conditions("True", "Succeeded", false), "requests": {"refresh": "t", "heldUntil": "2026-06-01T12:10:00Z"}});
    let mut asking = object(&json!({}), &status);
    assert_eq!(held_until(&asking, Asking::Rotate), None, "nothing is requested any more");
    asking.annotations_mut().insert(ROTATE.to_owned(), "t".to_owned());
    assert_eq!(held_until(&asking, Asking::Rotate), Some("2026-06-01T12:10:00Z".parse().unwrap()));
    assert_eq!(held_until(&asking, Asking::RollBack), None);
    assert_eq!(rotation(&asking, &asked(), &flags()).1, Verdict::Wait);
    let late = late(&asking, Asking::Rotate, &asked(), "3m", &flags());
    assert!(late.contains("carries it out at 2026-06-01T12:10:00Z") && late.contains("--minimum-request-interval"), "{late}");
}

/// One condition at fault after the last reconcile.
fn at_fault(of: &str, reason: &str) -> Value {
    let one = |of: &str, status: &str| json!({"type": of, "status": status, "reason": reason, "message": format!("{reason} of {of}"), "lastTransitionTime": "2026-06-01T12:00:00Z"});
    json!([one("Ready", "False"), one(of, "False"), one("Stalled", "True")])
}

fn settings() -> Value {
    json!({"aws": {"resourcePolicy": {"Statement": [{"Effect": "Deny"}]}, "replicaRegions": [{"region": "eu-west-1"}]}})
}

#[test]
fn what_rotation_goes_on_under_neither_ends_the_wait_nor_spoils_the_outcome() {
    for (of, reason) in [
        ("Rotated", "InvalidSpec"),
        ("Rotated", "IntervalTooShort"),
        ("Mirrored", "VersionNotFound"),
        ("Provisioned", "InvalidSpec"),
        ("Provisioned", "RegionNotAllowed"),
        ("Provisioned", "TagNotOwned"),
        ("Provisioned", "KeyNotAllowed"),
        ("Provisioned", "PolicyNotAllowed"),
        ("Provisioned", "PolicyRefused"),
        ("Provisioned", "ReplicaFailed"),
        ("Provisioned", "AccessDenied"),
        ("Provisioned", "KeyUnusable"),
        ("Provisioned", "LimitExceeded"),
        ("Provisioned", "AwsRefused"),
    ] {
        let status = |version: &str| {
            json!({"observedGeneration": 1, "conditions": at_fault(of, reason), "requests": {"refresh": "t"},
                "aws": {"currentVersionId": version}, "mirror": {"versionId": version}})
        };
        let before = object(&settings(), &status("old"));
        assert_eq!(rotation(&before, &asked(), &flags()).1, Verdict::Wait, "{of} {reason}");
        assert_eq!(labels_seen(&before, &asked(), &flags()), Verdict::Done, "{of} {reason}");
        let (steps, verdict) = rotation(&object(&settings(), &status(&expected())), &asked(), &flags());
        assert_eq!((steps.mirrored, steps.ready), (true, false), "{of} {reason}");
        assert_eq!(verdict, Verdict::DoneUnready(format!("{reason} of Ready")));
    }
}

#[test]
fn what_rotation_waits_for_ends_the_wait_once_the_operator_has_looked() {
    let failures = json!({"count": 1});
    for (of, reason, spec, more) in [
        ("Provisioned", "NotOwned", settings(), json!({})),
        ("Provisioned", "InvalidSpec", json!({}), json!({})),
        ("Provisioned", "RegionNotAllowed", json!({}), json!({})),
        ("Provisioned", "KeyNotAllowed", json!({}), json!({"aws": {}})),
        ("Provisioned", "AccessDenied", settings(), json!({"failures": failures})),
        ("Provisioned", "IdentityRefused", json!({}), json!({})),
        ("Mirrored", "SecretNotOwned", json!({}), json!({})),
        ("Mirrored", "FieldMissing", json!({}), json!({})),
        ("Mirrored", "WriteRefused", json!({}), json!({"failures": failures})),
        ("Rotated", "ForeignPending", json!({}), json!({})),
        ("Rotated", "FunctionNotAllowed", json!({}), json!({})),
    ] {
        let status = |refresh: &str| {
            let mut status = json!({"observedGeneration": 1, "conditions": at_fault(of, reason), "requests": {"refresh": refresh},
                "aws": {"currentVersionId": "old"}, "mirror": {"versionId": "old"}});
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            status
        };
        assert_eq!(rotation(&object(&spec, &status("earlier")), &asked(), &flags()).1, Verdict::Wait, "{of} {reason}");
        let seen = object(&spec, &status("t"));
        let refused = Verdict::Refused(format!("{reason} of {of}"));
        assert_eq!(rotation(&seen, &asked(), &flags()).1, refused);
        assert_eq!(labels_seen(&seen, &asked(), &flags()), refused);
    }
}

#[test]
fn a_version_that_is_made_and_cannot_be_mirrored_is_neither_done_nor_refused() {
    let status = json!({"observedGeneration": 1, "conditions": at_fault("Mirrored", "SecretNotOwned"), "requests": {"refresh": "t"},
        "aws": {"currentVersionId": expected()}});
    assert_eq!(rotation(&object(&json!({}), &status), &asked(), &flags()).1, Verdict::NotMirrored("SecretNotOwned of Mirrored".to_owned()));
}

#[test]
fn the_labels_are_known_once_a_look_has_come_to_its_end() {
    let status = |conditions: Value, requests: Value| json!({"observedGeneration": 1, "conditions": conditions, "requests": requests});
    let acknowledged = json!({"refresh": "t"});
    let one = |of: &str, status: &str, reason: &str| json!({"type": of, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-06-01T12:00:00Z"});
    let mut failing = status(conditions("False", "Throttled", false), acknowledged.clone());
    failing["failures"] = json!({"count": 1});
    let replicas = json!([
        one("Ready", "False", "Progressing"),
        one("Provisioned", "False", "Progressing"),
        one("Reconciling", "True", "Progressing")
    ]);
    let unsettled =
        json!([one("Ready", "False", "Progressing"), one("Mirrored", "False", "Progressing"), one("Reconciling", "True", "Progressing")]);
    let without_mirror = json!([one("Ready", "True", "Succeeded"), one("Reconciling", "True", "Progressing")]);
    for (status, expected) in [
        (status(conditions("True", "Succeeded", false), json!({"refresh": "earlier"})), Verdict::Wait),
        (status(conditions("True", "Succeeded", false), acknowledged.clone()), Verdict::Done),
        (failing, Verdict::Wait),
        (status(replicas, acknowledged.clone()), Verdict::Done),
        (status(unsettled, acknowledged.clone()), Verdict::Wait),
        (status(without_mirror, acknowledged.clone()), Verdict::Wait),
    ] {
        assert_eq!(labels_seen(&object(&json!({}), &status), &asked(), &flags()), expected, "{status}");
    }
}

#[test]
fn what_is_suspended_meanwhile_is_not_waited_on() {
    let status = json!({"observedGeneration": 1, "conditions": conditions("True", "Suspended", false)});
    let suspended = object(&json!({"suspend": true}), &status);
    for verdict in [rotation(&suspended, &asked(), &flags()).1, labels_seen(&suspended, &asked(), &flags())] {
        assert!(matches!(&verdict, Verdict::Refused(why) if why.contains("resume db -n shop")), "{verdict:?}");
    }
}

#[test]
fn a_rollout_that_failed_ends_the_wait_and_one_that_goes_on_does_not() {
    for (reason, ready, failed) in [("RolloutFailed", "False", true), ("RetirementFailed", "False", true), ("Waiting", "True", false)] {
        let conditions = json!([
            {"type": "Ready", "status": ready, "reason": reason, "message": "of Ready", "lastTransitionTime": "2026-06-01T12:00:00Z"},
            {"type": "RolledOut", "status": "False", "reason": reason, "message": "of RolledOut", "lastTransitionTime": "2026-06-01T12:00:00Z"},
        ]);
        let status = json!({"observedGeneration": 1, "conditions": conditions, "aws": {"currentVersionId": expected()},
            "mirror": {"versionId": expected()}});
        let verdict = if failed { Verdict::NotRolledOut("of RolledOut".to_owned()) } else { Verdict::Wait };
        // An emergency needs no rollout.
        for spec in [json!({"rollout": {}}), json!({})] {
            let (steps, judged) = rotation(&object(&spec, &status), &asked(), &flags());
            assert_eq!((steps.rolled_out, &judged), (Some(false), &verdict), "{reason}");
            let mut before = status.clone();
            before["aws"]["currentVersionId"] = json!("the version before");
            before["mirror"]["versionId"] = json!("the version before");
            assert_eq!(rotation(&object(&spec, &before), &asked(), &flags()).1, Verdict::Wait, "{reason} of the version before");
        }
    }
}
