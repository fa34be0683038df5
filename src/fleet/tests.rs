use serde_json::{Value, json};

use super::member::EARLIEST;
use super::*;
use crate::api::{FINALIZER, OWNER, PLATFORM, RotatedSecret};

const NOW: &str = "2026-11-26T12:00:00Z";

fn object(spec: &Value, status: &Value) -> RotatedSecret {
    serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": "db", "namespace": "shop"}, "spec": spec, "status": status,
    }))
    .unwrap()
}

fn condition(of: &str, status: &str, reason: &str) -> Value {
    json!({"type": of, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW})
}

fn census(objects: &[RotatedSecret]) -> FleetStats {
    let mut census = FleetStats::default();
    for object in objects {
        census.count(&Member::of(object), NOW.parse().unwrap(), true);
    }
    census
}

fn rotating() -> Value {
    json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}})
}

#[test]
fn objects_are_counted_by_ready_and_a_word_that_is_not_known_is_other() {
    let of = |status: &str, reason: &str| object(&rotating(), &json!({"conditions": [condition("Ready", status, reason)]}));
    let objects = vec![
        of("True", "Succeeded"),
        of("True", "Succeeded"),
        of("False", "NotOwned"),
        of("False", "OfTheFuture"),
        object(&rotating(), &Value::Null),
    ];
    let expected = [(("True", "Succeeded"), 2), (("False", "NotOwned"), 1), (("False", "Other"), 1), (("Unknown", "None"), 1)];
    assert_eq!(census(&objects).ready, BTreeMap::from(expected));
}

#[test]
fn a_rotation_is_overdue_when_its_announced_time_is_past_and_nobody_suspended_it() {
    let due = json!({"nextRotationTime": "2026-11-26T11:00:00Z", "lastRotationTime": "2026-10-27T11:00:00Z"});
    let later = json!({"nextRotationTime": "2026-11-26T13:00:00Z", "lastRotationTime": "2026-11-20T13:00:00Z"});
    let mut suspended = rotating();
    suspended["rotation"]["suspend"] = true.into();
    let mut by_namespace = due.clone();
    by_namespace["conditions"] = json!([condition("Ready", "False", "Suspended"), condition("Mirrored", "False", "Suspended")]);
    let census =
        census(&[object(&rotating(), &due), object(&rotating(), &later), object(&suspended, &due), object(&rotating(), &by_namespace)]);
    assert_eq!((census.overdue, census.suspended, census.out_of_step), (1, 2, 0));
    assert_eq!(census.overdue_max, SignedDuration::from_hours(1));
    assert_eq!(census.oldest_version, Some("2026-10-27T11:00:00Z".parse().unwrap()));
    assert_eq!(census.next_rotation, Some("2026-11-26T13:00:00Z".parse().unwrap()));
    assert_eq!(census.each.iter().map(|one| one.overdue.as_secs()).collect::<Vec<_>>(), [3600, 0, 0, 0]);
}

#[test]
fn failing_stalled_and_out_of_step_are_told_apart() {
    let failing = json!({"failures": {"count": 3}, "conditions": [condition("Ready", "False", "AwsUnavailable")]});
    let stalled = json!({"conditions": [condition("Stalled", "True", "NotOwned"), condition("Mirrored", "True", "Succeeded")]});
    let apart = json!({"conditions": [condition("Mirrored", "False", "SecretNotOwned")]});
    let census = census(&[object(&rotating(), &failing), object(&rotating(), &stalled), object(&rotating(), &apart)]);
    assert_eq!((census.failing, census.stalled, census.out_of_step), (1, 1, 1));
    assert_eq!(census.namespaces["shop"].out_of_step, 1);
    assert_eq!(census.each[0].failures, 3);
}

