//! Every combination of facts that the plan tells apart, against rules that do not depend on how the plan is written;
//! and each step carried out on a model of the world until the plan rests.

mod adoption;
mod cases;
mod checked;
mod cleanup;
mod clock;
mod contested;
mod exclude;
mod lambda_rotation;
mod lost_update;
mod model;
mod pace;
mod pipeline;
mod place;
mod rollout;
mod rules;
mod settings;
mod space;
mod staging;
mod versions;

use std::collections::BTreeMap;

use jiff::SignedDuration;

use self::model::{carry_out, end_reconcile, promoted, relabelled};
use self::rules::{check_rest, check_step};
use self::space::every;
use super::*;
use crate::api::{Cause, OnMissedWindow};
use crate::compare::{Current, Difference, Drift, LambdaState, Manager, MirrorState, Ownership, Pending, PolicyState, SecretState};
use crate::desired::fixture::{self, declared};
use crate::desired::{Pin, Rotation};
use crate::facts::{
    AbandonedFact, Access, Announced, Charged, Claims, DeclaredFacts, HistoryFact, Place, Replica, ReplicaState, ReportedSchedule,
    StatusFacts,
};
use crate::journal::{Effect, Journal, Remedy, Unfit};
use crate::refusal::Refusal;
use crate::schedule::{Clock, Schedule};
use crate::step::{Source, Stage, StepKind};
use crate::version_id::{VersionId, VersionIds};

const NOW: i64 = 1_800_000_000;
const PERIOD: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ids() -> VersionIds {
    VersionIds::of(fixture::UID)
}

fn id(name: &str) -> VersionId {
    VersionId::from(name)
}

/// The record of a version that follows `current`, with the declared target.
fn announcement(version: VersionId) -> Announced {
    Announced { version, target: Some(fixture::strategy().record()), from: Some(id("current")) }
}

fn want() -> Desired {
    fixture::desired(scheduled(false))
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
    Current { version: id("current"), changed: at(NOW - age), schedule_base: at(NOW - age), matches: None }
}

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, VersionId> {
    labels.iter().map(|(label, version)| ((*label).to_owned(), id(version))).collect()
}

/// Owned by another object of this namespace.
const ANOTHER: Ownership = Ownership::Another(Difference::Object);

fn secret() -> SecretState {
    SecretState {
        arn: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf".to_owned(),
        ownership: Ownership::Ours,
        deleted: false,
        labels: labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "previous"), ("rotated-secrets/1", "previous")]),
        current: Some(current(60)),
        pending: Pending::None,
        rotation: LambdaState::default(),
        drift: Drift::default(),
        replicas: Vec::new(),
        manager: None,
        last_changed: Some(at(NOW - 60)),
        outdated: None,
    }
}

fn foreign_rotation() -> LambdaState {
    LambdaState { enabled: true, foreign: true, ..LambdaState::default() }
}

/// Every setting differs from the declared one.
fn all_differs() -> Drift {
    Drift {
        surplus_tags: ["old".to_owned()].into(),
        key: Some("alias/shop".to_owned()),
        policy: PolicyState::Differs,
        add_replicas: [("eu-north-1".to_owned(), None)].into(),
        remove_replicas: ["eu-west-1".to_owned()].into(),
        replica_keys: [("eu-south-1".to_owned(), "alias/dr".to_owned())].into(),
        ..Drift::default()
    }
}

fn in_sync(region: &str) -> Replica {
    Replica { region: region.to_owned(), key: None, state: ReplicaState::InSync, why: None }
}

/// A write of this version on top of that one.
fn put(version: &str, predecessor: &str) -> Step {
    Step::Put {
        version: id(version),
        source: Source::Compose,
        predecessor: Some(id(predecessor)),
        cause: Cause::Scheduled,
        stage: Stage::Current,
        label: None,
    }
}

/// This reconcile made `version` current, on top of `predecessor`.
fn wrote(world: &mut Observation, version: &VersionId, predecessor: &str) {
    world.journal.record(put(version.as_str(), predecessor), Effect::Applied { at: at(NOW) });
}

/// AWS said that it has no such version.
fn missing(world: &mut Observation, version: &str) {
    let copy = Step::Put {
        version: id("copy"),
        source: Source::Copy { of: id(version) },
        predecessor: None,
        cause: Cause::RolledBack,
        stage: Stage::Current,
        label: None,
    };
    world.journal.record(copy, Effect::Absent);
}

fn mirrored(version: &str) -> MirrorState {
    MirrorState::Ours { version: Some(id(version)), intact: true, written: Some(at(NOW - 50)), changed: None, revision: None }
}

fn recorded(version: &str) -> HistoryFact {
    HistoryFact { version: id(version), time: at(NOW - 60), cause: Cause::Created }
}

fn adopted(version: &str) -> HistoryFact {
    HistoryFact { cause: Cause::Adopted, ..recorded(version) }
}

fn seen() -> Observation {
    Observation {
        access: Access::default(),
        finalizer: false,
        extras: crate::compare::Extras::default(),
        place: Place::AsConfigured,
        secret: Some(secret()),
        mirror: mirrored("current"),
        claims: Claims::default(),
        status: StatusFacts {
            declared: DeclaredFacts { hash: Some(declared("admin").hash()), ..DeclaredFacts::default() },
            ..StatusFacts::default()
        },
        journal: Journal::default(),
        charged: Charged::default(),
        check_due: None,
        workloads: None,
    }
}

/// Three versions were requested a minute ago.
fn requested_thrice() -> Vec<HistoryFact> {
    ["current", "previous", "older"].map(|version| HistoryFact { cause: Cause::Requested, ..recorded(version) }).into()
}

