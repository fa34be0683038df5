//! What the current reconcile did. Every comparison and rule sees the facts together with the journal, so that no rule
//! deals with reads that are older than our own writes by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Cause, RETIRING_LABEL, STAGED_LABEL};
use crate::failure::Failed;
use crate::refusal::Refusal;
use crate::step::{Source, Stage, Step, StepKey, StepKind};
use crate::version_id::VersionId;

/// For how long reads of AWS may show a state from before a change (field reports: up to two minutes).
pub const CONSISTENCY_WINDOW: SignedDuration = SignedDuration::from_secs(120);

/// How long a reconcile may take. Requests to AWS, to the API server and to a target have shorter timeouts.
pub const LONGEST_RECONCILE: Duration = Duration::from_mins(3);

/// For how long another process may still stage a version that the status records: until its reconcile ends, and AWS shows
/// what it wrote.
pub const HIDDEN_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It was carried out at this time.
    Applied {
        /// When.
        at: Timestamp,
    },
    /// AWS already has the version or the name; nothing changed.
    Exists {
        /// When the version was created.
        created: Timestamp,
    },
    /// What the step is about does not exist, or is no longer where it was read; nothing changed.
    Absent,
    /// A value that was read must not be mirrored, or nothing may be written on top of it; nothing changed.
    Unfit(Unfit),
    /// It failed. Whether anything changed is not known if there was no answer.
    Failed(Failed),
    /// It was begun, now or before, and goes on outside of the operator.
    GoesOn(GoesOn),
}

/// A step that goes on outside of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoesOn {
    /// When to look again.
    pub until: Timestamp,
    /// What goes on, for the conditions.
    pub what: String,
    /// How the step failed before. That is reported until this attempt ends.
    pub after: Option<Failed>,
}

/// Why a version must not be mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// For the condition `Mirrored`.
    pub refusal: Refusal,
    /// What helps.
    pub remedy: Remedy,
}

/// What makes a fit version after one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Any version that the operator writes: it has the declared fields.
    Write,
    /// The same, but fields that others added would be lost, so a person must request it.
    Request,
    /// Another value in AWS or another spec.
    Value,
}

/// One step and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The step.
    pub step: Step,
    /// Its effect.
    pub effect: Effect,
}

/// A version that this reconcile made current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<'a> {
    /// The version.
    pub version: &'a VersionId,
    /// The version that it was meant to follow; `None` for the first value of a secret.
    pub predecessor: Option<&'a VersionId>,
    /// The version whose value it has, if it is a copy.
    pub copy_of: Option<&'a VersionId>,
}

/// The steps of the current reconcile, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    /// Steps that failed in an earlier reconcile, and whose backoff is not over. They are not tried.
    held: BTreeMap<StepKey, Failed>,
    /// A version that this process wrote in an earlier reconcile, and why. No status has it.
    unreported: Option<(VersionId, Cause)>,
}

impl Journal {
    /// The journal of a reconcile that does not try these steps.
    pub fn holding(held: impl IntoIterator<Item = (StepKey, Failed)>) -> Self {
        Self { held: held.into_iter().collect(), ..Self::default() }
    }

    /// The same after a reconcile that wrote this version, whose status could not be written.
    #[must_use]
    pub fn following(self, unreported: Option<(VersionId, Cause)>) -> Self {
        Self { unreported, ..self }
    }

    /// Why this process wrote the version, in an earlier reconcile whose status could not be written.
    pub fn unreported_cause(&self, version: &VersionId) -> Option<Cause> {
        self.unreported.as_ref().filter(|(written, _)| written == version).map(|(_, cause)| *cause)
    }

