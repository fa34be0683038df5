//! Deletions that wait.

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::api::RotatedSecretSpec;
use crate::api::condition::Reason;
use crate::desired::tests::policy;

const NOW: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An object of generation 2, the deletion; the status speaks of `observed`.
fn object(observed: i64, failures: &serde_json::Value) -> RotatedSecret {
    let spec: RotatedSecretSpec =
        serde_json::from_value(json!({"aws": {"deletionPolicy": "Delete"}, "value": {"generate": {"password": {}}}})).unwrap();
    let mut object = RotatedSecret::new("app", spec);
    object.metadata.namespace = Some("shop".to_owned());
    object.metadata.uid = Some("uid".to_owned());
    object.metadata.generation = Some(2);
    object.metadata.deletion_timestamp = Some(Time(at(NOW)));
    object.status = Some(serde_json::from_value(json!({"observedGeneration": observed, "failures": failures})).unwrap());
    object
}

fn denied() -> Failure {
    Failure { class: Class::Denied, reason: Reason::AccessDenied, message: "AWS denies it".to_owned(), request_id: None }
}

fn fail(object: &RotatedSecret, failure: &Failure, of: ConditionType, now: i64) -> RotatedSecretStatus {
    let removal = Removal::of(object, &policy());
    failed(object, &removal, failure, of, at(NOW + 3600), at(now))
}

#[test]
fn a_deletion_does_not_inherit_the_backoff_of_what_was_before() {
    let long = json!({"count": 9, "since": at(NOW - 9000), "nextAttemptTime": at(NOW + 3000)});
    let before = object(1, &long);
    assert_eq!((backing_off(&before, at(NOW)), attempts(&before)), (None, 0));
    let after = fail(&before, &denied(), ConditionType::Provisioned, NOW).failures.unwrap();
    assert_eq!((after.count, after.since.unwrap().0), (1, at(NOW)));
    assert!(after.next_attempt_time.unwrap().0 <= at(NOW + 72));
}

#[test]
fn no_wait_is_longer_than_some_minutes_and_a_later_one_is_not_believed() {
    for class in [Class::Denied, Class::Invalid, Class::Limit, Class::Bug, Class::Retry, Class::Throttled, Class::Conflict] {
        for count in [1, 5, 100] {
            assert!(delay(class, count, 7) <= LONGEST, "{class:?}");
        }
    }
    assert!(delay(Class::Invalid, 1, 7) < SignedDuration::from_secs(10), "AWS may be in the middle of it");
    let until = |seconds: i64| object(2, &json!({"count": 1, "since": at(NOW), "nextAttemptTime": at(NOW + seconds)}));
    assert_eq!(backing_off(&until(300), at(NOW)), Some(at(NOW + 300)));
    assert_eq!(backing_off(&until(3600), at(NOW)), None);
}

#[test]
fn the_conditions_say_that_the_deletion_waits_for_how_long_and_how_to_end_it() {
    let object = object(2, &json!({"count": 2, "since": at(NOW), "nextAttemptTime": at(NOW + 10)}));
    for (of, patch, limited) in [
        (ConditionType::Provisioned, r#"{"spec":{"aws":{"deletionPolicy":"Retain"}}}"#, true),
        (ConditionType::Mirrored, r#"{"spec":{"target":{"deletionPolicy":"Delete"}}}"#, true),
        (ConditionType::Ready, r#"{"metadata":{"finalizers":null}}"#, false),
    ] {
        let after = fail(&object, &denied(), of, NOW + 60);
        assert_eq!(after.failures.as_ref().map(|failures| (failures.count, failures.since.clone())), Some((3, Some(Time(at(NOW))))));
        let ready = after.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "AccessDenied"));
        assert!(ready.message.starts_with("AWS denies it; the deletion waits"), "{}", ready.message);
        assert!(ready.message.contains(patch) && ready.message.contains("kubectl patch rsec app -n shop"), "{}", ready.message);
        assert_eq!(ready.message.contains(&at(NOW + 3600).to_string()), limited, "{}", ready.message);
    }
    let why = Refusal::new(Reason::Progressing, "AWS may show an old state");
    let after = waits(&object, &Removal::of(&object, &policy()), &why, at(NOW + 60));
    assert_eq!(after.failures, None);
    assert!(after.conditions.iter().any(|condition| condition.type_ == "Reconciling"));
}

#[test]
fn no_rotation_is_overdue_while_the_deletion_waits() {
    let mut object = object(1, &json!(null));
    object.status.as_mut().unwrap().next_rotation_time = Some(Time(at(NOW - 60)));
    let after = fail(&object, &denied(), ConditionType::Provisioned, NOW);
    let of: Vec<&str> = after.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert!(of.contains(&"Provisioned") && !of.contains(&"Rotated"), "{of:?}");
}
