//! Staged versions: the pipeline in both ways of delivery, and versions of ours that a crash left staged.

use super::*;
use crate::api::STAGED_LABEL;
use crate::desired::Delivery;
use crate::failure::Failed;

/// Carries out the plan until it rests, at most once through the reconciles; the kinds of steps.
fn run(want: &Desired, world: &mut Observation, reconciles: usize) -> Vec<&'static str> {
    let mut steps = Vec::new();
    for _ in 0..reconciles {
        loop {
            match plan(want, world, at(NOW)) {
                Next::Do(step) => {
                    steps.push(step.kind());
                    carry_out(world, &step);
                }
                Next::Rest(rest) => {
                    end_reconcile(want, world, &rest);
                    break;
                }
            }
        }
    }
    steps
}

fn requested(delivery: Delivery) -> Desired {
    let strategy = (delivery == Delivery::Staged).then(fixture::strategy);
    Desired { rotate_request: Some("now".to_owned()), delivery, strategy, ..want() }
}

/// An object of which nothing is staged.
fn before(delivery: Delivery) -> Observation {
    Observation { finalizer: delivery == Delivery::Staged, ..seen() }
}

/// The version of the request is staged. With a target, that was recorded first.
fn staged(delivery: Delivery) -> Observation {
    let pending = Pending::Ours(ids().request("now"), Cause::Requested);
    let mut world = Observation { secret: Some(SecretState { pending, ..secret() }), ..before(delivery) };
    if delivery == Delivery::Staged {
        relabelled(world.secret.as_mut().unwrap(), STAGED_LABEL, ids().request("now"));
        world.status.staging.announced = Some(announcement(ids().request("now")));
    }
    world
}

#[test]
fn a_version_is_made_in_one_call_or_staged_promoted_and_settled() {
    let mut world = before(Delivery::Direct);
    assert_eq!(run(&requested(Delivery::Direct), &mut world, 4), ["Put", "ReplaceMirror"]);
    let mut world = before(Delivery::Staged);
    assert_eq!(
        run(&requested(Delivery::Staged), &mut world, 7),
        ["Put", "Apply", "Verify", "Promote", "Settle", "MoveLabel", "ReplaceMirror"]
    );
    assert_eq!(world.secret.unwrap().current.unwrap().version, ids().request("now"));
}

#[test]
fn a_crash_after_each_step_of_the_staged_way_leads_to_the_same_end() {
    let want = requested(Delivery::Staged);
    for crash_after in 0..8 {
        let mut world = before(Delivery::Staged);
        for _ in 0..crash_after {
            match plan(&want, &world, at(NOW)) {
                Next::Do(step) => carry_out(&mut world, &step),
                Next::Rest(rest) => end_reconcile(&want, &mut world, &rest),
            }
        }
        // The process dies: only AWS and Kubernetes remember.
        world.journal = Journal::default();
        run(&want, &mut world, 7);
        let secret = world.secret.as_ref().unwrap();
        assert_eq!(secret.current.as_ref().unwrap().version, ids().request("now"), "{crash_after}");
        assert_eq!((secret.pending.clone(), secret.previous()), (Pending::None, Some(&id("current"))), "{crash_after}");
        assert!(!secret.labels.contains_key(STAGED_LABEL), "{crash_after}");
        assert!(matches!(&world.mirror, MirrorState::Ours { version: Some(held), .. } if *held == ids().request("now")), "{crash_after}");
    }
}

#[test]
fn a_version_that_we_staged_is_finished_also_where_its_cause_is_gone_and_before_anything_new_begins() {
    for delivery in [Delivery::Direct, Delivery::Staged] {
        for request in [Some("now"), None, Some("later")] {
            let want = Desired { rotate_request: request.map(str::to_owned), ..requested(delivery) };
            let Next::Do(step) = plan(&want, &staged(delivery), at(NOW)) else { panic!("{request:?}") };
            let (version, from) = (ids().request("now"), id("current"));
            let expected = match delivery {
                Delivery::Direct => Step::Promote { version, from },
                Delivery::Staged => Step::Apply { version, from },
            };
            assert_eq!(step, expected);
        }
    }
}

