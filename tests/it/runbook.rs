//! The runbook has a row with an anchor for every Event. That it has one for every reason of a condition is a test beside `Reason`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The text of every source file of the operator.
fn sources(folder: &Path, texts: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, texts)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The literals that name an Event: `reason: "Name".to_owned()` of a note, and the first argument of `normal("Name", ...)`.
fn events(text: &str) -> BTreeSet<String> {
    let after = |start: &str| {
        text.split(start)
            .skip(1)
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let pascal = |name: &String| name.starts_with(char::is_uppercase) && name.chars().all(char::is_alphabetic);
    after("reason:").into_iter().chain(after("normal(")).filter(pascal).collect()
}

#[test]
fn every_event_has_a_row_and_an_anchor_in_the_runbook() -> Result<()> {
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts)?;
    let events: BTreeSet<String> = texts.iter().filter(|text| text.contains("EventNote")).flat_map(|text| events(text)).collect();
    for name in [
        "Rotated",
        "MirrorReleased",
        "AwsSecretKept",
        "StatusContested",
        "StatusNotWritten",
        "SettingsChanged",
        "Unreadable",
        "RollbackRefused",
    ] {
        ensure!(events.contains(name), "{name} is found in the source: {events:?}");
    }
    let runbook = include_str!("../../docs/runbook.md");
    let (_, section) = runbook.split_once("\n## Events\n").context("a section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    for name in &events {
        ensure!(runbook.contains(&format!("<a id=\"{}\"></a>`{name}` |", name.to_lowercase())), "docs/runbook.md has no anchor for {name}");
        ensure!(section.contains(&format!("`{name}` | ")), "the section on Events has no row for {name}");
    }
    Ok(())
}

#[test]
fn no_two_anchors_of_the_runbook_are_the_same() {
    let runbook = include_str!("../../docs/runbook.md");
    let mut seen = BTreeMap::<&str, usize>::new();
    for name in runbook.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        *seen.entry(name).or_default() += 1;
    }
    assert!(seen.len() > 40, "{}", seen.len());
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
}
