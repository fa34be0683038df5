//! Versions on their way to a target: what is recorded before it happens, and when a staged version is abandoned.

use super::*;
use crate::api::{Abandonment, RollbackRefusal, STAGED_LABEL};
use crate::backoff::Class;
use crate::desired::{Delivery, Pin, RollbackRequest, RollbackTo, Target};
use crate::failure::{Failed, Failure};

fn with_target() -> Desired {
    Desired { delivery: Delivery::Staged, strategy: Some(fixture::strategy()), rotate_request: Some("now".to_owned()), ..want() }
}

fn version() -> VersionId {
    ids().request("now")
}

fn announced(world: &mut Observation) {
    world.status.staging.announced = Some(announcement(version()));
}

/// The version of the request is recorded and staged.
fn staged() -> Observation {
    staged_as(version(), Cause::Requested)
}

fn staged_as(version: VersionId, cause: Cause) -> Observation {
    let pending = Pending::Ours(version.clone(), cause);
    let mut world = Observation { secret: Some(SecretState { pending, ..secret() }), finalizer: true, ..seen() };
    relabelled(world.secret.as_mut().unwrap(), STAGED_LABEL, version.clone());
    world.status.staging.announced = Some(announcement(version));
    world
}

fn abandon() -> Next {
    Next::Do(Step::Abandon { version: version(), current: id("current") })
}

/// The target has the version, and it does not work there.
fn unverified() -> Observation {
    let mut world = staged();
    world.journal.record(Step::Apply { version: version(), from: id("current") }, Effect::Applied { at: at(NOW) });
    let refused = Failed::denied(&Refusal::new(Reason::VerifyFailed, "the query fails"));
    let failed = Failed { aspect: crate::api::condition::ConditionType::Rotated, ..refused };
    world.journal.record(Step::Verify { version: version() }, Effect::Failed(failed));
    world
}

/// The target does not take the version.
fn refused() -> Observation {
    refused_as(version(), Cause::Requested, Class::Denied)
}

fn refused_as(version: VersionId, cause: Cause, class: Class) -> Observation {
    let mut world = staged_as(version.clone(), cause);
    let failure = Failure { class, reason: Reason::ApplyFailed, message: "no password is accepted".to_owned(), request_id: None };
    let failed = Failed { aspect: crate::api::condition::ConditionType::Rotated, failure };
    world.journal.record(Step::Apply { version, from: id("current") }, Effect::Failed(failed));
    world
}

fn rest(want: &Desired, world: &Observation) -> Rest {
    match plan(want, world, at(NOW)) {
        Next::Rest(rest) => rest,
        next @ Next::Do(_) => panic!("{next:?}"),
    }
}

#[test]
fn a_rollback_to_awsprevious_is_refused_while_a_version_is_on_its_way() {
    let asking = |to| Some(RollbackRequest { token: "back".to_owned(), to: Some(to) });
    let want = Desired { rollback_request: asking(RollbackTo::Previous), ..with_target() };
    let refused = Some(("back".to_owned(), Some(RollbackRefusal::RotationInProgress)));
    let mut world = staged();
    world.journal.record(Step::Apply { version: version(), from: id("current") }, waits_for_the_target());
    assert_eq!(rest(&want, &world).rollback_handled, refused, "it is not finished yet");
    let mut finished = Observation { finalizer: true, ..seen() };
    promoted(finished.secret.as_mut().unwrap(), &version());
    finished.mirror = mirrored(version().as_str());
    finished.status.requests.rotate = Some("now".to_owned());
    finished.status.history.insert(0, recorded(version().as_str()));
    finished.journal.record(Step::Promote { version: version(), from: id("current") }, Effect::Applied { at: at(NOW) });
    assert_eq!(rest(&want, &finished).rollback_handled, refused, "this reconcile finished it");
    finished.journal = Journal::default();
    assert_eq!(rest(&want, &finished).staging, Some(StagingNews::Announced(ids().rollback("back"))), "a request after it");
    // By its ID, the version is meant.
    let want = Desired { rollback_request: asking(RollbackTo::Version(id("previous"))), ..with_target() };
    assert_eq!(rest(&want, &world).rollback_handled, None);
}

fn waits_for_the_target() -> Effect {
    Effect::Failed(Failed::denied(&Refusal::new(Reason::TargetUnreachable, "no answer")))
}

