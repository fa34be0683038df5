use std::collections::BTreeMap;

use super::*;
use crate::api::{Abandonment, Cause, HistoryEntry, Outcome, RotatedSecret};
use crate::compare::{Current, Drift, LambdaState, MirrorState, Ownership};
use crate::desired::{Rotation, fixture};
use crate::facts::{Access, Charged, Claims, Place, StatusFacts};
use crate::failure::Failed;
use crate::journal::{Effect, Journal};
use crate::refusal::Refusal;
use crate::status::{abandoned, event_notes, read, recorded};

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(name: &str) -> VersionId {
    VersionId::from(name)
}

fn want() -> Desired {
    Desired { strategy: Some(fixture::strategy()), ..fixture::desired(Rotation::Never) }
}

fn secret(pending: Pending) -> SecretState {
    SecretState {
        arn: "arn".to_owned(),
        ownership: Ownership::Ours,
        deleted: false,
        labels: BTreeMap::new(),
        current: None,
        pending,
        rotation: LambdaState::default(),
        drift: Drift::default(),
        replicas: Vec::new(),
        manager: None,
        last_changed: None,
        outdated: None,
    }
}

fn seen(pending: Pending, journal: Journal) -> Observation {
    Observation {
        access: Access::default(),
        finalizer: true,
        extras: crate::compare::Extras::default(),
        place: Place::AsConfigured,
        secret: Some(secret(pending)),
        mirror: MirrorState::Unwanted,
        claims: Claims::default(),
        status: StatusFacts::default(),
        journal,
        charged: Charged::default(),
        check_due: None,
        workloads: None,
    }
}

/// The status after a report.
fn reported(want: &Desired, before: &RotatedSecretStatus, seen: &Observation, news: Option<StagingNews>, now: i64) -> RotatedSecretStatus {
    let mut after = before.clone();
    let examined = Examined { staging: news, ..Examined::default() };
    report(&mut after, before, want, seen, seen.secret.as_ref().unwrap(), &examined, at(now));
    after
}

fn ours() -> Pending {
    Pending::Ours(id("v"), Cause::Requested)
}

/// What the next reconcile reads.
fn facts(status: &RotatedSecretStatus) -> StatusFacts {
    let mut object = RotatedSecret::new("db-admin", serde_json::from_value(serde_json::json!({})).unwrap());
    object.status = Some(status.clone());
    read(&object, at(NOW + 60))
}

#[test]
fn a_version_is_recorded_with_its_target_until_it_is_no_longer_staged() {
    let (want, none) = (want(), RotatedSecretStatus::default());
    let announced = reported(&want, &none, &seen(Pending::None, Journal::default()), Some(StagingNews::Announced(id("v"))), NOW);
    let recorded = announced.staged.clone().unwrap();
    assert_eq!((recorded.version_id.as_str(), recorded.step, recorded.since.0), ("v", StagedStep::Stage, at(NOW)));
    assert_eq!(recorded.target(), Some(fixture::strategy().record()));
    assert_eq!(facts(&announced).staging.target_of(&id("v")), recorded.target().as_ref());
    // The target is remembered also if the spec no longer names it.
    let without = Desired { strategy: None, ..want.clone() };
    let staged = reported(&without, &announced, &seen(ours(), Journal::default()), None, NOW + 60);
    let later = staged.staged.clone().unwrap();
    assert_eq!((later.step, later.since.0, later.target()), (StagedStep::Apply, at(NOW), recorded.target()));
    let settled = reported(&want, &staged, &seen(Pending::None, Journal::default()), None, NOW + 60);
    assert_eq!(settled.staged, None);
    assert_eq!(reported(&want, &none, &seen(Pending::Foreign(id("v")), Journal::default()), None, NOW).staged, None);
}

