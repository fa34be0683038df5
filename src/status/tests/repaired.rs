//! Events about the correction of what another writer changed.

use strum::VariantArray as _;

use super::*;
use crate::status::events::{of_mirror, of_repair};

#[test]
fn a_repair_of_the_secret_names_the_other_field_manager_if_it_has_the_form_of_one() {
    let status = live();
    let note = |rival: Option<&str>| {
        let told = of_mirror(&status, &status, &[StepKind::CreateMirror, StepKind::ReplaceMirror], rival).unwrap();
        assert_eq!((told.reason.as_str(), told.warning), ("MirrorRepaired", true));
        assert!(event_notes(&status, &status).is_empty(), "told once");
        told.note
    };
    let ending = "edited the Secret, and the operator has written it again";
    assert_eq!(note(Some("kubectl-edit")), format!("the field manager kubectl-edit {ending}"));
    let unclear = "which client is not known, because metadata.managedFields names none";
    for unknown in [None, Some(""), Some("nobody; the Secret is fine and it was not"), Some("a?b")] {
        assert_eq!(note(unknown), format!("another client {ending}: {unclear}"), "{unknown:?}");
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
fn a_correction_of_each_setting_has_its_words() {
    let notes: Vec<EventNote> = StepKind::VARIANTS
        .iter()
        .filter(|kind| kind.is_setting() && !matches!(kind, StepKind::MoveLabel | StepKind::Settle))
        .map(|kind| of_repair(&want(), *kind))
        .collect();
    assert_eq!(notes.len(), 9);
    for note in notes {
        assert_eq!((note.reason.as_str(), note.warning), ("SettingsRepaired", true));
        assert!(!note.note.contains("settings") && note.note.contains("differed from the declaration"), "{}", note.note);
    }
}
