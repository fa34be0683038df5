//! What an entry of the history has from the status before it: when the rotation was due, and the attempts that failed.

use super::*;
use crate::api::{StagedStatus, StagedStep};
use crate::desired::{LambdaRotation, RollbackRequest, RollbackTo};

const DUE: i64 = MADE + HOUR;

fn failures(count: i32) -> FailureStatus {
    FailureStatus { count, since: None, next_attempt_time: None, requests: None, generation: None, access: None, steps: Vec::new() }
}

/// A status that knows one version, announced a rotation for that time, and counts so many failures.
fn announced(next: Option<i64>, failed: Option<i32>) -> RotatedSecretStatus {
    RotatedSecretStatus { next_rotation_time: next.map(|next| Time(at(next))), failures: failed.map(failures), ..live() }
}

/// The due time and the failed attempts of the newest entry, after `version` became current at that time, which is seen
/// five seconds later.
fn recorded(before: &RotatedSecretStatus, want: &Desired, version: &VersionId, changed: i64) -> (Cause, Option<i64>, Option<i32>) {
    let mut facts = seen(version, changed);
    facts.secret.as_mut().unwrap().labels.insert("AWSPREVIOUS".to_owned(), ids().creation());
    let outcome = assessed(facts, rest());
    let status = report(&object(before), Some(want), &outcome, at(changed + 5));
    let entry = &status.history[0];
    assert_eq!(entry.version_id, version.to_string());
    (entry.cause, entry.due_time.as_ref().map(|due| due.0.as_second()), entry.failed_attempts)
}

#[test]
fn a_scheduled_rotation_has_its_due_time_and_every_version_the_attempts_that_failed_before_it() {
    let (slot, first) = (ids().slot(at(DUE)), || ids().first());
    let asking = Desired { rotate_request: Some("now".to_owned()), ..want() };
    let undoing =
        Desired { rollback_request: Some(RollbackRequest { token: "undo".to_owned(), to: Some(RollbackTo::Version(id("v0"))) }), ..want() };
    let redeclared = ids().declaration(&ids().creation(), &declared("admin").hash());
    let (due, failed) = (Some(DUE), Some(2));
    let table = vec![
        ("scheduled", want(), slot.clone(), due, failed, (Cause::Scheduled, due, failed)),
        ("at the first attempt", want(), slot.clone(), due, None, (Cause::Scheduled, due, None)),
        ("no failure", want(), slot.clone(), due, Some(0), (Cause::Scheduled, due, None)),
        ("senseless", want(), slot.clone(), due, Some(-7), (Cause::Scheduled, due, None)),
        ("not announced", want(), slot, None, failed, (Cause::Scheduled, due, failed)),
        ("the clock of AWS is slower", want(), first(), Some(DUE + 14), None, (Cause::Scheduled, Some(DUE + 14), None)),
        ("not due yet", want(), first(), Some(DUE + 16), failed, (Cause::Scheduled, None, failed)),
        ("before 1970", want(), first(), Some(-1), failed, (Cause::Scheduled, None, failed)),
        ("the first one, not announced", want(), first(), None, failed, (Cause::Scheduled, None, failed)),
        ("requested", asking, ids().request("now"), due, failed, (Cause::Requested, None, failed)),
        ("rolled back", undoing, ids().rollback("undo"), due, failed, (Cause::RolledBack, None, failed)),
        ("spec changed", want(), redeclared, due, failed, (Cause::SpecChanged, None, failed)),
        ("external", want(), id("of-another-writer"), due, failed, (Cause::External, None, failed)),
    ];
    for (case, want, version, next, failed, expected) in table {
        assert_eq!(recorded(&announced(next, failed), &want, &version, DUE + 10), expected, "{case}");
    }
    let created = recorded(&RotatedSecretStatus { history: Vec::new(), ..announced(None, failed) }, &want(), &ids().creation(), DUE);
    assert_eq!(created, (Cause::Created, None, failed));
}

