//! What the clock asks for: places in windows, windows that were missed, and how rotation begins.

use super::*;
use crate::api::Abandonment;

/// A value that was due so long ago, and what the plan says.
fn late(want: &Desired, late: i64) -> Next {
    plan(want, &Observation { secret: Some(SecretState { current: Some(current(PERIOD + late)), ..secret() }), ..seen() }, at(NOW))
}

#[test]
fn a_rotation_waits_for_its_place_in_the_window_and_is_the_same_version_wherever_it_happens() {
    let place = i64::try_from(ids().place(1620)).unwrap();
    let wide = Desired { rotation: on_clock(30, OnMissedWindow::RotateNow, false, false), ..want() };
    for late_by in [-1, 0, place - 1, place, 1799, 1800, 100_000] {
        let due = at(NOW - late_by);
        let turn = due + SignedDuration::from_secs(place);
        match late(&wide, late_by) {
            Next::Rest(rest) => {
                assert!(late_by < place);
                assert_eq!((rest.next_rotation, rest.wake, rest.rotated), (Some(turn), Some(turn), None), "{late_by}");
            }
            Next::Do(Step::Put { version, .. }) => {
                assert!(late_by >= place);
                assert_eq!(version, ids().slot(due), "without the place: an edit of the window is no other rotation");
            }
            Next::Do(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_missed_window_is_told_of_until_the_next_one() {
    let place = i64::try_from(ids().place(270)).unwrap();
    let strict = |suspended| Desired { rotation: on_clock(5, OnMissedWindow::NextWindow, suspended, false), ..want() };
    for (late_by, windows, next) in
        [(300, "1 window ", PERIOD), (PERIOD - 1, "1 window ", PERIOD), (2 * PERIOD + 300, "3 windows ", 3 * PERIOD)]
    {
        let Next::Rest(rest) = late(&strict(false), late_by) else { panic!("{late_by}") };
        let turn = Some(at(NOW - late_by + next + place));
        assert_eq!((rest.next_rotation, rest.wake), (turn, turn), "{late_by}");
        let refusal = rest.rotated.unwrap();
        assert_eq!(refusal.reason, Reason::MissedWindow);
        assert!(refusal.message.contains(windows) && refusal.message.contains("rotated-secrets.io/rotate="), "{}", refusal.message);
        let Next::Rest(rest) = late(&strict(true), late_by) else { panic!("{late_by}") };
        let refusal = rest.rotated.unwrap();
        assert_eq!((refusal.reason, rest.next_rotation), (Reason::Suspended, None));
        assert!(refusal.message.contains("next window"), "{}", refusal.message);
    }
    let Next::Do(Step::Put { version, .. }) = late(&strict(false), 2 * PERIOD + place) else { panic!() };
    assert_eq!(version, ids().slot(at(NOW - 2 * PERIOD - place)), "of the first due moment, two windows later");
    assert!(matches!(late(&strict(false), 2 * PERIOD + 299), Next::Do(Step::Put { .. })), "late, and still within the window");
}

#[test]
fn a_rotation_that_the_clock_of_aws_dates_before_its_due_time_happens_once() {
    // The version of this hour was created a second before, and a change of the declared fields followed it.
    let mut world = Observation { secret: Some(SecretState { current: Some(current(PERIOD + 1)), ..secret() }), ..seen() };
    assert!(matches!(plan(&want(), &world, at(NOW)), Next::Do(Step::Put { .. })));
    world.status.history = vec![recorded("current"), recorded(ids().slot(at(NOW - 1)).as_str())];
    let Next::Rest(rest) = plan(&want(), &world, at(NOW)) else { panic!() };
    assert_eq!(rest.next_rotation, Some(at(NOW - 1 + PERIOD)));
}

#[test]
fn due_times_with_attempts_that_were_abandoned_are_over_also_if_the_history_has_the_last_ones_only() {
    let attempts = 24;
    let due = |number: i64| at(NOW - 60 - (attempts - number) * PERIOD);
    let mut world =
        Observation { secret: Some(SecretState { current: Some(current(60 + (attempts + 1) * PERIOD)), ..secret() }), ..seen() };
    world.status.history = vec![HistoryFact { time: due(-1), ..recorded("current") }];
    world.status.schedule = Some(ReportedSchedule { expression: on_clock_expression(&want()), since: None });
    assert!(matches!(plan(&want(), &world, at(NOW)), Next::Do(Step::Put { version, .. }) if version == ids().slot(due(0))));
    let abandoned = |number| AbandonedFact {
        version: ids().slot(due(number)),
        time: due(number) + SignedDuration::from_secs(30),
        why: Abandonment::VerifyFailed,
    };
    world.status.staging.abandoned = (attempts - 3..attempts).rev().map(abandoned).collect();
    assert!(matches!(plan(&want(), &world, at(NOW)), Next::Do(Step::Put { version, .. }) if version == ids().slot(due(attempts))));
    world.status.staging.abandoned.insert(0, abandoned(attempts));
    let Next::Rest(rest) = plan(&want(), &world, at(NOW)) else { panic!() };
    assert_eq!(rest.next_rotation, Some(due(attempts + 1)));
}

#[test]
fn rotation_that_is_new_begins_with_one_rotation_at_once_where_that_is_asked() {
    let asking = |suspended| Desired { rotation: on_clock(30, OnMissedWindow::RotateNow, suspended, true), ..want() };
    let mut world = seen();
    assert!(matches!(plan(&asking(false), &world, at(NOW)), Next::Rest(Rest { first_pending: false, .. })), "it is not new");
    world.status.history = vec![recorded("current")];
    assert!(matches!(plan(&want(), &world, at(NOW)), Next::Rest(Rest { first_pending: false, .. })), "it is not asked");
    let Next::Rest(rest) = plan(&asking(true), &world, at(NOW)) else { panic!() };
    assert_eq!((rest.first_pending, rest.rotated.map(|refusal| refusal.reason)), (true, Some(Reason::Suspended)), "it waits");
    let Next::Do(step @ Step::Put { .. }) = plan(&asking(false), &world, at(NOW)) else { panic!() };
    let Step::Put { version, cause: Cause::Scheduled, .. } = &step else { panic!() };
    assert_eq!(*version, ids().first());

    // Another rotation in between, or an answer that was lost: AWS knows the version, and that is enough.
    let mut previous = world.clone();
    relabelled(previous.secret.as_mut().unwrap(), "AWSPREVIOUS", version.clone());
    let mut spent = world.clone();
    spent.status.unseen = Some((version.clone(), at(NOW - 1000)));
    for facts in [previous, spent] {
        assert!(matches!(plan(&asking(false), &facts, at(NOW)), Next::Rest(Rest { first_pending: false, .. })));
    }
    carry_out(&mut world, &step);
    let Next::Do(mirror @ Step::ReplaceMirror { .. }) = plan(&asking(false), &world, at(NOW)) else { panic!() };
    carry_out(&mut world, &mirror);
    world.journal = Journal::default();
    let reported = ReportedSchedule { expression: on_clock_expression(&asking(false)), since: None };
    for schedule in [None, Some(reported)] {
        world.status.schedule = schedule;
        let Next::Rest(rest) = plan(&asking(false), &world, at(NOW)) else { panic!() };
        assert!(rest.next_rotation >= Some(at(NOW + PERIOD)) && !rest.first_pending, "then by schedule, also when the report was lost");
    }
    // Held up, it neither happens nor is forgotten.
    let mut held = seen();
    held.status.history = vec![recorded("current")];
    held.secret.as_mut().unwrap().pending = Pending::Foreign(id("foreign"));
    let Next::Rest(rest) = plan(&asking(false), &held, at(NOW)) else { panic!() };
    assert_eq!((rest.first_pending, rest.next_rotation), (true, None));
    assert_eq!(rest.rotated.unwrap().reason, Reason::ForeignPending);
}

#[test]
fn wherever_the_clock_jumps_to_the_same_rotation_is_due() {
    // Seconds from the last change of the value to what the clock shows: before it, long before it, and any time after it.
    for elapsed in [-30 * 365 * 86_400, -86_400, -1, 0, 1, PERIOD - 1, PERIOD, PERIOD + 1, 100 * PERIOD, 30 * 365 * 86_400] {
        match late(&want(), elapsed - PERIOD) {
            Next::Rest(rest) => {
                let due = at(NOW - elapsed + PERIOD);
                assert!(elapsed < PERIOD, "{elapsed}");
                assert_eq!((rest.next_rotation, rest.wake, rest.rotated), (Some(due), Some(due), None), "{elapsed}");
            }
            Next::Do(Step::Put { version, cause: Cause::Scheduled, .. }) => {
                assert!(elapsed >= PERIOD, "{elapsed}");
                assert_eq!(version, ids().slot(at(NOW - elapsed + PERIOD)), "of the first due moment, however late");
            }
            Next::Do(other) => panic!("{elapsed}: {other:?}"),
        }
    }
}

fn on_clock_expression(want: &Desired) -> String {
    match &want.rotation {
        Rotation::Scheduled { expression, .. } => expression.clone(),
        other => panic!("{other:?}"),
    }
}
