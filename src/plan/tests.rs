//! Every combination of facts that the plan tells apart, against rules that do not look at how the plan is written; and each step carried out
//! on a model of the world until the plan rests.

mod adoption;
mod lambda_rotation;
mod cases;
mod clock;
mod place;
mod settings;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use super::settings::Settings;
use super::*;
use crate::api::OnMissedWindow;
use crate::desired::{Pin, Target};
use crate::generate::Generator;
use crate::version_id::VersionIds;
use crate::schedule::{Clock, Schedule};
use crate::value::{DeclaredValue, Layout};

const NOW: i64 = 1_800_000_000;
const PERIOD: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ids() -> VersionIds {
    VersionIds::of("0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11")
}

fn id(name: &str) -> VersionId {
    VersionId::from(name)
}

fn declared(username: &str) -> DeclaredValue {
    DeclaredValue::Fields {
        data: BTreeMap::from([("username".to_owned(), username.to_owned())]),
        generate: BTreeMap::from([("password".to_owned(), Generator::default())]),
    }
}

fn want() -> Desired {
    Desired {
        ids: ids(),
        uid: "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11".to_owned(),
        namespace: "shop".to_owned(),
        name: "db-admin".to_owned(),
        suspended: false,
        region: "eu-central-1".to_owned(),
        secret_name: "k8s/shop/db-admin".to_owned(),
        own_prefix: true,
        session: crate::identity::Session { cluster: "test".to_owned(), namespace: "shop".to_owned() },
        service_account: None,
        description: None,
        settings: crate::desired::Settings::default(),
        tags: BTreeMap::new(),
        delete_after_days: None,
        value: Some(declared("admin")),
        rotation: scheduled(false),
        target: Some(Target {
            name: "db-admin".to_owned(),
            layout: Layout { kind: crate::api::SecretType::Opaque, keys: BTreeMap::new() },
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            pin: Pin::Current,
            retained: false,
            adopts: false,
        }),
        keep_versions: 5,
        rotate_request: None,
        rollback_request: None,
        refresh_request: None,
    }
}

fn scheduled(suspended: bool) -> Rotation {
    on_clock(0, OnMissedWindow::RotateNow, suspended, false)
}

/// Every hour after the last change, with a window of so many minutes.
fn on_clock(window: i64, on_missed: OnMissedWindow, suspended: bool, immediately: bool) -> Rotation {
    let schedule = Schedule::parse("rate(1 hour)").unwrap();
    let clock = Clock::new(schedule, SignedDuration::from_mins(window), on_missed, ids()).unwrap();
    Rotation::Scheduled { expression: clock.describe("rate(1 hour)"), clock, suspended, immediately }
}

fn current(age: i64) -> Current {
    Current { version: id("current"), changed: at(NOW - age), anchor: at(NOW - age), fits: None }
}

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, VersionId> {
    labels.iter().map(|(label, version)| ((*label).to_owned(), id(version))).collect()
}

fn remote() -> Remote {
    Remote {
        arn: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf".to_owned(),
        ownership: Ownership::Ours,
        deleted: false,
        foreign_rotation: false,
        rotation: LambdaRotationFacts::default(),
        current: Some(current(60)),
        previous: Some(id("previous")),
        pending: None,
        labels: labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "previous"), ("rotated-secrets/1", "previous")]),
        missing_tags: BTreeMap::new(),
        description_differs: false,
        settings: Settings::default(),
        service_owned: false,
        replaced: None,
        last_changed: Some(at(NOW - 60)),
    }
}

/// Every setting is another one than declared.
fn all_differs() -> Settings {
    let (here, there) = ("eu-west-1".to_owned(), "eu-north-1".to_owned());
    Settings {
        surplus_tags: ["old".to_owned()].into(),
        rekey: Some("alias/shop".to_owned()),
        policy: PolicyState::Differs,
        add: [(there, None)].into(),
        stop: [here.clone()].into(),
        rekey_replicas: [("eu-south-1".to_owned(), "alias/dr".to_owned())].into(),
        replicas: vec![Replica { region: here, key: None, state: ReplicaState::InSync, why: None }],
        ..Settings::default()
    }
}

fn mirrored(version: &str) -> Mirror {
    Mirror::Ours { version: Some(id(version)), intact: true, written: Some(at(NOW - 50)) }
}

