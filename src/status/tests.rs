//! What the status says after a turn, by tables; the facts are built by hand, so that a report is judged without the plan.

mod certificate;
mod due;
mod history;
mod overdue;
mod repaired;
mod retained;
mod settings;
mod stalled;
mod suspended;
mod suspension;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{
    AwsSpec, AwsStatus, Cause, DeclaredStatus, FailureStatus, HistoryEntry, MirrorStatus, OnMissedWindow, RequestStatus, RotatedSecret,
    RotatedSecretSpec, RotatedSecretStatus, ScheduleStatus, TargetSpec,
};
use crate::backoff::{self, Class};
use crate::compare::{Current, Drift, LambdaState, MirrorState, Observation, Ownership, Pending, SecretState};
use crate::desired::fixture::{self, UID, declared};
use crate::desired::{Desired, Rotation};
use crate::facts::{Access, Charged, Place, StatusFacts};
use crate::failure::{Failed, Failure};
use crate::journal::Journal;
use crate::plan::{Aspects, Assessment, Blocked, Examined, HandledRequests, Next, RotationOutlook};
use crate::refusal::Refusal;
use crate::schedule::{Clock, Schedule};
use crate::step::StepKind;
use crate::version_id::{VersionId, VersionIds};

/// 2026-11-24 00:30:00 UTC.
const MADE: i64 = 1_795_480_200;
const HOUR: i64 = 3600;
const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ids() -> VersionIds {
    VersionIds::of(UID)
}

fn id(name: &str) -> VersionId {
    VersionId::from(name)
}

fn scheduled(expression: &str) -> Rotation {
    on_clock(expression, 0, OnMissedWindow::RotateNow)
}

/// With a window of so many minutes.
fn on_clock(expression: &str, window: i64, on_missed: OnMissedWindow) -> Rotation {
    let schedule = Schedule::parse(expression).unwrap();
    let clock = Clock::new(schedule, SignedDuration::from_mins(window), on_missed, ids()).unwrap();
    Rotation::Scheduled { expression: clock.describe(expression), clock, suspended: false, immediately: false }
}

fn want() -> Desired {
    fixture::desired(scheduled("rate(1 hour)"))
}

fn object(status: &RotatedSecretStatus) -> RotatedSecret {
    let mut object = RotatedSecret::new(
        "db-admin",
        RotatedSecretSpec {
            suspend: false,
            aws: AwsSpec::default(),
            value: None,
            rotation: None,
            rollout: None,
            target: TargetSpec::default(),
        },
    );
    object.metadata.uid = Some(UID.to_owned());
    object.metadata.generation = Some(1);
    object.status = Some(status.clone());
    object
}

fn seen(version: &VersionId, changed: i64) -> Observation {
    Observation {
        access: Access::default(),
        finalizer: false,
        extras: crate::compare::Extras::default(),
        place: Place::AsConfigured,
        secret: Some(SecretState {
            arn: ARN.to_owned(),
            ownership: Ownership::Ours,
            deleted: false,
            labels: BTreeMap::from([("AWSCURRENT".to_owned(), version.clone())]),
            current: Some(Current { version: version.clone(), changed: at(changed), schedule_base: at(changed), matches: None }),
            pending: Pending::None,
            rotation: LambdaState::default(),
            drift: Drift::default(),
            replicas: Vec::new(),
            manager: None,
            last_changed: Some(at(changed)),
            outdated: None,
        }),
        mirror: MirrorState::Ours {
            version: Some(version.clone()),
            intact: true,
            written: Some(at(changed + 1)),
            changed: None,
            revision: None,
        },
        claims: crate::facts::Claims::default(),
        status: StatusFacts::default(),
        journal: Journal::default(),
        charged: Charged::default(),
        check_due: None,
        workloads: None,
    }
}

/// The facts as the status of `object` tells them.
fn recalling(seen: Observation, object: &RotatedSecret, now: Timestamp) -> Observation {
    Observation { status: read(object, now), ..seen }
}

/// What the plan says, in one place.
#[derive(Debug, Clone, Default)]
struct Rest {
    suspended: bool,
    provisioned: Option<Refusal>,
    settings: Option<Refusal>,
    mirrored: Option<Refusal>,
    rotated: Option<Refusal>,
    rotates: bool,
    adopting: bool,
    examined: bool,
    awaiting: bool,
    next_rotation: Option<Timestamp>,
    first_pending: bool,
    rotate_handled: Option<String>,
    rollback_handled: Option<(String, Option<crate::api::RollbackRefusal>)>,
}

