//! One rule each, where the product of all facts would hide it.

use super::*;

#[test]
fn a_slot_that_was_served_is_not_served_again_after_a_rollback() {
    let old = PERIOD + 60;
    let due = at(NOW - 60);
    let mut served = SecretState { current: Some(current(old)), ..secret() };
    relabelled(&mut served, "AWSPREVIOUS", ids().slot(due));
    let Next::Rest(rest) = plan(&want(), &Observation { secret: Some(served), ..seen() }, at(NOW)) else { panic!() };
    assert_eq!(rest.next_rotation, Some(due + SignedDuration::from_secs(PERIOD)));
}

#[test]
fn a_version_that_aws_has_but_does_not_show_is_waited_for() {
    let old = PERIOD + 60;
    let due = at(NOW - 60);
    let mut facts = Observation { secret: Some(SecretState { current: Some(current(old)), ..secret() }), ..seen() };
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Put { cause: Cause::Scheduled, .. })));
    facts.status.unseen = Some((ids().slot(due), at(NOW - 3)));
    let Next::Rest(rest) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert!(rest.awaiting);
}

#[test]
fn a_changed_declaration_is_written_once_also_when_its_report_was_lost() {
    let hash = declared("admin").hash();
    let mut facts = seen();
    facts.status.declared.hash = Some(declared("root").hash());
    let Next::Do(Step::Put { version, cause, .. }) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert_eq!((cause, &version), (Cause::SpecChanged, &ids().declaration(&id("current"), &hash)));
    let remote = facts.secret.as_mut().unwrap();
    relabelled(remote, "AWSPREVIOUS", id("current"));
    remote.current = Some(Current { version, ..current(0) });
    facts.mirror = mirrored(remote.current.as_ref().unwrap().version.as_str());
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(_)), "the labels say that it is done");
}

#[test]
fn a_change_whose_version_exists_from_before_gets_a_version_of_its_own() {
    let hash = declared("admin").hash();
    let predecessor = id("current");
    let mut ids_of_change = ids().declarations(&predecessor, &hash);
    let (first, second, third) = (ids_of_change.next().unwrap(), ids_of_change.next().unwrap(), ids_of_change.next().unwrap());
    let mut facts = seen();
    facts.status.declared.hash = Some(declared("root").hash());
    let next = |facts: &Observation| match plan(&want(), facts, at(NOW)) {
        Next::Do(Step::Put { version, cause: Cause::SpecChanged, source: Source::Compose, .. }) => Some(version),
        Next::Do(step) => panic!("{step:?}"),
        Next::Rest(rest) => {
            assert!(rest.awaiting, "it must not be reported as carried out: {rest:?}");
            None
        }
    };
    assert_eq!(next(&facts), Some(first.clone()));
    // AWS says that it has it, and since when.
    let put = |version: &VersionId| Step::Put {
        version: version.clone(),
        source: Source::Compose,
        predecessor: Some(id("current")),
        cause: Cause::SpecChanged,
        stage: Stage::Current,
        label: None,
    };
    for (created, expected) in [(NOW - 10, None), (NOW - 121, Some(second.clone()))] {
        let mut facts = facts.clone();
        facts.journal.record(put(&first), Effect::Exists { created: at(created) });
        assert_eq!(next(&facts), expected);
    }
    // Any label or the history shows it.
    relabelled(facts.secret.as_mut().unwrap(), "example.com/theirs", first);
    assert_eq!(next(&facts), Some(second.clone()));
    facts.status.history.push(recorded(second.as_str()));
    assert_eq!(next(&facts), Some(third.clone()));
    // It is current: it was carried out, also if the report was lost.
    let remote = facts.secret.as_mut().unwrap();
    relabelled(remote, "AWSPREVIOUS", id("current"));
    remote.current = Some(Current { version: third.clone(), ..current(0) });
    facts.mirror = mirrored(third.as_str());
    let Next::Rest(rest) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert!(!rest.awaiting && rest.wake == Some(at(NOW)), "{rest:?}");
}

#[test]
fn a_value_that_somebody_else_put_is_not_overwritten_because_the_status_was_lost() {
    let mut facts = seen();
    facts.status.declared.hash = None;
    facts.secret.as_mut().unwrap().current.as_mut().unwrap().matches = Some(false);
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(_)));
    // An id that follows from a cause can only be ours.
    let first = ids().creation();
    facts.secret.as_mut().unwrap().current.as_mut().unwrap().version = first.clone();
    facts.mirror = mirrored(first.as_str());
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Put { cause: Cause::SpecChanged, .. })));
}

