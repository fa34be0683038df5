//! A status that anyone may have written, with times of a wrong clock.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::{Cause, HistoryEntry, Outcome, RequestStatus, RollbackRefusal, RotatedSecretSpec, ScheduleStatus, UnseenVersion};
use crate::version_id::VersionId;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn now() -> Timestamp {
    at(NOW)
}

fn object(status: RotatedSecretStatus) -> RotatedSecret {
    let spec: RotatedSecretSpec = serde_json::from_value(serde_json::json!({})).unwrap();
    let mut object = RotatedSecret::new("db-admin", spec);
    object.metadata.generation = Some(1);
    object.status = Some(RotatedSecretStatus { observed_generation: Some(1), ..status });
    object
}

/// Every time that is read has this value.
fn timed(time: Timestamp) -> RotatedSecret {
    let entry = HistoryEntry {
        version_id: "v".to_owned(),
        time: Time(time),
        cause: Cause::Scheduled,
        outcome: Outcome::Succeeded,
        reason: None,
        copy_of: None,
        due_time: None,
        failed_attempts: None,
    };
    let unseen = UnseenVersion { version_id: "u".to_owned(), time: Time(time) };
    object(RotatedSecretStatus {
        aws: Some(AwsStatus { unseen: Some(unseen), ..AwsStatus::default() }),
        schedule: Some(ScheduleStatus { expression: "rate(1 hour)".to_owned(), since: Some(Time(time)) }),
        last_rotation_time: Some(Time(time)),
        history: vec![entry],
        ..RotatedSecretStatus::default()
    })
}

#[test]
fn times_of_events_lie_between_1970_and_9000_and_do_not_follow_a_clock_that_is_set_back() {
    for (time, expected) in [
        (at(NOW - 60), at(NOW - 60)),
        (now(), now()),
        (at(NOW + 1), at(NOW + 1)),
        (at(NOW + 86_400 * 365 * 30), at(NOW + 86_400 * 365 * 30)),
        // 9999-12-30T21:59:59Z
        (at(253_402_207_199), LATEST),
        (Timestamp::MAX, LATEST),
        (at(0), at(0)),
        (at(-1), at(0)),
        // 0001-01-01T00:00:00Z
        (at(-62_135_596_800), at(0)),
        (Timestamp::MIN, at(0)),
    ] {
        let facts = read(&timed(time), now());
        assert_eq!(facts.history.first().map(|entry| entry.time), Some(expected), "{time}");
        assert_eq!(facts.last_rotation, Some(expected), "{time}");
        assert!(expected.checked_add(SignedDuration::from_hours(24 * 366 * 400)).is_ok(), "{time}: what is computed from it exists");
        assert_eq!(facts.schedule.and_then(|schedule| schedule.since), Some(expected), "{time}");
    }
}

#[test]
fn an_unseen_version_is_believed_up_to_the_consistency_window_ahead() {
    let window = CONSISTENCY_WINDOW.as_secs();
    for (time, believed) in [
        (at(NOW - 60), Some(at(NOW - 60))),
        (now(), Some(now())),
        (at(NOW + window), Some(at(NOW + window))),
        (at(NOW + window + 1), None),
        (at(NOW + 86_400), None),
        (at(253_402_207_199), None),
        (Timestamp::MAX, None),
        (at(-62_135_596_800), Some(at(0))),
        (Timestamp::MIN, Some(at(0))),
    ] {
        let expected = believed.map(|time| (VersionId::from("u"), time));
        let unseen = read(&timed(time), now()).unseen;
        assert_eq!(unseen, expected, "{time}");
        if let Some((_, time)) = unseen {
            assert!(time.checked_add(CONSISTENCY_WINDOW).is_ok(), "{time}: what is computed from it exists");
        }
    }
}

#[test]
fn an_object_without_a_status_has_no_facts() {
    let mut object = object(RotatedSecretStatus::default());
    object.status = None;
    assert_eq!(read(&object, now()), StatusFacts::default());
}

#[test]
fn a_status_speaks_of_the_current_generation_only_if_it_names_it() {
    for (observed, generation, current) in [(Some(1), Some(1), true), (Some(1), Some(2), false), (None, Some(1), false)] {
        let mut object = object(RotatedSecretStatus::default());
        object.metadata.generation = generation;
        object.status.as_mut().unwrap().observed_generation = observed;
        assert_eq!(read(&object, now()).current_generation, current, "{observed:?} {generation:?}");
    }
}

#[test]
fn handled_requests_are_read_with_the_reason_of_a_refused_rollback() {
    let requests = RequestStatus {
        rotate: Some("a".to_owned()),
        rollback: Some("b".to_owned()),
        rollback_refused: Some(RollbackRefusal::VersionNotFound),
        refresh: Some("c".to_owned()),
        held_until: None,
    };
    let facts = read(&object(RotatedSecretStatus { requests: Some(requests), ..RotatedSecretStatus::default() }), now());
    let expected = RequestFacts {
        rotate: Some("a".to_owned()),
        rollback: Some(("b".to_owned(), Some(RollbackRefusal::VersionNotFound))),
        refresh: Some("c".to_owned()),
    };
    assert_eq!(facts.requests, expected);
}

#[test]
fn a_new_object_an_edit_a_deletion_and_a_request_are_urgent_until_they_were_tried() {
    let urgent = |change: fn(&mut RotatedSecret)| {
        let mut object = object(RotatedSecretStatus::default());
        change(&mut object);
        super::urgent(&object)
    };
    assert!(!urgent(|_| {}));
    assert!(urgent(|object| object.status = None), "new");
    assert!(urgent(|object| object.metadata.generation = Some(2)), "an edit");
    assert!(!urgent(|object| {
        object.metadata.generation = Some(2);
        let failures = serde_json::json!({"count": 1, "generation": 2, "steps": []});
        object.status.as_mut().unwrap().failures = Some(serde_json::from_value(failures).unwrap());
    }));
    assert!(urgent(|object| object.metadata.deletion_timestamp = Some(Time(now()))), "a deletion");
    assert!(urgent(|object| object.metadata.annotations = Some([(crate::api::ROTATE.to_owned(), "t".to_owned())].into())), "a request");
}
