//! Labels that keep versions, pins, rollbacks, and values that were overtaken in an earlier life.

use std::collections::BTreeSet;

use super::*;
use crate::api::RollbackRefusal;
use crate::desired::{RollbackRequest, RollbackTo};

mod combinations;

const OLD: &str = "00000000-0000-0000-0000-000000000001";

fn pinned(pin: Pin) -> Desired {
    let mut want = want();
    want.target.as_mut().unwrap().pin = pin;
    want
}

fn keeping(count: u32) -> Desired {
    Desired { keep_versions: count, ..want() }
}

fn labelled(labels: BTreeMap<String, VersionId>) -> Observation {
    Observation { secret: Some(SecretState { labels, ..secret() }), ..seen() }
}

fn asking(to: Option<RollbackTo>) -> Desired {
    Desired { rollback_request: Some(RollbackRequest { token: "t".to_owned(), to }), ..want() }
}

fn next(want: &Desired, seen: &Observation) -> Option<(String, Option<String>)> {
    let slot = retention::next(want, seen, seen.secret.as_ref().unwrap())?;
    Some((slot.label, slot.from.map(|from| from.to_string())))
}

fn label_before_write(want: &Desired, seen: &Observation, current: &Current) -> Option<Step> {
    let secret = seen.secret.as_ref().unwrap();
    retention::before_write(&Situation { want, seen, secret, current, now: at(NOW) })
}

pub(super) fn step(want: &Desired, seen: &Observation) -> Step {
    match plan(want, seen, at(NOW)) {
        Next::Do(step) => step,
        Next::Rest(rest) => panic!("rests: {rest:?}"),
    }
}

pub(super) fn rest(want: &Desired, seen: &Observation) -> Rest {
    match plan(want, seen, at(NOW)) {
        Next::Rest(rest) => rest,
        Next::Do(step) => panic!("does {step:?}"),
    }
}

#[test]
fn a_free_label_is_taken_first_and_then_that_of_the_oldest() {
    let some = |label: &str, from: Option<&str>| Some((label.to_owned(), from.map(str::to_owned)));
    let mut world = labelled(labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "previous"), ("rotated-secrets/2", "previous")]));
    assert_eq!(next(&keeping(3), &world), some("rotated-secrets/1", None));
    assert_eq!(next(&keeping(0), &world), None);
    let full = [
        ("AWSCURRENT", "current"),
        ("AWSPREVIOUS", "previous"),
        ("rotated-secrets/1", "current"),
        ("rotated-secrets/2", "a"),
        ("rotated-secrets/3", "b"),
        ("rotated-secrets/4", "previous"),
    ];
    world = labelled(labels(&full));
    // The history knows: a is newer than b.
    world.status.history = ["current", "previous", "a", "b"].map(recorded).to_vec();
    assert_eq!(next(&keeping(4), &world), some("rotated-secrets/3", Some("b")));
    world.status.history = ["current", "previous", "b"].map(recorded).to_vec();
    assert_eq!(next(&keeping(4), &world), some("rotated-secrets/2", Some("a")), "older than all that the history knows");
    // The status was lost: the ring tells.
    world.status.history.clear();
    assert_eq!(next(&keeping(4), &world), some("rotated-secrets/2", Some("a")));
}

#[test]
fn no_label_is_taken_from_what_is_current_previous_pending_or_pinned() {
    let full = [
        ("AWSCURRENT", "current"),
        ("AWSPREVIOUS", "previous"),
        ("AWSPENDING", "pending"),
        ("rotated-secrets/1", "current"),
        ("rotated-secrets/2", "previous"),
        ("rotated-secrets/3", "pending"),
        ("rotated-secrets/4", OLD),
    ];
    assert_eq!(next(&keeping(4), &labelled(labels(&full))), Some(("rotated-secrets/4".to_owned(), Some(OLD.to_owned()))));
    let pinned = Desired { keep_versions: 4, ..pinned(Pin::Version(id(OLD))) };
    assert_eq!(next(&pinned, &labelled(labels(&full))), None);
}

#[test]
fn twenty_labels_are_never_exceeded_whoever_made_the_others() {
    for theirs in 0..=20 {
        let mut all = labels(&[("AWSCURRENT", "current")]);
        all.extend((0..theirs).map(|n| (format!("theirs-{n}"), id("theirs"))));
        // AWSPREVIOUS and AWSPENDING may come at any time.
        assert_eq!(next(&keeping(5), &labelled(all)).is_some(), theirs + 3 < 20, "{theirs}");
    }
}