#[test]
fn a_version_and_its_target_are_recorded_before_the_version_is_staged_or_applied() {
    let want = with_target();
    let mut world = Observation { finalizer: true, ..seen() };
    let first = rest(&want, &world);
    assert_eq!((first.staging, first.wake, first.rotate_handled), (Some(StagingNews::Announced(version())), Some(at(NOW)), None));
    announced(&mut world);
    assert!(matches!(plan(&want, &world, at(NOW)), Next::Do(Step::Put { stage: Stage::Pending, .. })));
    // The status was lost, or the target was edited.
    for recorded in [None, Some(Announced { target: None, ..announcement(version()) }), Some(announcement(id("another")))] {
        let mut world = staged();
        world.status.staging.announced = recorded;
        assert_eq!(rest(&want, &world).staging, Some(StagingNews::Announced(version())));
    }
    // Another writer made another version current before this one was staged.
    let mut moved = Observation { finalizer: true, ..seen() };
    moved.status.staging.announced = Some(Announced { from: Some(id("former")), ..announcement(version()) });
    assert_eq!(rest(&want, &moved).staging, Some(StagingNews::Announced(version())));
    // A version without a target is not recorded.
    let direct = Desired { delivery: Delivery::Direct, strategy: None, ..with_target() };
    assert!(matches!(plan(&direct, &seen(), at(NOW)), Next::Do(Step::Put { stage: Stage::Current, .. })));
}

/// A declaration, what is seen, and why the staged version is abandoned.
type Case = (Desired, fn() -> Observation, Option<Abandonment>);

#[test]
fn a_staged_version_is_abandoned_once_that_is_recorded_and_for_no_other_cause() {
    let current = RollbackRequest { token: "back".to_owned(), to: Some(RollbackTo::Version(id("current"))) };
    let older = RollbackRequest { token: "back".to_owned(), to: Some(RollbackTo::Version(id("previous"))) };
    let without = Desired { delivery: Delivery::Direct, strategy: None, rotation: Rotation::Never, ..with_target() };
    let mirror_only = Desired { value: None, ..without.clone() };
    let asks = |request: &RollbackRequest| Desired { rollback_request: Some(request.clone()), ..with_target() };
    let pinned = |version: &str| Desired {
        target: with_target().target.map(|target| Target { pin: Pin::Version(id(version)), ..target }),
        ..with_target()
    };
    let table: Vec<Case> = vec![
        (with_target(), staged, None),
        (Desired { rotate_request: None, ..with_target() }, staged, None),
        (Desired { rotation: scheduled(true), ..with_target() }, staged, None),
        (asks(&older), staged, None),
        (asks(&current), staged, Some(Abandonment::Withdrawn)),
        (with_target(), unverified, Some(Abandonment::VerifyFailed)),
        (without, staged, Some(Abandonment::TargetRemoved)),
        (mirror_only, staged, Some(Abandonment::TargetRemoved)),
        (asks(&older), refused, Some(Abandonment::Withdrawn)),
        (with_target(), refused, None),
        (pinned("current"), staged, Some(Abandonment::Pinned)),
        (pinned("previous"), staged, None),
    ];
    for (want, world, why) in table {
        let next = plan(&want, &world(), at(NOW));
        let decided = match &next {
            Next::Rest(Rest { staging: Some(StagingNews::Abandoned(of, why)), .. }) if *of == version() => Some(*why),
            _ => None,
        };
        assert_eq!(decided, why, "{next:?}");
        let Some(why) = why else { continue };
        let mut world = staged();
        world.status.staging.abandoned = vec![AbandonedFact { version: version(), time: at(NOW), why }];
        assert_eq!(plan(&want, &world, at(NOW)), abandon(), "{why:?}");
    }
}

#[test]
fn a_rollback_ends_a_refused_version_for_a_known_one_and_not_its_own() {
    let asks = |to| {
        let request = RollbackRequest { token: "back".to_owned(), to: Some(RollbackTo::Version(to)) };
        Desired { rollback_request: Some(request), ..with_target() }
    };
    let abandons = |to: &str, world: &Observation| matches!(rest(&asks(id(to)), world).staging, Some(StagingNews::Abandoned(..)));
    assert!(abandons("previous", &refused()));
    assert!(!abandons("unknown", &refused()), "it would end as VersionNotFound, without the staged version");
    assert!(!abandons("previous", &refused_as(version(), Cause::Requested, Class::Retry)), "the target may take it soon");
    assert!(!abandons("previous", &refused_as(ids().rollback("back"), Cause::RolledBack, Class::Denied)), "it is what was asked for");
}

