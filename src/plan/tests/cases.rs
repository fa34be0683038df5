//! One rule each, where the product of all facts would hide it.

use super::*;

#[test]
fn a_slot_that_was_served_is_not_served_again_after_a_rollback() {
    let old = PERIOD + 60;
    let due = at(NOW - 60);
    let served = Remote { current: Some(current(old)), previous: Some(ids().slot(due)), ..remote() };
    let Next::Rest(rest) = plan(&want(), &Observed { remote: Some(served), ..seen() }, at(NOW)) else { panic!() };
    assert_eq!(rest.next_rotation, Some(due + SignedDuration::from_secs(PERIOD)));
}

#[test]
fn a_version_that_aws_has_but_does_not_show_is_waited_for() {
    let old = PERIOD + 60;
    let due = at(NOW - 60);
    let mut facts = Observed { remote: Some(Remote { current: Some(current(old)), ..remote() }), ..seen() };
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Write { cause: Cause::Scheduled, .. })));
    facts.spent.insert(ids().slot(due), at(NOW - 3));
    let Next::Rest(rest) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert!(rest.unsettled);
}

#[test]
fn a_changed_declaration_is_written_once_also_when_its_report_was_lost() {
    let hash = declared("admin").hash();
    let mut facts = seen();
    facts.reported.declared = Some(declared("root").hash());
    let Next::Do(Step::Write { version, cause, .. }) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert_eq!((cause, &version), (Cause::SpecChanged, &ids().declaration(&id("current"), &hash)));
    let remote = facts.remote.as_mut().unwrap();
    remote.previous = Some(id("current"));
    remote.current = Some(Current { version, ..current(0) });
    facts.mirror = mirrored(remote.current.as_ref().unwrap().version.as_str());
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(_)), "the labels say that it is done");
}

#[test]
fn a_value_that_somebody_else_put_is_not_overwritten_because_the_status_was_lost() {
    let mut facts = seen();
    facts.reported.declared = None;
    facts.remote.as_mut().unwrap().current.as_mut().unwrap().fits = Some(false);
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(_)));
    // An id that follows from a cause can only be ours.
    let first = ids().creation();
    facts.remote.as_mut().unwrap().current.as_mut().unwrap().version = first.clone();
    facts.mirror = mirrored(first.as_str());
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Write { cause: Cause::SpecChanged, .. })));
}

