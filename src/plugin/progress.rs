//! How far a request has come, by what the status says. Pure.
//!
//! The version that a rotate request makes is known before it is made ([`crate::version_id`]), so another rotation is never taken for it.

use serde::Serialize;

use super::standing::{condition, holds, lags};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{CreationPolicy, RequestStatus, RollbackRefusal, RotatedSecret};
use crate::version_id::{VersionId, VersionIds};

/// The steps of a rotation, as `rotate -o json` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Steps {
    /// The request is on the object.
    pub(super) requested: bool,
    /// The new version became current in AWS.
    pub(super) current: bool,
    /// The Secret holds what is current (also: none is asked for).
    pub(super) mirrored: bool,
    /// The object is Ready, and speaks of this.
    pub(super) ready: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It happened.
    Done,
    /// It may still happen.
    Wait,
    /// It will not happen by itself: why, and what to type.
    Refused(String),
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// A new value.
    Rotate,
    /// An older value.
    RollBack,
    /// A look.
    Refresh,
}

/// How far the rotation with this token is.
pub(super) fn rotation(object: &RotatedSecret, token: &str) -> (Steps, Verdict) {
    let requests = requests(object);
    let handled = requests.rotate.as_deref() == Some(token);
    follow(object, token, &tokens(object).request(token), handled, None)
}

/// How far the rollback with this token is.
pub(super) fn rollback(object: &RotatedSecret, token: &str) -> (Steps, Verdict) {
    let requests = requests(object);
    let handled = requests.rollback.as_deref() == Some(token);
    let refused = requests.rollback_refused.filter(|_| handled);
    follow(object, token, &tokens(object).rollback(token), handled, refused.map(RollbackRefusal::sentence))
}

fn tokens(object: &RotatedSecret) -> VersionIds {
    VersionIds::of(object.metadata.uid.as_deref().unwrap_or_default())
}

fn requests(object: &RotatedSecret) -> RequestStatus {
    object.status.as_ref().and_then(|status| status.requests.clone()).unwrap_or_default()
}

/// How far the way to the version `expected` is. `refused`: why it will not be made.
fn follow(object: &RotatedSecret, token: &str, expected: &VersionId, handled: bool, refused: Option<&str>) -> (Steps, Verdict) {
    let status = object.status.clone().unwrap_or_default();
    let (current, pending) = status.aws.map_or((None, None), |aws| (aws.current_version_id, aws.pending_version_id));
    let pending = pending.as_deref() == Some(expected.as_str());
    let made = current.as_deref() == Some(expected.as_str()) || status.history.iter().any(|entry| entry.version_id == expected.as_str());
    let mirrored = made
        && (object.spec.target.creation_policy == CreationPolicy::None
            || pinned(object)
            || (current.is_some() && status.mirror.and_then(|mirror| mirror.version_id) == current));
    let ready = mirrored && !lags(object) && holds(object, ConditionType::Ready);
    let steps = Steps { requested: true, current: made, mirrored, ready };
    let verdict = match refusal(object, token) {
        _ if ready => Verdict::Done,
        _ if refused.is_some() => Verdict::Refused(refused.unwrap_or_default().to_owned()),
        Some(sentence) => Verdict::Refused(sentence),
        // AWS rotates to it, and has not come to its end.
        None if pending => Verdict::Wait,
        None if handled && !made => Verdict::Refused(
            "the operator has acknowledged the request without a new version: kubectl rotatedsecret history shows why".to_owned(),
        ),
        None => Verdict::Wait,
    };
    (steps, verdict)
}

/// The Secret is held at a version that need not be the current one.
pub(super) fn pinned(object: &RotatedSecret) -> bool {
    object.spec.target.version_id.is_some() || object.spec.target.version_stage != "AWSCURRENT"
}

/// Whether the operator has looked since the refresh with this token was asked for, and found all in order.
pub(super) fn look(object: &RotatedSecret, token: &str) -> Verdict {
    if !acknowledged(object, token) {
        return refusal(object, token).map_or(Verdict::Wait, Verdict::Refused);
    }
    match condition(object, ConditionType::Ready) {
        Some(ready) if ready.status == "True" => Verdict::Done,
        // It looked, and is in the middle of something.
        Some(ready) if ready.reason == Reason::Progressing.as_str() || ready.reason == Reason::Creating.as_str() => Verdict::Wait,
        Some(ready) => Verdict::Refused(ready.message.clone()),
        None => Verdict::Wait,
    }
}