#[test]
fn a_thousand_rotations_keep_the_newest_versions_and_move_no_label_on_its_own() {
    for (keep, external_every) in [(3, 0), (5, 0), (10, 0), (5, 3), (10, 7)] {
        let want = keeping(keep);
        let mut world = labelled(labels(&[("AWSCURRENT", "v0")]));
        world.secret.as_mut().unwrap().labels.remove("AWSPREVIOUS");
        world.status.history = vec![recorded("v0")];
        let mut moves = 0;
        let mut order = vec![id("v0")];
        for n in 1..1000 {
            let version = id(&format!("v{n}"));
            let external = external_every > 0 && n % external_every == 0;
            if external {
                promoted(world.secret.as_mut().unwrap(), &version);
            } else {
                let current = Current { version: order[0].clone(), ..current(60) };
                while let Some(label) = label_before_write(&want, &world, &current) {
                    carry_out(&mut world, &label);
                    moves += 1;
                }
                let slot = retention::next(&want, &world, world.secret.as_ref().unwrap());
                let remote = world.secret.as_mut().unwrap();
                promoted(remote, &version);
                remote.labels.extend(slot.map(|slot| (slot.label, version.clone())));
            }
            world.journal = Journal::default();
            order.insert(0, version);
            order.truncate(10);
            let remote = world.secret.as_ref().unwrap();
            world.status.history = order.iter().map(|version| recorded(version.as_str())).collect();
            let kept: BTreeSet<VersionId> = retention::retained(remote).into_iter().collect();
            assert!(remote.labels.len() <= 13, "{:?}", remote.labels);
            if external_every == 0 && n > 20 {
                assert_eq!(kept, order.iter().take(usize::try_from(keep).unwrap()).cloned().collect(), "after {n}");
            }
        }
        if external_every == 0 {
            assert_eq!(moves, 1, "the first version only, once in the life of a secret");
        }
    }
}

#[test]
fn a_version_without_a_label_of_ours_gets_one_before_a_write_takes_awsprevious_from_it() {
    let mut world = labelled(labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "previous")]));
    world.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
    let label = Step::MoveLabel { label: "rotated-secrets/1".to_owned(), from: None, to: Some(id("previous")) };
    assert_eq!(step(&want(), &world), label);
    carry_out(&mut world, &label);
    assert!(matches!(step(&want(), &world), Step::Put { cause: Cause::Scheduled, .. }));
}

#[test]
fn labels_beyond_what_is_asked_for_go_and_others_stay() {
    let mut world = labelled(labels(&[
        ("AWSCURRENT", "current"),
        ("AWSPREVIOUS", "previous"),
        ("theirs", "a"),
        ("rotated-secrets/2", "previous"),
        ("rotated-secrets/7", "a"),
        ("rotated-secrets/07", "b"),
        ("rotated-secrets/x", "c"),
    ]));
    let mut steps = Vec::new();
    while let Next::Do(step) = plan(&keeping(0), &world, at(NOW)) {
        carry_out(&mut world, &step);
        steps.push(step);
        assert!(steps.len() < 5);
    }
    let gone = |label: &str, from: &str| Step::MoveLabel { label: label.to_owned(), from: Some(id(from)), to: None };
    assert_eq!(steps, [gone("rotated-secrets/2", "previous"), gone("rotated-secrets/7", "a")]);
}

#[test]
fn what_is_somebody_elses_gets_no_label() {
    let world = labelled(labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "previous"), ("rotated-secrets/9", "a")]));
    let mirror_only = Desired { value: None, ..pinned(Pin::Version(id("current"))) };
    assert!(matches!(plan(&mirror_only, &world, at(NOW)), Next::Rest(_)));
}

#[test]
fn a_pinned_mirror_goes_to_its_version_at_once_and_stays_while_aws_rotates() {
    let want = pinned(Pin::Version(id(OLD)));
    let mut world = labelled(labels(&[
        ("AWSCURRENT", "current"),
        ("AWSPREVIOUS", "previous"),
        ("rotated-secrets/1", "previous"),
        ("rotated-secrets/2", OLD),
    ]));
    assert_eq!(step(&want, &world), Step::ReplaceMirror { version: id(OLD), confirm: false });
    world.mirror = mirrored(OLD);
    assert!(rest(&want, &world).mirrored.is_none());
    world.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
    let write = step(&want, &world);
    assert!(matches!(&write, Step::Put { cause: Cause::Scheduled, .. }), "{write:?}");
    carry_out(&mut world, &write);
    assert!(rest(&want, &world).mirrored.is_none(), "the Secret stays");
    assert_eq!(world.secret.as_ref().unwrap().labels.get("rotated-secrets/2"), Some(&id(OLD)), "and AWS keeps what it holds");
    let unpinned = step(&super::want(), &world);
    assert!(
        matches!(&unpinned, Step::ReplaceMirror { version, .. } if *version == world.secret.as_ref().unwrap().current.as_ref().unwrap().version)
    );
}

