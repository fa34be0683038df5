//! Versions that a rollback can go back to. AWS removes versions without a staging label, so the newest of ours keep
//! one: `rotated-secrets/1` to `rotated-secrets/<keepVersions>`, a ring. The write of a version takes over the label of
//! the oldest in the same call, so a rotation needs no further call. A version that we did not put (the first one, or an
//! external one) gets its label before a write takes `AWSPREVIOUS` from it.

use std::collections::{BTreeMap, BTreeSet};

use super::retirement;
use super::situation::Situation;
use crate::api::{ABANDONED_LABEL, AWS_STAGING_LABELS, RETENTION_LABEL, RETIRING_LABEL, STAGED_LABEL};
use crate::compare::{Observation, SecretState};
use crate::desired::{Desired, Pin};
use crate::step::Step;
use crate::version_id::VersionId;

/// The maximum number of staging labels on all versions of a secret together.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const MAX_LABELS: usize = 20;

/// A retention label for one more version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSlot {
    /// The label.
    pub label: String,
    /// The version that has it now.
    pub from: Option<VersionId>,
}

/// The versions that have a retention label, in the order of the labels, which says nothing of their age.
pub fn retained(secret: &SecretState) -> Vec<VersionId> {
    let by_number: BTreeMap<u32, &VersionId> = ours(secret).collect();
    let mut seen = BTreeSet::new();
    by_number.into_values().filter(|version| seen.insert(*version)).cloned().collect()
}

/// The label for a version that is about to be written. `None`: no version is retained, or no label is free.
pub fn next(want: &Desired, seen: &Observation, secret: &SecretState) -> Option<LabelSlot> {
    slot(want, seen, secret, want.keep_versions)
}

/// The same, of the labels up to this number.
fn slot(want: &Desired, seen: &Observation, secret: &SecretState, most: u32) -> Option<LabelSlot> {
    let named = |number: u32| format!("{RETENTION_LABEL}{number}");
    // A rotation needs these for a moment.
    let of_target = [STAGED_LABEL, ABANDONED_LABEL, RETIRING_LABEL].into_iter().filter(|_| want.strategy.is_some());
    let all: BTreeSet<&str> = secret.labels.keys().map(String::as_str).chain(AWS_STAGING_LABELS).chain(of_target).collect();
    if let Some(free) = (1..=most).map(named).find(|label| !secret.labels.contains_key(label))
        && all.len() < MAX_LABELS
    {
        return Some(LabelSlot { label: free, from: None });
    }
    let protected = |version: &VersionId| {
        AWS_STAGING_LABELS.iter().any(|label| secret.labels.get(*label) == Some(version)) || pinned(want) == Some(version)
    };
    let newest = AWS_STAGING_LABELS.iter().find_map(|label| number_on(secret, secret.labels.get(*label)?)).unwrap_or(0);
    // Versions that are not in the history are older than those that are. Among them the ring decides: the oldest comes
    // after the newest.
    let oldest = ours(secret).filter(|(number, version)| *number <= most && !protected(version)).max_by_key(|(number, version)| {
        let after = number.saturating_add(most).saturating_sub(newest.min(most)).saturating_sub(1);
        let after = after.checked_rem(most).unwrap_or_default();
        (rank(seen, version), std::cmp::Reverse(after))
    });
    oldest.map(|(number, version)| LabelSlot { label: named(number), from: Some(version.clone()) })
}

/// A label that moves before anything is written: `AWSPREVIOUS` is about to leave a version that has no retention label.
pub(super) fn before_write(situation: &Situation<'_>) -> Option<Step> {
    let Situation { want, seen, secret, current, .. } = situation;
    let to = secret.previous().filter(|previous| **previous != current.version && number_on(secret, previous).is_none())?;
    let slot = next(want, seen, secret)?;
    let step = Step::MoveLabel { label: slot.label, from: slot.from, to: Some(to.clone()) };
    // A label that AWS refuses to move holds up no rotation.
    (!seen.journal.tried(&step)).then_some(step)
}

