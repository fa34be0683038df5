//! Rotation by AWS: every combination of the facts that it adds, and single rules.

use itertools::iproduct;

use super::*;
use crate::desired::lambda_rotation::{LambdaRotation, RotationConfig, Rules};
use crate::facts::DeclaredFacts;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn lambda_rotation(suspended: bool, immediately: bool) -> Rotation {
    let rules = Rules { expression: Some("rate(1 day)".to_owned()), ..Rules::default() };
    let terms = Ok(RotationConfig { rules, schedule: Schedule::parse("rate(1 day)").unwrap() });
    Rotation::Lambda(LambdaRotation {
        function: "arn:aws:lambda:eu-central-1:123456789012:function:rotate".to_owned(),
        config: terms,
        suspended,
        immediately,
    })
}

fn lambda() -> Desired {
    Desired { rotation: lambda_rotation(false, false), ..want() }
}

/// On, ours, as declared, and due in half a day.
fn on() -> LambdaState {
    LambdaState { enabled: true, claimed: true, as_declared: true, next: Some(at(NOW + DAY / 2)), ..LambdaState::default() }
}

fn with(rotation: LambdaState) -> Observation {
    Observation {
        secret: Some(SecretState { rotation, ..secret() }),
        status: StatusFacts { history: vec![recorded("current")], ..seen().status },
        ..seen()
    }
}

/// What AWS does by itself is left to the test.
pub(super) fn carry_out(secret: &mut SecretState, step: &Step) {
    secret.last_changed = Some(at(NOW));
    let blocked = secret.pending.in_progress().is_some();
    let rotation = &mut secret.rotation;
    let mut begin = |version: &VersionId| {
        assert!(!blocked, "AWS refuses while another version is pending");
        secret.pending = Pending::Delegated(version.clone());
    };
    match step {
        Step::ClaimRotation => (rotation.claimed, rotation.contested) = (true, false),
        Step::ReleaseRotation => rotation.claimed = false,
        Step::ConfigureRotation { version } => {
            assert!(!blocked, "AWS refuses while another version is pending");
            *rotation = LambdaState { enabled: true, as_declared: true, next: Some(at(NOW + DAY)), ..rotation.clone() };
            version.iter().for_each(&mut begin);
        }
        Step::RotateNow { version } => begin(version),
        Step::CancelRotation => (rotation.enabled, rotation.next) = (false, None),
        other => panic!("{other:?}"),
    }
}

/// The function does its work: the pending version becomes current.
fn promote(secret: &mut SecretState) {
    let Some(version) = secret.pending.version().cloned() else { return };
    secret.pending = Pending::None;
    if let Some(current) = secret.current.take() {
        relabelled(secret, "AWSPREVIOUS", current.version);
    }
    relabelled(secret, "AWSCURRENT", version.clone());
    secret.current = Some(Current { version, ..current(0) });
    secret.rotation.next = Some(at(NOW + DAY));
    secret.last_changed = Some(at(NOW));
}

/// The state of `AWSPENDING` on this version.
fn pending(version: Option<&str>, enabled: bool) -> Pending {
    match version {
        None => Pending::None,
        Some("current") => Pending::Current(id("current")),
        Some(version) if enabled => Pending::Delegated(id(version)),
        Some(version) => Pending::Foreign(id(version)),
    }
}

