//! Rules for every combination of facts.

use super::*;

pub(super) fn check_step(want: &Desired, seen: &Observation, step: &Step, facts: &dyn Fn() -> String) {
    let mirror_step = matches!(step, Step::CreateMirror { .. } | Step::ReplaceMirror { .. } | Step::AdoptMirror { .. });
    match &seen.secret {
        None => {
            assert!(matches!(step, Step::Create { version } if *version == ids().creation()), "{}", facts());
            assert!(want.strategy.is_none(), "a target accepts no value that was just made: {}", facts());
        }
        Some(remote) => {
            if *step == Step::Restore {
                assert!(remote.deleted, "{}", facts());
                assert!(matches!(remote.ownership, Ownership::Ours | Ownership::Former), "only ours is restored: {}", facts());
            } else {
                assert!(!remote.deleted, "a secret that is scheduled for deletion is left alone: {}", facts());
            }
            if let Step::Adopt { .. } = step {
                assert!(matches!(remote.ownership, Ownership::Former | Ownership::Adoptable), "{}", facts());
                let said = remote.current.is_none() || seen.status.adopting().is_some();
                assert!(said, "the status says so before the tags do: {}", facts());
                assert!(remote.ownership == Ownership::Former || !remote.rotation.foreign, "AWS rotates it: {}", facts());
            } else if *step != Step::Restore {
                assert!(want.value.is_none() || remote.ownership == Ownership::Ours, "what is not ours is not written: {}", facts());
            }
            assert!(!matches!(step, Step::Create { .. }), "{}", facts());
            let decided = mirror_step || StepKind::from(step).makes_version();
            let relabels = matches!(step, Step::MoveLabel { .. } | Step::Settle { .. } | Step::RestoreCurrent { .. });
            assert!(remote.outdated.is_none() || !(decided || relabels), "an old state decides nothing: {}", facts());
            if let Step::Apply { version, .. } | Step::Verify { version } = step {
                assert!(want.strategy.is_some(), "there is a target: {}", facts());
                assert!(matches!(&remote.pending, Pending::Ours(staged, _) if staged == version), "AWS has it first: {}", facts());
            }
            if let Step::Check { version } = step {
                assert!(seen.check_due.is_some_and(|due| due <= at(NOW)), "the interval has passed: {}", facts());
                assert_eq!(Some(version), remote.current.as_ref().map(|current| &current.version), "{}", facts());
                let staged = matches!(remote.pending, Pending::Ours(..));
                let suspended = matches!(want.rotation, Rotation::Scheduled { suspended: true, .. });
                let held =
                    want.target.is_none() || matches!(&seen.mirror, MirrorState::Ours { version: Some(held), .. } if held == version);
                assert!(!staged && !suspended && held && remote.ownership == Ownership::Ours, "{}", facts());
                assert!(remote.outdated.is_none() && want.strategy.is_some(), "{}", facts());
            }
            check_staging(want, seen, remote, step, facts);
            if let Step::Put { stage, .. } = step {
                assert_eq!(*stage == Stage::Pending, want.strategy.is_some(), "{}", facts());
            }
            if let Step::Put { version, predecessor, cause, .. } = step {
                assert_eq!(*predecessor, remote.current.as_ref().map(|c| c.version.clone()), "{}", facts());
                assert!(!remote.rotation.foreign, "AWS rotates it: {}", facts());
                assert!(remote.pending.in_progress().is_none(), "a rotation in progress is not abandoned: {}", facts());
                if predecessor.is_some() {
                    let delivered = match &seen.mirror {
                        MirrorState::Unwanted => true,
                        MirrorState::Ours { version, intact, .. } => *version == *predecessor && (*intact || seen.journal.mirror_written()),
                        MirrorState::Absent | MirrorState::Surplus | MirrorState::Foreign | MirrorState::Adoptable => false,
                    };
                    assert!(delivered, "the current version is mirrored before a new one is made: {}", facts());
                }
                assert!(*cause != Cause::Requested || seen.status.history != requested_thrice(), "it waits for ten minutes: {}", facts());
                if *cause == Cause::Scheduled {
                    assert!(due(want, seen, remote.current.as_ref().unwrap(), version), "{}", facts());
                }
            }
        }
    }
    let abandons = matches!(step, Step::Abandon { .. });
    assert!(want.value.is_some() || mirror_step || abandons, "a secret of another owner is only mirrored: {}", facts());
    assert!(seen.mirror != MirrorState::Foreign || !mirror_step, "a foreign Secret is left alone: {}", facts());
    let adopts = matches!(step, Step::AdoptMirror { .. });
    assert!((seen.mirror == MirrorState::Adoptable) == adopts || !mirror_step, "{}", facts());
    assert!(
        seen.mirror != MirrorState::Foreign || !matches!(step, Step::Create { .. } | Step::Put { predecessor: Some(_), .. }),
        "{}",
        facts()
    );
    if let Step::CreateMirror { version } | Step::ReplaceMirror { version, .. } | Step::AdoptMirror { version } = step {
        let remote = seen.secret.as_ref().unwrap();
        assert_eq!(Some(version), remote.current.as_ref().map(|c| &c.version), "only what is current is mirrored: {}", facts());
        if let (MirrorState::Ours { version: Some(held), written: Some(written), changed, .. }, Step::ReplaceMirror { confirm: false, .. }) =
            (&seen.mirror, step)
            && held != version
        {
            let ours = seen.journal.written().is_some_and(|wrote| wrote.version == version);
            assert!(ours || remote.last_changed.unwrap() > changed.unwrap_or(*written), "backwards only after a second read: {}", facts());
        }
    }
}