impl From<Rest> for Assessment {
    fn from(rest: Rest) -> Self {
        if rest.suspended {
            return Self::Suspended;
        }
        if rest.examined {
            return Self::Examined(Box::new(Examined {
                aspects: Aspects {
                    provisioned: rest.provisioned,
                    settings: rest.settings,
                    mirrored: rest.mirrored,
                    rotated: rest.rotated,
                    rolled_out: None,
                },
                rotation: RotationOutlook {
                    rotates: rest.rotates,
                    next: rest.next_rotation,
                    first_pending: rest.first_pending,
                    ..RotationOutlook::default()
                },
                requests: HandledRequests { rotate: rest.rotate_handled, rollback: rest.rollback_handled, held_until: None },
                awaiting_consistency: rest.awaiting,
                ..Examined::default()
            }));
        }
        let refusal = rest.provisioned.expect("a blocked object has a reason");
        let blocked = Blocked { mirrored: rest.mirrored, adopting: rest.adopting, ..Blocked::by(refusal) };
        Self::Blocked(Blocked { awaiting_consistency: rest.awaiting, ..blocked })
    }
}

/// All is well, and the next rotation an hour after the value was made.
fn rest() -> Rest {
    Rest { examined: true, rotates: true, next_rotation: Some(at(MADE + HOUR)), ..Rest::default() }
}

fn assessed(seen: Observation, rest: Rest) -> Outcome {
    Outcome::Assessed { seen: Box::new(seen), assessment: rest.into(), secret_exists: None }
}

fn rested(rest: Rest) -> Outcome {
    assessed(seen(&ids().creation(), MADE), rest)
}

fn refusal(reason: Reason) -> Refusal {
    Refusal::new(reason, format!("why {reason}"))
}

fn failure(aspect: ConditionType, class: Class, reason: Reason) -> Outcome {
    let failure = Failure { class, reason, message: format!("why {reason}"), request_id: None };
    Outcome::Failed { failed: Failed { aspect, failure }, secret_exists: Some(true) }
}

fn throttled() -> Outcome {
    failure(ConditionType::Provisioned, Class::Throttled, Reason::Throttled)
}

/// The status after `outcome`, whose facts are completed by what the status of the object says.
fn report(object: &RotatedSecret, want: Option<&Desired>, outcome: &Outcome, now: Timestamp) -> RotatedSecretStatus {
    match outcome {
        Outcome::Assessed { seen, assessment, .. } => {
            let seen = recalling((**seen).clone(), object, now);
            let attempts = Attempts {
                failed: seen.journal.failed().map(|(key, failed)| (Attempt::Step(key), failed.clone())).collect(),
                held: seen.journal.held().cloned().map(Attempt::Step).collect(),
                namespace_suspends: Some(matches!(assessment, Assessment::Suspended)),
                ..Attempts::default()
            };
            write(
                object,
                want,
                &Outcome::Assessed { seen: Box::new(seen), assessment: assessment.clone(), secret_exists: None },
                &attempts,
                now,
            )
        }
        Outcome::Failed { failed, .. } => {
            let attempts = Attempts { failed: vec![(Attempt::Read, failed.clone())], ..Attempts::default() };
            write(object, want, outcome, &attempts, now)
        }
        other => write(object, want, other, &Attempts::default(), now),
    }
}

fn after(before: &RotatedSecretStatus, outcome: &Outcome, now: i64) -> RotatedSecretStatus {
    report(&object(before), Some(&want()), outcome, at(now))
}

/// The status of an object that is a minute old and well.
fn live() -> RotatedSecretStatus {
    after(&RotatedSecretStatus::default(), &rested(rest()), MADE + 60)
}

/// The conditions in short: `+` True, `-` False, and the reason.
fn said(status: &RotatedSecretStatus) -> Vec<String> {
    let sign = |c: &Condition| if c.status == "True" { '+' } else { '-' };
    status.conditions.iter().map(|c| format!("{}{} {}", sign(c), c.type_, c.reason)).collect()
}

fn message(status: &RotatedSecretStatus, type_: &str) -> String {
    status.conditions.iter().find(|c| c.type_ == type_).unwrap().message.clone()
}