#[test]
fn what_asked_for_an_abandoned_version_is_done_and_the_next_cause_makes_another_version() {
    let mut world = unverified();
    let want = with_target();
    let decided = rest(&want, &world);
    assert_eq!(decided.rotated.as_ref().map(|refusal| refusal.reason), Some(Reason::VerifyFailed));
    end_reconcile(&want, &mut world, &decided);
    let Next::Do(step) = plan(&want, &world, at(NOW)) else { panic!() };
    carry_out(&mut world, &step);
    let ended = rest(&want, &world);
    assert_eq!((ended.rotated.as_ref().map(|refusal| refusal.reason), ended.staging.clone()), (Some(Reason::VerifyFailed), None));
    assert_eq!(ended.rotate_handled.as_deref(), Some("now"), "the request is not carried out again");
    end_reconcile(&want, &mut world, &ended);
    assert_eq!(world.status.staging.announced, None);
    // A failure of the abandoned version that is held still holds up nothing.
    let failed = Failed::denied(&Refusal::new(Reason::VerifyFailed, "the query fails"));
    world.journal = Journal::holding([(Step::Verify { version: version() }.key(), failed)]);
    let again = Desired { rotate_request: Some("again".to_owned()), ..with_target() };
    let next = rest(&again, &world);
    assert_eq!(next.staging, Some(StagingNews::Announced(ids().request("again"))));
    assert_eq!(next.rotated.map(|refusal| refusal.reason), Some(Reason::Progressing), "the old failure is over");
    // The version of a due time is not made again either: the next due time follows.
    let mut late = Observation { finalizer: true, ..seen() };
    late.secret.as_mut().unwrap().current = Some(super::current(PERIOD + 60));
    let slot = ids().slot(at(NOW - 60));
    late.status.staging.abandoned = vec![AbandonedFact { version: slot, time: at(NOW - 30), why: Abandonment::VerifyFailed }];
    late.status.history = vec![recorded("current")];
    late.status.schedule = Some(ReportedSchedule { expression: "rate(1 hour)".to_owned(), since: None });
    let want = Desired { rotate_request: None, ..with_target() };
    assert_eq!(rest(&want, &late).next_rotation, Some(at(NOW - 60 + PERIOD)));
}

#[test]
fn a_declaration_that_did_not_work_is_not_tried_again_and_is_not_reported_as_carried_out() {
    let want = Desired { rotate_request: None, ..with_target() };
    let mut world = Observation { finalizer: true, ..seen() };
    world.status.declared.hash = Some("before".to_owned());
    let change = ids().declaration(&id("current"), &declared("admin").hash());
    assert_eq!(rest(&want, &world).staging, Some(StagingNews::Announced(change.clone())));
    world.status.staging.abandoned = vec![AbandonedFact { version: change, time: at(NOW), why: Abandonment::VerifyFailed }];
    let ended = rest(&want, &world);
    assert_eq!((ended.provisioned.map(|refusal| refusal.reason), ended.staging), (Some(Reason::VerifyFailed), None));
}

#[test]
fn an_abandonment_that_fails_holds_up_every_version_and_nothing_else() {
    for request in [Some("now"), Some("later"), None] {
        let want = Desired { rotate_request: request.map(str::to_owned), ..with_target() };
        let mut world = staged();
        world.status.staging.abandoned = vec![AbandonedFact { version: version(), time: at(NOW), why: Abandonment::VerifyFailed }];
        let refused = Failed::denied(&Refusal::new(Reason::AbandonFailed, "no"));
        let failed = Failed { aspect: crate::api::condition::ConditionType::Rotated, ..refused };
        world.journal.record(Step::Abandon { version: version(), current: id("current") }, Effect::Failed(failed));
        let ended = rest(&want, &world);
        assert_eq!(ended.rotated.map(|refusal| refusal.reason), Some(Reason::AbandonFailed), "{request:?}");
        assert_eq!(ended.staging, None);
        let unmirrored = Observation { mirror: MirrorState::Absent, ..world };
        assert_eq!(plan(&want, &unmirrored, at(NOW)), Next::Do(Step::CreateMirror { version: id("current") }));
    }
}

