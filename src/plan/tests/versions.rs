//! Labels that keep versions, pins, rollbacks, and values that were overtaken in an earlier life.

use super::*;
use crate::api::RollbackRefusal;
use crate::desired::{RollbackRequest, RollbackTo};

const OLD: &str = "00000000-0000-0000-0000-000000000001";

fn pinned(pin: Pin) -> Desired {
    let mut want = want();
    want.target.as_mut().unwrap().pin = pin;
    want
}

fn keeping(count: u32) -> Desired {
    Desired { keep_versions: count, ..want() }
}

fn labelled(labels: BTreeMap<String, VersionId>) -> Observed {
    Observed { remote: Some(Remote { labels, ..remote() }), ..seen() }
}

fn asking(to: Option<RollbackTo>) -> Desired {
    Desired { rollback_request: Some(RollbackRequest { token: "t".to_owned(), to }), ..want() }
}

fn next(want: &Desired, seen: &Observed) -> Option<(String, Option<String>)> {
    let slot = retention::next(want, seen, seen.remote.as_ref().unwrap())?;
    Some((slot.label, slot.from.map(|from| from.to_string())))
}

fn step(want: &Desired, seen: &Observed) -> Step {
    match plan(want, seen, at(NOW)) {
        Next::Do(step) => step,
        Next::Rest(rest) => panic!("rests: {rest:?}"),
    }
}

