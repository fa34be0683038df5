//! The plan for an object that is being deleted.

use std::collections::BTreeSet;

use itertools::iproduct;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::{NOW, at};
use crate::api::condition::Reason;
use crate::api::{RotatedSecret, RotatedSecretSpec};
use crate::desired::{Removal, SecretPlace};
use crate::facts::{Remains, SecretLeft, StagedLeft};
use crate::failure::Failed;
use crate::journal::{Effect, Journal};
use crate::plan::{CleanupNext, plan_cleanup};
use crate::refusal::Refusal;
use crate::step::{Step, StepKind};

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf";

/// An object whose deletion was requested `age` seconds ago.
fn removal(delete: bool, suspended: bool, reported: bool, age: i64) -> Removal {
    let spec: RotatedSecretSpec = serde_json::from_value(json!({
        "suspend": suspended,
        "aws": {"deletionPolicy": if delete { "Delete" } else { "Retain" }, "recoveryWindowInDays": 7},
        "target": {"deletionPolicy": "Retain"},
        "value": {"generate": {"password": {}}},
    }))
    .unwrap();
    let mut object = RotatedSecret::new("db-admin", spec);
    object.metadata.namespace = Some("shop".to_owned());
    object.metadata.uid = Some("uid".to_owned());
    object.metadata.deletion_timestamp = Some(Time(at(NOW - age)));
    object.status = reported.then(|| serde_json::from_value(json!({"aws": {"arn": ARN}})).unwrap());
    Removal::of(&object, &crate::desired::tests::policy())
}

fn ours(deleted: bool, replicas: &[&str]) -> SecretLeft {
    SecretLeft::Ours {
        arn: ARN.to_owned(),
        place: SecretPlace { region: "eu-central-1".to_owned(), name: "k8s/shop/db-admin".to_owned(), own_name: true },
        deleted,
        replicas: replicas.iter().map(|region| (*region).to_owned()).collect(),
        staged: None,
    }
}

fn former(deleted: bool) -> SecretLeft {
    let SecretLeft::Ours { arn, place, .. } = ours(deleted, &[]) else { panic!() };
    SecretLeft::Former { arn, place, deleted }
}

fn secrets() -> Vec<SecretLeft> {
    let out_of_reach = SecretLeft::OutOfReach("forbidden".to_owned());
    vec![
        out_of_reach,
        SecretLeft::Absent,
        SecretLeft::Foreign,
        former(false),
        former(true),
        ours(false, &[]),
        ours(true, &[]),
        ours(false, &["eu-west-1"]),
        ours(true, &["eu-west-1"]),
    ]
}

/// Runs the plan to its end. `shows`: whether AWS shows what was done.
fn run(removal: &Removal, secret: &SecretLeft, mirror: bool, shows: bool) -> (Vec<StepKind>, CleanupNext) {
    let (mut remains, mut journal, mut steps) = (Remains { mirror, secret: None }, Journal::default(), Vec::new());
    let mut visible = secret.clone();
    for _ in 0..8 {
        match plan_cleanup(removal, &remains, &journal, at(NOW)) {
            CleanupNext::Look => remains.secret = Some(visible.clone()),
            CleanupNext::Do(step) => {
                steps.push(StepKind::from(&step));
                if let (Step::StopReplicating { .. }, true, SecretLeft::Ours { deleted, .. }) = (&step, shows, &visible) {
                    visible = ours(*deleted, &[]);
                }
                if matches!(step, Step::StopReplicating { .. }) {
                    remains.secret = None;
                }
                journal.record(step, Effect::Applied { at: at(NOW) });
            }
            end => return (steps, end),
        }
    }
    panic!("no end: {steps:?}");
}

