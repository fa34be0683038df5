//! Where the secret is, and versions that must not be mirrored.

use super::*;
use crate::failure::Failed;

fn moved() -> Place {
    Place::Unproved(Refusal::new(Reason::Moved, "elsewhere: set the flag back"))
}

#[test]
fn nothing_is_created_adopted_or_mirrored_while_the_recorded_secret_is_elsewhere_and_not_proved() {
    use Ownership::{Adoptable, Former, Nobody, Ours};
    for ownership in [None, Some(Former), Some(ANOTHER), Some(Nobody), Some(Adoptable), Some(Ours)] {
        for mirror in [MirrorState::Absent, mirrored("old"), MirrorState::Foreign] {
            let secret = ownership.map(|ownership| SecretState { ownership, ..secret() });
            let seen = Observation { place: moved(), secret, mirror, ..seen() };
            for value in [Some(declared("admin")), None] {
                let proved = ownership == Some(Ours) && value.is_some();
                let next = plan(&Desired { value, rotation: Rotation::Never, ..want() }, &seen, at(NOW));
                let held = matches!(&next, Next::Rest(Rest { provisioned: Some(refusal), .. }) if refusal.reason == Reason::Moved);
                assert_eq!(held, !proved, "{ownership:?}: {next:?}");
            }
        }
    }
}

#[test]
fn an_attempt_that_may_succeed_elsewhere_is_waited_for() {
    let refusal = Refusal::new(Reason::Creating, "elsewhere");
    let seen = Observation { place: Place::Unsettled(refusal.clone(), at(NOW + 60)), secret: None, mirror: MirrorState::Absent, ..seen() };
    let Next::Rest(rest) = plan(&want(), &seen, at(NOW)) else { panic!() };
    assert_eq!((rest.provisioned, rest.wake), (Some(refusal), Some(at(NOW + 60))));
    let ours = Observation { secret: Some(secret()), ..seen };
    assert!(matches!(plan(&want(), &ours, at(NOW)), Next::Do(Step::CreateMirror { .. })), "the tags here are proof");
}

/// The first step of the plan, which [`plan`] leaves out if it records the place.
fn first(want: &Desired, seen: &Observation) -> Step {
    let crate::plan::Next::Do(step) = crate::plan::plan(want, seen, at(NOW)) else { panic!("rests: {seen:?}") };
    step
}

#[test]
fn where_a_secret_becomes_ours_is_recorded_in_each_reconcile_before_that() {
    let with = |ownership, deleted| Some(SecretState { ownership, deleted, ..secret() });
    for (secret, step) in [
        (None, StepKind::Create),
        (with(Ownership::Ours, true), StepKind::Restore),
        (with(Ownership::Former, true), StepKind::Restore),
        (with(Ownership::Former, false), StepKind::Adopt),
        (with(Ownership::Adoptable, false), StepKind::Adopt),
    ] {
        let status = StatusFacts { history: vec![adopted("current")], ..StatusFacts::default() };
        let mut facts = Observation { secret, status, mirror: MirrorState::Absent, ..seen() };
        assert_eq!(first(&want(), &facts), Step::RecordPlace, "{step:?}");
        let known = |facts: &mut Observation, name: &str| {
            facts.status.arn = Some(format!("arn:aws:secretsmanager:{}:123456789012:secret:{name}-AbCdEf", want().region));
        };
        known(&mut facts, "elsewhere");
        assert_eq!(first(&want(), &facts), Step::RecordPlace, "{step:?}: another place is known");
        let mut there = facts.clone();
        known(&mut there, &want().secret_name);
        if step != StepKind::Adopt && facts.secret.as_ref().is_none_or(|secret| secret.ownership == Ownership::Ours) {
            assert_eq!(StepKind::from(&first(&want(), &there)), step, "the status says where it is");
        }
        facts.status.arn = None;
        let mut failed = facts.clone();
        facts.journal.record(Step::RecordPlace, Effect::Applied { at: at(NOW) });
        assert_eq!(StepKind::from(&first(&want(), &facts)), step);
        let denied = Failed::denied(&Refusal::new(Reason::AccessDenied, "no"));
        failed.journal.record(Step::RecordPlace, Effect::Failed(denied));
        assert!(matches!(crate::plan::plan(&want(), &failed, at(NOW)), crate::plan::Next::Rest(_)), "{step:?} without a record");
        let key = match step {
            StepKind::Create => Step::Create { version: ids().creation() }.key(),
            StepKind::Restore => Step::Restore.key(),
            _ => Step::Adopt { tags: BTreeMap::new() }.key(),
        };
        facts.journal = Journal::holding([(key, Failed::denied(&Refusal::new(Reason::AccessDenied, "no")))]);
        assert!(
            matches!(crate::plan::plan(&want(), &facts, at(NOW)), crate::plan::Next::Rest(_)),
            "nothing is recorded for a step that waits"
        );
    }
}