#[test]
fn the_record_stays_while_aws_may_hide_the_version_and_says_what_was_current() {
    let (want, none) = (want(), RotatedSecretStatus::default());
    let with_current = |version: &str, pending: Pending| {
        let mut seen = seen(pending, Journal::default());
        let current = Current { version: id(version), changed: at(NOW - 60), schedule_base: at(NOW - 60), matches: None };
        seen.secret.as_mut().unwrap().current = Some(current);
        seen
    };
    let news = || Some(StagingNews::Announced(id("v")));
    let announced = reported(&want, &none, &with_current("one", Pending::None), news(), NOW);
    let from = |status: &RotatedSecretStatus| status.staged.as_ref().and_then(|staged| staged.from.clone());
    assert_eq!(from(&announced).as_deref(), Some("one"));
    // Another version became current, and this one is announced again or was staged before.
    let again = reported(&want, &announced, &with_current("two", Pending::None), news(), NOW + 9);
    assert_eq!((from(&again).as_deref(), again.staged.unwrap().since.0), (Some("two"), at(NOW + 9)));
    let staged = reported(&want, &announced, &with_current("two", ours()), None, NOW + 9);
    assert_eq!((from(&staged).as_deref(), staged.staged.unwrap().since.0), (Some("one"), at(NOW)));
    // AWS does not show it.
    for (met, kept) in [(Some(NOW), true), (Some(NOW - 290), true), (Some(NOW - 300), false), (None, false)] {
        let mut seen = with_current("one", Pending::None);
        seen.status = StatusFacts { staging: facts(&announced).staging, ..seen.status };
        seen.status.staging.met = met.map(at);
        let after = reported(&want, &announced, &seen, None, NOW + 1);
        assert_eq!(after.staged.as_ref(), announced.staged.as_ref().filter(|_| kept), "{met:?}");
    }
}

#[test]
fn the_step_that_comes_next_is_shown() {
    let (want, none) = (want(), RotatedSecretStatus::default());
    let mut failed = Journal::default();
    let refusal = Refusal::new(crate::api::condition::Reason::TargetUnreachable, "no");
    failed.record(Step::Verify { version: id("v") }, Effect::Failed(Failed::denied(&refusal)));
    let mut decided = seen(ours(), Journal::default());
    let fact = crate::facts::AbandonedFact { version: id("v"), time: at(NOW), why: Abandonment::Withdrawn };
    decided.status.staging.abandoned = vec![fact];
    let news = Some(StagingNews::Abandoned(id("v"), Abandonment::Withdrawn));
    for (seen, news, step) in [
        (seen(ours(), Journal::default()), None, StagedStep::Apply),
        (seen(ours(), failed.clone()), None, StagedStep::Verify),
        (seen(ours(), failed), news, StagedStep::Abandon),
        (decided, None, StagedStep::Abandon),
    ] {
        assert_eq!(reported(&want, &none, &seen, news, NOW).staged.unwrap().step, step);
    }
}

fn was_current(version: &str) -> HistoryEntry {
    HistoryEntry {
        version_id: version.to_owned(),
        time: Time(at(NOW - 60)),
        cause: Cause::Created,
        outcome: Outcome::Succeeded,
        reason: None,
        copy_of: None,
        due_time: None,
        failed_attempts: None,
    }
}

#[test]
fn an_abandoned_version_is_in_the_history_and_is_never_taken_for_the_current_one() {
    let before = RotatedSecretStatus { history: vec![was_current("current")], ..RotatedSecretStatus::default() };
    for why in [Abandonment::VerifyFailed, Abandonment::TargetRemoved, Abandonment::Withdrawn] {
        let news = Some(StagingNews::Abandoned(id("v"), why));
        let after = reported(&want(), &before, &seen(ours(), Journal::default()), news, NOW);
        assert_eq!(after.history.iter().map(|entry| entry.version_id.as_str()).collect::<Vec<_>>(), ["v", "current"]);
        assert_eq!((after.history[0].outcome, after.history[0].reason.as_deref()), (Outcome::Abandoned, Some(why.as_str())));
        assert_eq!(abandoned(&before, &after).map(|entry| entry.version_id.as_str()), Some("v"));
        assert_eq!((recorded(&before, &after), abandoned(&after, &after)), (None, None));
        let notes = event_notes(&before, &after);
        assert_eq!(notes.iter().map(|note| note.reason.as_str()).collect::<Vec<_>>(), ["VersionAbandoned"], "{notes:?}");
        let facts = facts(&after);
        assert_eq!((facts.newest(), facts.staging.abandoned(&id("v"))), (Some(&id("current")), Some(why)));
        assert!(!facts.recorded(&id("v")));
    }
}