/// Another schedule than the present one was in force.
fn edited() -> ReportedSchedule {
    ReportedSchedule { expression: "rate(7 days)".to_owned(), since: None }
}

/// What a rest says, in one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rest {
    suspended: bool,
    provisioned: Option<Refusal>,
    settings: Option<Refusal>,
    mirrored: Option<Refusal>,
    rotated: Option<Refusal>,
    adopting: bool,
    examined: bool,
    awaiting: bool,
    next_rotation: Option<Timestamp>,
    first_pending: bool,
    wake: Option<Timestamp>,
    rotate_handled: Option<String>,
    rollback_handled: Option<(String, Option<crate::api::RollbackRefusal>)>,
    held_until: Option<Timestamp>,
    staging: Option<StagingNews>,
}

impl From<Assessment> for Rest {
    fn from(assessment: Assessment) -> Self {
        let wake = assessment.wake();
        match assessment {
            Assessment::Suspended => Self { suspended: true, ..Self::default() },
            Assessment::Blocked(blocked) => Self {
                provisioned: Some(blocked.refusal),
                mirrored: blocked.mirrored,
                adopting: blocked.adopting,
                awaiting: blocked.awaiting_consistency,
                wake,
                ..Self::default()
            },
            Assessment::Examined(examined) => Self {
                provisioned: examined.aspects.provisioned,
                settings: examined.aspects.settings,
                mirrored: examined.aspects.mirrored,
                rotated: examined.aspects.rotated,
                examined: true,
                awaiting: examined.awaiting_consistency,
                next_rotation: examined.rotation.next,
                first_pending: examined.rotation.first_pending,
                wake,
                rotate_handled: examined.requests.rotate,
                rollback_handled: examined.requests.rollback,
                held_until: examined.requests.held_until,
                staging: examined.staging,
                ..Self::default()
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Do(Step),
    Rest(Rest),
}

/// What is next, once it is recorded where the AWS secret becomes ours ([`place`] tests that).
fn plan(want: &Desired, seen: &Observation, now: Timestamp) -> Next {
    match super::plan(want, seen, now) {
        super::Next::Do(Step::RecordPlace) => {
            let mut recorded = seen.clone();
            recorded.journal.record(Step::RecordPlace, Effect::Applied { at: now });
            plan(want, &recorded, now)
        }
        super::Next::Do(step) => Next::Do(step),
        super::Next::Rest(assessment) => Next::Rest(assessment.into()),
    }
}

#[test]
fn no_combination_of_facts_breaks_a_rule() {
    let mut held = 0;
    let count = every(|want, seen| {
        let next = plan(want, seen, at(NOW));
        held += u32::from(matches!(&next, Next::Rest(rest) if rest.held_until.is_some()));
        let facts = || format!("{next:?}\n{want:?}\n{seen:?}");
        match &next {
            Next::Do(step) => check_step(want, seen, step, &facts),
            Next::Rest(rest) => check_rest(want, seen, rest, &facts),
        }
    });
    println!("{count} combinations of facts, {held} with a request that waits");
    assert!(count > 500_000 && held > 100);
}

#[test]
fn every_combination_comes_to_rest_and_stays_there() {
    every(|want, seen| {
        let mut world = seen.clone();
        let mut writes = 0;
        // Two reconciles without a step: the first one reports, the second one shows that nothing follows from that.
        let mut quiet = 0;
        let mut last = None;
        for _ in 0..64 {
            match plan(want, &world, at(NOW)) {
                Next::Rest(rest) => {
                    quiet += u32::from(world.journal.entries().is_empty());
                    end_reconcile(want, &mut world, &rest);
                    if quiet == 2 {
                        break;
                    }
                }
                Next::Do(step) => {
                    quiet = 0;
                    // A version for a target is staged and promoted: two writes.
                    let second = want.strategy.is_some() && matches!(step, Step::Put { .. });
                    writes += u32::from(!second && matches!(step, Step::Put { .. } | Step::Promote { .. }));
                    carry_out(&mut world, &step);
                    last = Some(step);
                }
            }
        }
        assert!(quiet == 2, "after {last:?}\nfrom {seen:?}\nto {world:?}");
        // A value where there was none, a staged version, a changed declaration, a request or a due time.
        assert!(writes <= 4, "{writes} writes from {seen:?}\n{want:?}");
    });
}

#[test]
fn nothing_is_done_while_suspended_or_for_a_name_that_is_not_allowed_or_where_nobody_may_act() {
    let suspended = Desired { suspended: true, ..want() };
    let name_denied = || Access { name_allowed: false, ..Access::default() };
    let refused = || Access { refused: Some(Refusal::new(Reason::IdentityRefused, "nobody")), ..Access::default() };
    let forbidden = Observation { access: name_denied(), ..seen() };
    let nobody = Observation { access: refused(), ..seen() };
    every(|want, seen| {
        assert!(matches!(plan(want, &Observation { access: name_denied(), ..seen.clone() }, at(NOW)), Next::Rest(_)));
        assert!(matches!(plan(want, &Observation { access: refused(), ..seen.clone() }, at(NOW)), Next::Rest(_)));
        assert!(matches!(plan(&suspended, seen, at(NOW)), Next::Rest(Rest { suspended: true, .. })));
    });
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
    let stages = Desired { delivery: crate::desired::Delivery::Staged, strategy: Some(fixture::strategy()), ..want() };
    for (want, needed) in [(want(), false), (deletes, true), (retains, true), (stages, true)] {
        for finalizer in [false, true] {
            let next = plan(&want, &Observation { finalizer, ..seen() }, at(NOW));
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
