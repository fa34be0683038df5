//! A status that anyone may have written, with times of a wrong clock.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::{
    Cause, FailureStatus, HistoryEntry, Outcome, RequestStatus, RollbackRefusal, RotatedSecretSpec, ScheduleStatus, UnseenVersion,
};
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

fn waiting(until: Timestamp) -> RotatedSecret {
    let failures = FailureStatus { count: 1, since: Some(Time(until)), next_attempt_time: Some(Time(until)), requests: None };
    object(RotatedSecretStatus { failures: Some(failures), ..RotatedSecretStatus::default() })
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
fn a_wait_is_believed_up_to_the_longest_one_that_a_failure_can_cause() {
    let longest = backoff::MAX_WAIT.as_secs() + MAX_SKEW.as_secs();
    for (until, waits) in [
        (NOW - 1, false),
        (NOW, false),
        (NOW + 1, true),
        (NOW + 60, true),
        (NOW + longest, true),
        (NOW + longest + 1, false),
        (NOW + 86_400 * 365, false),
        (253_402_207_199, false),
        (-62_135_596_800, false),
    ] {
        assert_eq!(backing_off(&waiting(at(until)), now()), waits.then(|| at(until)), "{until}");
    }
    for until in [Timestamp::MIN, Timestamp::MAX] {
        for now in [Timestamp::MIN, now(), Timestamp::MAX] {
            assert_eq!(backing_off(&waiting(until), now), None, "{until} {now}");
        }
    }
}

#[test]
fn an_object_waits_only_after_a_failure_and_only_while_nothing_new_came_in() {
    let until = at(NOW + 60);
    let waits = |change: fn(&mut RotatedSecret)| {
        let mut object = waiting(until);
        change(&mut object);
        backing_off(&object, now()).is_some()
    };
    let annotate = |object: &mut RotatedSecret, key: &str| {
        object.metadata.annotations = Some([(key.to_owned(), "t".to_owned())].into());
    };
    let mut requested = waiting(until);
    annotate(&mut requested, crate::api::ROTATE);
    assert_eq!(backing_off(&requested, now()), None, "a new request");
    let tried = RequestStatus { rotate: Some("t".to_owned()), ..RequestStatus::default() };
    requested.status.as_mut().unwrap().failures.as_mut().unwrap().requests = Some(tried);
    assert_eq!(backing_off(&requested, now()), Some(until), "a request that was there at the last failure");
    assert!(waits(|_| {}));
    assert!(!waits(|object| object.metadata.generation = Some(2)), "an edit");
    assert!(!waits(|object| object.status = None), "no status");
    assert!(!waits(|object| object.status.as_mut().unwrap().failures = None), "no failure");
    assert!(!waits(|object| object.status.as_mut().unwrap().failures.as_mut().unwrap().next_attempt_time = None), "no time");
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
    };
    let facts = read(&object(RotatedSecretStatus { requests: Some(requests), ..RotatedSecretStatus::default() }), now());
    let expected = RequestFacts {
        rotate: Some("a".to_owned()),
        rollback: Some(("b".to_owned(), Some(RollbackRefusal::VersionNotFound))),
        refresh: Some("c".to_owned()),
    };
    assert_eq!(facts.requests, expected);
}