fn every_by_aws(mut check: impl FnMut(&Desired, &Observation)) -> u64 {
    let mut rotations = Vec::new();
    for enabled in [false, true] {
        for (claimed, contested) in [(false, false), (true, false), (false, true)] {
            for as_declared in [false, true] {
                for next in [None, Some(NOW - HOUR), Some(NOW + HOUR)] {
                    let next = next.map(at);
                    rotations.push(LambdaState { enabled, claimed, contested, as_declared, next, ..LambdaState::default() });
                }
            }
        }
    }
    let mut wants = Vec::new();
    for rotation in [
        lambda_rotation(false, false),
        lambda_rotation(false, true),
        lambda_rotation(true, false),
        lambda_rotation(true, true),
        Rotation::Never,
        scheduled(false),
        Rotation::Refused(Refusal::new(Reason::InvalidSpec, "no schedule")),
        Rotation::Lambda(LambdaRotation {
            function: String::new(),
            config: Err(Refusal::new(Reason::InvalidSpec, "no schedule of AWS's")),
            suspended: false,
            immediately: true,
        }),
    ] {
        for request in [None, Some("now")] {
            for value in [None, Some(declared("admin"))] {
                let rotate_request = request.map(str::to_owned);
                wants.push(Desired { value: value.clone(), rotation: rotation.clone(), rotate_request, ..want() });
            }
        }
    }
    let pendings = [(None, MINUTE), (Some("current"), MINUTE), (Some("next"), MINUTE), (Some("next"), HOUR / 2), (Some("next"), 2 * HOUR)];
    let ownerships = [Ownership::Ours, ANOTHER, Ownership::Nobody];
    let mirrors = [mirrored("current"), mirrored("other"), MirrorState::Foreign];
    let reports = [("admin", false), ("admin", true), ("other", false)];
    let mut count = 0;
    for (rotation, ownership, foreign, (version, changed), mirror, function_allowed, (reported, new)) in
        iproduct!(&rotations, ownerships, [false, true], pendings, &mirrors, [false, true], reports)
    {
        let secret = SecretState {
            pending: pending(version, rotation.enabled && !foreign),
            rotation: LambdaState { foreign, ..rotation.clone() },
            ownership,
            last_changed: Some(at(NOW - changed)),
            current: Some(current(2 * DAY)),
            ..secret()
        };
        let status = StatusFacts {
            declared: DeclaredFacts { hash: Some(declared(reported).hash()), ..DeclaredFacts::default() },
            schedule: (!new).then(edited),
            history: vec![recorded("current")],
            ..StatusFacts::default()
        };
        let access = Access { function_allowed, ..Access::default() };
        let seen = Observation { secret: Some(secret), mirror: mirror.clone(), access, status, ..seen() };
        for want in &wants {
            check(want, &seen);
            count += 1;
        }
    }
    count
}

fn rotates_by_aws(step: &Step) -> bool {
    matches!(
        step,
        Step::ClaimRotation | Step::ConfigureRotation { .. } | Step::RotateNow { .. } | Step::CancelRotation | Step::ReleaseRotation
    )
}

#[test]
fn no_combination_of_facts_of_rotation_by_aws_breaks_a_rule() {
    let count = every_by_aws(|want, seen| {
        let facts = || format!("{want:?}\n{seen:?}");
        let remote = seen.secret.as_ref().unwrap();
        let turning = remote.pending.in_progress().is_some();
        let wanted = matches!(want.rotation, Rotation::Lambda(_));
        match plan(want, seen, at(NOW)) {
            Next::Do(step) => {
                let kubernetes = matches!(step, Step::CreateMirror { .. } | Step::ReplaceMirror { .. });
                assert!(seen.access.function_allowed || kubernetes, "not one write in AWS: {step:?} {}", facts());
                if matches!(step, Step::Put { .. }) {
                    assert!(!turning, "a rotation is not abandoned: {step:?} {}", facts());
                    assert!(want.value.is_some(), "{}", facts());
                }
                if let Step::Put { cause, .. } = &step {
                    assert!(!wanted || *cause == Cause::SpecChanged, "the function makes the values: {step:?} {}", facts());
                    assert!(!remote.rotation.claimed || *cause == Cause::SpecChanged, "until AWS has stopped: {step:?} {}", facts());
                }
                if rotates_by_aws(&step) {
                    assert!(wanted || remote.rotation.claimed, "rotation that is not ours is left alone: {step:?} {}", facts());
                    assert!(!remote.ownership.is_another(), "{step:?} {}", facts());
                    assert!(!wanted || !(remote.rotation.contested || remote.rotation.foreign), "{step:?} {}", facts());
                }
                match &step {
                    Step::ConfigureRotation { version } => {
                        assert!(wanted && remote.rotation.claimed && !turning, "{}", facts());
                        assert!(!(remote.rotation.enabled && remote.rotation.as_declared), "{}", facts());
                        assert!(version.is_none() || seen.status.schedule.is_none(), "at once only where rotation is new: {}", facts());
                    }
                    Step::RotateNow { version } => {
                        assert_eq!(*version, ids().request("now"), "{}", facts());
                        assert!(remote.rotation.enabled && remote.rotation.as_declared && !turning, "{}", facts());
                        assert!(seen.mirror == mirrored("current"), "finish before start: {}", facts());
                    }
                    Step::CancelRotation => assert!(remote.rotation.enabled, "{}", facts()),
                    Step::ReleaseRotation => assert!(!remote.rotation.enabled && !wanted, "{}", facts()),
                    _ => {}
                }
            }
            Next::Rest(rest) => {
                let fine = rest.provisioned.is_none() && rest.mirrored.is_none() && rest.rotated.is_none() && !rest.awaiting;
                if let (true, Rotation::Lambda(LambdaRotation { suspended: false, .. })) = (fine, &want.rotation) {
                    assert!(remote.rotation.enabled && remote.rotation.as_declared || turning, "Ready is never a lie: {}", facts());
                    let late = remote.rotation.next.is_some_and(|next| next < at(NOW - 20 * MINUTE));
                    assert!(!late || turning, "AWS is late: {}", facts());
                }
                if let (true, Some(_)) = (fine && !turning, &rest.next_rotation)
                    && wanted
                {
                    assert_eq!(rest.next_rotation, remote.rotation.next, "what AWS says: {}", facts());
                }
            }
        }
    });
    println!("{count} combinations of facts");
    assert!(count > 150_000);
}