/// The operator has looked since: it acknowledges a refresh also where it fails.
pub(super) fn acknowledged(object: &RotatedSecret, token: &str) -> bool {
    let requests = object.status.as_ref().and_then(|status| status.requests.as_ref());
    requests.and_then(|requests| requests.refresh.as_deref()) == Some(token)
}

/// What stands in the way until a person acts, said after the request was made.
fn refusal(object: &RotatedSecret, token: &str) -> Option<String> {
    let stalled = condition(object, ConditionType::Stalled).filter(|stalled| stalled.status == "True")?;
    // A spec that cannot be carried out is reported without a look at the requests.
    let invalid = [Reason::InvalidSpec, Reason::RegionNotAllowed].iter().any(|reason| reason.as_str() == stalled.reason) && !lags(object);
    (acknowledged(object, token) || invalid).then(|| stalled.message.clone())
}

/// Why a request cannot be carried out as the object is, before it is made.
pub(super) fn obstacle(object: &RotatedSecret, asking: Asking) -> Option<String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        return Some(format!("{name} is being deleted"));
    }
    if object.spec.suspend {
        return Some(format!("{name} is suspended, so nothing would happen: kubectl rotatedsecret resume {name}"));
    }
    if asking == Asking::Rotate
        && let Some(rotation) = object.spec.rotation.as_ref().filter(|rotation| rotation.lambda.is_some())
    {
        let advice = format!("rotation of {name} is suspended, and AWS rotates only where it is on: kubectl rotatedsecret resume {name}");
        return rotation.suspend.then_some(advice);
    }
    match &object.spec.value {
        _ if asking == Asking::Refresh => None,
        None if asking == Asking::RollBack => Some(format!(
            "{name} only mirrors somebody else's value (it has no spec.value): go back where it is made, or pin the Secret with \
             spec.target.versionId"
        )),
        Some(_) if asking == Asking::RollBack => None,
        None => Some(format!("{name} only mirrors somebody else's value (it has no spec.value): rotate it where it is made")),
        Some(value) if value.plain_text.is_none() && value.generate.is_empty() => {
            Some(format!("{name} has fixed fields only, so there is nothing to renew: add a field to spec.value.generate"))
        }
        Some(_) => None,
    }
}

