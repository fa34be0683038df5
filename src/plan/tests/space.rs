//! The space of facts that the plan tells apart once name and finalizer are settled.

use itertools::iproduct;

use super::*;
use crate::api::Abandonment;
use crate::desired::{Delivery, Strategy};
use crate::facts::{DeclaredFacts, StagingFacts};

fn secrets() -> Vec<Option<SecretState>> {
    let ownerships = [Ownership::Ours, Ownership::Former, ANOTHER, Ownership::Nobody, Ownership::Adoptable];
    let ages = [None, Some(60), Some(PERIOD + 60), Some(PERIOD + 290), Some(PERIOD + 1700)];
    let pendings = [
        Pending::None,
        Pending::Current(id("current")),
        Pending::Foreign(id("foreign")),
        Pending::Ours(ids().request("staged"), Cause::Requested),
        Pending::Overtaken(ids().request("staged"), Cause::Requested),
    ];
    let flags = iproduct!([false, true], [false, true], [false, true], [NOW - 300, NOW - 5]);
    let all = iproduct!(ownerships, ages, pendings, flags).map(|(ownership, age, pending, (deleted, foreign, drifted, last_changed))| {
        let missing_tags = if drifted { BTreeMap::from([("a".to_owned(), "b".to_owned())]) } else { BTreeMap::new() };
        SecretState {
            ownership,
            deleted,
            current: age.map(current),
            pending,
            rotation: if foreign { foreign_rotation() } else { LambdaState::default() },
            drift: if drifted { Drift { missing_tags, description: true, ..all_differs() } } else { Drift::default() },
            replicas: if drifted { vec![in_sync("eu-west-1")] } else { Vec::new() },
            last_changed: Some(at(last_changed)),
            ..secret()
        }
    });
    let outdated = [Pending::None, Pending::Current(id("current")), Pending::Ours(ids().request("staged"), Cause::Requested)]
        .into_iter()
        .flat_map(|pending| [None, Some(60), Some(PERIOD + 60)].map(|age| (pending.clone(), age)))
        .map(|(pending, age)| SecretState { current: age.map(current), pending, outdated: Some(at(NOW + 60)), ..secret() });
    std::iter::once(None).chain(all.chain(outdated).map(Some)).collect()
}

fn mirrors() -> Vec<MirrorState> {
    let ours = iproduct!([None, Some("current"), Some("other")], [false, true], [None, Some(NOW - 200), Some(NOW - 50)]);
    let ours = ours.map(|(version, intact, written)| MirrorState::Ours {
        version: version.map(id),
        intact,
        written: written.map(at),
        changed: None,
        revision: None,
    });
    let dated = [NOW - 200, NOW - 5].map(|changed| MirrorState::Ours {
        version: Some(id("other")),
        intact: true,
        written: Some(at(NOW - 50)),
        changed: Some(at(changed)),
        revision: None,
    });
    let others = [MirrorState::Unwanted, MirrorState::Absent, MirrorState::Foreign, MirrorState::Adoptable];
    others.into_iter().chain(ours).chain(dated).collect()
}

fn wants() -> Vec<Desired> {
    let refused = Rotation::Refused(Refusal::new(Reason::IntervalTooShort, "too short"));
    // By the age of the value, the appointment in the window of half an hour lies ahead or behind, and the window of five
    // minutes is open or over.
    let rotations = [
        Rotation::Never,
        scheduled(false),
        scheduled(true),
        refused,
        on_clock(30, OnMissedWindow::RotateNow, false, false),
        on_clock(5, OnMissedWindow::NextWindow, false, false),
        on_clock(5, OnMissedWindow::NextWindow, true, false),
        on_clock(0, OnMissedWindow::RotateNow, false, true),
        on_clock(0, OnMissedWindow::RotateNow, true, true),
    ];
    let all = iproduct!(rotations, [None, Some("now")], [true, false]).map(|(rotation, request, owned)| Desired {
        value: owned.then(|| declared("admin")),
        description: Some("declared".to_owned()),
        rotation,
        rotate_request: request.map(str::to_owned),
        ..want()
    });
    let staged = iproduct!([scheduled(false), scheduled(true), Rotation::Never], [None, Some("now")]).map(|(rotation, request)| Desired {
        delivery: Delivery::Staged,
        strategy: Some(fixture::strategy()),
        description: Some("declared".to_owned()),
        rotation,
        rotate_request: request.map(str::to_owned),
        ..want()
    });
    let checked = staged.clone().filter(|want| want.rotate_request.is_none()).map(|want| {
        let check_interval = Some(SignedDuration::from_hours(1));
        Desired { strategy: Some(Strategy { check_interval, ..fixture::strategy() }), ..want }
    });
    all.chain(staged.clone()).chain(checked).collect()
}