fn seen() -> Observed {
    Observed {
        name_allowed: true,
        refused: None,
        function_allowed: true,
        finalizer: false,
        remote: Some(remote()),
        mirror: mirrored("current"),
        reported: Reported { declared: Some(declared("admin").hash()), ..Reported::default() },
        spent: BTreeMap::new(),
        mirror_revision: None,
        mirror_written: false,
        wrote: None,
        rolled_back: None,
        missing: BTreeSet::new(),
        place: crate::plan::Place::AsConfigured,
        unfit: BTreeMap::new(),
        tried: BTreeMap::new(),
    }
}

/// All values of the facts that the plan tells apart once name and finalizer are settled.
fn every(mut check: impl FnMut(&Desired, &Observed)) -> u64 {
    let mut count = 0;
    let mut remotes = vec![None];
    for ownership in [Ownership::Ours, Ownership::Former, Ownership::Another, Ownership::Nobody, Ownership::Adoptable] {
        for deleted in [false, true] {
            for foreign_rotation in [false, true] {
                for age in [None, Some(60), Some(PERIOD + 60), Some(PERIOD + 290), Some(PERIOD + 1700)] {
                    for pending in [None, Some("current"), Some("foreign")] {
                        for drifted in [false, true] {
                            for last_changed in [NOW - 300, NOW - 5] {
                                remotes.push(Some(Remote {
                                    ownership,
                                    deleted,
                                    foreign_rotation,
                                    current: age.map(current),
                                    pending: pending.map(id),
                                    missing_tags: if drifted {
                                        BTreeMap::from([("a".to_owned(), "b".to_owned())])
                                    } else {
                                        BTreeMap::new()
                                    },
                                    settings: if drifted { all_differs() } else { Settings::default() },
                                    last_changed: Some(at(last_changed)),
                                    ..remote()
                                }));
                            }
                        }
                    }
                }
            }
        }
    }
    let mut mirrors = vec![Mirror::Unwanted, Mirror::Absent, Mirror::Foreign, Mirror::Adoptable];
    for version in [None, Some("current"), Some("other")] {
        for intact in [false, true] {
            for written in [None, Some(NOW - 200), Some(NOW - 50)] {
                mirrors.push(Mirror::Ours { version: version.map(id), intact, written: written.map(at) });
            }
        }
    }
    let refused = Rotation::Refused(Refusal::new(Reason::IntervalTooShort, "too short"));
    let mut wants = Vec::new();
    // By the age of the value, the turn in the window of half an hour lies ahead or behind, and the window of five minutes is open or over.
    let windows = [
        on_clock(30, OnMissedWindow::RotateNow, false, false),
        on_clock(5, OnMissedWindow::NextWindow, false, false),
        on_clock(5, OnMissedWindow::NextWindow, true, false),
        on_clock(0, OnMissedWindow::RotateNow, false, true),
        on_clock(0, OnMissedWindow::RotateNow, true, true),
    ];
    for rotation in [Rotation::Never, scheduled(false), scheduled(true), refused].into_iter().chain(windows) {
        for request in [None, Some("now")] {
            for owned in [true, false] {
                wants.push(Desired {
                    value: owned.then(|| declared("admin")),
                    description: Some("declared".to_owned()),
                    rotation: rotation.clone(),
                    rotate_request: request.map(str::to_owned),
                    ..want()
                });
            }
        }
    }
    let unmirrored: Vec<Desired> = wants.iter().map(|want| Desired { target: None, ..want.clone() }).collect();
    for remote in &remotes {
        for mirror in &mirrors {
            let nothing = (None, false, false);
            for (reported, unscheduled, adopting) in
                [nothing, (Some("admin"), false, false), (Some("other"), false, false), (Some("admin"), true, false), (None, true, true)]
            {
                let reported = Reported {
                    declared: reported.map(|name| declared(name).hash()),
                    unscheduled,
                    adopting: adopting.then(|| id("current")),
                    ..Reported::default()
                };
                let seen = Observed { remote: remote.clone(), mirror: mirror.clone(), reported, ..seen() };
                for want in if *mirror == Mirror::Unwanted { &unmirrored } else { &wants } {
                    if matter(want, &seen) {
                        check(want, &seen);
                        count += 1;
                    }
                }
            }
        }
    }
    count
}