#[test]
fn rollouts_that_are_not_complete_are_counted_by_reason_and_the_longest_one_in_progress_is_timed() {
    let of = |status: &str, reason: &str, phase: &str, start: &str| {
        let rollout = json!({"versionId": "v", "phase": phase, "startTime": start});
        object(&rotating(), &json!({"conditions": [condition("RolledOut", status, reason)], "rollout": rollout}))
    };
    let mut suspended = of("False", "Waiting", "Waiting", "2026-11-26T01:00:00Z");
    suspended.spec.suspend = true;
    let objects = vec![
        of("False", "Waiting", "Waiting", "2026-11-26T11:59:00Z"),
        of("False", "Waiting", "Waiting", "2026-11-26T10:00:00Z"),
        of("False", "RolloutFailed", "Failed", "2026-11-26T08:00:00Z"),
        of("False", "RetirementFailed", "Completed", "2026-11-26T07:00:00Z"),
        of("False", "OfTheFuture", "Completed", "2026-11-26T07:00:00Z"),
        of("True", "Succeeded", "Completed", "2026-11-26T06:00:00Z"),
        suspended,
    ];
    let census = census(&objects);
    let expected = [("Other", 1), ("RetirementFailed", 1), ("RolloutFailed", 1), ("Waiting", 2)];
    assert_eq!(census.not_rolled_out, BTreeMap::from(expected));
    assert_eq!(census.rollout_waiting_max, SignedDuration::from_hours(2));
    let namespace = InNamespace {
        not_rolled_out: BTreeMap::from(expected),
        rollout_waiting_max: SignedDuration::from_hours(2),
        ..InNamespace::default()
    };
    assert_eq!(census.namespaces, BTreeMap::from([("shop".to_owned(), namespace)]));
}

#[test]
fn what_is_not_ready_is_told_by_namespace_and_reason_with_the_longest_time() {
    let of = |namespace: &str, status: &str, reason: &str, since: &str| {
        let mut condition = condition("Ready", status, reason);
        condition["lastTransitionTime"] = since.into();
        let mut object = object(&rotating(), &json!({"conditions": [condition]}));
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-26T09:00:00Z")).unwrap();
        object
    };
    let mut deleted = of("shop", "False", "AccessDenied", "2026-11-26T11:00:00Z");
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-26T11:30:00Z")).unwrap();
    deleted.status.as_mut().unwrap().next_rotation_time = serde_json::from_value(json!("2026-11-26T11:00:00Z")).unwrap();
    let mut of_others = deleted.clone();
    of_others.metadata.finalizers = Some(vec!["example.com/own".to_owned()]);
    deleted.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let mut blip = of("shop", "False", "AwsUnavailable", "2026-11-26T09:30:00Z");
    blip.status.as_mut().unwrap().failures = serde_json::from_value(json!({"count": 2, "since": "2026-11-26T11:58:00Z"})).unwrap();
    let mut identity = of("bank", "False", "AccessDenied", "2026-11-26T11:58:00Z");
    identity.spec.aws.service_account_ref = serde_json::from_value(json!({"name": "app"})).unwrap();
    let mut mirrored = of("shop", "True", "Succeeded", NOW);
    mirrored.spec.rotation = None;
    let objects = vec![
        of("shop", "False", "NotOwned", "2026-11-26T11:59:00Z"),
        of("shop", "False", "NotOwned", "2026-11-26T11:00:00Z"),
        of("shop", "False", "Suspended", "2026-11-26T11:00:00Z"),
        of("bank", "False", "NotOwned", "0001-01-01T00:00:00Z"),
        of("bank", "Unknown", "OfTheFuture", "9999-12-30T21:59:59Z"),
        deleted,
        of_others,
        blip,
        identity,
        mirrored,
    ];
    let census = census(&objects);
    let trouble = |number, minutes| Trouble { number, longest: SignedDuration::from_mins(minutes) };
    let expected = [
        (("bank".to_owned(), "AccessDenied", OWNER), trouble(1, 2)),
        (("bank".to_owned(), "NotOwned", OWNER), trouble(1, 180)),
        (("bank".to_owned(), "Other", PLATFORM), trouble(1, 0)),
        (("shop".to_owned(), "AwsUnavailable", PLATFORM), trouble(1, 2)),
        (("shop".to_owned(), "NotOwned", OWNER), trouble(2, 60)),
    ];
    assert_eq!(census.not_ready, BTreeMap::from(expected));
    assert_eq!((census.deleting, census.deleting_max), (1, SignedDuration::from_mins(30)));
    let shop = InNamespace { deleting_max: SignedDuration::from_mins(30), ..InNamespace::default() };
    assert_eq!(census.namespaces, BTreeMap::from([("shop".to_owned(), shop)]), "another program's finalizer is not waited for");
    assert_eq!((census.overdue, census.namespaces["shop"].overdue_max), (0, SignedDuration::ZERO), "what is being deleted is not overdue");
    assert_eq!(census.without_rotation, 1);
}