const FINE: [&str; 4] = ["+Ready Succeeded", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded"];

#[test]
fn an_object_that_is_well_says_so_in_every_part() {
    let status = live();
    assert_eq!(said(&status), FINE);
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(1) && c.last_transition_time.0 == at(MADE + 60)));
    let version = ids().creation().to_string();
    assert!(message(&status, "Ready").contains(&version) && message(&status, "Mirrored").contains(&version));
    assert!(message(&status, "Rotated").contains(&at(MADE + HOUR).to_string()));
    assert_eq!(
        status,
        RotatedSecretStatus {
            observed_generation: Some(1),
            conditions: status.conditions.clone(),
            aws: Some(AwsStatus {
                arn: Some(ARN.to_owned()),
                region: Some("eu-central-1".to_owned()),
                current_version_id: Some(version.clone()),
                ..AwsStatus::default()
            }),
            mirror: Some(MirrorStatus {
                secret_name: "db-admin".to_owned(),
                version_id: Some(version.clone()),
                last_write_time: Some(Time(at(MADE + 1))),
                ..MirrorStatus::default()
            }),
            declared: Some(DeclaredStatus {
                hash: declared("admin").hash(),
                fields: vec!["password".to_owned(), "username".to_owned()],
                fixed_fields: vec!["username".to_owned()]
            }),
            schedule: Some(ScheduleStatus { expression: "rate(1 hour)".to_owned(), since: None }),
            last_rotation_time: Some(Time(at(MADE))),
            next_rotation_time: Some(Time(at(MADE + HOUR))),
            missed_rotations: 0,
            suspension_time: None,
            history: vec![HistoryEntry {
                version_id: version,
                time: Time(at(MADE)),
                cause: Cause::Created,
                outcome: crate::api::Outcome::Succeeded,
                reason: None,
                copy_of: None,
                due_time: None,
                failed_attempts: None,
            }],
            rollout: None,
            staged: None,
            target: None,
            failures: None,
            requests: None,
        }
    );
}

#[test]
fn what_is_not_asked_for_has_no_condition() {
    let unmirrored = Desired { target: None, ..want() };
    let still = rested(Rest { rotates: false, next_rotation: None, ..rest() });
    let status = report(&object(&RotatedSecretStatus::default()), Some(&unmirrored), &still, at(MADE + 60));
    assert_eq!(said(&status), ["+Ready Succeeded", "+Provisioned Succeeded"]);
    assert_eq!((status.mirror, status.next_rotation_time), (None, None));
}

#[test]
fn each_refusal_of_a_turn_is_told_and_ready_takes_the_reason_of_the_worst() {
    let early = |provisioned| Rest { provisioned: Some(refusal(provisioned)), ..Rest::default() };
    let table: [(Rest, &[&str]); 11] = [
        (
            early(Reason::NotOwned),
            &["-Ready NotOwned", "-Provisioned NotOwned", "+Rotated Succeeded", "+Mirrored Succeeded", "+Stalled NotOwned"],
        ),
        (
            early(Reason::SecretNotFound),
            &["-Ready SecretNotFound", "-Provisioned SecretNotFound", "+Rotated Succeeded", "+Mirrored Succeeded"],
        ),
        (
            Rest { awaiting: true, ..early(Reason::Creating) },
            &["-Ready Creating", "-Provisioned Creating", "+Rotated Succeeded", "+Mirrored Succeeded", "+Reconciling Creating"],
        ),
        (
            Rest { mirrored: Some(refusal(Reason::SecretNotOwned)), ..early(Reason::Creating) },
            &[
                "-Ready SecretNotOwned",
                "-Provisioned Creating",
                "+Rotated Succeeded",
                "-Mirrored SecretNotOwned",
                "+Stalled SecretNotOwned",
            ],
        ),
        (
            Rest { provisioned: Some(refusal(Reason::ForeignPending)), ..rest() },
            &[
                "-Ready ForeignPending",
                "-Provisioned ForeignPending",
                "+Rotated Succeeded",
                "+Mirrored Succeeded",
                "+Stalled ForeignPending",
            ],
        ),
        (
            Rest { mirrored: Some(refusal(Reason::SecretNotOwned)), rotated: Some(refusal(Reason::Overdue)), ..rest() },
            &["-Ready SecretNotOwned", "+Provisioned Succeeded", "-Rotated Overdue", "-Mirrored SecretNotOwned", "+Stalled SecretNotOwned"],
        ),
        (
            Rest { rotated: Some(refusal(Reason::IntervalTooShort)), ..rest() },
            &[
                "-Ready IntervalTooShort",
                "+Provisioned Succeeded",
                "-Rotated IntervalTooShort",
                "+Mirrored Succeeded",
                "+Stalled IntervalTooShort",
            ],
        ),
        (
            Rest { rotated: Some(refusal(Reason::Suspended)), ..rest() },
            &["-Ready Suspended", "+Provisioned Succeeded", "-Rotated Suspended", "+Mirrored Succeeded"],
        ),
        (
            Rest {
                provisioned: Some(refusal(Reason::ForeignRotation)),
                mirrored: Some(refusal(Reason::SecretNotOwned)),
                rotated: Some(refusal(Reason::InvalidSpec)),
                ..rest()
            },
            &[
                "-Ready ForeignRotation",
                "-Provisioned ForeignRotation",
                "-Rotated InvalidSpec",
                "-Mirrored SecretNotOwned",
                "+Stalled ForeignRotation",
            ],
        ),
        (
            Rest { awaiting: true, ..rest() },
            &["-Ready Progressing", "+Provisioned Succeeded", "+Rotated Succeeded", "-Mirrored Progressing", "+Reconciling Progressing"],
        ),
        (rest(), &FINE),
    ];
    for (row, (rest, expected)) in table.into_iter().enumerate() {
        let status = after(&live(), &rested(rest), MADE + 120);
        assert_eq!(said(&status), expected, "row {row}");
        let ready = message(&status, "Ready");
        assert!(
            ready.starts_with("why ") == (said(&status)[0].starts_with('-') && !ready.contains("may show an old state")),
            "row {row}: {ready}"
        );
        // What stood out yesterday is gone today.
        assert_eq!(said(&after(&status, &rested(self::rest()), MADE + 180)), FINE, "row {row}");
    }
    let new = after(&RotatedSecretStatus::default(), &rested(early(Reason::NotOwned)), MADE);
    assert_eq!(said(&new), ["-Ready NotOwned", "-Provisioned NotOwned", "+Stalled NotOwned"], "nothing is said of what was never seen");
}