/// A clock with more than a schedule is told apart only where a value of ours may rotate, and what only such a clock tells apart only there.
fn matter(want: &Desired, seen: &Observed) -> bool {
    let more = matches!(&want.rotation, Rotation::Scheduled { expression, immediately, .. } if *immediately || expression.contains(';'));
    let age = |current: &Current| NOW - current.changed.as_second() - PERIOD;
    let adoptable = |remote: &Remote| matches!(remote.ownership, Ownership::Former | Ownership::Adoptable);
    // What is about to become ours is not mirrored before it is: how exactly the mirror stands is told apart afterwards.
    let plain = match &seen.mirror {
        Mirror::Ours { version, intact, written } => *intact && *version == Some(id("current")) && *written == Some(at(NOW - 50)),
        Mirror::Unwanted | Mirror::Absent | Mirror::Foreign | Mirror::Adoptable => true,
    };
    if !plain && seen.remote.as_ref().is_some_and(adoptable) {
        return false;
    }
    if seen.reported.adopting.is_some() {
        return !more && seen.remote.as_ref().is_some_and(adoptable);
    }
    match seen.remote.as_ref().and_then(|remote| Some((remote, age(remote.current.as_ref()?)))) {
        _ if !more && seen.reported.unscheduled => false,
        Some((remote, _)) if more => want.value.is_some() && remote.ownership == Ownership::Ours && !remote.deleted,
        None if more => false,
        Some((_, late)) => late <= 60,
        None => true,
    }
}

#[test]
fn no_combination_of_facts_breaks_a_rule() {
    let count = every(|want, seen| {
        let next = plan(want, seen, at(NOW));
        let facts = || format!("{next:?}\n{want:?}\n{seen:?}");
        match &next {
            Next::Do(step) => check_step(want, seen, step, &facts),
            Next::Rest(rest) => check_rest(want, seen, rest, &facts),
        }
    });
    println!("{count} combinations of facts");
    assert!(count > 500_000);
}

fn check_step(want: &Desired, seen: &Observed, step: &Step, facts: &dyn Fn() -> String) {
    let mirror_step = matches!(step, Step::CreateMirror { .. } | Step::ReplaceMirror { .. } | Step::AdoptMirror { .. });
    match &seen.remote {
        None => assert!(matches!(step, Step::Create { version } if *version == ids().creation()), "{}", facts()),
        Some(remote) => {
            if *step == Step::Restore {
                assert!(remote.deleted, "{}", facts());
                assert!(matches!(remote.ownership, Ownership::Ours | Ownership::Former), "only ours is restored: {}", facts());
            } else {
                assert!(!remote.deleted, "a secret that is scheduled for deletion is left alone: {}", facts());
            }
            if let Step::Adopt { .. } = step {
                assert!(matches!(remote.ownership, Ownership::Former | Ownership::Adoptable), "{}", facts());
                let said = remote.current.is_none() || seen.reported.adopting.is_some();
                assert!(said, "the status says so before the tags do: {}", facts());
                assert!(remote.ownership == Ownership::Former || !remote.foreign_rotation, "AWS rotates it: {}", facts());
            } else if *step != Step::Restore {
                assert!(want.value.is_none() || remote.ownership == Ownership::Ours, "what is not ours is not written: {}", facts());
            }
            assert!(!matches!(step, Step::Create { .. }), "{}", facts());
            if let Step::Write { version, predecessor, cause } = step {
                assert_eq!(*predecessor, remote.current.as_ref().map(|c| c.version.clone()), "{}", facts());
                assert!(!remote.foreign_rotation, "AWS rotates it: {}", facts());
                assert!(remote.pending.is_none() || remote.pending == *predecessor, "a foreign rotation is not abandoned: {}", facts());
                if predecessor.is_some() {
                    let delivered = match &seen.mirror {
                        Mirror::Unwanted => true,
                        Mirror::Ours { version, intact, .. } => *version == *predecessor && *intact,
                        Mirror::Absent | Mirror::Foreign | Mirror::Adoptable => false,
                    };
                    assert!(delivered, "the current version is mirrored before a new one is made: {}", facts());
                }
                if *cause == Cause::Scheduled {
                    assert!(due(want, seen, remote.current.as_ref().unwrap(), version), "{}", facts());
                }
            }
        }
    }
    assert!(want.value.is_some() || mirror_step, "what is somebody else's is only mirrored: {}", facts());
    assert!(seen.mirror != Mirror::Foreign || !mirror_step, "a foreign Secret is left alone: {}", facts());
    let adopts = matches!(step, Step::AdoptMirror { .. });
    assert!((seen.mirror == Mirror::Adoptable) == adopts || !mirror_step, "{}", facts());
    assert!(
        seen.mirror != Mirror::Foreign || !matches!(step, Step::Create { .. } | Step::Write { predecessor: Some(_), .. }),
        "{}",
        facts()
    );
    if let Step::CreateMirror { version } | Step::ReplaceMirror { version, .. } | Step::AdoptMirror { version } = step {
        let remote = seen.remote.as_ref().unwrap();
        assert_eq!(Some(version), remote.current.as_ref().map(|c| &c.version), "only what is current is mirrored: {}", facts());
        if let (Mirror::Ours { version: Some(held), written: Some(written), .. }, Step::ReplaceMirror { confirm: false, .. }) =
            (&seen.mirror, step)
            && held != version
        {
            assert!(remote.last_changed.unwrap() > *written, "backwards only after a second look: {}", facts());
        }
    }
}