#[test]
fn a_rotation_is_overdue_in_its_namespace_and_many_namespaces_share_one_name() {
    let mut stats = FleetStats::default();
    for number in 0..MOST_NAMESPACES + 5 {
        let overdue = json!({"nextRotationTime": "2026-11-26T11:00:00Z", "conditions": [condition("Ready", "False", "Overdue")]});
        let mut object = object(&rotating(), &overdue);
        object.metadata.namespace = Some(format!("team-{number}"));
        stats.count(&Member::of(&object), NOW.parse().unwrap(), false);
    }
    assert_eq!((stats.namespaces.len(), stats.not_ready.len()), (MOST_NAMESPACES + 1, MOST_NAMESPACES + 1));
    assert_eq!(stats.namespaces[OTHERS].overdue_max, SignedDuration::from_hours(1));
    assert_eq!(stats.not_ready[&(OTHERS.to_owned(), "Overdue", PLATFORM)].number, 5);
}

#[test]
fn absurd_times_and_counts_in_a_status_stay_within_the_life_of_the_object() {
    let forged = |next: &str, last: &str| {
        let mut object = object(&rotating(), &json!({"nextRotationTime": next, "lastRotationTime": last, "failures": {"count": -7}}));
        object.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-26T10:00:00Z")).unwrap();
        object
    };
    let past = census(&[forged("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")]);
    assert_eq!((past.overdue, past.overdue_max), (1, SignedDuration::from_hours(2)));
    assert_eq!((past.oldest_version, past.failing, past.each[0].failures), (Some(EARLIEST), 0, 0));
    let future = census(&[forged("9999-12-30T21:59:59Z", "9999-12-30T21:59:59Z")]);
    assert_eq!((future.overdue, future.oldest_version), (0, Some(NOW.parse().unwrap())));
    let unknown = census(&[object(&rotating(), &json!({"nextRotationTime": "0001-01-01T00:00:00Z"}))]);
    assert!(unknown.overdue_max < SignedDuration::from_hours(24 * 366 * 9), "{:?}", unknown.overdue_max);
}

#[test]
fn without_objects_no_time_is_made_up() {
    let census = census(&[object(&json!({}), &json!({"lastRotationTime": NOW}))]);
    assert_eq!((census.oldest_version, census.next_rotation, census.overdue), (None, None, 0));
    assert_eq!(census.each[0].version_since, Some(NOW.parse().unwrap()), "one by one it has its age");
}

#[test]
fn what_waits_for_a_user_is_told_by_its_own_reason_while_aws_cannot_be_read() {
    let conditions =
        |stalled: &str| json!({"conditions": [condition("Ready", "False", "Throttled"), condition("Stalled", stalled, "SecretNotOwned")]});
    let census = census(&[object(&rotating(), &conditions("True")), object(&rotating(), &conditions("False"))]);
    let found: Vec<_> = census.not_ready.keys().map(|(_, reason, concerns)| (*reason, *concerns)).collect();
    assert_eq!(found, [("SecretNotOwned", OWNER), ("Throttled", PLATFORM)]);
}

#[test]
fn a_key_that_the_spec_names_concerns_the_owner_and_another_one_the_platform() {
    for (aws, concerned) in
        [(json!({}), PLATFORM), (json!({"kmsKeyId": "alias/shop"}), OWNER), (json!({"serviceAccountRef": {"name": "shop"}}), OWNER)]
    {
        let status = json!({"conditions": [condition("Ready", "False", "KeyUnusable")]});
        let mut spec = rotating();
        spec["aws"] = aws;
        let census = census(&[object(&spec, &status)]);
        let found: Vec<_> = census.not_ready.keys().map(|(_, reason, concerns)| (*reason, *concerns)).collect();
        assert_eq!(found, [("KeyUnusable", concerned)], "{spec}");
    }
}