    /// Appends a step.
    pub fn record(&mut self, step: Step, effect: Effect) {
        self.entries.push(Entry { step, effect });
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn applied(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.entries.iter().filter(|entry| matches!(entry.effect, Effect::Applied { .. } | Effect::Exists { .. })).map(|entry| &entry.step)
    }

    /// What this reconcile changed itself, not what a former one had changed already.
    fn changes(&self) -> impl Iterator<Item = &Step> {
        self.entries.iter().filter(|entry| matches!(entry.effect, Effect::Applied { .. })).map(|entry| &entry.step)
    }

    /// The kinds of the steps that were carried out.
    pub fn kinds(&self) -> impl Iterator<Item = StepKind> {
        self.applied().map(StepKind::from)
    }

    /// Whether this step is not tried (again): it was, with any effect, or its backoff is not over.
    pub fn tried(&self, step: &Step) -> bool {
        let key = step.key();
        self.held.contains_key(&key) || self.entries.iter().any(|entry| entry.step.key() == key)
    }

    /// Whether this step was carried out, in this reconcile.
    pub fn carried_out(&self, step: &Step) -> bool {
        let key = step.key();
        self.changes().any(|done| done.key() == key)
    }

    /// Every step that failed in this reconcile, or that is held because it failed before.
    fn failures(&self) -> impl Iterator<Item = (StepKey, &Failed)> {
        let held = self.held.iter().map(|(key, failed)| (key.clone(), failed));
        let failed = self.entries.iter().filter_map(|entry| match &entry.effect {
            Effect::Failed(failed) => Some((entry.step.key(), failed)),
            _ => None,
        });
        failed.chain(held)
    }

    /// The steps that failed in this reconcile.
    pub fn failed(&self) -> impl Iterator<Item = (StepKey, &Failed)> {
        self.failures().filter(|(key, _)| !self.held.contains_key(key))
    }

    /// The steps that are not tried because they failed before.
    pub fn held(&self) -> impl Iterator<Item = &StepKey> {
        self.held.keys()
    }

    /// Whether any step failed or is held.
    pub fn has_failures(&self) -> bool {
        self.failures().next().is_some()
    }

    /// Whether anything failed, or is held, that passes by itself.
    pub fn unfinished(&self) -> bool {
        self.failures().any(|(_, failed)| failed.failure.class.is_transient())
    }

    /// How this step goes on outside of the operator, if it does.
    pub fn goes_on(&self, step: &Step) -> Option<&GoesOn> {
        let key = step.key();
        self.going_on().find(|(going, _)| *going == key).map(|(_, going)| going)
    }

    /// The steps that go on outside of the operator.
    pub fn going_on(&self) -> impl Iterator<Item = (StepKey, &GoesOn)> {
        self.entries.iter().filter_map(|entry| match &entry.effect {
            Effect::GoesOn(going) => Some((entry.step.key(), going)),
            _ => None,
        })
    }

    /// Why this step failed, now or before.
    pub fn failure(&self, step: &Step) -> Option<&Failed> {
        let key = step.key();
        self.failures().find(|(failed, _)| *failed == key).map(|(_, failed)| failed)
    }

    /// Why a version could not be written. Whether AWS has it is not known if AWS did not answer, so no other one follows.
    /// What failed for a version that is no longer `staged` is over.
    pub fn failed_version(&self, staged: Option<&VersionId>) -> Option<&Failed> {
        let over = |key: &StepKey| key.kind().is_of_staged() && staged.is_none_or(|staged| staged.as_str() != key.detail());
        self.failures().find(|(key, _)| key.kind().makes_version() && !over(key)).map(|(_, failed)| failed)
    }

    /// Why labels could not be moved.
    pub fn failed_labels(&self) -> impl Iterator<Item = &Failed> {
        self.failures().filter(|(key, _)| matches!(key.kind(), StepKind::MoveLabel | StepKind::Settle)).map(|(_, failed)| failed)
    }

    /// Whether a step of this kind was carried out.
    pub fn did(&self, kind: StepKind) -> bool {
        self.kinds().any(|done| done == kind)
    }

    /// Why this version must not be mirrored, if it was read and is unfit; as found last.
    pub fn unfit(&self, version: &VersionId) -> Option<&Unfit> {
        let about = |step: &Step| match step {
            // A copy says nothing about the version that it follows.
            Step::Put { predecessor, source: Source::Compose, .. } => predecessor.as_ref() == Some(version),
            step => step.writes_mirror() && step.version() == Some(version),
        };
        self.entries.iter().rev().find_map(|entry| match &entry.effect {
            Effect::Unfit(unfit) if about(&entry.step) => Some(unfit),
            _ => None,
        })
    }

    /// Whether this version was to be copied, and its value may not be current again.
    pub fn unfit_to_copy(&self, version: &VersionId) -> bool {
        self.entries.iter().any(|entry| {
            let copies = matches!(&entry.step, Step::Put { source: Source::Copy { of }, .. } if of == version);
            copies && matches!(entry.effect, Effect::Unfit(_))
        })
    }

    /// Whether any version was found unfit to be mirrored.
    pub fn any_unfit_to_mirror(&self) -> bool {
        self.entries.iter().any(|entry| entry.step.writes_mirror() && matches!(entry.effect, Effect::Unfit(_)))
    }

    /// Whether the mirrored Secret was written.
    pub fn mirror_written(&self) -> bool {
        self.applied().any(Step::writes_mirror)
    }

    /// The version that was mirrored last.
    pub fn mirrored(&self) -> Option<&VersionId> {
        self.applied().rfind(|step| step.writes_mirror()).and_then(Step::version)
    }

    /// The version that was made current last, unless an external value got `AWSCURRENT` back after that.
    pub fn written(&self) -> Option<Written<'_>> {
        let last = self.entries.iter().rfind(|entry| {
            matches!(entry.effect, Effect::Applied { .. })
                && matches!(entry.step, Step::Put { stage: Stage::Current, .. } | Step::Promote { .. } | Step::RestoreCurrent { .. })
        })?;
        match &last.step {
            Step::Put { version, predecessor, source, .. } => {
                let copy_of = if let Source::Copy { of } = source { Some(of) } else { None };
                Some(Written { version, predecessor: predecessor.as_ref(), copy_of })
            }
            Step::Promote { version, from } => Some(Written { version, predecessor: Some(from), copy_of: None }),
            _ => None,
        }
    }