/// The next label to move so that the labels are as declared while nothing is written: no more of them than asked for,
/// and one on the version that the Secret is pinned to.
pub(super) fn prune(situation: &Situation<'_>) -> Option<Step> {
    let journal = &situation.seen.journal;
    surplus(situation)
        .chain(pinned_without_label(situation))
        .chain(after_abandonment(situation))
        .chain(after_staging(situation))
        .chain(retirement::forgotten(situation))
        .find(|step| !journal.tried(step))
}

fn surplus(situation: &Situation<'_>) -> impl Iterator<Item = Step> {
    let Situation { want, secret, .. } = *situation;
    let pinned = pinned(want);
    let surplus = ours(secret).filter(move |(number, version)| *number > want.keep_versions && Some(*version) != pinned);
    surplus.map(|(number, version)| Step::MoveLabel { label: format!("{RETENTION_LABEL}{number}"), from: Some(version.clone()), to: None })
}

fn pinned_without_label(situation: &Situation<'_>) -> Option<Step> {
    let Situation { want, seen, secret, .. } = situation;
    let version = pinned(want).filter(|version| situation.mirrored() == Some(version))?;
    if secret.labels.values().any(|labelled| labelled == version) || seen.journal.missing(version) {
        return None;
    }
    // Also if no versions are retained: without a label AWS removes the version.
    let slot = slot(want, seen, secret, want.keep_versions.max(1))?;
    Some(Step::MoveLabel { label: slot.label, from: slot.from, to: Some(version.clone()) })
}

/// Another version is current since one was abandoned, so the target does not accept that any more, and a replica that is
/// late cannot change it back.
fn after_abandonment(situation: &Situation<'_>) -> Option<Step> {
    let Situation { seen, secret, current, .. } = situation;
    let version = secret.labels.get(ABANDONED_LABEL)?;
    let fact = seen.status.staging.abandoned.iter().find(|fact| fact.version == *version)?;
    let over = secret.pending.version() != Some(version) && current.changed > fact.time;
    over.then(|| Step::MoveLabel { label: ABANDONED_LABEL.to_owned(), from: Some(version.clone()), to: None })
}

/// The version that was staged is current, or was. On any other version the label stays: the target may accept it.
fn after_staging(situation: &Situation<'_>) -> Option<Step> {
    let Situation { want, seen, secret, current, .. } = situation;
    let version = secret.labels.get(STAGED_LABEL)?;
    let was_current = seen.status.recorded(version) || secret.previous() == Some(version) || *version == want.ids.creation();
    let over = secret.pending.version() != Some(version) && (*version == current.version || was_current);
    over.then(|| Step::MoveLabel { label: STAGED_LABEL.to_owned(), from: Some(version.clone()), to: None })
}

fn pinned(want: &Desired) -> Option<&VersionId> {
    match &want.target.as_ref()?.pin {
        Pin::Version(version) => Some(version),
        Pin::Current | Pin::Stage(_) => None,
    }
}

/// The retention labels: number and version.
fn ours(secret: &SecretState) -> impl Iterator<Item = (u32, &VersionId)> {
    secret.labels.iter().filter_map(|(label, version)| {
        let number = label.strip_prefix(RETENTION_LABEL)?;
        // Only as we write it, so that the name follows from the number.
        let number: u32 = number.parse().ok().filter(|parsed: &u32| *parsed > 0 && parsed.to_string() == number)?;
        Some((number, version))
    })
}

fn number_on(secret: &SecretState, version: &VersionId) -> Option<u32> {
    ours(secret).find(|(_, holder)| *holder == version).map(|(number, _)| number)
}

/// The place in the history, newest first. A version that is not in it is older than all that are.
fn rank(seen: &Observation, version: &VersionId) -> usize {
    seen.status.history.iter().position(|entry| entry.version == *version).unwrap_or(usize::MAX)
}
