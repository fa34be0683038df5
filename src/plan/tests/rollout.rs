//! Rollout and retirement: every combination of what the status says, of how the workloads are, of the time and of the label,
//! for every cause that may be there.

use super::*;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{RETIRING_LABEL, RolloutPhase, WorkloadKind, WorkloadRef, WorkloadState};
use crate::backoff::Class;
use crate::desired::{Delivery, Kind, Rollout, Strategy};
use crate::facts::{Pods, Replacement, ReportedRollout, Workload};
use crate::failure::{Failed, Failure};
use crate::plan::{Assessment, Examined, Next, StagingNews, plan};

/// A version that the operator made.
const CURRENT: &str = "5ff9e629-3cae-562a-b470-eb3c94381c57";
const TIMEOUT: i64 = 600;
const RETIRE_AFTER: i64 = 300;

fn name(name: &str) -> WorkloadRef {
    WorkloadRef { kind: WorkloadKind::Deployment, name: name.to_owned() }
}

fn declared_rollout(rolls_back: bool) -> Rollout {
    Rollout {
        workloads: None,
        timeout: SignedDuration::from_secs(TIMEOUT),
        rolls_back,
        requires_healthy: true,
        retire_after: SignedDuration::from_secs(RETIRE_AFTER),
    }
}

/// Two passwords of one user.
fn with_rollout(rolls_back: bool) -> Desired {
    let strategy = Strategy { kind: Kind::RedisTwoPasswords { admin: None }, ..fixture::strategy() };
    Desired { rollout: Some(declared_rollout(rolls_back)), delivery: Delivery::Staged, strategy: Some(strategy), ..want() }
}

fn up() -> Pods {
    Pods { observed: true, desired: 1, total: 1, updated: 1, available: 1, terminating: 0, replacement: Replacement::Automatic }
}

fn workload(version: Option<&str>, pods: Pods) -> Workload {
    Workload { workload: name("api"), uid: Some("u".to_owned()), version: version.map(id), grace: SignedDuration::ZERO, pods }
}

/// How the only workload may be.
fn workloads() -> Vec<(&'static str, Option<Vec<Workload>>)> {
    let one = |version, pods| Some(vec![workload(version, pods)]);
    vec![
        ("not read", None),
        ("none", Some(Vec::new())),
        ("healthy", one(Some(CURRENT), up())),
        ("progressing", one(Some(CURRENT), Pods { available: 0, ..up() })),
        ("paused", one(Some(CURRENT), Pods { updated: 0, replacement: Replacement::Paused, ..up() })),
        ("manual", one(Some(CURRENT), Pods { updated: 0, replacement: Replacement::Manual, ..up() })),
        ("stuck", one(Some(CURRENT), Pods { updated: 0, replacement: Replacement::Stuck, ..up() })),
        ("outdated", one(Some("previous"), up())),
        ("without a version", one(None, up())),
        ("without a version and down", one(None, Pods { available: 0, ..up() })),
    ]
}

fn reported(version: &str, phase: RolloutPhase, age: i64, restarts: u32) -> ReportedRollout {
    ReportedRollout {
        version: id(version),
        phase,
        since: at(NOW - age),
        completed: (phase == RolloutPhase::Completed).then_some(at(NOW - age)),
        waits_for_user: false,
        total: restarts,
        restarts: [(name("api"), restarts)].into(),
    }
}

fn reports() -> Vec<Option<ReportedRollout>> {
    let mut reports = vec![None, Some(reported("previous", RolloutPhase::Completed, 4000, 1))];
    for phase in [RolloutPhase::Waiting, RolloutPhase::Failed, RolloutPhase::Completed] {
        for age in [10, RETIRE_AFTER, TIMEOUT] {
            reports.extend([0, 3].map(|restarts| Some(reported(CURRENT, phase, age, restarts))));
        }
        // It goes on after it was complete.
        reports.push(Some(ReportedRollout { completed: Some(at(NOW - 4000)), ..reported(CURRENT, phase, 10, 1) }));
    }
    reports
}

