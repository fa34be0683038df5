//! The periodic check of the target.

use super::*;
use crate::backoff::Class;
use crate::desired::{Delivery, Strategy};
use crate::failure::{Failed, Failure};

fn target() -> Desired {
    Desired { delivery: Delivery::Staged, strategy: Some(fixture::strategy()), ..want() }
}

fn due() -> Observation {
    Observation { check_due: Some(at(NOW)), finalizer: true, ..seen() }
}

fn check() -> Step {
    Step::Check { version: id("current") }
}

#[test]
fn the_target_is_asked_when_it_is_time_and_pods_have_the_current_value() {
    let pending = |pending: Pending| Observation { secret: Some(SecretState { pending, ..secret() }), ..due() };
    let table = vec![
        ("it is time", target(), due(), true),
        (
            "it is time, without a Secret",
            Desired { target: None, ..target() },
            Observation { mirror: MirrorState::Unwanted, ..due() },
            true,
        ),
        ("a version of another writer is staged", target(), pending(Pending::Foreign(id("foreign"))), true),
        ("nothing rotates by schedule", Desired { rotation: Rotation::Never, ..target() }, due(), true),
        ("it is not time", target(), Observation { check_due: Some(at(NOW + 1)), ..due() }, false),
        ("no checks", target(), Observation { check_due: None, ..due() }, false),
        ("no target", want(), Observation { finalizer: false, ..due() }, false),
        ("the rotation is suspended", Desired { rotation: scheduled(true), ..target() }, due(), false),
        ("the object is suspended", Desired { suspended: true, ..target() }, due(), false),
        ("the host is not allowed", target(), Observation { access: Access { host_allowed: false, ..Access::default() }, ..due() }, false),
        ("another version is mirrored", pinned(), Observation { mirror: mirrored("previous"), ..due() }, false),
        (
            "AWS shows an old state",
            target(),
            Observation { secret: Some(SecretState { outdated: Some(at(NOW + 60)), ..secret() }), ..due() },
            false,
        ),
    ];
    for (about, want, seen, expected) in table {
        let next = plan(&want, &seen, at(NOW));
        assert_eq!(next == Next::Do(check()), expected, "{about}: {next:?}");
        assert!(expected || matches!(next, Next::Rest(_)), "{about}: {next:?}");
    }
}

/// The Secret holds the version before.
fn pinned() -> Desired {
    let mut want = target();
    want.target.as_mut().unwrap().pin = Pin::Version(id("previous"));
    want
}

#[test]
fn a_rotation_that_is_due_and_a_staged_version_come_before_the_check() {
    let mut late = due();
    late.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
    late.status.history = vec![recorded("current")];
    late.status.schedule = Some(ReportedSchedule { expression: "rate(1 hour)".to_owned(), since: None });
    let Next::Rest(rest) = plan(&target(), &late, at(NOW)) else { panic!("the version is recorded first") };
    assert!(matches!(rest.staging, Some(StagingNews::Announced(_))), "{rest:?}");
    let version = ids().request("staged");
    let mut staged = due();
    staged.secret.as_mut().unwrap().pending = Pending::Ours(version.clone(), Cause::Requested);
    relabelled(staged.secret.as_mut().unwrap(), crate::api::STAGED_LABEL, version.clone());
    staged.status.staging.announced =
        Some(Announced { target: target().strategy.as_ref().map(Strategy::record), ..announcement(version.clone()) });
    assert_eq!(plan(&target(), &staged, at(NOW)), Next::Do(Step::Apply { version, from: id("current") }));
}

#[test]
fn the_next_check_wakes_the_object_and_one_is_made_once_in_a_reconcile() {
    let mut world = Observation { check_due: Some(at(NOW + 100)), ..due() };
    let Next::Rest(rest) = plan(&target(), &world, at(NOW)) else { panic!() };
    assert_eq!((rest.wake, rest.rotated), (Some(at(NOW + 100)), None));
    // Also one without an answer, which says when it is repeated.
    for effect in [Effect::Applied { at: at(NOW) }, Effect::Absent] {
        world.journal = Journal::default();
        world.journal.record(check(), effect);
        let Next::Rest(rest) = plan(&target(), &world, at(NOW)) else { panic!() };
        assert_eq!((rest.wake, rest.rotated), (Some(at(NOW + 100)), None));
    }
}

#[test]
fn a_refusal_is_reported_until_the_target_accepts_the_value_and_holds_up_no_rotation() {
    let message = "refused".to_owned();
    let failure = Failure { class: Class::Denied, reason: Reason::TargetDiverged, message, request_id: None };
    let failed = Failed { aspect: crate::api::condition::ConditionType::Rotated, failure };
    let mut now = due();
    now.journal.record(check(), Effect::Failed(failed.clone()));
    // In a later process: the status says until when the step is not tried, and the memory is empty.
    let mut later = Observation { check_due: Some(at(NOW + 100)), ..due() };
    later.journal = Journal::holding([(check().key(), failed)]);
    for seen in [&now, &later] {
        let Next::Rest(rest) = plan(&target(), seen, at(NOW)) else { panic!() };
        assert_eq!(rest.rotated.clone().map(|refusal| refusal.reason), Some(Reason::TargetDiverged));
        let next = plan(&Desired { rotate_request: Some("now".to_owned()), ..target() }, seen, at(NOW));
        let Next::Rest(rest) = next else { panic!("the version is recorded first: {next:?}") };
        assert_eq!(rest.staging, Some(StagingNews::Announced(ids().request("now"))));
    }
    // A value that another writer put is another question.
    later.secret.as_mut().unwrap().current = Some(Current { version: id("external"), ..current(60) });
    later.mirror = mirrored("external");
    later.check_due = Some(at(NOW));
    assert_eq!(plan(&target(), &later, at(NOW)), Next::Do(Step::Check { version: id("external") }));
}