#[test]
fn every_combination_of_rotation_by_aws_comes_to_rest_and_stays_there() {
    every_by_aws(|want, seen| {
        for works in [true, false] {
            let mut world = seen.clone();
            let mut calls = Vec::new();
            let mut rests = 0;
            let mut stays = false;
            for _ in 0..24 {
                match plan(want, &world, at(NOW)) {
                    Next::Rest(_) if rests == 3 => {
                        stays = true;
                        break;
                    }
                    Next::Rest(rest) => {
                        rests += 1;
                        // What a reconcile reports, and what AWS does between two of them.
                        end_reconcile(want, &mut world, &rest);
                        let remote = world.secret.as_mut().unwrap();
                        if works && remote.rotation.enabled {
                            promote(remote);
                        }
                    }
                    Next::Do(step) => {
                        if rotates_by_aws(&step) {
                            calls.push(step.clone());
                        }
                        super::carry_out(&mut world, &step);
                    }
                }
            }
            assert!(stays, "from {want:?}\n{seen:?}\nto {world:?}\nby {calls:?}");
            let times = |kind: &str| calls.iter().filter(|step| step.kind() == kind).count();
            for kind in ["ClaimRotation", "ConfigureRotation", "RotateNow", "CancelRotation", "ReleaseRotation"] {
                assert!(times(kind) <= 1, "{kind} twice: {calls:?} from {want:?}\n{seen:?}");
            }
        }
    });
}

#[test]
fn rotation_is_marked_before_it_is_configured_and_the_mark_outlives_it() {
    let mut world = with(LambdaState::default());
    let mut steps = Vec::new();
    while let Next::Do(step) = plan(&lambda(), &world, at(NOW)) {
        super::carry_out(&mut world, &step);
        steps.push(step);
    }
    assert_eq!(steps, [Step::ClaimRotation, Step::ConfigureRotation { version: None }]);
    let mut steps = Vec::new();
    while let Next::Do(step) = plan(&want(), &world, at(NOW)) {
        super::carry_out(&mut world, &step);
        steps.push(step);
    }
    assert_eq!(steps, [Step::CancelRotation, Step::ReleaseRotation]);
}

