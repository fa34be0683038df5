//! Backoffs in a status that anyone may have written, with times of a wrong clock.

use strum::VariantArray as _;

use super::*;
use crate::api::condition::ConditionType;
use crate::api::{REFRESH, ROTATE, RequestStatus, RotatedSecretSpec, RotatedSecretStatus};
use crate::step::{Step, StepKind};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const CLASSES: [Class; 8] =
    [Class::Retry, Class::Urgent, Class::Throttled, Class::Conflict, Class::Denied, Class::Invalid, Class::Bug, Class::Limit];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn now() -> Timestamp {
    at(NOW)
}

fn object(failures: Option<FailureStatus>) -> RotatedSecret {
    let spec: RotatedSecretSpec = serde_json::from_value(serde_json::json!({})).unwrap();
    let mut object = RotatedSecret::new("db-admin", spec);
    object.metadata.generation = Some(1);
    object.metadata.uid = Some("0f0e0d0c-0b0a-0908-0706-050403020100".to_owned());
    object.status = Some(RotatedSecretStatus { observed_generation: Some(1), failures, ..RotatedSecretStatus::default() });
    object
}

fn mirror() -> StepKey {
    Step::CreateMirror { version: "v".into() }.key()
}

fn failed(class: Class) -> Failed {
    let failure = Failure { class, reason: Reason::AwsUnavailable, message: "why".to_owned(), request_id: None };
    Failed { aspect: ConditionType::Mirrored, failure }
}

/// Failures of these attempts that were counted at `time`.
fn counted_at(attempts: &[(Attempt, Failed)], time: Timestamp) -> FailureStatus {
    count(&object(None), &Attempts { failed: attempts.to_vec(), ..Attempts::default() }, time).unwrap()
}

fn waiting(class: Class, until: Timestamp) -> RotatedSecret {
    let mut failures = counted_at(&[(Attempt::Read, failed(class)), (Attempt::Step(mirror()), failed(class))], now());
    failures.steps.iter_mut().for_each(|step| step.next_attempt_time = Some(Time(until)));
    object(Some(failures))
}

#[test]
fn what_goes_on_outside_keeps_its_count_and_waits_no_longer() {
    let key = StepKey::parse("Apply", "v").unwrap();
    let waiting = object(Some(counted_at(&[(Attempt::Step(key.clone()), failed(Class::Denied))], now())));
    let attempts = Attempts { going_on: vec![Attempt::Step(key)], ..Attempts::default() };
    let after = count(&waiting, &attempts, now()).unwrap();
    assert_eq!((after.count, after.next_attempt_time.clone()), (1, None));
    assert!(waits(&object(Some(after)), now()).is_empty());
}

#[test]
fn each_step_waits_by_itself_and_every_kind_is_recognized() {
    for kind in StepKind::VARIANTS {
        let key = StepKey::parse(kind.into(), "v").unwrap();
        let failures = counted_at(&[(Attempt::Step(key.clone()), failed(Class::Denied))], now());
        let waits = waits(&object(Some(failures)), now());
        assert_eq!((waits.steps, waits.read), (vec![(key, failed(Class::Denied))], None), "{kind:?}");
    }
    let both = counted_at(&[(Attempt::Read, failed(Class::Retry)), (Attempt::Step(mirror()), failed(Class::Limit))], now());
    let next: Vec<Timestamp> = both.steps.iter().map(|step| step.next_attempt_time.clone().unwrap().0).collect();
    assert_eq!(both.next_attempt_time.clone().unwrap().0, next[0], "the first of them");
    let found = waits(&object(Some(both.clone())), now());
    assert_eq!((found.read, found.last, found.steps.len()), (Some(next[0]), Some(next[1]), 1));
    let later = waits(&object(Some(both)), next[0]);
    assert_eq!((later.read, later.steps.len()), (None, 1), "the step still waits");
}

#[test]
fn a_wait_is_believed_up_to_the_longest_one_of_its_class() {
    for class in CLASSES {
        let longest = class.longest().as_secs() + MAX_SKEW.as_secs();
        for (until, expected) in [
            (NOW - 1, false),
            (NOW, false),
            (NOW + 1, true),
            (NOW + longest, true),
            (NOW + longest + 1, false),
            (NOW + DAY, false),
            (NOW + 366 * DAY, false),
            (253_402_207_199, false),
            (-62_135_596_800, false),
        ] {
            let waits = waits(&waiting(class, at(until)), now());
            assert_eq!(waits.read, expected.then(|| at(until)), "{class:?} {until}");
            assert_eq!((waits.steps.len(), waits.last), (usize::from(expected), waits.read), "{class:?} {until}");
        }
        for until in [Timestamp::MIN, Timestamp::MAX] {
            for now in [Timestamp::MIN, now(), Timestamp::MAX] {
                assert!(waits(&waiting(class, until), now).is_empty(), "{until} {now}");
            }
        }
    }
}

/// The status is written by an operator whose clock is a year ahead, and read by one whose clock is right.
#[test]
fn failures_from_a_clock_that_is_ahead_hold_nothing_and_are_counted_on_from_now() {
    for class in CLASSES {
        let ahead = counted_at(&[(Attempt::Step(mirror()), failed(class))], at(NOW + 365 * DAY));
        let object = object(Some(ahead));
        assert!(waits(&object, now()).is_empty(), "{class:?}");
        let attempts = Attempts { failed: vec![(Attempt::Step(mirror()), failed(class))], ..Attempts::default() };
        let again = count(&object, &attempts, now()).unwrap();
        assert_eq!((again.count, again.since.map(|since| since.0)), (2, Some(now())), "{class:?}");
        let wait = again.next_attempt_time.unwrap().0.duration_since(now());
        assert!(wait.is_positive() && wait <= class.longest(), "{class:?} {wait}");
    }
}