#[test]
fn the_due_time_has_the_offset_of_the_object_also_if_an_earlier_rotation_was_announced() {
    let rotation = on_clock("rate(1 hour)", 50, OnMissedWindow::RotateNow);
    let Rotation::Scheduled { clock, .. } = &rotation else { panic!() };
    let planned = |slot: i64| clock.appointment(at(slot), at(slot)).unwrap().at.as_second();
    assert_ne!(planned(DUE), DUE, "this object has an offset");
    let want = Desired { rotation: rotation.clone(), ..want() };
    for slot in [DUE, DUE + HOUR] {
        for next in [Some(planned(DUE)), None] {
            let due = Some(planned(slot));
            let told = recorded(&announced(next, None), &want, &ids().slot(at(slot)), planned(slot) + 10);
            assert_eq!(told, (Cause::Scheduled, due, None), "{next:?}");
        }
    }
    let next_window = Desired { rotation: on_clock("rate(1 hour)", 50, OnMissedWindow::NextWindow), ..want };
    let late = planned(DUE + 2 * HOUR);
    let told = recorded(&announced(Some(late), None), &next_window, &ids().slot(at(DUE)), late + 10);
    assert_eq!(told, (Cause::Scheduled, Some(late), None), "it was announced for a later window");
}

#[test]
fn a_rotation_by_aws_is_not_due_before_the_date_that_aws_reported() {
    let lambda =
        LambdaRotation { function: "arn".to_owned(), config: Err(refusal(Reason::InvalidSpec)), suspended: false, immediately: false };
    let lambda = Desired { rotation: Rotation::Lambda(lambda), ..want() };
    for (next, expected) in [(DUE, Some(DUE)), (DUE + 10, Some(DUE + 10)), (DUE + 11, None)] {
        let before = RotatedSecretStatus {
            aws: Some(AwsStatus { pending_version_id: Some("by-AWS".to_owned()), ..live().aws.unwrap() }),
            ..announced(Some(next), None)
        };
        assert_eq!(recorded(&before, &lambda, &id("by-AWS"), DUE + 10), (Cause::Scheduled, expected, None));
    }
}

#[test]
fn a_version_that_was_staged_has_the_due_time_with_which_it_was_recorded() {
    let slot = ids().slot(at(DUE));
    let staged = |version: &VersionId, due: Option<i64>| StagedStatus {
        version_id: version.to_string(),
        step: StagedStep::Apply,
        since: Time(at(DUE)),
        from: None,
        due_time: due.map(|due| Time(at(due))),
        postgres: None,
        mysql: None,
        redis: None,
        webhook: None,
        job: None,
    };
    for (staged, expected) in [(staged(&slot, Some(DUE)), Some(DUE)), (staged(&slot, None), None), (staged(&id("v"), None), Some(DUE))] {
        let before = RotatedSecretStatus { staged: Some(staged), ..announced(Some(DUE + HOUR), Some(3)) };
        assert_eq!(recorded(&before, &want(), &slot, DUE + 2 * HOUR), (Cause::Scheduled, expected, Some(3)));
    }
}

#[test]
fn an_entry_that_is_there_stays_as_it_is() {
    let slot = ids().slot(at(DUE));
    let first = report(&object(&announced(Some(DUE), Some(2))), Some(&want()), &assessed(seen(&slot, DUE + 10), rest()), at(DUE + 15));
    let again = RotatedSecretStatus { next_rotation_time: Some(Time(at(DUE + 11))), failures: Some(failures(9)), ..first.clone() };
    let again = report(&object(&again), Some(&want()), &assessed(seen(&slot, DUE + 10), rest()), at(DUE + HOUR));
    assert_eq!(again.history, first.history);
    assert_eq!((again.history[0].due_time.clone(), again.history[0].failed_attempts), (Some(Time(at(DUE))), Some(2)));
    assert_eq!(again.history[1], live().history[0]);
}

#[test]
fn a_version_that_this_process_wrote_keeps_its_cause_when_the_status_could_not_be_written() {
    // The request was withdrawn since, and the times of the schedule count from a version that no status has.
    for (version, cause) in [(ids().request("withdrawn"), Cause::Requested), (ids().slot(at(DUE + 7)), Cause::Scheduled)] {
        for (unreported, expected) in [(None, Cause::External), (Some((version.clone(), cause)), cause)] {
            let mut facts = seen(&version, DUE + 10);
            facts.secret.as_mut().unwrap().labels.insert("AWSPREVIOUS".to_owned(), ids().creation());
            facts.journal = Journal::default().following(unreported);
            let status = report(&object(&announced(Some(DUE), None)), Some(&want()), &assessed(facts, rest()), at(DUE + 15));
            let entry = &status.history[0];
            assert_eq!((entry.version_id.as_str(), entry.cause, entry.due_time.clone()), (version.as_str(), expected, None));
        }
    }
}