fn rest(want: &Desired, seen: &Observed) -> Rest {
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
    world.reported.history = ["current", "previous", "a", "b"].map(id).to_vec();
    assert_eq!(next(&keeping(4), &world), some("rotated-secrets/3", Some("b")));
    world.reported.history = ["current", "previous", "b"].map(id).to_vec();
    assert_eq!(next(&keeping(4), &world), some("rotated-secrets/2", Some("a")), "older than all that the history knows");
    // The status was lost: the ring tells.
    world.reported.history.clear();
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
        world.remote.as_mut().unwrap().previous = None;
        world.reported.history = vec![id("v0")];
        let mut moves = 0;
        let mut order = vec![id("v0")];
        for n in 1..1000 {
            let version = id(&format!("v{n}"));
            let external = external_every > 0 && n % external_every == 0;
            if external {
                relabel(world.remote.as_mut().unwrap(), &version);
            } else {
                let current = Current { version: order[0].clone(), ..current(60) };
                while let Some(label) = retention::before_write(&want, &world, world.remote.as_ref().unwrap(), &current) {
                    carry_out(&want, &mut world, &label);
                    moves += 1;
                }
                let slot = retention::next(&want, &world, world.remote.as_ref().unwrap());
                let remote = world.remote.as_mut().unwrap();
                relabel(remote, &version);
                remote.labels.extend(slot.map(|slot| (slot.label, version.clone())));
            }
            order.insert(0, version);
            order.truncate(10);
            let remote = world.remote.as_mut().unwrap();
            remote.previous = remote.labels.get("AWSPREVIOUS").cloned();
            world.reported.history.clone_from(&order);
            let kept: BTreeSet<VersionId> = retention::kept(remote).into_iter().collect();
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
    world.remote.as_mut().unwrap().current = Some(current(PERIOD + 60));
    let label = Step::MoveLabel { label: "rotated-secrets/1".to_owned(), from: None, to: Some(id("previous")) };
    assert_eq!(step(&want(), &world), label);
    carry_out(&want(), &mut world, &label);
    assert!(matches!(step(&want(), &world), Step::Write { cause: Cause::Scheduled, .. }));
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
        carry_out(&want(), &mut world, &step);
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
    world.remote.as_mut().unwrap().current = Some(current(PERIOD + 60));
    let write = step(&want, &world);
    assert!(matches!(&write, Step::Write { cause: Cause::Scheduled, .. }), "{write:?}");
    carry_out(&want, &mut world, &write);
    assert!(rest(&want, &world).mirrored.is_none(), "the Secret stays");
    assert_eq!(world.remote.as_ref().unwrap().labels.get("rotated-secrets/2"), Some(&id(OLD)), "and AWS keeps what it holds");
    let unpinned = step(&super::want(), &world);
    assert!(
        matches!(&unpinned, Step::ReplaceMirror { version, .. } if *version == world.remote.as_ref().unwrap().current.as_ref().unwrap().version)
    );
}

#[test]
fn a_pinned_version_without_any_label_gets_one() {
    let want = pinned(Pin::Version(id(OLD)));
    let mut world = Observed { mirror: mirrored(OLD), ..seen() };
    let label = Step::MoveLabel { label: "rotated-secrets/2".to_owned(), from: None, to: Some(id(OLD)) };
    assert_eq!(step(&want, &world), label);
    carry_out(&want, &mut world, &label);
    assert!(rest(&want, &world).mirrored.is_none());
}

#[test]
fn a_mirror_follows_a_label_with_the_same_care_as_awscurrent() {
    let want = pinned(Pin::Stage("canary".to_owned()));
    let mut world = seen();
    world.remote.as_mut().unwrap().labels.insert("canary".to_owned(), id(OLD));
    let old_look = rest(&want, &world);
    assert!(old_look.unsettled, "it may be an old state");
    let later = plan(&want, &world, at(NOW + 300));
    assert_eq!(later, Next::Do(Step::ReplaceMirror { version: id(OLD), confirm: true }));
    world.remote.as_mut().unwrap().last_changed = Some(at(NOW - 5));
    assert_eq!(step(&want, &world), Step::ReplaceMirror { version: id(OLD), confirm: false });
}

#[test]
fn a_pin_to_what_is_not_there_says_so_writes_nothing_and_stops_no_rotation() {
    for (want, missing) in [(pinned(Pin::Version(id(OLD))), true), (pinned(Pin::Stage("canary".to_owned())), false)] {
        let mut world = seen();
        world.missing.extend(missing.then(|| id(OLD)));
        let refusal = rest(&want, &world).mirrored.unwrap();
        assert_eq!(refusal.reason, Reason::VersionNotFound);
        world.remote.as_mut().unwrap().current = Some(current(PERIOD + 60));
        assert!(matches!(step(&want, &world), Step::Write { cause: Cause::Scheduled, .. }));
        let held = Observed { mirror: Mirror::Foreign, ..world };
        assert_eq!(rest(&want, &held).mirrored.unwrap().reason, Reason::SecretNotOwned);
        assert_eq!(rest(&want, &held).rotated.unwrap().reason, Reason::Overdue);
    }
}

#[test]
fn a_rollback_writes_the_older_value_as_a_version_that_follows_from_the_token() {
    let version = ids().rollback("t");
    for (to, expected) in [(RollbackTo::Previous, "previous"), (RollbackTo::Version(id(OLD)), OLD)] {
        let expected = Step::RollBack { version: version.clone(), to: id(expected), predecessor: id("current") };
        assert_eq!(step(&asking(Some(to)), &seen()), expected);
    }
}

#[test]
fn a_rollback_is_carried_out_once_for_each_token() {
    let asked = asking(Some(RollbackTo::Previous));
    let version = ids().rollback("t");
    let mut acknowledged = seen();
    acknowledged.reported.rollback_handled = Some(("t".to_owned(), None));
    let mut labelled = seen();
    labelled.remote.as_mut().unwrap().labels.insert("rotated-secrets/3".to_owned(), version.clone());
    let mut spent = seen();
    spent.spent.insert(version, at(NOW - 1000));
    for facts in [acknowledged, labelled, spent] {
        assert_eq!(rest(&asked, &facts).rollback_handled, Some(("t".to_owned(), None)));
        let again = Desired { rollback_request: Some(RollbackRequest { token: "u".to_owned(), to: Some(RollbackTo::Previous) }), ..want() };
        assert!(matches!(step(&again, &facts), Step::RollBack { .. }));
    }
}

#[test]
fn a_rollback_that_cannot_be_carried_out_is_answered_and_writes_nothing() {
    let handled = |want: &Desired, seen: &Observed| rest(want, seen).rollback_handled.unwrap().1;
    assert_eq!(handled(&asking(None), &seen()), Some(RollbackRefusal::Malformed));
    let mut gone = seen();
    gone.missing.insert(id(OLD));
    let to_old = asking(Some(RollbackTo::Version(id(OLD))));
    assert_eq!(handled(&to_old, &gone), Some(RollbackRefusal::VersionNotFound));
    let mut first = seen();
    first.remote.as_mut().unwrap().previous = None;
    assert_eq!(handled(&asking(Some(RollbackTo::Previous)), &first), Some(RollbackRefusal::NoPreviousVersion));
    let mut twice = seen();
    twice.reported.rolled_back = Some(id("current"));
    assert_eq!(handled(&asking(Some(RollbackTo::Previous)), &twice), Some(RollbackRefusal::AlreadyRolledBack));
    assert!(matches!(step(&asking(Some(RollbackTo::Version(id("previous")))), &twice), Step::RollBack { .. }), "by its id it is meant");
    twice.reported.rolled_back = Some(id("previous"));
    assert!(matches!(step(&asking(Some(RollbackTo::Previous)), &twice), Step::RollBack { .. }), "another version came since");
    assert_eq!(handled(&asking(Some(RollbackTo::Version(id("current")))), &seen()), None, "it is current");
    assert_eq!(handled(&Desired { value: None, ..asking(Some(RollbackTo::Previous)) }, &seen()), Some(RollbackRefusal::MirrorOnly));
    // A version that carries a label is there: this look was too early.
    gone.remote.as_mut().unwrap().labels.insert("theirs".to_owned(), id(OLD));
    let unsure = rest(&to_old, &gone);
    assert!(unsure.unsettled && unsure.rollback_handled.is_none());
}

#[test]
fn a_rollback_waits_for_what_a_rotation_waits_for() {
    let asked = asking(Some(RollbackTo::Previous));
    let remotes = [Remote { foreign_rotation: true, ..remote() }, Remote { pending: Some(id("theirs")), ..remote() }];
    for facts in remotes
        .map(|remote| Observed { remote: Some(remote), ..seen() })
        .into_iter()
        .chain([Observed { mirror: Mirror::Foreign, ..seen() }])
    {
        let waits = rest(&asked, &facts);
        assert!(waits.rollback_handled.is_none() && waits.rotated.is_some(), "{waits:?}");
    }
    let both = Desired { rotate_request: Some("r".to_owned()), ..asked };
    assert!(matches!(step(&both, &seen()), Step::RollBack { .. }), "what is wrong goes first, then a new one is made");
}

#[test]
fn a_value_that_was_overtaken_in_an_earlier_life_is_given_back() {
    let ours = ids().slot(at(NOW));
    let mut facts = seen();
    facts.reported.history = vec![id("current")];
    let remote = facts.remote.as_mut().unwrap();
    remote.current = Some(Current { version: ours.clone(), ..current(0) });
    remote.previous = Some(id("theirs"));
    assert_eq!(step(&want(), &facts), Step::RestoreCurrent { to: id("theirs"), from: ours.clone() });

    let kept = |change: fn(&mut Observed), why: &str| {
        let mut facts = facts.clone();
        change(&mut facts);
        let next = plan(&want(), &facts, at(NOW));
        assert!(!matches!(next, Next::Do(Step::RestoreCurrent { .. })), "{why}: {next:?}");
    };
    kept(|facts| facts.mirror = mirrored("theirs"), "theirs was mirrored before ours was made on top of it");
    kept(|facts| facts.mirror = Mirror::Absent, "nobody knows");
    kept(|facts| facts.reported.history.insert(0, ids().slot(at(NOW))), "it is reported");
    kept(|facts| facts.reported.history.push(id("theirs")), "theirs was current before, and somebody went back");
    kept(|facts| facts.reported.history.clear(), "the status was lost");
    kept(|facts| facts.remote.as_mut().unwrap().previous = Some(ids().creation()), "ours follows ours");
    kept(|facts| facts.remote.as_mut().unwrap().current.as_mut().unwrap().version = id("hand-made"), "what is current is not ours");
    let pinned = pinned(Pin::Version(id("current")));
    assert!(!matches!(plan(&pinned, &facts, at(NOW)), Next::Do(Step::RestoreCurrent { .. })), "a pinned mirror proves nothing");
}

/// Every combination of what versions add to the facts.
#[test]
fn no_combination_of_labels_pins_and_rollbacks_breaks_a_rule() {
    let mut count = 0_u32;
    let holders = ["current", "previous", OLD];
    let pins = [
        Pin::Current,
        Pin::Stage("AWSPREVIOUS".to_owned()),
        Pin::Stage("theirs".to_owned()),
        Pin::Version(id(OLD)),
        Pin::Version(id("current")),
    ];
    let asked = [
        None,
        Some(None),
        Some(Some(RollbackTo::Previous)),
        Some(Some(RollbackTo::Version(id(OLD)))),
        Some(Some(RollbackTo::Version(id("current")))),
    ];
    let mirrors = [Mirror::Unwanted, Mirror::Absent, Mirror::Foreign, mirrored("current"), mirrored(OLD)];
    for labels_of_ours in 0..32_u32 {
        // Two bits for each of two labels: on none, or on one of three versions. One bit for the third.
        let ours = (0..2).filter_map(|n| {
            let holder = usize::try_from(labels_of_ours >> (2 * n) & 3).unwrap();
            Some((format!("rotated-secrets/{}", n + 1), id(holders.get(holder.checked_sub(1)?)?)))
        });
        let mut all = labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "previous"), ("theirs", OLD)]);
        all.extend(ours);
        all.extend((labels_of_ours >= 16).then(|| ("rotated-secrets/3".to_owned(), id("older"))));
        for pin in &pins {
            for request in &asked {
                for mirror in &mirrors {
                    for (keep, missing, age, owned, pending) in [
                        (3, false, 60, true, None),
                        (3, true, 60, true, None),
                        (0, false, PERIOD + 60, true, None),
                        (3, false, PERIOD + 60, true, None),
                        (3, true, PERIOD + 60, true, Some("foreign")),
                        (3, false, 60, false, None),
                    ] {
                        let rollback_request = request.clone().map(|to| RollbackRequest { token: "t".to_owned(), to });
                        let mut want = Desired { keep_versions: keep, rollback_request, ..pinned(pin.clone()) };
                        if !owned {
                            want.value = None;
                        }
                        if *mirror == Mirror::Unwanted {
                            want.target = None;
                        }
                        let mut world = labelled(all.clone());
                        world.mirror = mirror.clone();
                        world.missing.extend(missing.then(|| id(OLD)));
                        let remote = world.remote.as_mut().unwrap();
                        remote.current = Some(current(age));
                        remote.pending = pending.map(id);
                        live(&want, &mut world);
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 20_000, "{count}");
}

/// Carries out what is planned, turn after turn, until nothing is left, under the rules.
fn live(want: &Desired, world: &mut Observed) {
    let pin = want.target.as_ref().map_or(&Pin::Current, |target| &target.pin);
    let start = world.clone();
    let facts = |world: &Observed| format!("from {start:?}\nto {world:?}\n{want:?}");
    let (mut written, mut turns) = (0, 0);
    for _ in 0..40 {
        match plan(want, world, at(NOW)) {
            Next::Rest(rest) => {
                if turns == 3 {
                    break;
                }
                turns += 1;
                // The report, and a new turn.
                if let (Some(handled), false) = (rest.rollback_handled, rest.unsettled) {
                    world.reported.rollback_handled = Some(handled);
                }
                world.wrote = None;
                world.mirror_written = false;
            }
            Next::Do(step) => {
                let before = world.clone();
                carry_out(want, world, &step);
                match &step {
                    Step::Write { version, .. } | Step::RollBack { version, .. } => {
                        written += 1;
                        world.wrote = Some((version.clone(), before.remote.as_ref().unwrap().current.as_ref().unwrap().version.clone()));
                        assert!(want.value.is_some(), "{}", facts(world));
                        assert!(before.remote.as_ref().unwrap().pending.is_none(), "{}", facts(world));
                    }
                    Step::MoveLabel { from, .. } => {
                        assert!(want.value.is_some(), "what is not ours gets no label: {}", facts(world));
                        let protected =
                            |version: &VersionId| *version == id("current") || matches!(pin, Pin::Version(pinned) if pinned == version);
                        let surplus = want.keep_versions == 0;
                        assert!(surplus || !from.as_ref().is_some_and(protected) || written > 0, "{step:?} {}", facts(world));
                    }
                    _ => {}
                }
                let ours = world.remote.as_ref().unwrap().labels.keys().filter(|label| label.starts_with("rotated-secrets/")).count();
                assert!(ours <= 3, "{}", facts(world));
            }
        }
    }
    assert!(matches!(plan(want, world, at(NOW)), Next::Rest(_)), "it comes to rest: {}", facts(world));
    assert!(written <= 2, "one rollback and one rotation at most: {}", facts(world));
    if let (Pin::Version(pinned), Mirror::Ours { version: Some(held), .. }) = (pin, &world.mirror)
        && !world.missing.contains(pinned)
    {
        assert_eq!(held, pinned, "{}", facts(world));
    }
}