#[test]
fn what_differs_from_the_declaration_is_mended_one_thing_at_a_time_and_tags_first() {
    let want = Desired { description: Some("declared".to_owned()), ..want() };
    let tags = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    let mut world = Observation {
        secret: Some(SecretState {
            drift: Drift { missing_tags: tags.clone(), description: true, ..all_differs() },
            replicas: vec![in_sync("eu-west-1")],
            ..secret()
        }),
        ..seen()
    };
    let mut steps = Vec::new();
    while let Next::Do(step) = plan(&want, &world, at(NOW)) {
        carry_out(&mut world, &step);
        steps.push(step);
    }
    let expected = [
        Step::Tag { tags },
        Step::Untag { keys: ["old".to_owned()].into() },
        Step::SetDescription { description: "declared".to_owned() },
        Step::SetKey { key: "alias/shop".to_owned() },
        Step::PutPolicy,
        Step::StopReplicating { regions: ["eu-west-1".to_owned()].into() },
        Step::Replicate { replicas: [("eu-north-1".to_owned(), None)].into() },
        Step::SetReplicaKey { region: "eu-south-1".to_owned(), key: "alias/dr".to_owned() },
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_request_waits_until_a_changed_declaration_is_reported() {
    let asking = Desired { rotate_request: Some("a".to_owned()), ..want() };
    let mut world = seen();
    world.status.declared.hash = Some(declared("root").hash());
    for expected in ["Put", "ReplaceMirror"] {
        let Next::Do(step) = plan(&asking, &world, at(NOW)) else { panic!() };
        assert_eq!(step.kind(), expected);
        carry_out(&mut world, &step);
    }
    let Next::Rest(rest) = plan(&asking, &world, at(NOW)) else { panic!() };
    assert_eq!((rest.wake, rest.rotate_handled.clone()), (Some(at(NOW)), None));
    end_reconcile(&asking, &mut world, &rest);
    world.status.declared.hash = Some(declared("admin").hash());
    let Next::Do(label @ Step::MoveLabel { .. }) = plan(&asking, &world, at(NOW)) else { panic!() };
    carry_out(&mut world, &label);
    assert!(matches!(plan(&asking, &world, at(NOW)), Next::Do(Step::Put { cause: Cause::Requested, .. })));
}

#[test]
fn a_request_is_handled_once_for_each_token() {
    let asking = |token: &str| Desired { rotate_request: Some(token.to_owned()), ..want() };
    let Next::Do(Step::Put { version, cause, .. }) = plan(&asking("a"), &seen(), at(NOW)) else { panic!() };
    assert_eq!((cause, &version), (Cause::Requested, &ids().request("a")));
    // Acknowledged in status; or not, but AWS knows the version: as current, previous, or used up.
    let mut acknowledged = seen();
    acknowledged.status.requests.rotate = Some("a".to_owned());
    let mut previous = seen();
    let remote = previous.secret.as_mut().unwrap();
    remote.labels.insert("rotated-secrets/2".to_owned(), version.clone());
    relabelled(remote, "AWSPREVIOUS", version.clone());
    let mut spent = seen();
    spent.status.unseen = Some((version, at(NOW - 1000)));
    for facts in [acknowledged, previous, spent] {
        let Next::Rest(rest) = plan(&asking("a"), &facts, at(NOW)) else { panic!("{facts:?}") };
        assert_eq!(rest.rotate_handled.as_deref(), Some("a"));
        assert!(matches!(plan(&asking("b"), &facts, at(NOW)), Next::Do(Step::Put { cause: Cause::Requested, .. })));
    }
}

#[test]
fn a_value_that_came_between_look_and_write_is_given_back_before_anything_is_mirrored() {
    let ours = ids().request("a");
    let mut facts = seen();
    wrote(&mut facts, &ours, "current");
    let remote = facts.secret.as_mut().unwrap();
    remote.current = Some(Current { version: ours.clone(), ..current(0) });
    relabelled(remote, "AWSPREVIOUS", id("theirs"));
    let expected = Step::RestoreCurrent { to: id("theirs"), from: ours.clone() };
    assert_eq!(plan(&want(), &facts, at(NOW)), Next::Do(expected));
    relabelled(facts.secret.as_mut().unwrap(), "AWSPREVIOUS", id("current"));
    assert_eq!(plan(&want(), &facts, at(NOW)), Next::Do(Step::ReplaceMirror { version: ours, confirm: false }), "nobody came between");
}

#[test]
fn a_turn_makes_one_version_and_reports_it_before_the_next() {
    let asking = Desired { rotate_request: Some("b".to_owned()), ..want() };
    let mut facts = seen();
    wrote(&mut facts, &id("current"), "previous");
    let Next::Rest(rest) = plan(&asking, &facts, at(NOW)) else { panic!() };
    assert_eq!(rest.wake, Some(at(NOW)));
}

#[test]
fn what_an_edit_of_the_schedule_makes_due_is_announced_first() {
    let mut facts = seen();
    facts.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
    facts.status.schedule = Some(edited());
    let Next::Rest(rest) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert_eq!((rest.next_rotation, rest.wake), (Some(at(NOW - 60)), Some(at(NOW))));
    facts.status.schedule = None;
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Put { cause: Cause::Scheduled, .. })));
}

#[test]
fn a_rollback_to_a_value_that_the_secret_could_not_hold_is_answered_and_the_current_version_stays_fit() {
    use crate::api::RollbackRefusal;
    use crate::desired::{RollbackRequest, RollbackTo};
    let asking = Desired { rollback_request: Some(RollbackRequest { token: "t".to_owned(), to: Some(RollbackTo::Previous) }), ..want() };
    let mut facts = seen();
    let Next::Do(step) = plan(&asking, &facts, at(NOW)) else { panic!() };
    assert!(matches!(&step, Step::Put { source: Source::Copy { .. }, cause: Cause::RolledBack, .. }), "{step:?}");
    let refusal = Refusal::new(Reason::FieldMissing, "it lacks a field");
    facts.journal.record(step, Effect::Unfit(Unfit { refusal, remedy: Remedy::Value }));
    let Next::Rest(rest) = plan(&asking, &facts, at(NOW)) else { panic!() };
    assert_eq!(rest.rollback_handled, Some(("t".to_owned(), Some(RollbackRefusal::FieldMissing))));
    assert_eq!((rest.mirrored, rest.provisioned), (None, None));
}