#[test]
fn a_foreign_secret_is_the_worst_even_while_the_declaration_is_new() {
    let mut facts = Observation { mirror: MirrorState::Foreign, ..seen(&ids().creation(), MADE) };
    facts.status.declared.hash = Some(declared("other").hash());
    let Next::Rest(assessment) = crate::plan::plan(&want(), &facts, at(MADE + 60)) else { panic!("nothing may be written") };
    let status = after(&live(), &Outcome::Assessed { seen: Box::new(facts), assessment, secret_exists: None }, MADE + 60);
    let said = said(&status);
    assert!(said.contains(&"-Ready SecretNotOwned".to_owned()) && said.contains(&"+Stalled SecretNotOwned".to_owned()), "{said:?}");
}

#[test]
fn an_invalid_spec_is_told_under_provisioned_and_a_failure_where_it_happened() {
    let keeps = |outcome: Outcome| said(&after(&live(), &outcome, MADE + 120));
    let invalid = Outcome::Invalid { refusal: Refusal::new(Reason::RegionNotAllowed, "why"), secret_exists: None };
    assert_eq!(
        keeps(invalid),
        [
            "-Ready RegionNotAllowed",
            "-Provisioned RegionNotAllowed",
            "+Rotated Succeeded",
            "+Mirrored Succeeded",
            "+Stalled RegionNotAllowed"
        ]
    );
    let table = [
        (ConditionType::Provisioned, Class::Throttled, Reason::Throttled, "Reconciling"),
        (ConditionType::Provisioned, Class::Retry, Reason::AwsUnavailable, "Reconciling"),
        (ConditionType::Provisioned, Class::Denied, Reason::AccessDenied, "Stalled"),
        (ConditionType::Provisioned, Class::Limit, Reason::LimitExceeded, "Stalled"),
        (ConditionType::Mirrored, Class::Invalid, Reason::FieldMissing, "Stalled"),
        (ConditionType::Ready, Class::Bug, Reason::InternalError, "Stalled"),
    ];
    for (of, class, reason, beside) in table {
        let mut expected = FINE.map(|fine| if fine.contains(&of.to_string()) { format!("-{of} {reason}") } else { fine.to_owned() });
        expected[0] = format!("-Ready {reason}");
        assert_eq!(keeps(failure(of, class, reason)), [expected.as_slice(), &[format!("+{beside} {reason}")]].concat());
    }
    // Somebody was faster: what was said stays, for the next look is a second away.
    let conflict = failure(ConditionType::Mirrored, Class::Conflict, Reason::Progressing);
    assert_eq!(keeps(conflict), [FINE.map(str::to_owned).as_slice(), &["+Reconciling Progressing".to_owned()]].concat());
}
