//! Events about the correction of what another writer changed.

use strum::VariantArray as _;

use super::*;
use crate::status::events::{of_change, of_mirror, of_repair};
use crate::step::Step;

#[test]
fn a_repair_of_the_secret_names_the_other_field_manager_if_it_has_the_form_of_one() {
    let status = live();
    let note = |rival: Option<&str>| {
        let told = of_mirror(&status, &status, &[StepKind::CreateMirror, StepKind::ReplaceMirror], rival).unwrap();
        assert_eq!((told.reason.as_str(), told.warning), ("MirrorRepaired", true));
        assert!(event_notes(&status, &status).is_empty(), "told once");
        told.note
    };
    assert_eq!(note(Some("kubectl-edit")), "the field manager kubectl-edit edited the Secret, and the operator has written it again");
    let unclear = "the Secret was edited by a client that its metadata.managedFields do not name, and the operator has written it again: \
                   the audit log of the API server says by whom";
    for unknown in [None, Some(""), Some("nobody; the Secret is fine and it was not"), Some("a?b")] {
        assert_eq!(note(unknown), unclear, "{unknown:?}");
    }
    let deleted = of_mirror(&status, &status, &[StepKind::CreateMirror], Some("kubectl-edit")).unwrap().note;
    assert!(deleted.starts_with("the Secret was deleted, and the operator has created it again: "), "{deleted}");
}

#[test]
fn a_write_of_the_secret_that_failed_before_is_no_repair() {
    let told = |step: &str| {
        let failures =
            serde_json::from_value(serde_json::json!({"count": 1, "steps": [{"step": step, "reason": "WriteRefused"}]})).unwrap();
        let before = RotatedSecretStatus { failures: Some(failures), ..live() };
        of_mirror(&before, &live(), &[StepKind::ReplaceMirror], None).is_some()
    };
    assert_eq!([told("ReplaceMirror"), told("CreateMirror"), told("Tag")], [false, false, true]);
}

#[test]
fn only_a_write_that_nothing_else_explains_is_a_repair() {
    use SecretWrite::{NewVersion, Previous, Repair, Spec};
    let why = |edit: &dyn Fn(&mut RotatedSecretStatus), step: &Step, previous: Option<&str>| {
        let mut status = live();
        edit(&mut status);
        SecretWrite::of(&object(&status), step, previous.map(id).as_ref())
    };
    let held = id(&live().mirror.unwrap().version_id.unwrap());
    let create = Step::CreateMirror { version: held.clone() };
    let replace = Step::ReplaceMirror { version: held, confirm: false };
    let as_before = |_: &mut RotatedSecretStatus| {};
    assert_eq!([&create, &replace].map(|step| why(&as_before, step, None)), [Some(Repair), Some(Repair)]);
    let other = Step::ReplaceMirror { version: id("other"), confirm: false };
    assert_eq!(why(&as_before, &other, None), Some(NewVersion));
    assert_eq!(why(&|status| status.mirror = None, &create, None), Some(NewVersion));
    assert_eq!(why(&|status| status.observed_generation = Some(0), &replace, None), Some(Spec));
    assert_eq!(why(&as_before, &replace, Some("before")), Some(Previous));
    // Users may write what they like into a status, but a step has to follow from it.
    let tag = Step::Tag { tags: BTreeMap::new() };
    assert_eq!([&tag, &Step::AddFinalizer].map(|step| why(&as_before, step, None)), [None, None]);
    let failed = |step: &str| {
        let failures = serde_json::json!({"count": 1, "steps": [{"step": step, "reason": "WriteRefused"}]});
        why(&|status| status.failures = serde_json::from_value(failures.clone()).unwrap(), &replace, None)
    };
    assert_eq!([failed("ReplaceMirror"), failed("CreateMirror"), failed("Tag")], [Some(Spec), Some(Spec), Some(Repair)]);
}

#[test]
fn a_correction_of_each_setting_has_its_words() {
    let notes: Vec<EventNote> = StepKind::VARIANTS
        .iter()
        .filter(|kind| kind.is_setting() && !matches!(kind, StepKind::MoveLabel | StepKind::Settle))
        .map(|kind| of_repair(&want(), *kind))
        .collect();
    assert_eq!(notes.len(), 9);
    let changes: Vec<EventNote> = StepKind::VARIANTS.iter().filter_map(|kind| of_change(&want(), *kind)).collect();
    assert_eq!(changes.len(), 9);
    assert!(changes.iter().all(|note| note.reason == "SettingsChanged" && !note.warning && !note.note.contains("settings")), "{changes:?}");
    for note in notes {
        assert_eq!((note.reason.as_str(), note.warning), ("SettingsRepaired", true));
        assert!(!note.note.contains("settings") && note.note.contains("differed from the declaration"), "{}", note.note);
    }
}