#[test]
fn every_deletion_ends_and_deletes_only_what_is_proved_to_be_ours() {
    let flags = [false, true];
    for (secret, delete, suspended, reported, mirror, settled) in iproduct!(secrets(), flags, flags, flags, flags, flags) {
        let removal = removal(delete, suspended, reported, if settled { 121 } else { 5 });
        let (steps, end) = run(&removal, &secret, mirror, true);
        let case = format!("{secret:?} {removal:?}: {steps:?} {end:?}");
        let acts = |deleted: bool| !deleted || !settled;
        let deletes = delete && !suspended && matches!(secret, SecretLeft::Ours { deleted, .. } if acts(deleted));
        assert_eq!(steps.contains(&StepKind::Delete), deletes, "{case}");
        assert_eq!(steps.contains(&StepKind::ReleaseMirror), mirror, "{case}");
        let unique: BTreeSet<_> = steps.iter().collect();
        assert_eq!(unique.len(), steps.len(), "nothing is repeated: {case}");
        match &end {
            CleanupNext::Release { kept } => {
                let lost = matches!(secret, SecretLeft::OutOfReach(_) | SecretLeft::Former { deleted: false, .. })
                    || reported && secret == SecretLeft::Foreign;
                assert_eq!(kept.is_some(), delete && (suspended || lost), "{case}");
            }
            CleanupNext::Wait { until, .. } => {
                assert!(!settled && !deletes && !suspended && delete, "{case}");
                assert!(*until <= at(NOW - 5 + 120), "{case}");
            }
            _ => panic!("{case}"),
        }
    }
}

#[test]
fn an_object_without_a_value_says_that_the_secret_it_managed_is_kept() {
    for (managed, suspended) in iproduct!([false, true], [false, true]) {
        let mut removal = removal(true, suspended, true, 5);
        removal.aws.as_mut().unwrap().managed = managed;
        let next = plan_cleanup(&removal, &Remains::default(), &Journal::default(), at(NOW));
        match next {
            CleanupNext::Release { kept: Some(why) } => assert_eq!(why.contains("spec.value was removed"), !managed, "{why}"),
            next => assert!(managed && !suspended && next == CleanupNext::Look, "{next:?}"),
        }
    }
}

#[test]
fn an_adoption_that_was_reported_leaves_no_secret_without_a_word() {
    for adopting in [false, true] {
        let mut removal = removal(true, false, false, 300);
        removal.aws.as_mut().unwrap().adopting = adopting;
        let (_, end) = run(&removal, &SecretLeft::Foreign, false, true);
        assert!(matches!(&end, CleanupNext::Release { kept } if kept.is_some() == adopting), "{end:?}");
    }
}

#[test]
fn aws_is_asked_only_if_something_has_to_be_done_there() {
    for (delete, suspended) in [(false, false), (false, true), (true, true)] {
        let next = plan_cleanup(&removal(delete, suspended, true, 5), &Remains::default(), &Journal::default(), at(NOW));
        assert!(matches!(next, CleanupNext::Release { .. }), "{next:?}");
    }
    let next = plan_cleanup(&removal(true, false, true, 5), &Remains::default(), &Journal::default(), at(NOW));
    assert_eq!(next, CleanupNext::Look);
}

#[test]
fn replicas_that_aws_still_shows_are_waited_for_and_then_the_deletion_is_tried() {
    let removal = removal(true, false, true, 300);
    let (steps, end) = run(&removal, &ours(false, &["eu-west-1"]), false, false);
    assert_eq!(steps, [StepKind::StopReplicating]);
    assert!(matches!(end, CleanupNext::Wait { .. }), "{end:?}");

    let mut journal = Journal::default();
    let stop = Step::StopReplicating { regions: BTreeSet::from(["eu-west-1".to_owned()]) };
    for effect in [Effect::Absent, Effect::Failed(Failed::denied(&Refusal::new(crate::api::condition::Reason::AwsRefused, "no")))] {
        journal.record(stop.clone(), effect);
        let remains = Remains { mirror: false, secret: Some(ours(false, &["eu-west-1"])) };
        assert_eq!(plan_cleanup(&removal, &remains, &journal, at(NOW)), CleanupNext::Do(Step::Delete { window: 7 }));
    }
}

