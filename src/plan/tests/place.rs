//! Where the secret is, and versions that must not be mirrored.

use super::*;

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