#[test]
fn a_pinned_version_without_any_label_gets_one() {
    let want = pinned(Pin::Version(id(OLD)));
    let mut world = Observation { mirror: mirrored(OLD), ..seen() };
    let label = Step::MoveLabel { label: "rotated-secrets/2".to_owned(), from: None, to: Some(id(OLD)) };
    assert_eq!(step(&want, &world), label);
    carry_out(&mut world, &label);
    assert!(rest(&want, &world).mirrored.is_none());
}

#[test]
fn a_mirror_follows_a_label_with_the_same_care_as_awscurrent() {
    let want = pinned(Pin::Stage("canary".to_owned()));
    let mut world = seen();
    world.secret.as_mut().unwrap().labels.insert("canary".to_owned(), id(OLD));
    let old_look = rest(&want, &world);
    assert!(old_look.awaiting, "it may be an old state");
    let later = plan(&want, &world, at(NOW + 300));
    assert_eq!(later, Next::Do(Step::ReplaceMirror { version: id(OLD), confirm: true }));
    world.secret.as_mut().unwrap().last_changed = Some(at(NOW - 5));
    assert_eq!(step(&want, &world), Step::ReplaceMirror { version: id(OLD), confirm: false });
}

#[test]
fn a_pin_to_what_is_not_there_says_so_writes_nothing_and_stops_no_rotation() {
    for (want, missing) in [(pinned(Pin::Version(id(OLD))), true), (pinned(Pin::Stage("canary".to_owned())), false)] {
        let mut world = seen();
        if missing {
            super::missing(&mut world, OLD);
        }
        let refusal = rest(&want, &world).mirrored.unwrap();
        assert_eq!(refusal.reason, Reason::VersionNotFound);
        world.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
        assert!(matches!(step(&want, &world), Step::Put { cause: Cause::Scheduled, .. }));
        let held = Observation { mirror: MirrorState::Foreign, ..world };
        assert_eq!(rest(&want, &held).mirrored.unwrap().reason, Reason::SecretNotOwned);
        assert_eq!(rest(&want, &held).rotated.unwrap().reason, Reason::Overdue);
    }
}