/// An object with a target. `staged`: the status says that a version is staged.
fn removal_of_target(delete: bool, suspended: bool, staged: bool, age: i64) -> Removal {
    let mut found = removal(true, suspended, true, age);
    found.strategy = Some(crate::desired::fixture::strategy());
    found.staged = staged.then(|| "pending".into());
    if let Some(aws) = found.aws.as_mut().filter(|_| !delete) {
        aws.window = None;
    }
    found
}

fn ours_with_staged(deleted: bool) -> SecretLeft {
    let left = StagedLeft { version: "pending".into(), current: "current".into(), previous: None, abandoned: None };
    match ours(deleted, &[]) {
        SecretLeft::Ours { arn, place, deleted, replicas, .. } => SecretLeft::Ours { arn, place, deleted, replicas, staged: Some(left) },
        other => other,
    }
}

#[test]
fn a_staged_version_is_abandoned_before_the_object_goes_whether_or_not_the_aws_secret_stays() {
    let flags = [false, true];
    for (delete, suspended, staged, settled) in iproduct!(flags, flags, flags, flags) {
        let removal = removal_of_target(delete, suspended, staged, if settled { 121 } else { 5 });
        let (steps, end) = run(&removal, &ours_with_staged(false), false, true);
        let expected: &[StepKind] = match (suspended, delete) {
            (true, _) => &[],
            (false, true) => &[StepKind::Abandon, StepKind::Delete],
            (false, false) => &[StepKind::Abandon],
        };
        assert_eq!(steps, expected, "{removal:?}");
        let CleanupNext::Release { kept } = end else { panic!("{removal:?} {end:?}") };
        assert_eq!(kept.is_some(), suspended && (delete || staged), "{removal:?}");
    }
}

#[test]
fn a_staged_version_that_nothing_can_abandon_any_more_is_left_and_told() {
    for delete in [true, false] {
        let (removal, secret) = (removal_of_target(delete, false, true, 5), ours_with_staged(false));
        let (remains, mut journal) = (Remains { mirror: false, secret: Some(secret) }, Journal::default());
        let CleanupNext::Do(abandon) = plan_cleanup(&removal, &remains, &journal, at(NOW)) else { panic!("it is abandoned first") };
        journal.record(abandon, Effect::Failed(Failed::denied(&Refusal::new(Reason::AccessDenied, "no Job"))));
        let next = plan_cleanup(&removal, &remains, &journal, at(NOW));
        let released = CleanupNext::Release { kept: Some("no Job".to_owned()) };
        assert_eq!(next, if delete { CleanupNext::Do(Step::Delete { window: 7 }) } else { released });
    }
}

#[test]
fn a_version_that_the_status_says_is_staged_is_waited_for_while_aws_may_show_an_old_state() {
    for (staged, age, waits) in [(true, 5, true), (true, 121, false), (false, 5, false)] {
        for secret in [ours(false, &[]), SecretLeft::Absent, SecretLeft::Foreign] {
            let (steps, end) = run(&removal_of_target(false, false, staged, age), &secret, false, true);
            assert!(steps.is_empty());
            assert_eq!(matches!(end, CleanupNext::Wait { .. }), waits, "{staged} {age} {secret:?} {end:?}");
        }
    }
    // The values of a secret that is scheduled for deletion cannot be read.
    let (steps, _) = run(&removal_of_target(false, false, true, 121), &ours_with_staged(true), false, true);
    assert!(steps.is_empty());
    let out_of_reach = SecretLeft::OutOfReach("forbidden".to_owned());
    for staged in [true, false] {
        let (_, end) = run(&removal_of_target(false, false, staged, 121), &out_of_reach, false, true);
        assert_eq!(end, CleanupNext::Release { kept: staged.then(|| "forbidden".to_owned()) });
    }
}