#[test]
fn a_request_is_passed_on_once() {
    let asking = Desired { rotate_request: Some("now".to_owned()), ..lambda() };
    let mut world = with(on());
    let Next::Do(step @ Step::RotateNow { .. }) = plan(&asking, &world, at(NOW)) else { panic!() };
    super::carry_out(&mut world, &step);
    let Next::Rest(rest) = plan(&asking, &world, at(NOW)) else { panic!() };
    assert_eq!((rest.rotate_handled.as_deref(), rest.wake), (Some("now"), Some(at(NOW + 15))), "AWS has begun");
    promote(world.secret.as_mut().unwrap());
    let Next::Do(step @ Step::ReplaceMirror { .. }) = plan(&asking, &world, at(NOW)) else { panic!() };
    super::carry_out(&mut world, &step);
    // The next one waits until this one is in the history: the labels remember only two.
    let more = Desired { rotate_request: Some("more".to_owned()), ..lambda() };
    let Next::Rest(rest) = plan(&more, &world, at(NOW)) else { panic!() };
    assert_eq!((rest.wake, rest.rotated.map(|refusal| refusal.reason)), (Some(at(NOW)), Some(Reason::Progressing)));
    let Next::Rest(rest) = plan(&asking, &world, at(NOW)) else { panic!() };
    end_reconcile(&asking, &mut world, &rest);
    // What is previous now gets a label to go back to before it loses that one.
    let Next::Do(step @ Step::MoveLabel { .. }) = plan(&more, &world, at(NOW)) else { panic!() };
    super::carry_out(&mut world, &step);
    assert!(matches!(plan(&more, &world, at(NOW)), Next::Do(Step::RotateNow { .. })));
    assert!(matches!(plan(&asking, &world, at(NOW)), Next::Rest(_)));
    // Used up, although no label shows it any more.
    let mut spent = with(on());
    spent.status.unseen = Some((ids().request("now"), at(NOW - 1000)));
    let Next::Rest(rest) = plan(&asking, &spent, at(NOW)) else { panic!() };
    assert_eq!(rest.rotate_handled.as_deref(), Some("now"));
}

#[test]
fn a_rotation_that_does_not_end_is_told_of_by_dates() {
    #[rustfmt::skip]
    let table = [
        // A version is pending, minutes since the last change, minutes until AWS's date.
        (false, 1, 600, None),
        (false, 600, -1, None),
        (false, 600, -14, None),
        (false, 600, -15, Some(Reason::Overdue)),
        (true, 1, 600, None),
        (true, 59, 600, None),
        (true, 60, 600, Some(Reason::RotationFailed)),
        (true, 14, -600, None),
        (true, 15, -600, Some(Reason::RotationFailed)),
    ];
    for (pending, changed, next, expected) in table {
        let rotation = LambdaState { next: Some(at(NOW + next * MINUTE)), ..on() };
        let mut world = with(rotation);
        let remote = world.secret.as_mut().unwrap();
        remote.pending = if pending { Pending::Delegated(id("next")) } else { Pending::None };
        remote.last_changed = Some(at(NOW - changed * MINUTE));
        let Next::Rest(rest) = plan(&lambda(), &world, at(NOW)) else { panic!() };
        assert_eq!(rest.rotated.as_ref().map(|refusal| refusal.reason), expected, "{pending} {changed} {next}");
        assert_eq!(rest.next_rotation, Some(at(NOW + next * MINUTE)), "what AWS says, also when it is past");
        if expected == Some(Reason::RotationFailed) {
            let message = rest.rotated.unwrap().message;
            assert!(message.contains("aws logs tail /aws/lambda/rotate") && message.contains("--remove-from-version-id next"), "{message}");
        }
        assert!(rest.wake.is_none_or(|wake| wake > at(NOW)));
    }
}

#[test]
fn a_suspension_waits_for_the_rotation_under_way_and_not_for_one_that_failed() {
    let suspended = Desired { rotation: lambda_rotation(true, false), ..want() };
    let turning = |changed: i64| {
        let mut world = with(on());
        let remote = world.secret.as_mut().unwrap();
        (remote.pending, remote.last_changed) = (Pending::Delegated(id("next")), Some(at(NOW - changed)));
        world
    };
    assert!(matches!(plan(&suspended, &turning(MINUTE), at(NOW)), Next::Rest(_)));
    assert_eq!(plan(&suspended, &turning(2 * HOUR), at(NOW)), Next::Do(Step::CancelRotation));
    assert_eq!(plan(&suspended, &with(on()), at(NOW)), Next::Do(Step::CancelRotation));
    // What is left pending keeps the next rotation from beginning, and the message says what to do.
    let mut left = with(LambdaState { enabled: false, next: None, ..on() });
    left.secret.as_mut().unwrap().pending = Pending::Foreign(id("next"));
    let Next::Rest(rest) = plan(&lambda(), &left, at(NOW)) else { panic!() };
    assert_eq!(rest.rotated.unwrap().reason, Reason::ForeignPending);
}