/// Whether the clock asks for this version now.
fn due(want: &Desired, seen: &Observed, current: &Current, version: &VersionId) -> bool {
    let Rotation::Scheduled { suspended: false, expression, immediately, .. } = &want.rotation else { return false };
    if *immediately && seen.reported.unscheduled {
        return *version == ids().first();
    }
    let place = |seconds: u64| i64::try_from(ids().place(seconds)).unwrap();
    let late = NOW - current.changed.as_second() - PERIOD;
    let turn = match expression.as_str() {
        "rate(1 hour)" => late >= 0,
        "rate(1 hour); duration: 30m" => late >= place(1620),
        "rate(1 hour); duration: 5m; onMissedWindow: NextWindow" => (place(270)..300).contains(&late),
        other => panic!("{other}"),
    };
    turn && *version == ids().slot(at(NOW - late))
}

fn check_rest(want: &Desired, seen: &Observed, rest: &Rest, facts: &dyn Fn() -> String) {
    let fine = rest.provisioned.is_none()
        && rest.settings.is_none()
        && rest.mirrored.is_none()
        && rest.rotated.is_none()
        && !rest.unsettled
        && !rest.suspended;
    if fine {
        let remote = seen.remote.as_ref().unwrap_or_else(|| panic!("nothing is fine without a secret: {}", facts()));
        let current = remote.current.as_ref().unwrap_or_else(|| panic!("nor without a value: {}", facts()));
        let held = match &seen.mirror {
            Mirror::Unwanted => want.target.is_none(),
            Mirror::Ours { version, intact, .. } => version.as_ref() == Some(&current.version) && *intact,
            Mirror::Absent | Mirror::Foreign | Mirror::Adoptable => false,
        };
        assert!(held, "Ready is never a lie: {}", facts());
        if let (Rotation::Scheduled { suspended: false, .. }, Some(_)) = (&want.rotation, &want.value) {
            assert!(rest.next_rotation.is_some_and(|next| next > at(NOW)), "nothing due is left undone: {}", facts());
        }
    }
    assert!(
        fine || rest.unsettled
            || [&rest.provisioned, &rest.settings, &rest.mirrored, &rest.rotated].iter().any(|refusal| refusal.is_some()),
        "{}",
        facts()
    );
}

#[test]
fn every_combination_comes_to_rest_and_stays_there() {
    every(|want, seen| {
        let mut world = seen.clone();
        let mut writes = 0;
        let mut turns = 0;
        for _ in 0..32 {
            match plan(want, &world, at(NOW)) {
                // A turn ends with its report, which the next one reads.
                Next::Rest(_) if turns == 2 => break,
                Next::Rest(rest) => {
                    turns += 1;
                    world.tried.clear();
                    if rest.adopting {
                        world.reported.adopting =
                            world.remote.as_ref().and_then(|remote| remote.current.as_ref()).map(|c| c.version.clone());
                    }
                }
                Next::Do(step) => {
                    writes += u32::from(matches!(step, Step::Write { .. }));
                    carry_out(want, &mut world, &step);
                }
            }
        }
        let end = plan(want, &world, at(NOW));
        assert!(matches!(end, Next::Rest(_)), "{end:?}\nfrom {seen:?}\nto {world:?}");
        // A value where there was none, a changed declaration, a request.
        assert!(writes <= 3, "{writes} writes from {seen:?}");
    });
}