#[test]
fn the_longest_suspension_counts_from_the_time_in_the_status_and_not_from_before_the_object() {
    let mut paused = rotating();
    paused["rotation"]["suspend"] = true.into();
    let since = |time: &str| json!({"suspensionTime": time});
    let longest = |objects: &[RotatedSecret]| census(objects).suspended_max.as_hours();
    assert_eq!(longest(&[object(&paused, &since("2026-11-26T10:00:00Z")), object(&paused, &since("2026-11-26T07:00:00Z"))]), 5);
    assert_eq!(longest(&[object(&rotating(), &since("2026-11-26T07:00:00Z")), object(&paused, &json!({}))]), 0, "resumed, or not known");
    assert_eq!(longest(&[object(&paused, &since("2027-01-01T00:00:00Z"))]), 0, "a wrong clock");
    let mut young = object(&paused, &since("2020-01-01T00:00:00Z"));
    young.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-26T11:00:00Z")).unwrap();
    assert_eq!(longest(&[young]), 1, "forged");
}

#[test]
fn targets_that_refuse_and_objects_that_cannot_be_read_are_told_by_namespace() {
    let of = |rotated: &str, ready: &str| {
        let of = |of: &str, reason: &str| condition(of, if reason == "Succeeded" { "True" } else { "False" }, reason);
        object(&rotating(), &json!({"conditions": [of("Ready", ready), of("Rotated", rotated)]}))
    };
    let mut suspended = of("ApplyFailed", "Suspended");
    suspended.spec.suspend = true;
    let objects = vec![
        of("ApplyFailed", "ApplyFailed"),
        of("VerifyFailed", "AwsUnavailable"),
        of("Succeeded", "AbandonFailed"),
        of("TargetUnreachable", "TargetUnreachable"),
        of("Succeeded", "Succeeded"),
        of("ApplyFailed", "Overdue"),
        suspended,
    ];
    let mut census = census(&objects);
    census.count_unreadable("shop");
    census.count_unreadable("bank");
    let refusing = [("ApplyFailed", 2), ("VerifyFailed", 1), ("AbandonFailed", 1)];
    assert_eq!(census.namespaces["shop"].targets_refusing, BTreeMap::from(refusing));
    assert_eq!((census.unreadable, census.namespaces["shop"].unreadable, census.namespaces["bank"].unreadable), (2, 1, 1));
}

#[test]
fn a_value_is_over_age_whatever_the_schedule_says_unless_others_manage_it() {
    let (old, young) = ("2026-08-28T11:59:59Z", "2026-08-28T12:00:00Z");
    let value = json!({"generate": {"password": {}}});
    let suspended = json!({"value": value, "suspend": true, "rotation": {"schedule": "rate(30 days)", "suspend": true}});
    let by_aws = json!({"rotation": {"schedule": "rate(30 days)", "lambda": {"functionArn": "arn:aws:lambda:eu-central-1:1:function:f"}}});
    let mut deleted = object(&rotating(), &json!({"lastRotationTime": old}));
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!(NOW)).unwrap();
    for (object, expected) in vec![
        (object(&rotating(), &json!({"lastRotationTime": old})), 1),
        (object(&json!({"value": value}), &json!({"lastRotationTime": old})), 1),
        (object(&suspended, &json!({"lastRotationTime": old})), 1),
        (object(&by_aws, &json!({"lastRotationTime": "0001-01-01T00:00:00Z"})), 1),
        (object(&rotating(), &json!({"lastRotationTime": young})), 0),
        (object(&rotating(), &json!({"lastRotationTime": "9999-12-30T21:59:59Z"})), 0),
        (object(&json!({}), &json!({"lastRotationTime": old})), 0),
        (object(&rotating(), &json!({})), 0),
        (deleted, 0),
    ] {
        let mut stats = FleetStats::default();
        stats.count_age(&Member::of(&object), NOW.parse().unwrap(), SignedDuration::from_hours(24 * 90));
        let within = stats.namespaces.get("shop").map_or(0, |shop| shop.over_age);
        assert_eq!(
            (stats.over_age, within, stats.namespaces.len()),
            (expected, expected, usize::try_from(expected).unwrap()),
            "{object:?}"
        );
    }
}