/// The object, with the version that causes ask for recorded.
fn world(reported: Option<ReportedRollout>, workloads: Option<Vec<Workload>>, retiring: Option<&str>, age: i64) -> Observation {
    let mut secret = SecretState { current: Some(Current { version: id(CURRENT), ..current(age) }), ..secret() };
    secret.labels.insert("AWSCURRENT".to_owned(), id(CURRENT));
    if let Some(version) = retiring {
        secret.labels.insert(RETIRING_LABEL.to_owned(), id(version));
    }
    let mut world = Observation { secret: Some(secret), finalizer: true, workloads, mirror: mirrored(CURRENT), ..seen() };
    world.status.mirror.version = Some(id(CURRENT));
    world.status.mirror.rollout = reported;
    world.status.history = vec![HistoryFact { time: at(NOW - age), ..recorded(CURRENT) }, recorded("previous")];
    world
}

/// Carries out what changes nothing but the facts of this reconcile, until the plan rests or writes.
fn run(want: &Desired, world: &mut Observation, found: &[Workload]) -> Next {
    for _ in 0..8 {
        match plan(want, world, at(NOW)) {
            Next::Do(step @ Step::FindWorkloads) => {
                world.workloads = Some(found.to_vec());
                world.journal.record(step, Effect::Applied { at: at(NOW) });
            }
            Next::Do(step @ Step::Restart { .. }) => world.journal.record(step, Effect::Applied { at: at(NOW) }),
            next => return next,
        }
    }
    panic!("the plan does not come to rest: {:?}", world.journal)
}

#[test]
fn no_combination_restarts_retires_or_rotates_too_early() {
    let (mut combinations, mut restored) = (0, 0);
    for reported in reports() {
        for (about, found) in workloads() {
            for retiring in [None, Some("previous"), Some(CURRENT)] {
                for age in [60, PERIOD] {
                    for request in [None, Some("now"), Some("now:emergency")] {
                        for rolls_back in [false, true] {
                            let mut want = with_rollout(rolls_back);
                            want.rotate_request = request.map(str::to_owned);
                            want.emergency = request.is_some_and(|token| token.ends_with(":emergency"));
                            let mut world = world(reported.clone(), found.clone(), retiring, age);
                            let later = found.clone().unwrap_or_else(|| vec![workload(Some(CURRENT), up())]);
                            let next = run(&want, &mut world, &later);
                            let about = format!("{about}, {retiring:?}, {request:?}, {age}, {rolls_back}, {reported:?}: {next:?}");
                            check(&want, &world, &next, retiring, &about);
                            combinations += 1;
                            restored += i32::from(about.contains(ids().recovery(&id(CURRENT)).as_str()));
                        }
                    }
                }
            }
        }
    }
    assert_eq!(combinations, 23 * 10 * 3 * 2 * 3 * 2);
    assert!(restored > 0);
}

/// The rules, which do not depend on how the plan is written.
fn check(want: &Desired, world: &Observation, next: &Next, retiring: Option<&str>, about: &str) {
    let reported = world.status.mirror.rollout.as_ref().filter(|reported| reported.version == id(CURRENT));
    let completed = reported.filter(|reported| reported.phase == RolloutPhase::Completed).and_then(|reported| reported.completed);
    let restarted = world.journal.entries().iter().filter(|entry| matches!(entry.step, Step::Restart { .. })).count();
    let found = world.workloads.iter().flatten();
    let outdated = found.clone().filter(|found| found.version != Some(id(CURRENT))).count();
    assert!(restarted <= outdated, "only a workload without the version is restarted: {about}");
    assert!(completed.is_none() || restarted == 0, "a rollout that is complete is over: {about}");
    let often = reported.is_some_and(|reported| reported.restarts.values().any(|restarts| *restarts >= 3));
    assert!(!often || restarted == 0, "three times are enough: {about}");
    if let Next::Do(Step::Retire { version, current }) = next {
        assert_eq!((version, current), (&id("previous"), &id(CURRENT)), "{about}");
        assert_eq!(retiring, Some("previous"), "{about}");
        let fine = [WorkloadState::Healthy, WorkloadState::ScaledToZero, WorkloadState::Missing];
        let read = world.workloads.is_some() && found.clone().all(|found| fine.contains(&found.state(&id(CURRENT))));
        assert!(read, "pods may use it: {about}");
        let due = completed.is_some_and(|at| at.as_second() + RETIRE_AFTER <= NOW);
        assert!(due, "the declared time has not passed: {about}");
    }
    // A version of ours is recorded first. That shows which cause goes on.
    let Next::Rest(rest) = next else { return };
    let Assessment::Examined(examined) = rest else { panic!("{about}") };
    let Some(StagingNews::Announced(version)) = &examined.staging else { return };
    let news = examined.rollout.as_ref().unwrap_or_else(|| panic!("{about}"));
    if *version == ids().recovery(&id(CURRENT)) {
        assert!(want.rollout.as_ref().unwrap().rolls_back && news.phase == RolloutPhase::Failed, "{about}");
        assert!(reported.is_none_or(|reported| reported.completed.is_none()), "the value worked once: {about}");
        return;
    }
    let requested = want.rotate_request.as_ref().is_some_and(|token| *version == ids().request(token));
    if requested && want.emergency {
        return;
    }
    assert_ne!(news.phase, RolloutPhase::Waiting, "pods still take up the last version: {about}");
    if !requested {
        assert_eq!(news.phase, RolloutPhase::Completed, "{about}");
        let unhealthy = found.filter(|found| found.unhealthy().is_some()).count();
        assert_eq!(unhealthy, 0, "a workload is not healthy: {about}");
    }
    // A person decides while workloads are not healthy.
    let decided = requested && examined.unsettled;
    let left = retiring == Some("previous") && news.phase == RolloutPhase::Completed && !decided;
    assert!(!left, "the last credential is not retired yet: {about}");
}