fn relabel(remote: &mut Remote, current: &VersionId) {
    let left = remote.labels.insert("AWSCURRENT".to_owned(), current.clone());
    remote.labels.extend(left.map(|left| ("AWSPREVIOUS".to_owned(), left)));
}

/// What each step does to the world, as AWS and Kubernetes do it.
fn carry_out(want: &Desired, world: &mut Observed, step: &Step) {
    if let Some(key) = step.once() {
        world.tried.insert(key, None);
    }
    let settings = world.remote.as_mut().map(|remote| &mut remote.settings);
    match step {
        Step::AddFinalizer => world.finalizer = true,
        Step::RemoveFinalizer => world.finalizer = false,
        Step::Create { version } => {
            let first = Current { version: version.clone(), changed: at(NOW), anchor: at(NOW), fits: Some(true) };
            let labels = BTreeMap::from([("AWSCURRENT".to_owned(), version.clone())]);
            world.remote = Some(Remote { current: Some(first), previous: None, labels, ..remote() });
        }
        Step::RollBack { version, .. } | Step::Write { version, .. } => {
            let slot = retention::next(want, world, world.remote.as_ref().unwrap());
            let remote = world.remote.as_mut().unwrap();
            relabel(remote, version);
            remote.labels.extend(slot.map(|slot| (slot.label, version.clone())));
            remote.previous = remote.current.take().map(|current| current.version);
            remote.current = Some(Current { version: version.clone(), changed: at(NOW), anchor: at(NOW), fits: Some(true) });
            remote.pending = None;
            remote.last_changed = Some(at(NOW));
            if matches!(step, Step::Write { cause: Cause::Requested, .. }) {
                world.reported.rotate_handled.clone_from(&want.rotate_request);
            }
        }
        Step::MoveLabel { label, from, to } => {
            let remote = world.remote.as_mut().unwrap();
            assert_eq!(remote.labels.get(label), from.as_ref(), "labels are moved from where they are");
            match to {
                Some(to) => drop(remote.labels.insert(label.clone(), to.clone())),
                None => drop(remote.labels.remove(label)),
            }
        }
        Step::RestoreCurrent { to, from } => {
            let remote = world.remote.as_mut().unwrap();
            assert_eq!(remote.current.as_ref().map(|current| &current.version), Some(from));
            relabel(remote, to);
            remote.current = Some(Current { version: to.clone(), ..current(0) });
            remote.previous = Some(from.clone());
        }
        Step::SetDescription { .. } => world.remote.as_mut().unwrap().description_differs = false,
        Step::SetKey { .. } => settings.unwrap().rekey = None,
        Step::Tag { .. } => world.remote.as_mut().unwrap().missing_tags.clear(),
        Step::Untag { .. } => settings.unwrap().surplus_tags.clear(),
        Step::PutPolicy => settings.unwrap().policy = PolicyState::AsDeclared("declared".to_owned()),
        Step::DeletePolicy => settings.unwrap().policy = PolicyState::Unmentioned,
        Step::Replicate { .. } => settings.unwrap().add.clear(),
        Step::StopReplicating { .. } => {
            let settings = settings.unwrap();
            settings.stop.clear();
            settings.replicas.clear();
        }
        Step::SetReplicaKey { region, .. } => drop(settings.unwrap().rekey_replicas.remove(region)),
        Step::Restore => world.remote.as_mut().unwrap().deleted = false,
        Step::Adopt { .. } => {
            let remote = world.remote.as_mut().unwrap();
            remote.ownership = Ownership::Ours;
            remote.missing_tags.clear();
        }
        Step::CreateMirror { version } | Step::ReplaceMirror { version, .. } | Step::AdoptMirror { version } => {
            world.mirror = Mirror::Ours { version: Some(version.clone()), intact: true, written: Some(at(NOW)) };
            world.mirror_written = true;
        }
        Step::ReleaseMirror => world.mirror = Mirror::Foreign,
        Step::ClaimRotation | Step::ConfigureRotation { .. } | Step::RotateNow { .. } | Step::CancelRotation | Step::ReleaseRotation => {
            lambda_rotation::carry_out(world.remote.as_mut().unwrap(), step);
        }
        Step::Delete { .. } => world.remote.as_mut().unwrap().deleted = true,
    }
}