#[test]
fn what_differs_from_the_declaration_is_mended_one_thing_at_a_time_and_tags_first() {
    let want = Desired { description: Some("declared".to_owned()), ..want() };
    let tags = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
    let mut world = Observed {
        remote: Some(Remote { missing_tags: tags.clone(), description_differs: true, settings: all_differs(), ..remote() }),
        ..seen()
    };
    let mut steps = Vec::new();
    while let Next::Do(step) = plan(&want, &world, at(NOW)) {
        carry_out(&want, &mut world, &step);
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
    world.reported.declared = Some(declared("root").hash());
    for expected in ["Write", "ReplaceMirror"] {
        let Next::Do(step) = plan(&asking, &world, at(NOW)) else { panic!() };
        assert_eq!(step.kind(), expected);
        carry_out(&asking, &mut world, &step);
    }
    let Next::Rest(rest) = plan(&asking, &world, at(NOW)) else { panic!() };
    assert_eq!((rest.wake, rest.rotate_handled), (Some(at(NOW)), None));
    world.reported.declared = Some(declared("admin").hash());
    let Next::Do(label @ Step::MoveLabel { .. }) = plan(&asking, &world, at(NOW)) else { panic!() };
    carry_out(&asking, &mut world, &label);
    assert!(matches!(plan(&asking, &world, at(NOW)), Next::Do(Step::Write { cause: Cause::Requested, .. })));
}

#[test]
fn a_request_is_handled_once_for_each_token() {
    let asking = |token: &str| Desired { rotate_request: Some(token.to_owned()), ..want() };
    let Next::Do(Step::Write { version, cause, .. }) = plan(&asking("a"), &seen(), at(NOW)) else { panic!() };
    assert_eq!((cause, &version), (Cause::Requested, &ids().request("a")));
    // Acknowledged in status; or not, but AWS knows the version: as current, previous, or used up.
    let mut acknowledged = seen();
    acknowledged.reported.rotate_handled = Some("a".to_owned());
    let mut previous = seen();
    let remote = previous.remote.as_mut().unwrap();
    remote.labels.insert("rotated-secrets/2".to_owned(), version.clone());
    remote.previous = Some(version.clone());
    let mut spent = seen();
    spent.spent.insert(version, at(NOW - 1000));
    for facts in [acknowledged, previous, spent] {
        let Next::Rest(rest) = plan(&asking("a"), &facts, at(NOW)) else { panic!("{facts:?}") };
        assert_eq!(rest.rotate_handled.as_deref(), Some("a"));
        assert!(matches!(plan(&asking("b"), &facts, at(NOW)), Next::Do(Step::Write { cause: Cause::Requested, .. })));
    }
}

#[test]
fn a_value_that_came_between_look_and_write_is_given_back_before_anything_is_mirrored() {
    let ours = ids().request("a");
    let mut facts = seen();
    facts.wrote = Some((ours.clone(), id("current")));
    let remote = facts.remote.as_mut().unwrap();
    remote.current = Some(Current { version: ours.clone(), ..current(0) });
    remote.previous = Some(id("theirs"));
    let expected = Step::RestoreCurrent { to: id("theirs"), from: ours.clone() };
    assert_eq!(plan(&want(), &facts, at(NOW)), Next::Do(expected));
    facts.remote.as_mut().unwrap().previous = Some(id("current"));
    assert_eq!(plan(&want(), &facts, at(NOW)), Next::Do(Step::ReplaceMirror { version: ours, confirm: false }), "nobody came between");
}

#[test]
fn a_turn_makes_one_version_and_reports_it_before_the_next() {
    let asking = Desired { rotate_request: Some("b".to_owned()), ..want() };
    let mut facts = seen();
    facts.wrote = Some((id("current"), id("previous")));
    let Next::Rest(rest) = plan(&asking, &facts, at(NOW)) else { panic!() };
    assert_eq!(rest.wake, Some(at(NOW)));
}

#[test]
fn what_an_edit_of_the_schedule_makes_due_is_announced_first() {
    let mut facts = seen();
    facts.remote.as_mut().unwrap().current = Some(current(PERIOD + 60));
    facts.reported.schedule_edited = true;
    let Next::Rest(rest) = plan(&want(), &facts, at(NOW)) else { panic!() };
    assert_eq!((rest.next_rotation, rest.wake), (Some(at(NOW - 60)), Some(at(NOW))));
    facts.reported.schedule_edited = false;
    assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Write { cause: Cause::Scheduled, .. })));
}

#[test]
fn every_kind_of_step_is_listed() {
    let steps = [
        Step::AddFinalizer,
        Step::RemoveFinalizer,
        Step::Create { version: id("a") },
        Step::Write { version: id("a"), predecessor: None, cause: Cause::Created },
        Step::RollBack { version: id("a"), to: id("b"), predecessor: id("c") },
        Step::MoveLabel { label: String::new(), from: None, to: None },
        Step::RestoreCurrent { to: id("a"), from: id("b") },
        Step::SetDescription { description: String::new() },
        Step::SetKey { key: String::new() },
        Step::Tag { tags: BTreeMap::new() },
        Step::Untag { keys: BTreeSet::new() },
        Step::PutPolicy,
        Step::DeletePolicy,
        Step::Replicate { replicas: BTreeMap::new() },
        Step::StopReplicating { regions: BTreeSet::new() },
        Step::SetReplicaKey { region: String::new(), key: String::new() },
        Step::Restore,
        Step::Adopt { tags: BTreeMap::new() },
        Step::CreateMirror { version: id("a") },
        Step::ReplaceMirror { version: id("a"), confirm: false },
        Step::AdoptMirror { version: id("a") },
        Step::ReleaseMirror,
        Step::ClaimRotation,
        Step::ConfigureRotation { version: None },
        Step::RotateNow { version: id("a") },
        Step::CancelRotation,
        Step::ReleaseRotation,
        Step::Delete { window: 7 },
    ];
    assert_eq!(steps.iter().map(Step::kind).collect::<Vec<_>>(), Step::KINDS);
}