#[test]
fn a_staged_version_waits_for_no_workload_and_a_changed_declaration_waits_for_a_failed_rollout() {
    let down = || Some(vec![workload(Some(CURRENT), Pods { available: 0, ..up() })]);
    for phase in [RolloutPhase::Waiting, RolloutPhase::Failed] {
        let want = Desired { rotate_request: Some("now".to_owned()), ..with_rollout(false) };
        let version = ids().request("now");
        let mut world = world(Some(reported(CURRENT, phase, 10, 1)), down(), Some("previous"), 60);
        world.secret.as_mut().unwrap().pending = Pending::Ours(version.clone(), Cause::Requested);
        relabelled(world.secret.as_mut().unwrap(), crate::api::STAGED_LABEL, version.clone());
        world.status.staging.announced =
            Some(Announced { target: want.strategy.as_ref().map(Strategy::record), ..announcement(version.clone()) });
        assert!(matches!(run(&want, &mut world, &[]), Next::Do(Step::Apply { .. })), "the target may have it: {phase:?}");
    }
    let mut world = world(Some(reported_failed()), down(), None, 60);
    world.status.declared.hash = Some("another".to_owned());
    world.secret.as_mut().unwrap().current.as_mut().unwrap().matches = Some(false);
    let examined = examined(&with_rollout(false), &mut world);
    assert_eq!(examined.staging, None, "{examined:?}");
}

#[test]
fn a_failed_rollout_is_rolled_back_at_once_also_after_many_requests() {
    let mut world = world(Some(reported(CURRENT, RolloutPhase::Failed, TIMEOUT, 1)), None, None, 60);
    world.status.history =
        [CURRENT, "previous", "older"].map(|version| HistoryFact { cause: Cause::Requested, ..recorded(version) }).into();
    let mut want = with_rollout(true);
    want.request_interval = SignedDuration::from_mins(10);
    let down = [workload(Some(CURRENT), Pods { available: 0, ..up() })];
    let next = run(&want, &mut world, &down);
    let Next::Rest(Assessment::Examined(examined)) = next else { panic!("{next:?}") };
    assert_eq!(examined.staging, Some(StagingNews::Announced(ids().recovery(&id(CURRENT)))), "{examined:?}");
    assert_eq!(examined.requests.held_until, None);
    // A person's request waits.
    let mut asks = Desired { rotate_request: Some("again".to_owned()), ..want };
    asks.rollout = Some(declared_rollout(false));
    let next = run(&asks, &mut world, &down);
    let Next::Rest(Assessment::Examined(examined)) = next else { panic!("{next:?}") };
    assert!(examined.requests.held_until.is_some() && examined.staging.is_none(), "{examined:?}");
}

#[test]
fn before_a_credential_is_retired_the_workloads_are_read_again() {
    let complete = || Some(reported(CURRENT, RolloutPhase::Completed, RETIRE_AFTER, 1));
    for (about, found, retires) in [
        ("all have it", vec![workload(Some(CURRENT), up())], true),
        ("none is left", vec![], true),
        ("one was added", vec![workload(Some(CURRENT), up()), workload(None, up())], false),
        ("one has the version before", vec![workload(Some("previous"), up())], false),
        ("one is not available", vec![workload(Some(CURRENT), Pods { available: 0, ..up() })], false),
        ("one ends slowly", vec![Workload { grace: SignedDuration::from_hours(1), ..workload(Some(CURRENT), up()) }], false),
    ] {
        let mut world = world(complete(), None, Some("previous"), 60);
        let next = run(&with_rollout(false), &mut world, &found);
        assert_eq!(matches!(next, Next::Do(Step::Retire { .. })), retires, "{about}: {next:?}");
        assert!(world.journal.did(StepKind::FindWorkloads), "{about}");
    }
}

