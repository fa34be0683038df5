//! What the journal answers for every kind of step and effect.

use strum::VariantArray;

use super::*;
use crate::api::condition::Reason;
use crate::api::{Cause, RETIRING_LABEL, WorkloadKind, WorkloadRef};

fn id(name: &str) -> VersionId {
    VersionId::from(name)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn refusal() -> Refusal {
    Refusal::new(Reason::AccessDenied, "no")
}

const EFFECTS: [&str; 4] = ["applied", "exists", "absent", "refused"];

fn effect(name: &str) -> Effect {
    match name {
        "applied" => Effect::Applied { at: at(10) },
        "exists" => Effect::Exists { created: at(5) },
        "absent" => Effect::Absent,
        _ => Effect::Failed(Failed::denied(&refusal())),
    }
}

fn put(version: &str, predecessor: Option<&str>, stage: Stage, source: Source) -> Step {
    Step::Put {
        version: id(version),
        source,
        predecessor: predecessor.map(id),
        cause: Cause::Scheduled,
        stage,
        label: Some("rotated-secrets/1".to_owned()),
    }
}

fn composed(version: &str, predecessor: &str) -> Step {
    put(version, Some(predecessor), Stage::Current, Source::Compose)
}

fn promote(version: &str, from: &str) -> Step {
    Step::Promote { version: id(version), from: id(from) }
}

fn restore(to: &str, from: &str) -> Step {
    Step::RestoreCurrent { to: id(to), from: id(from) }
}

fn move_label(label: &str, from: Option<&str>, to: Option<&str>) -> Step {
    Step::MoveLabel { label: label.to_owned(), from: from.map(id), to: to.map(id) }
}

/// One step of every kind; all versions are `v`, and predecessors `u`.
fn example(kind: StepKind) -> Step {
    let version = id("v");
    match kind {
        StepKind::AddFinalizer => Step::AddFinalizer,
        StepKind::RemoveFinalizer => Step::RemoveFinalizer,
        StepKind::RecordPlace => Step::RecordPlace,
        StepKind::Create => Step::Create { version },
        StepKind::Put => composed("v", "u"),
        StepKind::Apply => Step::Apply { version, from: id("u") },
        StepKind::Verify => Step::Verify { version },
        StepKind::Check => Step::Check { version },
        StepKind::FindWorkloads => Step::FindWorkloads,
        StepKind::Restart => Step::Restart { version, workload: WorkloadRef { kind: WorkloadKind::Deployment, name: "api".to_owned() } },
        StepKind::Retire => Step::Retire { version, current: id("u") },
        StepKind::Promote => promote("v", "u"),
        StepKind::Abandon => Step::Abandon { version, current: id("u") },
        StepKind::Settle => Step::Settle { version },
        StepKind::MoveLabel => move_label("rotated-secrets/1", Some("u"), Some("v")),
        StepKind::RestoreCurrent => restore("v", "u"),
        StepKind::SetDescription => Step::SetDescription { description: String::new() },
        StepKind::SetKey => Step::SetKey { key: String::new() },
        StepKind::Tag => Step::Tag { tags: BTreeMap::new() },
        StepKind::Untag => Step::Untag { keys: [].into() },
        StepKind::PutPolicy => Step::PutPolicy,
        StepKind::DeletePolicy => Step::DeletePolicy,
        StepKind::Replicate => Step::Replicate { replicas: BTreeMap::new() },
        StepKind::StopReplicating => Step::StopReplicating { regions: [].into() },
        StepKind::SetReplicaKey => Step::SetReplicaKey { region: "eu-west-1".to_owned(), key: String::new() },
        StepKind::Restore => Step::Restore,
        StepKind::Adopt => Step::Adopt { tags: BTreeMap::new() },
        StepKind::CreateMirror => Step::CreateMirror { version },
        StepKind::ReplaceMirror => Step::ReplaceMirror { version, confirm: false },
        StepKind::AdoptMirror => Step::AdoptMirror { version },
        StepKind::ReleaseMirror => Step::ReleaseMirror,
        StepKind::ClaimRotation => Step::ClaimRotation,
        StepKind::ConfigureRotation => Step::ConfigureRotation { version: Some(version) },
        StepKind::RotateNow => Step::RotateNow { version },
        StepKind::CancelRotation => Step::CancelRotation,
        StepKind::ReleaseRotation => Step::ReleaseRotation,
        StepKind::Delete => Step::Delete { window: 7 },
    }
}

fn journal(entries: &[(Step, &str)]) -> Journal {
    let mut journal = Journal::default();
    for (step, name) in entries {
        journal.record(step.clone(), effect(name));
    }
    journal
}

/// A journal of one entry for every kind and effect.
fn every(mut check: impl FnMut(StepKind, &str, &Journal)) {
    for kind in StepKind::VARIANTS {
        for name in EFFECTS {
            check(*kind, name, &journal(&[(example(*kind), name)]));
        }
    }
}

#[test]
fn entries_stay_in_the_order_of_the_steps() {
    let journal = journal(&[(Step::AddFinalizer, "applied"), (Step::PutPolicy, "refused")]);
    let expected =
        [Entry { step: Step::AddFinalizer, effect: effect("applied") }, Entry { step: Step::PutPolicy, effect: effect("refused") }];
    assert_eq!(journal.entries(), expected);
    assert_eq!(Journal::default().entries(), []);
}

#[test]
fn a_kind_was_done_if_its_step_was_applied_or_its_result_exists() {
    every(|kind, name, journal| {
        let done = ["applied", "exists"].contains(&name);
        assert_eq!(journal.kinds().collect::<Vec<_>>(), if done { vec![kind] } else { vec![] }, "{kind:?} {name}");
        for other in StepKind::VARIANTS {
            assert_eq!(journal.did(*other), done && *other == kind, "{kind:?} {name}: {other:?}");
        }
    });
    let twice = journal(&[(Step::PutPolicy, "refused"), (Step::Restore, "applied"), (Step::PutPolicy, "applied")]);
    assert_eq!(twice.kinds().collect::<Vec<_>>(), [StepKind::Restore, StepKind::PutPolicy]);
}

#[test]
fn a_step_was_tried_with_whatever_effect() {
    every(|kind, name, journal| {
        for other in StepKind::VARIANTS {
            assert_eq!(journal.tried(&example(*other)), *other == kind, "{kind:?} {name}: {other:?}");
        }
    });
    assert!(!Journal::default().tried(&Step::AddFinalizer));
}

#[test]
fn two_steps_are_the_same_if_they_are_about_the_same_thing() {
    let key = |region: &str, key: &str| Step::SetReplicaKey { region: region.to_owned(), key: key.to_owned() };
    let replace = |version: &str, confirm| Step::ReplaceMirror { version: id(version), confirm };
    let settle = |version: &str| Step::Settle { version: id(version) };
    for (name, one, other, same) in [
        ("the version of a put", composed("v", "u"), composed("w", "u"), false),
        ("the predecessor of a put", composed("v", "u"), composed("v", "t"), true),
        ("the source of a put", composed("v", "u"), put("v", None, Stage::Pending, Source::Copy { of: id("u") }), true),
        ("the version of a promotion", promote("v", "u"), promote("w", "u"), false),
        ("a put and a promotion", composed("v", "u"), promote("v", "u"), false),
        ("the version to settle", settle("v"), settle("w"), false),
        ("the version to restore", restore("v", "u"), restore("w", "u"), false),
        ("the label", move_label("a", None, Some("v")), move_label("b", None, Some("v")), false),
        ("the version of a label", move_label("a", None, Some("v")), move_label("a", Some("v"), None), true),
        ("the region", key("eu-west-1", "k"), key("eu-north-1", "k"), false),
        ("the key of a replica", key("eu-west-1", "k"), key("eu-west-1", "l"), true),
        ("the version of the mirror", replace("v", false), replace("w", false), false),
        ("the confirmation", replace("v", false), replace("v", true), true),
        ("create and replace", Step::CreateMirror { version: id("v") }, replace("v", false), false),
        ("the key", Step::SetKey { key: "k".to_owned() }, Step::SetKey { key: String::new() }, true),
        ("the window", Step::Delete { window: 7 }, Step::Delete { window: 30 }, true),
    ] {
        assert_eq!(journal(&[(one.clone(), "absent")]).tried(&other), same, "{name}");
        assert_eq!(journal(&[(other, "refused")]).tried(&one), same, "{name}");
    }
}

#[test]
fn only_failed_steps_have_a_failure() {
    every(|kind, name, journal| {
        let expected = (name == "refused").then(refusal);
        assert_eq!(journal.failure(&example(kind)).map(Failed::refusal), expected, "{kind:?} {name}");
        assert_eq!(journal.failed().count(), usize::from(name == "refused"), "{kind:?} {name}");
        let version = name == "refused" && kind.makes_version();
        let step = example(kind);
        let staged = step.version();
        assert_eq!(journal.failed_version(staged).is_some(), version, "{kind:?} {name}");
        let other = VersionId::from("another");
        for no_longer in [None, Some(&other)] {
            let over = version && !kind.is_of_staged();
            assert_eq!(journal.failed_version(no_longer).is_some(), over, "{kind:?} {name}");
        }
    });
}

#[test]
fn a_held_step_is_not_tried_and_keeps_its_failure_and_no_other_step_is_held() {
    for kind in StepKind::VARIANTS {
        let journal = Journal::holding([(example(*kind).key(), Failed::denied(&refusal()))]);
        for other in StepKind::VARIANTS {
            let step = example(*other);
            let held = kind == other;
            assert_eq!((journal.tried(&step), journal.failure(&step).is_some()), (held, held), "{kind:?} {other:?}");
        }
        assert_eq!((journal.failed().count(), journal.held().count(), journal.kinds().count()), (0, 1, 0), "{kind:?}");
    }
    let journal = Journal::holding([(composed("v", "u").key(), Failed::denied(&refusal()))]);
    assert!(!journal.tried(&composed("w", "u")), "another version is another step");
    assert!(journal.failed_version(None).is_some(), "but the plan knows that versions cannot be written");
}

#[test]
fn the_mirror_was_written_by_the_three_steps_that_write_it() {
    let writes = [StepKind::CreateMirror, StepKind::ReplaceMirror, StepKind::AdoptMirror];
    every(|kind, name, journal| {
        let written = writes.contains(&kind) && ["applied", "exists"].contains(&name);
        assert_eq!(journal.mirror_written(), written, "{kind:?} {name}");
    });
}

#[test]
fn one_step_writes_a_current_version_if_it_was_applied_and_puts_or_promotes_one() {
    every(|kind, name, journal| {
        let written = [StepKind::Put, StepKind::Promote].contains(&kind) && name == "applied";
        let (version, predecessor) = (id("v"), id("u"));
        let expected = Written { version: &version, predecessor: Some(&predecessor), copy_of: None };
        assert_eq!(journal.written(), written.then_some(expected), "{kind:?} {name}");
    });
}

#[test]
fn a_version_is_current_since_this_reconcile_put_promoted_or_restored_it() {
    every(|kind, name, journal| {
        let makes = [StepKind::Put, StepKind::Promote, StepKind::RestoreCurrent].contains(&kind) && name == "applied";
        assert_eq!(journal.made_current(&id("v")), makes.then_some(at(10)), "{kind:?} {name}");
    });
}

#[test]
fn the_last_step_that_makes_a_version_current_counts() {
    let staged = |version: &str| put(version, Some("u"), Stage::Pending, Source::Compose);
    let first = put("v", None, Stage::Current, Source::Compose);
    let copy = || Source::Copy { of: id("old") };
    for (name, entries, expected) in [
        ("nothing", vec![], None),
        ("staged", vec![(staged("v"), "applied")], None),
        ("staged and promoted", vec![(staged("v"), "applied"), (promote("v", "u"), "applied")], Some(("v", "u", None))),
        ("staged, not promoted", vec![(staged("v"), "applied"), (promote("v", "u"), "absent")], None),
        ("a copy", vec![(put("v", Some("u"), Stage::Current, copy()), "applied")], Some(("v", "u", Some("old")))),
        ("a copy that exists", vec![(put("v", Some("u"), Stage::Current, copy()), "exists")], None),
        ("the first value", vec![(first, "applied")], Some(("v", "", None))),
        ("restored after it", vec![(composed("v", "u"), "applied"), (restore("x", "v"), "applied")], None),
        ("not restored", vec![(composed("v", "u"), "applied"), (restore("x", "v"), "absent")], Some(("v", "u", None))),
        ("restored before it", vec![(restore("x", "t"), "applied"), (composed("v", "x"), "applied")], Some(("v", "x", None))),
        ("two versions", vec![(composed("v", "u"), "applied"), (composed("w", "v"), "applied")], Some(("w", "v", None))),
        ("the second exists", vec![(composed("v", "u"), "applied"), (composed("w", "v"), "exists")], Some(("v", "u", None))),
        ("other steps after it", vec![(composed("v", "u"), "applied"), (staged("w"), "applied")], Some(("v", "u", None))),
    ] {
        let journal = journal(&entries);
        let found = journal.written().map(|found| (found.version.clone(), found.predecessor.cloned(), found.copy_of.cloned()));
        let expected =
            expected.map(|(version, predecessor, of)| (id(version), Some(predecessor).filter(|id| !id.is_empty()).map(id), of.map(id)));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn used_ids_are_those_of_versions_that_aws_has() {
    every(|kind, name, journal| {
        let makes = [StepKind::Create, StepKind::Put, StepKind::RotateNow, StepKind::ConfigureRotation].contains(&kind);
        let created = match name {
            "applied" => Some(at(10)),
            "exists" => Some(at(5)),
            _ => None,
        };
        let expected = created.filter(|_| makes).map(|created| (id("v"), created)).into_iter().collect();
        assert_eq!(journal.used(), expected, "{kind:?} {name}");
    });
    let configured = journal(&[(Step::ConfigureRotation { version: None }, "applied")]);
    assert_eq!(configured.used(), BTreeMap::new());
    let staged = journal(&[(put("v", None, Stage::Pending, Source::Compose), "applied"), (composed("w", "v"), "exists")]);
    assert_eq!(staged.used(), BTreeMap::from([(id("v"), at(10)), (id("w"), at(5))]));
}

#[test]
fn a_version_is_missing_if_its_copy_or_its_mirror_found_none() {
    let copy = || put("v", Some("u"), Stage::Current, Source::Copy { of: id("old") });
    every(|kind, name, journal| {
        let mirrors = [StepKind::CreateMirror, StepKind::ReplaceMirror, StepKind::AdoptMirror].contains(&kind);
        assert_eq!(journal.missing(&id("v")), mirrors && name == "absent", "{kind:?} {name}");
        assert!(!journal.missing(&id("u")), "{kind:?} {name}");
    });
    for name in EFFECTS {
        let journal = journal(&[(copy(), name)]);
        assert_eq!(journal.missing(&id("old")), name == "absent", "{name}");
        assert!(!journal.missing(&id("v")), "{name}: the copy itself is not what was looked for");
    }
}

#[test]
fn labels_are_where_applied_steps_moved_them_and_never_where_a_put_did() {
    let before = [(AWSCURRENT, "u"), (AWSPREVIOUS, "t"), (AWSPENDING, "v"), ("rotated-secrets/1", "u")];
    let labels = |changes: &[(&str, &str)]| -> BTreeMap<String, VersionId> {
        before.iter().chain(changes).map(|(label, version)| ((*label).to_owned(), id(version))).collect()
    };
    every(|kind, name, journal| {
        let mut expected = match kind {
            StepKind::Promote | StepKind::RestoreCurrent => labels(&[(AWSCURRENT, "v"), (AWSPREVIOUS, "u")]),
            StepKind::MoveLabel => labels(&[("rotated-secrets/1", "v")]),
            _ => labels(&[]),
        };
        if matches!(kind, StepKind::Settle | StepKind::Abandon) {
            expected.remove(AWSPENDING);
        }
        let mut found = labels(&[]);
        journal.overlay_labels(&mut found);
        assert_eq!(found, if name == "applied" { expected } else { labels(&[]) }, "{kind:?} {name}");
    });
}

#[test]
fn a_put_after_a_move_is_read_from_aws_and_a_put_before_it_is_not() {
    let restored = (restore("e", "d"), "applied");
    let later = (composed("f", "e"), "applied");
    let read = || BTreeMap::from([(AWSCURRENT.to_owned(), id("f")), (AWSPREVIOUS.to_owned(), id("e"))]);
    let moved = || BTreeMap::from([(AWSCURRENT.to_owned(), id("e")), (AWSPREVIOUS.to_owned(), id("d"))]);
    let tagged = (move_label("rotated-secrets/1", Some("u"), Some("v")), "applied");
    for (name, entries, expected) in [
        ("put later", vec![restored.clone(), later.clone()], read()),
        ("put before", vec![later.clone(), restored.clone()], moved()),
        ("not put", vec![restored.clone(), (composed("f", "e"), "refused")], moved()),
        ("put earlier by another reconcile", vec![restored, (composed("f", "e"), "exists")], moved()),
        ("the label went with the put", vec![tagged, later], read()),
    ] {
        let mut found = read();
        journal(&entries).overlay_labels(&mut found);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn what_this_reconcile_made_current_is_known_for_every_kind_of_step_and_effect() {
    every(|kind, name, journal| {
        let moves = [StepKind::Create, StepKind::Put, StepKind::Promote, StepKind::RestoreCurrent].contains(&kind) && name == "applied";
        assert_eq!(journal.moved_current(), moves, "{kind:?} {name}");
        assert_eq!(journal.composed(&id("v")), kind == StepKind::Put && name == "applied", "{kind:?} {name}");
        assert!(!journal.composed(&id("u")), "{kind:?} {name}");
    });
    let copied = put("v", Some("u"), Stage::Current, Source::Copy { of: id("old") });
    assert!(!journal(&[(copied, "applied")]).composed(&id("v")), "a copy has the old declaration");
}

#[test]
fn labels_that_were_moved_twice_are_where_the_last_step_moved_them() {
    for (name, entries, expected) in [
        ("taken off", vec![(move_label("a", Some("u"), None), "applied")], None),
        ("put on", vec![(move_label("a", None, Some("v")), "applied")], Some("v")),
        ("put on and taken off", vec![(move_label("a", None, Some("v")), "applied"), (move_label("a", Some("v"), None), "applied")], None),
        (
            "taken off and put on",
            vec![(move_label("a", Some("u"), None), "applied"), (move_label("a", None, Some("v")), "applied")],
            Some("v"),
        ),
        ("refused", vec![(move_label("a", Some("u"), Some("v")), "refused")], Some("u")),
        ("another writer moved it first", vec![(move_label("a", Some("u"), Some("v")), "absent")], Some("u")),
    ] {
        let mut labels = BTreeMap::from([("a".to_owned(), id("u"))]);
        journal(&entries).overlay_labels(&mut labels);
        assert_eq!(labels.get("a"), expected.map(id).as_ref(), "{name}");
    }
}

#[test]
fn a_retirement_takes_its_label_off_that_version_only() {
    let retired = [(Step::Retire { version: id("v"), current: id("new") }, "applied")];
    for (on, left) in [("v", None), ("another", Some(id("another")))] {
        let mut labels = BTreeMap::from([(RETIRING_LABEL.to_owned(), id(on))]);
        journal(&retired).overlay_labels(&mut labels);
        assert_eq!(labels.get(RETIRING_LABEL), left.as_ref(), "{on}");
    }
}

#[test]
fn settling_takes_the_pending_label_off_that_version_only() {
    let mut labels = BTreeMap::from([(AWSPENDING.to_owned(), id("another"))]);
    journal(&[(Step::Settle { version: id("v") }, "applied")]).overlay_labels(&mut labels);
    assert_eq!(labels.get(AWSPENDING), Some(&id("another")));
}
