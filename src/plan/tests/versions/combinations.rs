//! Every combination of labels, pins and rollbacks, executed until no step is left.

use super::*;

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
        Pin::Version(id("foreign")),
    ];
    let asked = [
        None,
        Some(None),
        Some(Some(RollbackTo::Previous)),
        Some(Some(RollbackTo::Version(id(OLD)))),
        Some(Some(RollbackTo::Version(id("current")))),
        Some(Some(RollbackTo::Version(id("foreign")))),
    ];
    let mirrors = [MirrorState::Unwanted, MirrorState::Absent, MirrorState::Foreign, mirrored("current"), mirrored(OLD)];
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
                        if *mirror == MirrorState::Unwanted {
                            want.target = None;
                        }
                        let mut world = labelled(all.clone());
                        world.mirror = mirror.clone();
                        if missing {
                            super::super::missing(&mut world, OLD);
                        }
                        let remote = world.secret.as_mut().unwrap();
                        remote.current = Some(current(age));
                        remote.pending = pending.map_or(Pending::None, |pending| Pending::Foreign(id(pending)));
                        remote.labels.extend(pending.map(|pending| ("AWSPENDING".to_owned(), id(pending))));
                        live(&want, &mut world);
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 20_000, "{count}");
}

/// Carries out what is planned, reconcile after reconcile, until nothing is left, under the rules.
fn live(want: &Desired, world: &mut Observation) {
    let pin = want.target.as_ref().map_or(&Pin::Current, |target| &target.pin);
    let start = world.clone();
    let facts = |world: &Observation| format!("from {start:?}\nto {world:?}\n{want:?}");
    let (mut written, mut reconciles) = (0, 0);
    let missing = |world: &Observation| matches!(pin, Pin::Version(pinned) if world.journal.missing(pinned));
    let mut gone = missing(world);
    for _ in 0..40 {
        match plan(want, world, at(NOW)) {
            Next::Rest(rest) => {
                reconciles += 1;
                end_reconcile(want, world, &rest);
                if gone {
                    super::super::missing(world, OLD);
                }
                if reconciles == 4 {
                    break;
                }
            }
            Next::Do(step) => {
                let before = world.clone();
                assert!(!takes(&step).is_some_and(|version| only_pending(world, version)), "{step:?} {}", facts(world));
                carry_out(world, &step);
                gone |= missing(world);
                match &step {
                    Step::Put { .. } => {
                        written += 1;
                        assert!(want.value.is_some(), "{}", facts(world));
                        assert_eq!(before.secret.as_ref().unwrap().pending, Pending::None, "{}", facts(world));
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
                let ours = world.secret.as_ref().unwrap().labels.keys().filter(|label| label.starts_with("rotated-secrets/")).count();
                assert!(ours <= 3, "{}", facts(world));
            }
        }
    }
    assert!(matches!(plan(want, world, at(NOW)), Next::Rest(_)), "it comes to rest: {}", facts(world));
    assert!(written <= 2, "one rollback and one rotation at most: {}", facts(world));
    if let (Pin::Version(pinned), MirrorState::Ours { version: Some(held), .. }) = (pin, &world.mirror)
        && !gone
        && !only_pending(world, pinned)
    {
        assert_eq!(held, pinned, "{}", facts(world));
    }
}

/// The version whose value a step takes, for the Secret or for a new version.
fn takes(step: &Step) -> Option<&VersionId> {
    match step {
        Step::Put { source: Source::Copy { of }, .. } => Some(of),
        Step::CreateMirror { version } | Step::ReplaceMirror { version, .. } | Step::AdoptMirror { version } => Some(version),
        _ => None,
    }
}

/// Whether no other label than AWSPENDING is on the version.
fn only_pending(world: &Observation, version: &VersionId) -> bool {
    let labels = &world.secret.as_ref().unwrap().labels;
    labels.get("AWSPENDING") == Some(version) && labels.values().filter(|holder| *holder == version).count() == 1
}