#[test]
fn a_pinned_version_that_is_only_pending_is_not_mirrored_until_it_is_or_was_current() {
    let want = pinned(Pin::Version(id(OLD)));
    for value in [want.value.clone(), None] {
        for mirror in [MirrorState::Absent, mirrored("current"), mirrored(OLD)] {
            for pending in [Pending::Foreign(id(OLD)), Pending::Delegated(id(OLD))] {
                let want = Desired { value: value.clone(), ..want.clone() };
                let only = labels(&[("AWSCURRENT", "current"), ("AWSPENDING", OLD)]);
                let mut world = Observation { mirror: mirror.clone(), ..labelled(only) };
                world.secret.as_mut().unwrap().pending = pending;
                let refusal = rest(&want, &world).mirrored.unwrap();
                assert_eq!(refusal.reason, Reason::VersionNotFound);
                assert!(refusal.message.contains("AWSPENDING"), "{}", refusal.message);

                let mut also = world.clone();
                also.secret.as_mut().unwrap().labels.insert("theirs".to_owned(), id(OLD));
                let mut recorded_before = world;
                recorded_before.status.history.push(recorded(OLD));
                for world in [also, recorded_before] {
                    match plan(&want, &world, at(NOW)) {
                        Next::Do(Step::CreateMirror { version } | Step::ReplaceMirror { version, .. }) => assert_eq!(version, id(OLD)),
                        Next::Rest(rest) => assert!(mirror == mirrored(OLD) && rest.mirrored.is_none(), "{rest:?}"),
                        Next::Do(step) => panic!("does {step:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_pinned_version_that_aws_no_longer_has_is_kept_and_only_reported_if_the_secret_cannot_be_repaired() {
    let want = pinned(Pin::Version(id(OLD)));
    for (intact, reason) in [(true, None), (false, Some(Reason::VersionNotFound))] {
        let mirror = MirrorState::Ours { version: Some(id(OLD)), intact, written: Some(at(NOW - 50)), changed: None, revision: None };
        let mut world = Observation { mirror, ..seen() };
        super::missing(&mut world, OLD);
        assert_eq!(rest(&want, &world).mirrored.map(|refusal| refusal.reason), reason, "{intact}");
        world.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
        assert!(matches!(step(&want, &world), Step::Put { cause: Cause::Scheduled, .. }), "rotation goes on");
    }
}

#[test]
fn a_rollback_writes_the_older_value_as_a_version_that_follows_from_the_token() {
    let version = ids().rollback("t");
    for (to, expected) in [(RollbackTo::Previous, "previous"), (RollbackTo::Version(id(OLD)), OLD)] {
        let expected = rollback_step(&version, expected);
        assert_eq!(step(&asking(Some(to)), &seen()), expected);
    }
}

#[test]
fn a_rollback_is_carried_out_once_for_each_token() {
    let asked = asking(Some(RollbackTo::Previous));
    let version = ids().rollback("t");
    let mut acknowledged = seen();
    acknowledged.status.requests.rollback = Some(("t".to_owned(), None));
    let mut labelled = seen();
    labelled.secret.as_mut().unwrap().labels.insert("rotated-secrets/3".to_owned(), version.clone());
    let mut spent = seen();
    spent.status.unseen = Some((version, at(NOW - 1000)));
    for facts in [acknowledged, labelled, spent] {
        assert_eq!(rest(&asked, &facts).rollback_handled, Some(("t".to_owned(), None)));
        let again = Desired { rollback_request: Some(RollbackRequest { token: "u".to_owned(), to: Some(RollbackTo::Previous) }), ..want() };
        assert!(matches!(step(&again, &facts), Step::Put { cause: Cause::RolledBack, .. }));
    }
}

#[test]
fn a_rollback_that_cannot_be_carried_out_is_answered_and_writes_nothing() {
    let handled = |want: &Desired, seen: &Observation| rest(want, seen).rollback_handled.unwrap().1;
    assert_eq!(handled(&asking(None), &seen()), Some(RollbackRefusal::Malformed));
    let mut gone = seen();
    missing(&mut gone, OLD);
    let to_old = asking(Some(RollbackTo::Version(id(OLD))));
    assert_eq!(handled(&to_old, &gone), Some(RollbackRefusal::VersionNotFound));
    let mut pending = seen();
    pending.secret.as_mut().unwrap().labels.insert("AWSPENDING".to_owned(), id(OLD));
    assert_eq!(handled(&to_old, &pending), Some(RollbackRefusal::VersionPending), "it may never have been current");
    pending.status.history.push(recorded(OLD));
    assert!(matches!(step(&to_old, &pending), Step::Put { cause: Cause::RolledBack, .. }), "it was current before");
    let mut first = seen();
    first.secret.as_mut().unwrap().labels.remove("AWSPREVIOUS");
    assert_eq!(handled(&asking(Some(RollbackTo::Previous)), &first), Some(RollbackRefusal::NoPreviousVersion));
    let mut twice = seen();
    twice.status.history = vec![HistoryFact { cause: Cause::RolledBack, ..recorded("current") }];
    assert_eq!(handled(&asking(Some(RollbackTo::Previous)), &twice), Some(RollbackRefusal::AlreadyRolledBack));
    assert!(
        matches!(step(&asking(Some(RollbackTo::Version(id("previous")))), &twice), Step::Put { cause: Cause::RolledBack, .. }),
        "by its id it is meant"
    );
    twice.status.history = vec![HistoryFact { cause: Cause::RolledBack, ..recorded("previous") }];
    assert!(
        matches!(step(&asking(Some(RollbackTo::Previous)), &twice), Step::Put { cause: Cause::RolledBack, .. }),
        "another version came since"
    );
    assert_eq!(handled(&asking(Some(RollbackTo::Version(id("current")))), &seen()), None, "it is current");
    assert_eq!(handled(&Desired { value: None, ..asking(Some(RollbackTo::Previous)) }, &seen()), Some(RollbackRefusal::MirrorOnly));
    // A version that carries a label is there: this look was too early.
    gone.secret.as_mut().unwrap().labels.insert("theirs".to_owned(), id(OLD));
    let unsure = rest(&to_old, &gone);
    assert!(unsure.awaiting && unsure.rollback_handled.is_none());
}

#[test]
fn a_rollback_waits_for_what_a_rotation_waits_for() {
    let asked = asking(Some(RollbackTo::Previous));
    let remotes =
        [SecretState { rotation: foreign_rotation(), ..secret() }, SecretState { pending: Pending::Foreign(id("theirs")), ..secret() }];
    for facts in remotes
        .map(|remote| Observation { secret: Some(remote), ..seen() })
        .into_iter()
        .chain([Observation { mirror: MirrorState::Foreign, ..seen() }])
    {
        let waits = rest(&asked, &facts);
        assert!(waits.rollback_handled.is_none() && waits.rotated.is_some(), "{waits:?}");
    }
    let both = Desired { rotate_request: Some("r".to_owned()), ..asked };
    assert!(matches!(step(&both, &seen()), Step::Put { cause: Cause::RolledBack, .. }), "what is wrong goes first, then a new one is made");
}

#[test]
fn a_value_that_was_overtaken_in_an_earlier_life_is_given_back() {
    let ours = ids().slot(at(NOW));
    let mut facts = seen();
    facts.status.history = vec![recorded("current")];
    let remote = facts.secret.as_mut().unwrap();
    remote.current = Some(Current { version: ours.clone(), ..current(0) });
    relabelled(remote, "AWSPREVIOUS", id("theirs"));
    assert_eq!(step(&want(), &facts), Step::RestoreCurrent { to: id("theirs"), from: ours.clone() });

    let kept = |change: fn(&mut Observation), why: &str| {
        let mut facts = facts.clone();
        change(&mut facts);
        let next = plan(&want(), &facts, at(NOW));
        assert!(!matches!(next, Next::Do(Step::RestoreCurrent { .. })), "{why}: {next:?}");
    };
    kept(|facts| facts.mirror = mirrored("theirs"), "theirs was mirrored before ours was made on top of it");
    kept(|facts| facts.mirror = MirrorState::Absent, "nobody knows");
    kept(|facts| facts.status.history.insert(0, recorded(ids().slot(at(NOW)).as_str())), "it is reported");
    kept(|facts| facts.status.history.push(recorded("theirs")), "theirs was current before, and somebody went back");
    kept(|facts| facts.status.history.clear(), "the status was lost");
    kept(|facts| relabelled(facts.secret.as_mut().unwrap(), "AWSPREVIOUS", ids().creation()), "ours follows ours");
    kept(|facts| facts.secret.as_mut().unwrap().current.as_mut().unwrap().version = id("hand-made"), "what is current is not ours");
    let pinned = pinned(Pin::Version(id("current")));
    assert!(!matches!(plan(&pinned, &facts, at(NOW)), Next::Do(Step::RestoreCurrent { .. })), "a pinned mirror proves nothing");
}

fn rollback_step(version: &VersionId, of: &str) -> Step {
    Step::Put {
        version: version.clone(),
        source: Source::Copy { of: id(of) },
        predecessor: Some(id("current")),
        cause: Cause::RolledBack,
        stage: Stage::Current,
        label: Some("rotated-secrets/2".to_owned()),
    }
}

#[test]
fn a_pin_to_the_previous_version_is_the_current_one_until_a_version_has_been_replaced() {
    let want = pinned(Pin::Stage("AWSPREVIOUS".to_owned()));
    let only = || {
        let mut world = labelled(labels(&[("AWSCURRENT", "current"), ("rotated-secrets/1", "current"), ("AWSPENDING", "foreign")]));
        (world.mirror, world.status.history) = (MirrorState::Absent, vec![recorded("current")]);
        world
    };
    assert_eq!(step(&want, &only()), Step::CreateMirror { version: id("current") });
    let refused = |change: fn(&mut Observation)| {
        let mut world = only();
        change(&mut world);
        assert_eq!(rest(&want, &world).mirrored.unwrap().reason, Reason::VersionNotFound, "{world:?}");
    };
    refused(|world| world.status.history.push(recorded("previous")));
    refused(|world| relabelled(world.secret.as_mut().unwrap(), "rotated-secrets/2", id("previous")));
    let held = MirrorState::Ours { version: Some(id(OLD)), intact: true, written: Some(at(NOW - 50)), changed: None, revision: None };
    let mut world = only();
    world.mirror = held;
    assert_eq!(rest(&want, &world).mirrored.unwrap().reason, Reason::VersionNotFound, "the Secret stays as it is");
}

#[test]
fn a_pinned_version_keeps_a_label_also_if_no_versions_are_retained() {
    let want = Desired { keep_versions: 0, ..pinned(Pin::Version(id(OLD))) };
    let mut world = labelled(labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "previous")]));
    world.mirror = mirrored(OLD);
    let label = || "rotated-secrets/1".to_owned();
    assert_eq!(step(&want, &world), Step::MoveLabel { label: label(), from: None, to: Some(id(OLD)) });
    relabelled(world.secret.as_mut().unwrap(), &label(), id(OLD));
    assert!(matches!(plan(&want, &world, at(NOW)), Next::Rest(_)), "it stays there");
}