#[test]
fn the_first_value_of_a_target_is_one_that_a_secret_has() {
    let none = requested(Delivery::Staged);
    let initial = crate::api::InitialRef { secret_name: "db".to_owned(), key: "password".to_owned() };
    let given = Desired { initial: Some(initial), ..none.clone() };
    let absent = Observation { secret: None, mirror: MirrorState::Absent, ..before(Delivery::Staged) };
    let valueless = Observation { secret: Some(SecretState { current: None, labels: BTreeMap::new(), ..secret() }), ..absent.clone() };
    // A value that was rotated away does not come back.
    let had = HistoryFact { version: id("current"), time: at(NOW - PERIOD), cause: Cause::Scheduled };
    let mirrored = Observation { mirror: seen().mirror, ..absent.clone() };
    let mut recorded = absent.clone();
    recorded.status.history = vec![had];
    for world in [mirrored, recorded] {
        assert_eq!(plan(&given, &world, at(NOW)), plan(&none, &world, at(NOW)));
        let Next::Rest(rest) = plan(&given, &world, at(NOW)) else { panic!("the first value comes back") };
        assert_eq!(rest.provisioned.map(|refusal| refusal.reason), Some(Reason::SecretNotFound));
    }
    for (world, kind) in [(absent, StepKind::Create), (valueless, StepKind::Put)] {
        let Next::Rest(rest) = plan(&none, &world, at(NOW)) else { panic!("{kind:?}") };
        assert_eq!(rest.provisioned.map(|refusal| refusal.reason), Some(Reason::SecretNotFound), "{kind:?}");
        let Next::Do(step) = plan(&given, &world, at(NOW)) else { panic!("{kind:?}") };
        assert_eq!((StepKind::from(&step), step.version()), (kind, Some(&ids().creation())));
    }
}

/// A step of the version that `staged` has.
fn step_of_staged(verify: bool) -> Step {
    let version = ids().request("now");
    if verify { Step::Verify { version } } else { Step::Apply { version, from: id("current") } }
}

#[test]
fn nothing_is_promoted_that_this_reconcile_has_not_seen_to_work() {
    let (want, mut world) = (requested(Delivery::Staged), staged(Delivery::Staged));
    let promote = Step::Promote { version: ids().request("now"), from: id("current") };
    for expected in [step_of_staged(false), step_of_staged(true), promote] {
        assert_eq!(plan(&want, &world, at(NOW)), Next::Do(expected.clone()));
        world.journal.record(expected, Effect::Applied { at: at(NOW) });
    }
    // What an earlier process saw counts for nothing.
    world.journal = Journal::default();
    assert_eq!(plan(&want, &world, at(NOW)), Next::Do(step_of_staged(false)));
}

#[test]
fn a_target_that_refuses_holds_up_every_version_and_nothing_else() {
    let refusal = Refusal::new(Reason::ApplyFailed, "no");
    for (verify, request) in itertools::iproduct!([false, true], [Some("now"), Some("later"), None]) {
        let want = Desired { rotate_request: request.map(str::to_owned), ..requested(Delivery::Staged) };
        let mut world = staged(Delivery::Staged);
        if verify {
            world.journal.record(step_of_staged(false), Effect::Applied { at: at(NOW) });
        }
        let failed = Failed { aspect: crate::api::condition::ConditionType::Rotated, ..Failed::denied(&refusal) };
        world.journal.record(step_of_staged(verify), Effect::Failed(failed));
        let Next::Rest(rest) = plan(&want, &world, at(NOW)) else { panic!("{request:?}") };
        assert_eq!(rest.rotated.map(|refusal| refusal.reason), Some(Reason::ApplyFailed), "{request:?}");
        assert!(rest.next_rotation.is_some(), "the schedule is shown: {request:?}");
        assert_eq!(rest.rotate_handled, None, "a request is not handled before its version is current: {request:?}");
        let unmirrored = Observation { mirror: MirrorState::Absent, ..world };
        assert_eq!(plan(&want, &unmirrored, at(NOW)), Next::Do(Step::CreateMirror { version: id("current") }));
    }
}