#[test]
fn attempts_that_are_abandoned_again_and_again_remove_no_version_that_was_current() {
    let mut status = RotatedSecretStatus { history: ["current", "previous"].map(was_current).into(), ..RotatedSecretStatus::default() };
    for number in 0..12 {
        let version = id(&format!("v{number}"));
        let pending = Pending::Ours(version.clone(), Cause::Scheduled);
        let news = Some(StagingNews::Abandoned(version, Abandonment::VerifyFailed));
        status = reported(&want(), &status, &seen(pending, Journal::default()), news, NOW + number);
    }
    let kept: Vec<_> = status.history.iter().map(|entry| entry.version_id.as_str()).collect();
    assert_eq!(kept, ["v11", "v10", "v9", "v8", "v7", "current", "previous"]);
}

#[test]
fn a_staged_version_takes_its_due_time_with_it() {
    let due = |status: &RotatedSecretStatus| status.staged.as_ref().and_then(|staged| staged.due_time.clone()).map(|due| due.0);
    let news = || Some(StagingNews::Announced(id("v")));
    let none = seen(Pending::None, Journal::default());
    for (next, expected) in
        [(Some(NOW - 5), Some(at(NOW - 5))), (Some(NOW), Some(at(NOW))), (Some(NOW + 1), None), (Some(-1), None), (None, None)]
    {
        let before = RotatedSecretStatus { next_rotation_time: next.map(|next| Time(at(next))), ..RotatedSecretStatus::default() };
        let announced = reported(&want(), &before, &none, news(), NOW);
        assert_eq!(due(&announced), expected, "{next:?}");
        // Meanwhile the status says when the rotation after it is.
        let later = RotatedSecretStatus { next_rotation_time: Some(Time(at(NOW + 60))), ..announced };
        for news in [None, news()] {
            let scheduled = seen(Pending::Ours(id("v"), Cause::Scheduled), Journal::default());
            let staged = reported(&want(), &later, &scheduled, news, NOW + 90);
            assert_eq!(due(&staged), expected, "{next:?}");
            let abandoned = Some(StagingNews::Abandoned(id("v"), Abandonment::VerifyFailed));
            let after = reported(&want(), &staged, &scheduled, abandoned.clone(), NOW + 90);
            assert_eq!(after.history[0].due_time.as_ref().map(|due| due.0), expected, "{next:?}");
            let requested = reported(&want(), &staged, &seen(ours(), Journal::default()), abandoned, NOW + 90);
            assert_eq!(requested.history[0].due_time, None, "it is not that of a request");
        }
    }
}

#[test]
fn what_failed_for_a_version_that_is_no_longer_staged_is_not_held_any_longer() {
    use crate::status::{Attempt, Attempts};
    let of = |step: Step| Attempt::Step(step.key());
    let verify = of(Step::Verify { version: id("v") });
    let rest = vec![of(Step::SetKey { key: "k".to_owned() }), Attempt::Read, of(Step::Abandon { version: id("v"), current: id("c") })];
    let held = Attempts { held: [vec![verify.clone()], rest.clone()].concat(), ..Attempts::default() };
    assert_eq!(held.clone().of_staged(Some(&id("v"))), held);
    for staged in [None, Some(id("other"))] {
        assert_eq!(held.clone().of_staged(staged.as_ref()).held, rest);
    }
}