    /// When this reconcile made the version current.
    pub fn made_current(&self, version: &VersionId) -> Option<Timestamp> {
        self.entries.iter().rev().find_map(|entry| match (&entry.step, &entry.effect) {
            (
                Step::Put { version: current, stage: Stage::Current, .. }
                | Step::Promote { version: current, .. }
                | Step::RestoreCurrent { to: current, .. },
                Effect::Applied { at },
            ) if current == version => Some(*at),
            _ => None,
        })
    }

    /// When this reconcile made an external version current again.
    pub fn restored(&self, version: &VersionId) -> Option<Timestamp> {
        self.entries.iter().rev().find_map(|entry| match (&entry.step, &entry.effect) {
            (Step::RestoreCurrent { to, .. }, Effect::Applied { at }) if to == version => Some(*at),
            _ => None,
        })
    }

    /// Version ids that AWS has, and when those versions were created.
    pub fn used(&self) -> BTreeMap<VersionId, Timestamp> {
        let version = |step: &Step| match step {
            Step::Create { version } | Step::Put { version, .. } | Step::RotateNow { version } => Some(version.clone()),
            Step::ConfigureRotation { version } => version.clone(),
            _ => None,
        };
        let created = |effect: &Effect| match effect {
            Effect::Applied { at } => Some(*at),
            Effect::Exists { created } => Some(*created),
            Effect::Absent | Effect::Unfit(_) | Effect::Failed(_) | Effect::GoesOn(_) => None,
        };
        self.entries.iter().filter_map(|entry| Some((version(&entry.step)?, created(&entry.effect)?))).collect()
    }

    /// Whether this reconcile met the version as one on its way to a target only, and did not make it current.
    pub fn only_staged(&self, version: &VersionId) -> bool {
        let stages = |step: &Step| matches!(step, Step::Put { stage: Stage::Pending, version: staged, .. } if staged == version);
        self.applied().any(stages) && self.made_current(version).is_none()
    }

    /// The versions that were to be staged and that AWS had before, why, and when they were created.
    pub fn existed(&self) -> impl Iterator<Item = (&VersionId, Cause, Timestamp)> {
        self.entries.iter().filter_map(|entry| match (&entry.step, &entry.effect) {
            (Step::Put { stage: Stage::Pending, version, cause, .. }, Effect::Exists { created }) => Some((version, *cause, *created)),
            _ => None,
        })
    }

    /// Whether AWS said that it has no such version.
    pub fn missing(&self, version: &VersionId) -> bool {
        let about = |step: &Step| match step {
            Step::Put { source: Source::Copy { of }, .. } => of == version,
            step => step.writes_mirror() && step.version() == Some(version),
        };
        self.entries.iter().any(|entry| entry.effect == Effect::Absent && about(&entry.step))
    }

    /// Whether this reconcile decided which version is current.
    pub fn moved_current(&self) -> bool {
        self.changes().any(|step| {
            matches!(
                step,
                Step::Create { .. } | Step::Put { stage: Stage::Current, .. } | Step::Promote { .. } | Step::RestoreCurrent { .. }
            )
        })
    }

    /// Whether this reconcile composed this current version from the declaration.
    pub fn composed(&self, current: &VersionId) -> bool {
        self.changes().any(|step| matches!(step, Step::Put { version, source: Source::Compose, .. } if version == current))
    }

    /// Puts the staging labels where this reconcile moved them, also if `labels` was read before that became visible.
    /// Only moves that AWS compares with the expected holder are applied, and only those that AWS carried out:
    /// `PutSecretValue` moves labels from any version, so its effect is always read from AWS. What was moved
    /// before it is read from AWS too.
    pub fn overlay_labels(&self, labels: &mut BTreeMap<String, VersionId>) {
        let steps: Vec<&Step> = self.changes().collect();
        for (position, step) in steps.iter().enumerate() {
            let put_later = |moved: &str| steps.iter().skip(position).any(|later| later.puts_label(moved));
            match step {
                Step::MoveLabel { label, .. } if put_later(label) => {}
                Step::MoveLabel { label, to: Some(to), .. } => drop(labels.insert(label.clone(), to.clone())),
                Step::MoveLabel { label, to: None, .. } => drop(labels.remove(label)),
                Step::Retire { version, .. } => labels.retain(|label, on| label != RETIRING_LABEL || on != version),
                Step::Promote { version: to, from } | Step::RestoreCurrent { to, from } if !put_later(AWSCURRENT) => {
                    labels.insert(AWSCURRENT.to_owned(), to.clone());
                    labels.insert(AWSPREVIOUS.to_owned(), from.clone());
                }
                Step::Settle { version } | Step::Abandon { version, .. } => {
                    let abandoned = matches!(step, Step::Abandon { .. });
                    labels.retain(|label, on| on != version || !(label == AWSPENDING || abandoned && label == STAGED_LABEL));
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