#[test]
fn the_label_of_an_abandoned_version_is_removed_after_another_one_became_current() {
    let want = Desired { rotate_request: None, ..with_target() };
    for (age, over) in [(60, true), (20, false)] {
        let mut world = Observation { finalizer: true, ..seen() };
        let secret = world.secret.as_mut().unwrap();
        secret.labels.insert(crate::api::ABANDONED_LABEL.to_owned(), version());
        secret.current = Some(super::current(20));
        world.status.staging.abandoned = vec![AbandonedFact { version: version(), time: at(NOW - age), why: Abandonment::Withdrawn }];
        let label = crate::api::ABANDONED_LABEL.to_owned();
        let removed = Next::Do(Step::MoveLabel { label, from: Some(version()), to: None });
        assert_eq!(plan(&want, &world, at(NOW)) == removed, over, "{age}");
    }
}

#[test]
fn a_staged_version_that_the_secret_has_was_current_so_the_read_is_older() {
    let want = with_target();
    let mut world = staged();
    world.mirror = MirrorState::Ours { version: Some(version()), intact: true, written: Some(at(NOW - 50)), changed: None, revision: None };
    // By the clock of AWS, which differs from that of the API server.
    world.secret.as_mut().unwrap().last_changed = Some(at(NOW - 20));
    let Next::Rest(rest) = plan(&want, &world, at(NOW)) else { panic!("the Secret would get the version before") };
    assert_eq!(rest.wake, Some(at(NOW + 70)), "the window of old reads");
    let later = plan(&want, &world, at(NOW + 70));
    assert_eq!(later, Next::Do(Step::ReplaceMirror { version: id("current"), confirm: true }), "and not for ever");
}

#[test]
fn the_dates_of_aws_tell_an_old_read_whatever_the_clock_of_the_api_server_says() {
    // When AWS showed the state that the Secret has; when the Secret was written; what AWS shows now; whether it is followed.
    for (changed, written, shown, followed) in [
        (Some(NOW + 60), NOW - 50, NOW + 60, false),
        (Some(NOW + 60), NOW - 50, NOW - 5, false),
        (Some(NOW + 60), NOW - 50, NOW + 61, true),
        (Some(NOW - 20), NOW - 600, NOW - 300, false),
        // Nothing of ours has a date in the future.
        (Some(NOW + 600), NOW - 50, NOW - 5, true),
        (Some(NOW - 700), NOW - 50, NOW - 600, true),
        (Some(NOW - 700), NOW - 50, NOW - 700, false),
        // Written by an earlier version of the operator.
        (None, NOW - 50, NOW - 600, false),
        (None, NOW - 50, NOW - 5, true),
    ] {
        let mut world = seen();
        world.status.history = vec![recorded("other"), recorded("current")];
        let changed = changed.map(at);
        world.finalizer = true;
        world.mirror = MirrorState::Ours { version: Some(id("other")), intact: true, written: Some(at(written)), changed, revision: None };
        world.secret.as_mut().unwrap().last_changed = Some(at(shown));
        let next = plan(&with_target(), &world, at(NOW));
        let follows = next == Next::Do(Step::ReplaceMirror { version: id("current"), confirm: false });
        assert_eq!(follows, followed, "{changed:?} {written} {shown}: {next:?}");
        assert!(followed || matches!(next, Next::Rest(_)), "it waits: {next:?}");
    }
}

#[test]
fn a_version_that_was_withdrawn_at_the_target_is_abandoned_also_if_the_status_is_lost() {
    let mut world = staged();
    world.status.staging.announced = None;
    world.secret.as_mut().unwrap().labels.insert(crate::api::ABANDONED_LABEL.to_owned(), version());
    assert_eq!(rest(&with_target(), &world).staging, Some(StagingNews::Abandoned(version(), Abandonment::Withdrawn)));
    world.status.staging.abandoned = vec![AbandonedFact { version: version(), time: at(NOW), why: Abandonment::Withdrawn }];
    assert_eq!(plan(&with_target(), &world, at(NOW)), abandon());
}