/// Why it did not happen in time.
pub(super) fn late(object: &RotatedSecret, token: &str, waited: &str) -> String {
    let ready = condition(object, ConditionType::Ready).filter(|ready| ready.status == "False");
    match ready {
        _ if !acknowledged(object, token) => {
            format!("the operator has not looked at the request within {waited} (it stays): is it running? kubectl rotatedsecret doctor")
        }
        Some(ready) => format!("it did not happen within {waited} (the request stays): {}", ready.message),
        None => format!("it did not happen within {waited} (the request stays): kubectl rotatedsecret status shows more"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
        if stalled { json!([one("Ready", ready), one("Stalled", "True")]) } else { json!([one("Ready", ready)]) }
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
                "the spec is invalid, which nobody acknowledges",
                json!({"observedGeneration": 1, "conditions": conditions("False", "InvalidSpec", true)}),
                (false, false, false),
                refused(),
            ),
            (
                "current, and the Secret is somebody else's",
                json!({"observedGeneration": 1, "conditions": conditions("False", "SecretNotOwned", true), "requests": {"refresh": "t"},
                    "aws": {"currentVersionId": version}}),
                (true, false, false),
                refused(),
            ),
            (
                "throttled: the operator goes on by itself",
                json!({"observedGeneration": 1, "conditions": conditions("False", "Throttled", false), "requests": {"refresh": "t"}}),
                (false, false, false),
                Verdict::Wait,
            ),
        ] {
            let (steps, found) = rotation(&object(&json!({}), &status), "t");
            assert_eq!(((steps.current, steps.mirrored, steps.ready), found), (reached, verdict), "{what}");
        }
    }

    #[test]
    fn an_acknowledgement_without_a_version_is_not_waited_on() {
        let status = json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false), "requests": {"rotate": "t"}});
        assert!(matches!(rotation(&object(&json!({}), &status), "t").1, Verdict::Refused(_)));
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
            assert_eq!(rollback(&object(&json!({}), &status), "t").1, expected, "{status}");
        }
    }

    #[test]
    fn a_pinned_secret_is_not_waited_for() {
        let status = json!({"observedGeneration": 1, "conditions": conditions("True", "Pinned", false),
            "aws": {"currentVersionId": expected()}, "mirror": {"versionId": "old"}});
        for target in [json!({"versionId": "0".repeat(36)}), json!({"versionStage": "AWSPREVIOUS"})] {
            assert_eq!(rotation(&object(&json!({"target": target}), &status), "t").1, Verdict::Done);
        }
    }

    #[test]
    fn without_a_mirror_nothing_waits_for_one() {
        let status = json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false),
            "aws": {"currentVersionId": expected()}});
        assert_eq!(rotation(&object(&json!({"target": {"creationPolicy": "None"}}), &status), "t").1, Verdict::Done);
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
            assert_eq!(look(&object(&json!({}), &status), "t"), expected, "{status}");
        }
    }

    fn lambda_rotation(suspend: bool) -> Value {
        let function = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
        json!({"schedule": "rate(30 days)", "suspend": suspend, "lambda": {"functionArn": function}})
    }

    #[test]
    fn a_rotation_that_aws_has_begun_is_waited_for_although_it_is_acknowledged() {
        let status = |aws: Value| json!({"observedGeneration": 1, "conditions": conditions("True", "Succeeded", false), "requests": {"rotate": "t"}, "aws": aws});
        let begun = object(
            &json!({"rotation": lambda_rotation(false)}),
            &status(json!({"currentVersionId": "old", "pendingVersionId": expected()})),
        );
        assert_eq!(rotation(&begun, "t").1, Verdict::Wait);
        let gone = object(&json!({"rotation": lambda_rotation(false)}), &status(json!({"currentVersionId": "old"})));
        assert!(matches!(rotation(&gone, "t").1, Verdict::Refused(_)), "abandoned");
    }

    #[test]
    fn what_cannot_happen_is_said_before_it_is_asked_for() {
        let generated = json!({"value": {"generate": {"password": {}}}});
        for (spec, rotate, rollback, refresh) in [
            (generated, None, None, None),
            (json!({"value": {"plainText": {}}}), None, None, None),
            (json!({}), Some("only mirrors"), Some("spec.target.versionId"), None),
            (json!({"value": {"data": {"a": "b"}}}), Some("fixed fields only"), None, None),
            (json!({"suspend": true, "value": {"plainText": {}}}), Some("resume db"), Some("resume db"), Some("resume db")),
            (json!({"rotation": lambda_rotation(false)}), None, Some("spec.target.versionId"), None),
            (json!({"value": {"data": {"a": "b"}}, "rotation": lambda_rotation(false)}), None, None, None),
            (json!({"rotation": lambda_rotation(true)}), Some("resume db"), Some("spec.target.versionId"), None),
        ] {
            for (asked, expected) in [(Asking::Rotate, rotate), (Asking::RollBack, rollback), (Asking::Refresh, refresh)] {
                let found = obstacle(&object(&spec, &json!({})), asked);
                assert_eq!(found.is_some(), expected.is_some(), "{spec} {found:?}");
                assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{spec}");
            }
        }
    }

    #[test]
    fn being_late_names_the_condition_or_asks_whether_the_operator_runs() {
        let silent = object(&json!({}), &json!({"conditions": conditions("False", "Throttled", false)}));
        assert!(late(&silent, "t", "3m").contains("doctor"));
        let failing = json!({"conditions": conditions("False", "Throttled", false), "requests": {"refresh": "t"}});
        assert!(late(&object(&json!({}), &failing), "t", "3m").ends_with("why"));
    }
}