/// What the status says: the declaration, and the history.
fn statuses() -> Vec<StatusFacts> {
    let table = [
        (None, vec![]),
        (Some("admin"), vec![]),
        (Some("other"), vec![]),
        (Some("admin"), vec![recorded("current")]),
        (Some("admin"), requested_thrice()),
    ];
    let adopting = (None, vec![adopted("current")]);
    let all = table.into_iter().chain([adopting]).map(|(reported, history)| StatusFacts {
        declared: DeclaredFacts { hash: reported.map(|name| declared(name).hash()), ..DeclaredFacts::default() },
        history,
        ..StatusFacts::default()
    });
    let pending = ids().request("staged");
    let announced = Some(announcement(pending.clone()));
    let abandoned = AbandonedFact { version: pending, time: at(NOW - 30), why: Abandonment::VerifyFailed };
    let staging = [Vec::new(), vec![abandoned]].map(|abandoned| StatusFacts {
        declared: DeclaredFacts { hash: Some(declared("admin").hash()), ..DeclaredFacts::default() },
        history: vec![recorded("current")],
        staging: StagingFacts { announced: announced.clone(), abandoned, met: Some(at(NOW - 30)) },
        ..StatusFacts::default()
    });
    all.chain(staging).collect()
}

/// What this reconcile did before: nothing, or it made the current version, or it wrote the mirror.
fn journals() -> Vec<Journal> {
    let applied = Effect::Applied { at: at(NOW) };
    let mut wrote = Journal::default();
    wrote.record(put("current", "previous"), applied.clone());
    let mut mirrored = Journal::default();
    mirrored.record(Step::ReplaceMirror { version: id("current"), confirm: false }, applied);
    vec![Journal::default(), wrote, mirrored]
}

/// Calls `check` with every combination, and counts them.
pub(super) fn every(mut check: impl FnMut(&Desired, &Observation)) -> u64 {
    let (secrets, mirrors, wants, statuses, journals) = (secrets(), mirrors(), wants(), statuses(), journals());
    let unmirrored: Vec<Desired> = wants.iter().map(|want| Desired { target: None, ..want.clone() }).collect();
    let mut count = 0;
    for (secret, mirror, status, journal) in iproduct!(&secrets, &mirrors, &statuses, &journals) {
        let mut seen =
            Observation { secret: secret.clone(), mirror: mirror.clone(), status: status.clone(), journal: journal.clone(), ..seen() };
        if !consistent(&seen) {
            continue;
        }
        for want in if *mirror == MirrorState::Unwanted { &unmirrored } else { &wants } {
            seen.check_due = want.strategy.as_ref().and_then(|strategy| strategy.check_interval).map(|_| at(NOW));
            seen.finalizer = want.needs_finalizer() || seen.status.staging.announced.is_some();
            if matters(want, &seen) {
                check(want, &seen);
                count += 1;
            }
        }
    }
    count
}

/// What a journal says was done is so.
fn consistent(seen: &Observation) -> bool {
    let current = seen.secret.as_ref().and_then(|secret| secret.current.as_ref());
    let staged = seen.secret.as_ref().is_some_and(|secret| matches!(secret.pending, Pending::Ours(..) | Pending::Overtaken(..)));
    if staged && current.is_none() || !staged && seen.status.staging != StagingFacts::default() {
        return false;
    }
    if seen.journal.written().is_some() {
        let new = current.is_some_and(|current| NOW - current.changed.as_second() == 60);
        return new && seen.secret.as_ref().is_some_and(|secret| secret.ownership == Ownership::Ours && !secret.deleted);
    }
    if seen.journal.mirror_written() {
        let held = matches!(&seen.mirror, MirrorState::Ours { version: Some(version), written: Some(written), .. }
            if *version == id("current") && *written == at(NOW - 50));
        return held && current.is_some();
    }
    true
}

/// A schedule with options is told apart only where a value of ours may rotate, and what only such a schedule tells apart
/// only there.
fn matters(want: &Desired, seen: &Observation) -> bool {
    let options = matches!(&want.rotation, Rotation::Scheduled { expression, immediately, .. } if *immediately || expression.contains(';'));
    let late = |current: &Current| NOW - current.changed.as_second() - PERIOD;
    let adoptable = |secret: &SecretState| matches!(secret.ownership, Ownership::Former | Ownership::Adoptable);
    // A secret that is about to be adopted is not mirrored before. The states of the mirror are told apart afterwards.
    let plain = match &seen.mirror {
        MirrorState::Ours { .. } => seen.mirror == mirrored("current"),
        _ => true,
    };
    if !plain && seen.secret.as_ref().is_some_and(adoptable) {
        return false;
    }
    if seen.status.staging.announced.is_some() && (!plain || options) {
        return false;
    }
    if seen.status.adopting().is_some() {
        return !options && seen.secret.as_ref().is_some_and(adoptable);
    }
    match seen.secret.as_ref().and_then(|secret| Some((secret, late(secret.current.as_ref()?)))) {
        _ if !options && seen.status.rotation_is_new() => false,
        Some((secret, _)) if options => want.value.is_some() && secret.ownership == Ownership::Ours && !secret.deleted,
        None if options => false,
        Some((_, late)) => late <= 60,
        None => true,
    }
}