/// Another writer put a value after the target got the staged version.
fn overtaken() -> Observation {
    let mut world = staged();
    let secret = world.secret.as_mut().unwrap();
    promoted(secret, &id("external"));
    secret.pending = Pending::Overtaken(version(), Cause::Requested);
    world.mirror = mirrored("external");
    world.status.history.insert(0, recorded("external"));
    world
}

#[test]
fn a_value_of_another_writer_abandons_the_staged_version_and_the_target_gets_that_value() {
    let want = with_target();
    let mut world = overtaken();
    let decided = rest(&want, &world);
    assert_eq!(decided.staging, Some(StagingNews::Abandoned(version(), Abandonment::Overtaken)));
    assert_eq!(decided.rotate_handled, None, "the request is handled when that is recorded");
    end_reconcile(&want, &mut world, &decided);
    let abandon = Step::Abandon { version: version(), current: id("external") };
    assert_eq!(plan(&want, &world, at(NOW)), Next::Do(abandon.clone()));
    carry_out(&mut world, &abandon);
    let ended = rest(&want, &world);
    assert_eq!((ended.staging.clone(), ended.rotate_handled.as_deref()), (None, Some("now")));
    end_reconcile(&want, &mut world, &ended);
    assert_eq!(world.status.staging.announced, None);
    assert!(!world.secret.unwrap().labels.contains_key(STAGED_LABEL));
}

#[test]
fn a_version_that_was_staged_without_the_label_gets_it_before_the_target_gets_the_version() {
    let want = with_target();
    let mut world = staged();
    world.secret.as_mut().unwrap().labels.remove(STAGED_LABEL);
    let mark = Step::MoveLabel { label: STAGED_LABEL.to_owned(), from: None, to: Some(version()) };
    assert_eq!(plan(&want, &world, at(NOW)), Next::Do(mark.clone()));
    let apply = Next::Do(Step::Apply { version: version(), from: id("current") });
    for effect in [Effect::Absent, Effect::Applied { at: at(NOW) }] {
        let mut world = world.clone();
        world.journal.record(mark.clone(), effect);
        assert_eq!(plan(&want, &world, at(NOW)), apply);
    }
    // The label of an ended rotation is taken off, and one of a version that is on its way is not.
    let mut ended = world.clone();
    let secret = ended.secret.as_mut().unwrap();
    secret.pending = Pending::None;
    relabelled(secret, STAGED_LABEL, id("previous"));
    let unmark = Step::MoveLabel { label: STAGED_LABEL.to_owned(), from: Some(id("previous")), to: None };
    assert_eq!(plan(&want, &ended, at(NOW)), Next::Do(unmark));
}

#[test]
fn while_aws_may_hide_a_recorded_version_no_other_version_is_staged() {
    let mut world = Observation { finalizer: true, ..seen() };
    announced(&mut world);
    world.status.staging.met = Some(at(NOW - 30));
    assert!(matches!(plan(&with_target(), &world, at(NOW)), Next::Do(Step::Put { version: put, .. }) if put == version()), "its own write");
    let other = Desired { rotate_request: Some("again".to_owned()), ..with_target() };
    let held = rest(&other, &world);
    assert_eq!((held.staging, held.wake, held.rotate_handled), (None, Some(at(NOW + 30)), None), "AWS may show it at any time");
    world.status.staging.met = Some(at(NOW - 290));
    assert_eq!(rest(&other, &world).wake, Some(at(NOW + 10)));
    let redeclared = Desired { value: Some(declared("other")), ..with_target() };
    world.status.declared.hash = Some(declared("admin").hash());
    assert_eq!(rest(&redeclared, &world).provisioned.map(|refusal| refusal.reason), Some(Reason::Progressing));
    // Every other process has ended by then, and AWS shows what there is.
    world.status.staging.met = Some(at(NOW - 300));
    assert_eq!(rest(&other, &world).staging, Some(StagingNews::Announced(ids().request("again"))));
    // What is known does not wait.
    world.status.staging.met = Some(at(NOW - 30));
    world.status.staging.abandoned = vec![AbandonedFact { version: version(), time: at(NOW), why: Abandonment::Withdrawn }];
    assert_eq!(rest(&other, &world).staging, Some(StagingNews::Announced(ids().request("again"))));
}
