//! The cause of a version, from its id.

use super::*;
use crate::desired::RollbackRequest;
use crate::version_id::VersionIds;

/// A scheduled object with requests to rotate and to roll back.
fn object() -> Desired {
    Desired {
        rotate_request: Some("rotate-now".to_owned()),
        rollback_request: Some(RollbackRequest { token: "back".to_owned(), to: None }),
        ..scheduled("rate(1 hour)")
    }
}

fn cause(scene: &Scene, version: &VersionId) -> Option<Cause> {
    let secret = scene.facts.secret.as_ref().unwrap();
    explain(&scene.want, &scene.status, &secret.labels, version, now())
}

#[test]
fn every_cause_of_this_object_is_found_by_the_id() {
    let scene = Scene::new(object());
    let (ids, hash) = (scene.want.ids, hash(&scene.want));
    for (version, expected) in [
        (ids.creation(), Some(Cause::Created)),
        (ids.request("rotate-now"), Some(Cause::Requested)),
        (ids.rollback("back"), Some(Cause::RolledBack)),
        (ids.declaration(&id("current"), &hash), Some(Cause::SpecChanged)),
        (ids.declaration(&id("previous"), &hash), Some(Cause::SpecChanged)),
        (ids.first(), Some(Cause::Scheduled)),
        (ids.slot(now()), Some(Cause::Scheduled)),
        (ids.request("another token"), None),
        (ids.rollback("rotate-now"), None),
        (ids.request("back"), None),
        (ids.declaration(&id("older"), &hash), None),
        (ids.declaration(&id("current"), "another declaration"), None),
        (ids.slot(ago(1)), None),
        (VersionIds::of("another uid").creation(), None),
        (id("9f1c2a11-57c5-4e0c-9e6f-9d2f7f1c2a11"), None),
        (id("current"), None),
    ] {
        assert_eq!(cause(&scene, &version), expected, "{version}");
    }
}

#[test]
fn without_requests_value_schedule_or_labels_their_causes_are_not_found() {
    let full = Scene::new(object());
    let (ids, hash) = (full.want.ids, hash(&full.want));
    let no_rotate: Change = |scene| scene.want.rotate_request = None;
    let no_rollback: Change = |scene| scene.want.rollback_request = None;
    let no_value: Change = |scene| scene.want.value = None;
    let no_labels: Change = |scene| scene.aws().labels.clear();
    let no_schedule: Change = |scene| scene.want.rotation = Rotation::Never;
    let no_history: Change = |scene| scene.status = StatusFacts::default();
    for (name, change, version) in [
        ("no request to rotate", no_rotate, ids.request("rotate-now")),
        ("no request to roll back", no_rollback, ids.rollback("back")),
        ("no value", no_value, ids.declaration(&id("current"), &hash)),
        ("no labels", no_labels, ids.declaration(&id("current"), &hash)),
        ("no schedule", no_schedule, ids.slot(now())),
        ("no time to count from", no_history, ids.slot(now())),
    ] {
        assert!(cause(&full, &version).is_some(), "{name}");
        assert_eq!(cause(&full.clone().with(change), &version), None, "{name}");
        // These follow from the uid alone.
        let rest = full.clone().with(change);
        assert_eq!((cause(&rest, &ids.creation()), cause(&rest, &ids.first())), (Some(Cause::Created), Some(Cause::Scheduled)), "{name}");
    }
}

/// The due times in `1..=20` hours after the base that are found.
fn found(scene: &Scene, base: Timestamp) -> Vec<i64> {
    let found = (1..=20).filter(|hours| cause(scene, &scene.want.ids.slot(base + SignedDuration::from_hours(*hours))).is_some());
    found.collect()
}

#[test]
fn ten_due_times_are_considered_from_the_last_reported_change_on() {
    let ten: Vec<i64> = (1..=10).collect();
    let scene = Scene::new(object());
    assert_eq!(found(&scene, ago(HOUR)), ten);
    let rotated = scene.clone().with(|scene| scene.status.last_rotation = Some(ago(5 * HOUR)));
    assert_eq!(found(&rotated, ago(5 * HOUR)), ten, "what the schedule counted from");
    let by_history = scene.with(|scene| scene.status.last_rotation = None);
    assert_eq!(found(&by_history, ago(HOUR)), ten, "the newest entry of the history");
}

/// What the status says of the schedule.
enum Reported {
    Nothing,
    Another,
    /// The declared one, and when it was first seen.
    Declared(Option<i64>),
}

#[test]
fn due_times_before_an_edit_of_the_schedule_are_not_those_of_the_new_one() {
    let half = HOUR / 2;
    // NOW is a full hour. The base and the first due time that is found are seconds before it.
    for (name, schedule, reported, base, first) in [
        ("in force from the beginning", "0 * * * *", Reported::Declared(None), half, 0),
        ("in force since before the change", "0 * * * *", Reported::Declared(Some(HOUR)), half, 0),
        ("edited ten minutes ago", "30 * * * *", Reported::Declared(Some(600)), half + 60, -half),
        ("edited now", "30 * * * *", Reported::Another, half + 60, -half),
        ("edited now, the value is older than a period", "0 * * * *", Reported::Another, HOUR + half, HOUR),
        ("scheduled for the first time", "30 * * * *", Reported::Nothing, half + 60, -half),
        ("scheduled for the first time, the value is older", "0 * * * *", Reported::Nothing, 3 * HOUR + half, 3 * HOUR),
    ] {
        let scene = Scene::new(scheduled(schedule)).with(|scene| {
            let before = scene.status.schedule.take();
            scene.status.last_rotation = Some(ago(base));
            scene.status.schedule = match reported {
                Reported::Nothing => None,
                Reported::Another => Some(ReportedSchedule { expression: "rate(1 day)".to_owned(), since: None }),
                Reported::Declared(since) => before.map(|before| ReportedSchedule { since: since.map(ago), ..before }),
            };
        });
        for (age, expected) in [(first + HOUR, None), (first, Some(Cause::Scheduled)), (first - 9 * HOUR, Some(Cause::Scheduled))] {
            assert_eq!(cause(&scene, &scene.want.ids.slot(ago(age))), expected, "{name}: {age}");
        }
    }
}

#[test]
fn a_status_with_impossible_times_explains_nothing_by_schedule_and_does_not_panic() {
    for schedule in ["rate(1 hour)", "cron(0 8 1 * ? *)", "0 8 * * *"] {
        let want = scheduled(schedule);
        for base in [Timestamp::MIN, Timestamp::MAX] {
            for since in [None, Some(Timestamp::MIN), Some(Timestamp::MAX)] {
                let scene = Scene::new(want.clone()).with(|scene| {
                    scene.status.last_rotation = Some(base);
                    scene.status.schedule.as_mut().unwrap().since = since;
                });
                assert_eq!(cause(&scene, &want.ids.slot(now())), None, "{schedule} {base} {since:?}");
            }
        }
    }
}