/// A version on its way to a target.
fn check_staging(want: &Desired, seen: &Observation, remote: &SecretState, step: &Step, facts: &dyn Fn() -> String) {
    if let Step::Put { stage: Stage::Pending, version, .. } | Step::Apply { version, .. } | Step::Verify { version } = step {
        let target = want.strategy.as_ref().map(crate::desired::Strategy::record);
        let from = remote.current.as_ref().map(|current| current.version.clone());
        let recorded = seen.status.staging.announced.as_ref().is_some_and(|recorded| {
            let follows = recorded.from == from || !matches!(step, Step::Put { .. });
            recorded.version == *version && recorded.target == target && follows
        });
        assert!(recorded, "the version, its target and its predecessor are recorded first: {}", facts());
    }
    if let Step::Put { version, .. } = step {
        let hidden = seen.hidden(at(NOW)).is_some_and(|(hidden, _)| hidden != version);
        assert!(!hidden, "a version that the target may have keeps its labels: {}", facts());
    }
    if let Step::Abandon { version, .. } = step {
        assert!(seen.status.staging.abandoned(version).is_some(), "the decision is recorded first: {}", facts());
        let known = want.strategy.is_some() || seen.status.staging.target_of(version).is_some();
        assert!(known, "the target is known: {}", facts());
    }
    if let Step::Put { version, .. } | Step::Apply { version, .. } | Step::Promote { version, .. } = step {
        assert!(seen.status.staging.abandoned(version).is_none(), "it does not come back: {}", facts());
    }
    if let Step::Promote { version, from } = step {
        let verified = seen.journal.carried_out(&Step::Verify { version: version.clone() });
        assert!(want.strategy.is_none() || verified, "nothing is promoted that was not seen to work: {}", facts());
        assert_eq!(Some(from), remote.current.as_ref().map(|current| &current.version), "{}", facts());
    }
}

/// Whether the clock asks for this version now.
fn due(want: &Desired, seen: &Observation, current: &Current, version: &VersionId) -> bool {
    let Rotation::Scheduled { suspended: false, expression, immediately, .. } = &want.rotation else { return false };
    if *immediately && seen.status.rotation_is_new() {
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

pub(super) fn check_rest(want: &Desired, seen: &Observation, rest: &Rest, facts: &dyn Fn() -> String) {
    let outdated = seen.secret.as_ref().is_some_and(|remote| remote.outdated.is_some());
    assert!(!outdated || rest.awaiting, "an old state is not reported: {}", facts());
    let fine = rest.provisioned.is_none()
        && rest.settings.is_none()
        && rest.mirrored.is_none()
        && rest.rotated.is_none()
        && !rest.awaiting
        && !rest.suspended;
    if fine {
        let remote = seen.secret.as_ref().unwrap_or_else(|| panic!("nothing is fine without a secret: {}", facts()));
        let current = remote.current.as_ref().unwrap_or_else(|| panic!("nor without a value: {}", facts()));
        let held = match &seen.mirror {
            MirrorState::Unwanted => want.target.is_none(),
            // A write that changed nothing, because another manager claims fields, is reported as confirmed.
            MirrorState::Ours { version, intact, .. } => {
                version.as_ref() == Some(&current.version) && (*intact || seen.journal.mirror_written())
            }
            MirrorState::Absent | MirrorState::Surplus | MirrorState::Foreign | MirrorState::Adoptable => false,
        };
        assert!(held, "Ready is never a lie: {}", facts());
        if let (Rotation::Scheduled { suspended: false, .. }, Some(_)) = (&want.rotation, &want.value) {
            let followed = rest.wake == Some(at(NOW));
            assert!(followed || rest.next_rotation.is_some_and(|next| next > at(NOW)), "nothing due is left undone: {}", facts());
        }
    }
    let suspended = matches!(want.rotation, Rotation::Scheduled { suspended: true, .. });
    let staged = seen.secret.as_ref().is_some_and(|remote| matches!(remote.pending, Pending::Ours(..)));
    if fine && !suspended && !staged && rest.wake != Some(at(NOW)) {
        assert!(seen.check_due.is_none_or(|due| due > at(NOW)), "no check is left undone: {}", facts());
    }
    if let Some(until) = rest.held_until {
        assert!(want.rotate_request.is_some() && rest.rotate_handled.is_none(), "only an open request waits: {}", facts());
        assert_eq!(seen.status.history, requested_thrice(), "{}", facts());
        assert!(until > at(NOW) && rest.wake.is_some_and(|wake| wake <= until), "it is carried out then: {}", facts());
    }
    assert!(
        fine || rest.awaiting || [&rest.provisioned, &rest.settings, &rest.mirrored, &rest.rotated].iter().any(|refusal| refusal.is_some()),
        "{}",
        facts()
    );
}