#[test]
fn a_host_that_is_not_allowed_holds_up_every_version_and_nothing_else() {
    let want = requested(Delivery::Staged);
    for mut world in [before(Delivery::Staged), staged(Delivery::Staged)] {
        world.access.host_allowed = false;
        let Next::Rest(rest) = plan(&want, &world, at(NOW)) else { panic!() };
        assert_eq!((rest.rotated.map(|refusal| refusal.reason), rest.rotate_handled), (Some(Reason::HostNotAllowed), None));
        let unmirrored = Observation { mirror: MirrorState::Absent, ..world };
        assert_eq!(plan(&want, &unmirrored, at(NOW)), Next::Do(Step::CreateMirror { version: id("current") }));
    }
}

#[test]
fn a_staged_version_waits_for_what_every_version_waits_for() {
    let undelivered = Observation { mirror: MirrorState::Foreign, ..staged(Delivery::Staged) };
    let Next::Rest(rest) = plan(&requested(Delivery::Staged), &undelivered, at(NOW)) else { panic!() };
    assert_eq!(rest.rotated.unwrap().reason, Reason::Overdue);
    let mut elsewhere = staged(Delivery::Staged);
    elsewhere.secret.as_mut().unwrap().rotation = foreign_rotation();
    let Next::Rest(rest) = plan(&requested(Delivery::Staged), &elsewhere, at(NOW)) else { panic!() };
    assert_eq!(rest.rotated.unwrap().reason, Reason::ForeignRotation);
    let suspended = Desired { suspended: true, ..requested(Delivery::Staged) };
    assert!(matches!(plan(&suspended, &staged(Delivery::Staged), at(NOW)), Next::Rest(Rest { suspended: true, .. })));
}

#[test]
fn only_a_version_of_ours_is_settled_and_only_where_aws_does_not_rotate() {
    let ours = ids().request("now");
    let with = |version: &VersionId, rotation: LambdaState| {
        let mut world = Observation { mirror: mirrored(version.as_str()), ..seen() };
        let secret = world.secret.as_mut().unwrap();
        secret.current = Some(Current { version: version.clone(), ..current(60) });
        secret.pending = Pending::Current(version.clone());
        secret.rotation = rotation;
        world
    };
    assert_eq!(plan(&want(), &with(&ours, LambdaState::default()), at(NOW)), Next::Do(Step::Settle { version: ours.clone() }));
    for rotation in [LambdaState { enabled: true, ..LambdaState::default() }, LambdaState { claimed: true, ..LambdaState::default() }] {
        let next = plan(&want(), &with(&ours, rotation), at(NOW));
        assert!(!matches!(next, Next::Do(Step::Settle { .. })), "AWS leaves the label there: {next:?}");
    }
    assert!(matches!(plan(&want(), &with(&id("external"), LambdaState::default()), at(NOW)), Next::Rest(_)));
}

#[test]
fn a_label_that_aws_does_not_take_off_holds_up_no_rotation() {
    let ours = ids().request("now");
    let refusal = Refusal::new(Reason::AccessDenied, "no");
    for effect in [Effect::Absent, Effect::Failed(Failed::denied(&refusal))] {
        let mut world = Observation { mirror: mirrored(ours.as_str()), ..seen() };
        let secret = world.secret.as_mut().unwrap();
        secret.current = Some(Current { version: ours.clone(), ..current(60) });
        secret.pending = Pending::Current(ours.clone());
        world.status.history.insert(0, recorded(ours.as_str()));
        world.journal.record(Step::Settle { version: ours.clone() }, effect);
        let next = plan(&Desired { rotate_request: Some("again".to_owned()), ..want() }, &world, at(NOW));
        assert!(matches!(next, Next::Do(Step::Put { cause: Cause::Requested, .. })), "{next:?}");
    }
}

#[test]
fn the_order_of_the_intents_is_what_it_is() {
    let order = intents::INTENTS.map(|(name, _)| name);
    assert_eq!(
        order,
        ["staged", "unreported", "rollback", "recovered", "redeclared", "lambda", "requested", "first", "scheduled", "checked"]
    );
}

#[test]
fn no_step_is_repeated_in_one_reconcile_and_what_aws_does_not_show_is_waited_for() {
    let mut facts = seen();
    facts.secret.as_mut().unwrap().deleted = true;
    assert_eq!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Restore));
    facts.journal.record(Step::Restore, Effect::Applied { at: at(NOW) });
    let Next::Rest(rest) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert!(rest.awaiting);
}