#[test]
fn after_a_lost_status_only_the_version_that_we_created_is_mended() {
    let mut world = with(on());
    world.status.declared.hash = None;
    let remote = world.secret.as_mut().unwrap();
    let made_by_the_function = ids().request("now");
    remote.current = Some(Current { version: made_by_the_function.clone(), matches: Some(false), ..current(60) });
    world.mirror = mirrored(made_by_the_function.as_str());
    assert!(matches!(plan(&lambda(), &world, at(NOW)), Next::Rest(_)));
    assert!(matches!(plan(&want(), &with_current(&made_by_the_function), at(NOW)), Next::Do(Step::Put { .. })), "ours, where we rotate");
    let created = ids().creation();
    world.secret.as_mut().unwrap().current.as_mut().unwrap().version = created.clone();
    world.mirror = mirrored(created.as_str());
    world.status.history.insert(0, recorded(created.as_str()));
    assert!(matches!(plan(&lambda(), &world, at(NOW)), Next::Do(Step::Put { cause: Cause::SpecChanged, .. })));
}

fn with_current(version: &VersionId) -> Observation {
    let mut world = seen();
    world.status.declared.hash = None;
    world.secret.as_mut().unwrap().current = Some(Current { version: version.clone(), matches: Some(false), ..current(60) });
    world.mirror = mirrored(version.as_str());
    world
}

#[test]
fn a_change_of_the_rotation_that_aws_does_not_show_yet_is_not_repeated_and_does_not_concern_the_value() {
    let suspended = Desired { rotation: lambda_rotation(true, false), ..want() };
    let mut world = with(on());
    assert_eq!(plan(&suspended, &world, at(NOW)), Next::Do(Step::CancelRotation));
    world.journal.record(Step::CancelRotation, Effect::Applied { at: at(NOW) });
    let Next::Rest(rest) = plan(&suspended, &world, at(NOW)) else { panic!("it is sent again") };
    assert_eq!((rest.provisioned, rest.mirrored, rest.awaiting), (None, None, false));
    assert!(rest.wake.is_some_and(|wake| wake <= at(NOW + 15)), "it is read again soon");
}

#[test]
fn the_fourth_request_in_a_row_waits_before_aws_is_told() {
    let asking = Desired { rotate_request: Some("now".to_owned()), ..lambda() };
    let mut world = with(on());
    world.status.history = requested_thrice();
    let Next::Rest(rest) = plan(&asking, &world, at(NOW)) else { panic!() };
    let until = at(NOW + 540);
    assert_eq!((rest.held_until, rest.rotate_handled), (Some(until), None));
    assert!(rest.wake.is_some_and(|wake| wake <= until));
    assert!(matches!(plan(&asking, &world, until), Next::Do(Step::RotateNow { .. })));
}

#[test]
fn a_requested_rotation_replaces_a_value_without_the_declared_fields_and_no_other_obstacle() {
    let asks = Desired { rotate_request: Some("now".to_owned()), ..lambda() };
    for (remedy, rotates) in [(Remedy::Request, true), (Remedy::Write, true), (Remedy::Value, false)] {
        let mut facts = with(on());
        facts.secret.as_mut().unwrap().last_changed = Some(at(NOW));
        facts.mirror = mirrored("previous");
        let refusal = Refusal::new(Reason::FieldMissing, "no JSON object");
        let step = Step::ReplaceMirror { version: id("current"), confirm: false };
        facts.journal.record(step, Effect::Unfit(Unfit { refusal, remedy }));
        let rotated = matches!(plan(&asks, &facts, at(NOW)), Next::Do(Step::RotateNow { .. } | Step::MoveLabel { .. }));
        assert_eq!(rotated, rotates, "{remedy:?}");
    }
    let mut facts = with(on());
    facts.mirror = MirrorState::Foreign;
    assert!(!matches!(plan(&asks, &facts, at(NOW)), Next::Do(Step::RotateNow { .. })));
}
