//! Versions that one can go back to. AWS removes versions without a staging label, so the newest of ours keep one: `rotated-secrets/1` to
//! `rotated-secrets/<keepVersions>`, a ring. The write of a version takes the label of the oldest along in the same call, so a rotation costs
//! nothing more. A version that was not put by us (the first one, or somebody else's) gets its label before a write takes AWSPREVIOUS from it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Current, Observed, Remote, Step};
use crate::api::RETENTION_LABEL;
use crate::desired::{Desired, Pin};
use crate::version_id::VersionId;

/// The most labels on all versions of a secret together.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const LABELS: usize = 20;
const AWS_LABELS: [&str; 3] = ["AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"];

/// A label of ours for one more version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The label.
    pub label: String,
    /// The version that it is taken from.
    pub from: Option<VersionId>,
}

/// The versions that carry a label of ours, in the order of the labels: it says nothing of their age.
pub fn kept(remote: &Remote) -> Vec<VersionId> {
    let by_number: BTreeMap<u32, &VersionId> = ours(remote).collect();
    let mut seen = BTreeSet::new();
    by_number.into_values().filter(|version| seen.insert(*version)).cloned().collect()
}

/// The label for a version that is about to be written. `None`: none is to be kept, or none can be spared.
pub fn next(want: &Desired, seen: &Observed, remote: &Remote) -> Option<Slot> {
    let named = |number: u32| format!("{RETENTION_LABEL}{number}");
    let all: BTreeSet<&str> = remote.labels.keys().map(String::as_str).chain(AWS_LABELS).collect();
    if let Some(free) = (1..=want.keep_versions).map(named).find(|label| !remote.labels.contains_key(label))
        && all.len() < LABELS
    {
        return Some(Slot { label: free, from: None });
    }
    let protected =
        |version: &VersionId| AWS_LABELS.iter().any(|label| remote.labels.get(*label) == Some(version)) || pinned(want) == Some(version);
    let newest = AWS_LABELS.iter().find_map(|label| number_on(remote, remote.labels.get(*label)?)).unwrap_or(0);
    // Who is not in the history is older than all who are. Among those the ring tells: the oldest comes after the newest.
    let oldest =
        ours(remote).filter(|(number, version)| *number <= want.keep_versions && !protected(version)).max_by_key(|(number, version)| {
            let after = (number + want.keep_versions - newest.min(want.keep_versions)).saturating_sub(1) % want.keep_versions.max(1);
            (rank(&seen.reported.history, version), std::cmp::Reverse(after))
        });
    oldest.map(|(number, version)| Slot { label: named(number), from: Some(version.clone()) })
}

/// A label that is to move before anything is written: AWSPREVIOUS is about to lose its own, and the pinned version has none.
pub(super) fn before_write(want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> Option<Step> {
    let to = remote.previous.as_ref().filter(|previous| **previous != current.version && number_on(remote, previous).is_none())?;
    let slot = next(want, seen, remote)?;
    Some(Step::MoveLabel { label: slot.label, from: slot.from, to: Some(to.clone()) })
}

/// What keeps the labels as declared while nothing is written: no more of them than asked for, and one on the version that the Secret is
/// pinned to.
pub(super) fn tidy(want: &Desired, seen: &Observed, remote: &Remote) -> Option<Step> {
    let pinned = pinned(want);
    let surplus = ours(remote).find(|(number, version)| *number > want.keep_versions && Some(*version) != pinned);
    if let Some((number, version)) = surplus {
        return Some(Step::MoveLabel { label: format!("{RETENTION_LABEL}{number}"), from: Some(version.clone()), to: None });
    }
    let held = |version: &&VersionId| matches!(&seen.mirror, super::Mirror::Ours { version: Some(held), .. } if held == *version);
    let bare = pinned.filter(held).filter(|version| !remote.labels.values().any(|labelled| labelled == *version))?;
    if seen.missing.contains(bare) {
        return None;
    }
    let slot = next(want, seen, remote)?;
    Some(Step::MoveLabel { label: slot.label, from: slot.from, to: Some(bare.clone()) })
}

fn pinned(want: &Desired) -> Option<&VersionId> {
    match &want.target.as_ref()?.pin {
        Pin::Version(version) => Some(version),
        Pin::Current | Pin::Stage(_) => None,
    }
}

/// Our labels: their numbers and holders.
fn ours(remote: &Remote) -> impl Iterator<Item = (u32, &VersionId)> {
    remote.labels.iter().filter_map(|(label, version)| {
        let number = label.strip_prefix(RETENTION_LABEL)?;
        // As we write it, so that the name can be made again from the number.
        let number: u32 = number.parse().ok().filter(|parsed: &u32| *parsed > 0 && parsed.to_string() == number)?;
        Some((number, version))
    })
}

fn number_on(remote: &Remote, version: &VersionId) -> Option<u32> {
    ours(remote).find(|(_, holder)| *holder == version).map(|(number, _)| number)
}

fn rank(history: &[VersionId], version: &VersionId) -> usize {
    history.iter().position(|entry| entry == version).unwrap_or(usize::MAX)
}