#[test]
fn a_wait_ends_when_something_new_comes_in() {
    let until = at(NOW + 60);
    let waits = |change: fn(&mut RotatedSecret)| {
        let mut object = waiting(Class::Denied, until);
        change(&mut object);
        !waits(&object, now()).is_empty()
    };
    let annotate = |object: &mut RotatedSecret, key: &str| {
        object.metadata.annotations = Some([(key.to_owned(), "t".to_owned())].into());
    };
    for key in [ROTATE, REFRESH] {
        let mut requested = waiting(Class::Denied, until);
        annotate(&mut requested, key);
        assert!(super::waits(&requested, now()).is_empty(), "{key}: a new request");
    }
    let mut requested = waiting(Class::Denied, until);
    annotate(&mut requested, ROTATE);
    let tried = RequestStatus { rotate: Some("t".to_owned()), ..RequestStatus::default() };
    requested.status.as_mut().unwrap().failures.as_mut().unwrap().requests = Some(tried);
    assert_eq!(super::waits(&requested, now()).last, Some(until), "a request that was there at the last failure");
    assert!(waits(|_| {}));
    assert!(!waits(|object| object.metadata.generation = Some(2)), "an edit");
    assert!(!waits(|object| object.status = None), "no status");
    assert!(!waits(|object| object.status.as_mut().unwrap().failures = None), "no failure");
    assert!(
        !waits(|object| object.status.as_mut().unwrap().failures.as_mut().unwrap().steps.clear()),
        "no step: an older version wrote it"
    );
}

#[test]
fn an_attempt_is_early_if_something_new_ended_a_backoff_that_was_not_over() {
    let early = |until: i64, change: fn(&mut RotatedSecret)| {
        let mut object = waiting(Class::Retry, at(until));
        change(&mut object);
        super::early(&object, now())
    };
    let request: fn(&mut RotatedSecret) = |object| object.metadata.annotations = Some([(REFRESH.to_owned(), "t".to_owned())].into());
    let edit: fn(&mut RotatedSecret) = |object| object.metadata.generation = Some(2);
    for change in [request, edit] {
        assert!(early(NOW + 60, change));
        assert!(!early(NOW, change), "the backoff was over");
        assert!(!early(NOW + DAY, change), "a wrong clock wrote it");
    }
    assert!(!early(NOW + 60, |_| {}), "the backoff lasts, and what failed is not tried");
    assert!(!early(NOW + 60, |object| object.status = None), "no failure");
    let step: fn(&mut RotatedSecret) = |object| {
        object.metadata.generation = Some(2);
        let failures = object.status.as_mut().unwrap().failures.as_mut().unwrap();
        (failures.steps[0].next_attempt_time, failures.next_attempt_time) = (Some(Time(now())), Some(Time(now())));
    };
    assert!(early(NOW + 60, step), "the backoff of another step is not over");
    let mut deletion = waiting(Class::Retry, now());
    let failures = deletion.status.as_mut().unwrap().failures.as_mut().unwrap();
    (failures.steps, failures.next_attempt_time) = (Vec::new(), Some(Time(at(NOW + 60))));
    assert!(!super::early(&deletion, now()), "a deletion waits as a whole");
    request(&mut deletion);
    assert!(super::early(&deletion, now()), "a request ends its backoff too");
}

#[test]
fn what_this_version_does_not_know_holds_nothing() {
    let changes: [fn(&mut StepFailure); 6] = [
        |step| step.step = "Unheard".to_owned(),
        |step| step.class = "Unheard".to_owned(),
        |step| step.reason = "Unheard".to_owned(),
        |step| step.condition = "Unheard".to_owned(),
        |step| step.detail = None,
        |step| step.next_attempt_time = None,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut object = waiting(Class::Denied, at(NOW + 60));
        let steps = &mut object.status.as_mut().unwrap().failures.as_mut().unwrap().steps;
        steps.iter_mut().for_each(change);
        let held = waits(&object, now()).steps.into_iter().any(|(key, _)| key == mirror());
        assert!(!held, "{number}");
    }
}

#[test]
fn a_held_step_keeps_its_count_and_time_and_one_that_is_neither_held_nor_failed_is_forgotten() {
    let other = Attempt::Step(Step::PutPolicy.key());
    let before = counted_at(&[(Attempt::Step(mirror()), failed(Class::Denied)), (other.clone(), failed(Class::Invalid))], now());
    let attempts = |failed: Vec<(Attempt, Failed)>, held: Vec<Attempt>| Attempts { failed, held, ..Attempts::default() };
    let later = at(NOW + 120);
    let held = count(&object(Some(before.clone())), &attempts(Vec::new(), vec![other.clone()]), later).unwrap();
    assert_eq!(held.steps, before.steps[1..]);
    let again = vec![(Attempt::Step(mirror()), failed(Class::Denied))];
    let again = count(&object(Some(before.clone())), &attempts(again, vec![other]), later).unwrap();
    let counts: Vec<i32> = again.steps.iter().map(|step| step.count).collect();
    assert_eq!((counts, again.count, again.since), (vec![2, 1], 2, Some(Time(now()))));
    assert_eq!(count(&object(Some(before)), &Attempts::default(), later), None);
}

#[test]
fn failures_that_were_not_reported_count() {
    let attempts =
        Attempts { failed: vec![(Attempt::Read, failed(Class::Retry))], unreported: Some((1, at(NOW - 5))), ..Attempts::default() };
    let failures = count(&object(None), &attempts, now()).unwrap();
    assert_eq!((failures.count, failures.since), (2, Some(Time(at(NOW - 5)))));
}