#[test]
fn nothing_is_done_while_suspended_or_for_a_name_that_is_not_allowed_or_where_nobody_may_act() {
    let suspended = Desired { suspended: true, ..want() };
    let forbidden = Observed { name_allowed: false, ..seen() };
    let refused = Some(Refusal::new(Reason::IdentityRefused, "nobody"));
    let nobody = Observed { refused: refused.clone(), ..seen() };
    every(|want, seen| {
        assert!(matches!(plan(want, &Observed { name_allowed: false, ..seen.clone() }, at(NOW)), Next::Rest(_)));
        assert!(matches!(plan(want, &Observed { refused: refused.clone(), ..seen.clone() }, at(NOW)), Next::Rest(_)));
        assert!(matches!(plan(&suspended, seen, at(NOW)), Next::Rest(Rest { suspended: true, .. })));
    });
    assert!(matches!(plan_cleanup(&suspended, &Observed { finalizer: true, ..seen() }), Next::Rest(Rest { suspended: true, .. })));
    let Next::Rest(rest) = plan(&want(), &forbidden, at(NOW)) else { panic!() };
    assert_eq!(rest.provisioned.unwrap().reason, Reason::NameNotAllowed);
    let Next::Rest(rest) = plan(&want(), &nobody, at(NOW)) else { panic!() };
    assert_eq!(rest.provisioned.unwrap().reason, Reason::IdentityRefused);
}

#[test]
fn the_finalizer_is_there_exactly_when_there_is_something_to_clean_up() {
    let deletes = Desired { delete_after_days: Some(30), ..want() };
    let mut retains = want();
    retains.target.as_mut().unwrap().retained = true;
    for (want, needed) in [(want(), false), (deletes, true), (retains, true)] {
        for finalizer in [false, true] {
            let next = plan(&want, &Observed { finalizer, ..seen() }, at(NOW));
            let expected = match (needed, finalizer) {
                (true, false) => Some(Step::AddFinalizer),
                (false, true) => Some(Step::RemoveFinalizer),
                _ => None,
            };
            match expected {
                Some(step) => assert_eq!(next, Next::Do(step)),
                None => assert!(matches!(next, Next::Rest(_))),
            }
        }
    }
}

#[test]
fn cleaning_up_touches_only_what_is_ours_and_always_ends() {
    let mut want = Desired { delete_after_days: Some(7), ..want() };
    want.target.as_mut().unwrap().retained = true;
    let mirrors = [Mirror::Absent, Mirror::Foreign, Mirror::Adoptable, mirrored("current")];
    let mut remotes = vec![None];
    for ownership in [Ownership::Ours, Ownership::Former, Ownership::Another, Ownership::Nobody, Ownership::Adoptable] {
        for deleted in [false, true] {
            for settings in [Settings::default(), all_differs()] {
                remotes.push(Some(Remote { ownership, deleted, settings, ..remote() }));
            }
        }
    }
    for remote in remotes {
        for mirror in &mirrors {
            for (name_allowed, acting) in [(true, true), (true, false), (false, true), (false, false)] {
                let refused = (!acting).then(|| Refusal::new(Reason::IdentityRefused, "nobody"));
                let mut world =
                    Observed { finalizer: true, remote: remote.clone(), mirror: mirror.clone(), name_allowed, refused, ..seen() };
                let mut steps = Vec::new();
                while let Next::Do(step) = plan_cleanup(&want, &world) {
                    carry_out(&want, &mut world, &step);
                    steps.push(step);
                    assert!(steps.len() <= 4);
                }
                let ours = remote.as_ref().is_some_and(|remote| remote.ownership == Ownership::Ours && !remote.deleted);
                let ours = ours && name_allowed && acting;
                assert_eq!(steps.contains(&Step::Delete { window: 7 }), ours);
                let replicated = remote.as_ref().is_some_and(|remote| !remote.settings.replicas.is_empty());
                assert_eq!(steps.iter().any(|step| matches!(step, Step::StopReplicating { .. })), ours && replicated);
                assert_eq!(steps.contains(&Step::ReleaseMirror), matches!(mirror, Mirror::Ours { .. }));
                assert_eq!(steps.last(), Some(&Step::RemoveFinalizer));
            }
        }
    }
}