#[test]
fn a_workload_that_is_not_healthy_any_more_postpones_the_retirement_and_the_rollout_stays_complete() {
    let complete = || Some(reported(CURRENT, RolloutPhase::Completed, RETIRE_AFTER, 1));
    let of = |replacement| Pods { updated: 0, replacement, ..up() };
    for pods in [Pods { available: 0, ..up() }, of(Replacement::Stuck), of(Replacement::Paused)] {
        let mut world = world(complete(), None, Some("previous"), 60);
        let next = run(&with_rollout(true), &mut world, &[workload(Some(CURRENT), pods)]);
        let Next::Rest(Assessment::Examined(examined)) = next else { panic!("{next:?}") };
        let news = examined.rollout.as_ref().unwrap();
        assert_eq!((news.phase, news.completed), (RolloutPhase::Completed, Some(at(NOW - RETIRE_AFTER))), "{examined:?}");
        let why = examined.aspects.rolled_out.as_ref().unwrap();
        assert!(why.reason == Reason::Waiting && why.message.contains("version previous") && why.message.contains("api"), "{why:?}");
        assert!(examined.wake.0.is_some_and(|wake| wake > at(NOW)), "they are read again: {examined:?}");
    }
}

#[test]
fn a_rollout_that_goes_on_after_it_was_complete_does_not_restore_the_previous_value() {
    let mut seen = world(Some(reported(CURRENT, RolloutPhase::Completed, RETIRE_AFTER, 1)), None, Some("previous"), 60);
    let want = with_rollout(true);
    let Next::Rest(Assessment::Examined(examined)) = run(&want, &mut seen, &[workload(None, Pods { available: 0, ..up() })]) else {
        panic!("{seen:?}")
    };
    let news = examined.rollout.unwrap();
    assert_eq!((news.phase, news.completed), (RolloutPhase::Waiting, Some(at(NOW - RETIRE_AFTER))), "one was added");
    let goes_on = ReportedRollout { completed: news.completed, ..reported(CURRENT, RolloutPhase::Waiting, TIMEOUT, 1) };
    let mut late = world(Some(goes_on), None, Some("previous"), 60);
    let next = run(&want, &mut late, &[workload(Some(CURRENT), Pods { available: 0, ..up() })]);
    let Next::Rest(Assessment::Examined(examined)) = next else { panic!("{next:?}") };
    assert_eq!((examined.rollout.unwrap().phase, examined.staging), (RolloutPhase::Failed, None));
    let why = examined.aspects.rolled_out.unwrap().message;
    assert!(!why.contains("is restored") && why.contains("rollback"), "{why}");
}

#[test]
fn an_emergency_goes_on_after_a_change_of_the_declaration() {
    let version = ids().request("now:emergency");
    for (causes, retires) in
        [(&[Cause::SpecChanged][..], true), (&[Cause::SpecChanged, Cause::SpecChanged], true), (&[Cause::Scheduled], false)]
    {
        let mut world = world(None, None, Some("previous"), 60);
        let later = [CURRENT, "another"].into_iter().zip(causes).map(|(name, cause)| HistoryFact { cause: *cause, ..recorded(name) });
        world.status.history = later.chain([HistoryFact { cause: Cause::Requested, ..recorded(version.as_str()) }]).collect();
        world.status.requests.rotate = Some("now:emergency".to_owned());
        let want = Desired { rollout: None, ..with_rollout(false) };
        let next = run(&want, &mut world, &[]);
        assert_eq!(matches!(next, Next::Do(Step::Retire { .. })), retires, "{causes:?}: {next:?}");
        world.access.host_allowed = false;
        let told = examined(&want, &mut world).aspects.rolled_out.map(|refusal| refusal.reason);
        assert_eq!(told, retires.then_some(Reason::RetirementFailed), "{causes:?}");
    }
}

fn failed(class: Class, reason: Reason) -> Effect {
    let failure = Failure { class, reason, message: String::new(), request_id: None };
    Effect::Failed(Failed { aspect: ConditionType::RolledOut, failure })
}