#[test]
fn a_secret_that_is_used_where_it_was_recorded_is_planned_for_as_any_other() {
    for secret in [None, Some(secret()), Some(SecretState { current: Some(current(PERIOD + 60)), ..secret() })] {
        for mirror in [MirrorState::Absent, mirrored("current"), mirrored("previous"), MirrorState::Foreign] {
            let seen = Observation { secret: secret.clone(), mirror, ..seen() };
            let there = Observation { place: Place::Recorded("there".to_owned()), ..seen.clone() };
            assert_eq!(plan(&want(), &there, at(NOW)), plan(&want(), &seen, at(NOW)));
        }
    }
}

fn in_force() -> ReportedSchedule {
    ReportedSchedule { expression: "rate(1 hour)".to_owned(), since: None }
}

/// The current version must not be mirrored; the Secret holds another.
fn unfit(remedy: Remedy, age: i64) -> Observation {
    let refusal = Refusal::new(Reason::FieldMissing, "no object: put a correct value");
    let mut journal = Journal::default();
    journal.record(Step::ReplaceMirror { version: id("current"), confirm: false }, Effect::Unfit(Unfit { refusal, remedy }));
    Observation {
        secret: Some(SecretState { current: Some(current(age)), last_changed: Some(at(NOW)), ..secret() }),
        mirror: mirrored("previous"),
        journal,
        status: StatusFacts { history: vec![recorded("current")], schedule: Some(in_force()), ..seen().status },
        ..seen()
    }
}

#[test]
fn an_unfit_version_is_not_mirrored_and_is_replaced_as_far_as_that_helps() {
    let late = PERIOD + 60;
    let asks = || Desired { rotate_request: Some("now".to_owned()), ..want() };
    let redeclared = || Desired { value: Some(declared("root")), ..want() };
    // What helps; what is wanted; when; whether a version is written.
    let table = [
        (Remedy::Write, want(), 60, false),
        (Remedy::Write, want(), late, true),
        (Remedy::Write, asks(), 60, true),
        (Remedy::Write, redeclared(), 60, true),
        (Remedy::Request, want(), late, false),
        (Remedy::Request, asks(), 60, true),
        (Remedy::Request, redeclared(), 60, false),
        (Remedy::Value, want(), late, false),
        (Remedy::Value, asks(), 60, false),
        (Remedy::Value, redeclared(), 60, false),
    ];
    for (row, (cure, want, age, written)) in table.into_iter().enumerate() {
        let facts = unfit(cure, age);
        let next = plan(&want, &facts, at(NOW));
        match &next {
            Next::Do(step) => assert!(written && matches!(step, Step::Put { .. }), "row {row}: {step:?}"),
            Next::Rest(rest) => {
                assert!(!written, "row {row}: {rest:?}");
                assert_eq!(rest.mirrored.as_ref().map(|refusal| refusal.reason), Some(Reason::FieldMissing), "row {row}");
                assert!(!rest.awaiting, "row {row}: the next reconcile is the next resync");
            }
        }
        // Reported first, so that a later life does not take it for one that was overtaken.
        let unreported = Observation { status: StatusFacts { history: vec![recorded("previous")], ..facts.status.clone() }, ..facts };
        let next = plan(&want, &unreported, at(NOW));
        assert!(matches!(&next, Next::Rest(rest) if !written || rest.wake == Some(at(NOW))), "row {row}: {next:?}");
    }
}

#[test]
fn a_person_can_go_back_from_every_unfit_version() {
    let back = Desired { rollback_request: crate::desired::RollbackRequest::parse("undo:AWSPREVIOUS"), ..want() };
    for cure in [Remedy::Write, Remedy::Request, Remedy::Value] {
        let next = plan(&back, &unfit(cure, 60), at(NOW));
        assert!(matches!(next, Next::Do(Step::Put { cause: Cause::RolledBack, .. })), "{cure:?}: {next:?}");
    }
}
