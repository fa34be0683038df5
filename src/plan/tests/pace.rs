//! Requests, and changes of the declaration, that follow each other too quickly.

use super::*;
use crate::desired::{RollbackRequest, RollbackTo};

const INTERVAL: i64 = 600;

fn asking() -> Desired {
    Desired { rotate_request: Some("now".to_owned()), ..want() }
}

fn rolling_back() -> Desired {
    Desired { rollback_request: Some(RollbackRequest { token: "t".to_owned(), to: Some(RollbackTo::Version(id("previous"))) }), ..want() }
}

fn busy() -> Observation {
    let mut world = seen();
    world.status.history = requested_thrice();
    world
}

fn rest(want: &Desired, world: &Observation, second: i64) -> Rest {
    match plan(want, world, at(second)) {
        Next::Rest(rest) => rest,
        Next::Do(step) => panic!("does {step:?}"),
    }
}

fn cause(want: &Desired, world: &Observation, second: i64) -> Cause {
    match plan(want, world, at(second)) {
        Next::Do(Step::Put { cause, .. }) => cause,
        next => panic!("{next:?}"),
    }
}

#[test]
fn the_fourth_request_in_a_row_waits_and_says_until_when() {
    // The three versions are of a minute ago.
    let until = at(NOW - 60 + INTERVAL);
    for want in [asking(), rolling_back()] {
        let waits = rest(&want, &busy(), NOW);
        assert_eq!(waits.held_until, Some(until));
        assert!(waits.wake.is_some_and(|wake| wake <= until), "{waits:?}");
        assert!(waits.rotate_handled.is_none() && waits.rollback_handled.is_none(), "it stays open: {waits:?}");
        assert!(waits.provisioned.is_none() && waits.rotated.is_none(), "the object is as declared: {waits:?}");
        assert_eq!(rest(&want, &busy(), until.as_second() - 1).held_until, Some(until));
        assert!([Cause::Requested, Cause::RolledBack].contains(&cause(&want, &busy(), until.as_second())));

        let mut two = busy();
        two.status.history.pop();
        let off = Desired { request_interval: SignedDuration::ZERO, ..want.clone() };
        for (want, world) in [(&want, &two), (&off, &busy())] {
            assert!([Cause::Requested, Cause::RolledBack].contains(&cause(want, world, NOW)));
        }
    }
    assert_eq!(rest(&want(), &busy(), NOW).held_until, None, "nothing is requested");
}

#[test]
fn what_this_process_has_seen_counts_if_the_status_was_lost_and_a_wrong_clock_does_not() {
    for (charged, held) in [(3 * INTERVAL, Some(INTERVAL)), (2 * INTERVAL, None), (3 * INTERVAL + 1, None)] {
        let world = Observation { charged: Charged { requests: Some(at(NOW + charged)), declarations: None }, ..seen() };
        match held {
            Some(seconds) => assert_eq!(rest(&asking(), &world, NOW).held_until, Some(at(NOW + seconds))),
            None => assert_eq!(cause(&asking(), &world, NOW), Cause::Requested, "{charged}"),
        }
    }
}

#[test]
fn a_rotation_that_is_due_does_not_wait_for_a_request_that_does() {
    let mut world = busy();
    world.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
    // The schedule is not new.
    world.status.schedule = Some(ReportedSchedule { expression: "rate(1 hour)".to_owned(), since: None });
    assert_eq!(cause(&asking(), &world, NOW), Cause::Scheduled);
    let changed = Desired { value: Some(declared("other")), ..asking() };
    assert_eq!(cause(&changed, &busy(), NOW), Cause::SpecChanged);
}

#[test]
fn the_fourth_change_of_the_declaration_in_a_row_waits_until_a_rotation_or_its_time_carries_it_out() {
    let mut world = seen();
    world.status.history = requested_thrice();
    world.status.history.iter_mut().for_each(|entry| entry.cause = Cause::SpecChanged);
    let until = at(NOW - 60 + INTERVAL);
    let edited = Desired { value: Some(declared("other")), ..want() };
    for second in [NOW, until.as_second() - 1] {
        let waits = rest(&edited, &world, second);
        assert_eq!(waits.provisioned.as_ref().map(|refusal| refusal.reason), Some(Reason::Progressing), "it is not as declared: {waits:?}");
        assert!(waits.wake.is_some_and(|wake| wake <= until) && waits.held_until.is_none(), "{waits:?}");
    }
    assert_eq!(cause(&edited, &world, until.as_second()), Cause::SpecChanged);
    let requested = Desired { rotate_request: Some("now".to_owned()), ..edited.clone() };
    assert_eq!(cause(&requested, &world, NOW), Cause::Requested, "the limits are independent");

    let mut two = world.clone();
    two.status.history.pop();
    let off = Desired { request_interval: SignedDuration::ZERO, ..edited.clone() };
    for (want, world) in [(&edited, &two), (&off, &world), (&edited, &busy())] {
        assert_eq!(cause(want, world, NOW), Cause::SpecChanged);
    }
    let charged = Charged { requests: None, declarations: Some(at(NOW + 3 * INTERVAL)) };
    let forgotten = Observation { charged, ..seen() };
    let waits = rest(&edited, &forgotten, NOW);
    assert_eq!(waits.provisioned.map(|refusal| refusal.reason), Some(Reason::Progressing), "the status was lost");
}

#[test]
fn a_staged_version_of_a_request_is_finished() {
    let mut world = busy();
    world.secret.as_mut().unwrap().pending = Pending::Ours(ids().request("now"), Cause::Requested);
    assert!(matches!(plan(&asking(), &world, at(NOW)), Next::Do(Step::Promote { .. })));
}