#[test]
fn workloads_that_cannot_be_read_are_reported_and_read_again_after_the_backoff_only() {
    for reported in [reported(CURRENT, RolloutPhase::Waiting, 10, 1), reported(CURRENT, RolloutPhase::Completed, RETIRE_AFTER, 1)] {
        let mut world = world(Some(reported), None, Some("previous"), 60);
        world.journal.record(Step::FindWorkloads, failed(Class::Denied, Reason::AccessDenied));
        let examined = examined(&with_rollout(false), &mut world);
        assert_eq!(examined.aspects.rolled_out.as_ref().map(|refusal| refusal.reason), Some(Reason::AccessDenied), "{examined:?}");
        assert!(examined.wake.0.is_none_or(|wake| wake > at(NOW)), "{examined:?}");
    }
}

#[test]
fn what_was_read_before_the_secret_was_written_is_not_used() {
    let mut world = world(Some(reported(CURRENT, RolloutPhase::Completed, RETIRE_AFTER, 1)), None, Some("previous"), 60);
    world.journal.record(Step::FindWorkloads, Effect::Applied { at: at(NOW) });
    let examined = examined(&with_rollout(false), &mut world);
    assert_eq!(examined.wake.0, Some(at(NOW)), "the next reconcile reads them again: {examined:?}");
}

#[test]
fn a_credential_that_the_target_does_not_give_up_holds_no_rotation_once_the_target_has_refused() {
    let retire = || Step::Retire { version: id("previous"), current: id(CURRENT) };
    for (class, held) in [(Class::Denied, false), (Class::Retry, true)] {
        let complete = reported(CURRENT, RolloutPhase::Completed, RETIRE_AFTER, 1);
        let mut world = world(Some(complete), Some(vec![workload(Some(CURRENT), up())]), Some("previous"), 60);
        world.journal.record(retire(), failed(class, Reason::RetirementFailed));
        let want = Desired { rotate_request: Some("now".to_owned()), ..with_rollout(false) };
        let examined = examined(&want, &mut world);
        assert_eq!(examined.staging.is_none(), held, "{examined:?}");
        assert_eq!(examined.aspects.rolled_out.unwrap().reason, Reason::RetirementFailed);
    }
}

fn examined(want: &Desired, world: &mut Observation) -> Examined {
    match run(want, world, &[]) {
        Next::Rest(Assessment::Examined(examined)) => *examined,
        next => panic!("{next:?}"),
    }
}

fn phase_of(reported: Option<ReportedRollout>, found: Workload) -> RolloutPhase {
    let mut world = world(reported, Some(vec![found]), None, 60);
    examined(&with_rollout(false), &mut world).rollout.unwrap().phase
}

#[test]
fn a_rollout_ends_when_every_workload_is_healthy_and_fails_after_its_time() {
    use RolloutPhase::{Completed, Failed, Waiting};
    let waiting = |age| Some(reported(CURRENT, Waiting, age, 1));
    let down = || workload(Some(CURRENT), Pods { available: 0, ..up() });
    let of = |replacement| workload(Some(CURRENT), Pods { updated: 0, replacement, ..up() });
    for (about, reported, found, expected) in [
        ("healthy", waiting(10), workload(Some(CURRENT), up()), Completed),
        ("early", waiting(TIMEOUT - 1), down(), Waiting),
        ("late", waiting(TIMEOUT), down(), Failed),
        ("paused and late", waiting(TIMEOUT), of(Replacement::Paused), Waiting),
        ("manual and late", waiting(TIMEOUT), of(Replacement::Manual), Waiting),
        ("stuck", waiting(10), of(Replacement::Stuck), Failed),
        ("failed before", Some(reported_failed()), down(), Failed),
        ("failed before and healthy now", Some(reported_failed()), workload(Some(CURRENT), up()), Completed),
        ("just resumed", Some(ReportedRollout { waits_for_user: true, ..reported(CURRENT, Waiting, 4 * TIMEOUT, 1) }), down(), Waiting),
        ("the first version", None, workload(None, Pods { available: 0, ..up() }), Completed),
        ("another version before", Some(reported("previous", Completed, 4000, 1)), workload(Some("previous"), up()), Waiting),
    ] {
        assert_eq!(phase_of(reported, found), expected, "{about}");
    }
}

fn reported_failed() -> ReportedRollout {
    reported(CURRENT, RolloutPhase::Failed, 10, 1)
}

#[test]
fn workloads_are_restarted_when_every_kubelet_has_had_time_to_see_the_secret() {
    for (age, restarts) in [(0, false), (1, false), (2, true)] {
        let outdated = vec![workload(Some("previous"), up())];
        let mut world = world(Some(reported(CURRENT, RolloutPhase::Waiting, age, 0)), Some(outdated), None, 60);
        let next = run(&with_rollout(false), &mut world, &[]);
        assert_eq!(world.journal.did(StepKind::Restart), restarts, "{age}: {next:?}");
    }
}

#[test]
fn a_workload_that_loses_the_version_again_and_again_is_contested() {
    let mut world = world(Some(reported(CURRENT, RolloutPhase::Waiting, 10, 3)), Some(vec![workload(None, up())]), None, 60);
    let examined = examined(&with_rollout(false), &mut world);
    let news = examined.rollout.unwrap();
    assert_eq!(news.workloads.unwrap(), [(name("api"), WorkloadState::Contested, 3)]);
    assert_eq!(examined.aspects.rolled_out.unwrap().reason, Reason::RolloutFailed);
}

#[test]
fn a_rollout_that_fails_after_an_emergency_does_not_restore_what_leaked() {
    for (token, restores) in [("now", true), ("now:emergency", false)] {
        let version = ids().request(token);
        let want = Desired { rotate_request: Some(token.to_owned()), emergency: !restores, ..with_rollout(true) };
        let failed = ReportedRollout { version: version.clone(), ..reported(CURRENT, RolloutPhase::Failed, TIMEOUT, 3) };
        let found = Workload { version: Some(version.clone()), ..workload(None, Pods { available: 0, ..up() }) };
        let mut world = world(Some(failed), Some(vec![found.clone()]), None, 60);
        promoted(world.secret.as_mut().unwrap(), &version);
        world.mirror = mirrored(version.as_str());
        world.status.mirror.version = Some(version.clone());
        world.status.history.insert(0, recorded(version.as_str()));
        world.status.requests.rotate = Some(token.to_owned());
        let next = run(&want, &mut world, &[found]);
        let recovery = ids().recovery(&version);
        let announced =
            matches!(&next, Next::Rest(Assessment::Examined(examined)) if examined.staging == Some(StagingNews::Announced(recovery)));
        assert_eq!(announced, restores, "{token}: {next:?}");
    }
}

#[test]
fn the_replaced_version_is_marked_before_the_promotion_if_its_credential_is_retired_later() {
    let version = ids().request("now");
    let request = || Some("now".to_owned());
    let overlapping = Desired { rotate_request: request(), ..with_rollout(false) };
    let single = Desired { strategy: Some(fixture::strategy()), ..overlapping.clone() };
    let unrolled = Desired { rollout: None, ..overlapping.clone() };
    let emergency = Desired { emergency: true, ..unrolled.clone() };
    for (about, want, marks) in [
        ("two credentials", overlapping, true),
        ("one credential", single, false),
        ("no rollout", unrolled, false),
        ("an emergency", emergency, true),
    ] {
        let mut world = world(Some(reported(CURRENT, RolloutPhase::Completed, 10, 0)), None, None, 60);
        world.secret.as_mut().unwrap().pending = Pending::Ours(version.clone(), Cause::Requested);
        relabelled(world.secret.as_mut().unwrap(), crate::api::STAGED_LABEL, version.clone());
        world.status.staging.announced =
            Some(Announced { target: want.strategy.as_ref().map(Strategy::record), ..announcement(version.clone()) });
        for step in [Step::Apply { version: version.clone(), from: id(CURRENT) }, Step::Verify { version: version.clone() }] {
            world.journal.record(step, Effect::Applied { at: at(NOW) });
        }
        let mark = Step::MoveLabel { label: RETIRING_LABEL.to_owned(), from: None, to: Some(id(CURRENT)) };
        let promote = Step::Promote { version: version.clone(), from: id(CURRENT) };
        assert_eq!(plan(&want, &world, at(NOW)), Next::Do(if marks { mark.clone() } else { promote.clone() }), "{about}");
        if marks {
            // A label that AWS refuses to move holds up no rotation.
            world.journal.record(mark, Effect::Absent);
            assert_eq!(plan(&want, &world, at(NOW)), Next::Do(promote), "{about}");
        }
    }
}
