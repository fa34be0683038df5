//! Whose the version with the label `AWSPENDING` is, and whether a version of ours lost that label.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::input::Input;
use crate::api::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Cause, STAGED_LABEL};
use crate::desired::{Desired, Rotation};
use crate::facts::{AwsSecret, StatusFacts};
use crate::value::DeclaredValue;
use crate::version_id::{Candidates, VersionId};

/// How many due times are considered to explain the id of a version: as many as the history keeps.
const MAX_SLOTS: usize = 10;
/// How many due times may have passed with attempts that were abandoned: more than a year of hourly ones.
const MAX_ATTEMPTS: usize = 10_000;

/// The version of a rotation that has not ended: it has the label `AWSPENDING`, or lost it to another writer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pending {
    /// No version has the label.
    #[default]
    None,
    /// The current version has it too: the rotation that staged it has ended.
    Current(VersionId),
    /// A version that we staged, and why.
    Ours(VersionId, Cause),
    /// A version that we staged for a target, and why. Another writer put a value, and so took the label from it, or made
    /// another version current. The target may accept it.
    Overtaken(VersionId, Cause),
    /// A version that AWS rotates to for this object.
    Delegated(VersionId),
    /// A version that another rotation staged, or one of ours whose target is not known.
    Foreign(VersionId),
}

impl Pending {
    /// The version of a rotation that has not ended.
    pub fn in_progress(&self) -> Option<&VersionId> {
        match self {
            Self::None | Self::Current(_) => None,
            Self::Ours(version, _) | Self::Overtaken(version, _) | Self::Delegated(version) | Self::Foreign(version) => Some(version),
        }
    }

    /// The version of a rotation, also of one that has ended.
    pub fn version(&self) -> Option<&VersionId> {
        match self {
            Self::Current(version) => Some(version),
            other => other.in_progress(),
        }
    }
}

/// Classifies it. `owned`: the secret is ours. `foreign_rotation`: AWS rotates it, but not for this object.
pub(super) fn pending(input: Input<'_>, secret: &AwsSecret, owned: bool, foreign_rotation: bool) -> Pending {
    if let Some(version) = overtaken(input, secret, owned) {
        let cause = explain(input.want, input.status, &secret.labels, version, input.now).unwrap_or(Cause::Requested);
        return if has_target(input, version) { Pending::Overtaken(version.clone(), cause) } else { Pending::Foreign(version.clone()) };
    }
    if let Some(version) = moved_back(input, secret, owned) {
        return Pending::Overtaken(version.clone(), Cause::Requested);
    }
    let Some(version) = secret.labelled(AWSPENDING).cloned() else { return Pending::None };
    if secret.labelled(AWSCURRENT) == Some(&version) {
        return Pending::Current(version);
    }
    if secret.rotation.enabled && !foreign_rotation {
        return Pending::Delegated(version);
    }
    // A version that AWS staged has the id of our request too, so it is ours only where AWS never rotates.
    // AWS keeps the name of a function that no longer rotates the secret; what the status announces was not staged by it.
    let announced = input.status.staging.announced.as_ref().is_some_and(|announced| announced.version == version);
    let staged = secret.labelled(STAGED_LABEL) == Some(&version);
    let recorded = input.status.staging.target_of(&version).is_some();
    let lambda =
        (matches!(input.want.rotation, Rotation::Lambda(_)) && !recorded) || (secret.rotation.function.is_some() && !announced && !staged);
    let has_value = secret.labelled(AWSCURRENT).is_some();
    // A version that was current is not a staged one of ours: another writer gave it the label.
    let was_current = was_current(input, secret, &version);
    let manages = input.want.value.is_some() || announced;
    let may_be_ours = owned && has_value && !was_current && !lambda && !foreign_rotation && manages;
    // It is not promoted without its target, which may accept the current version only.
    let may_be_ours = may_be_ours && (!staged || has_target(input, &version));
    let cause = may_be_ours.then(|| explain(input.want, input.status, &secret.labels, &version, input.now)).flatten();
    // The target may have a version of ours whose cause is gone. It is finished or abandoned, and waits for nothing but the
    // target.
    let derived = (staged || announced) && version.is_derived();
    match cause.or((may_be_ours && derived).then_some(Cause::Requested)) {
        Some(cause) if recorded && passed_over(input, secret, &version) => Pending::Overtaken(version, cause),
        Some(cause) => Pending::Ours(version, cause),
        None => Pending::Foreign(version),
    }
}

/// A version that we staged for a target, whose label `AWSPENDING` went away while it was not current.
fn overtaken<'a>(input: Input<'_>, secret: &'a AwsSecret, owned: bool) -> Option<&'a VersionId> {
    let version = secret.labelled(STAGED_LABEL).filter(|version| owned && version.is_derived())?;
    let current = secret.labelled(AWSCURRENT)?;
    let lost = current != version && secret.labelled(AWSPENDING) != Some(version);
    (lost && !was_current(input, secret, version)).then_some(version)
}

/// Another writer moved `AWSCURRENT` after the version was recorded. AWS leaves `AWSPENDING` where it is then.
fn passed_over(input: Input<'_>, secret: &AwsSecret, version: &VersionId) -> bool {
    let recorded = input.status.staging.announced.as_ref();
    recorded.is_some_and(|recorded| recorded.passed_over(version, secret.labelled(AWSCURRENT)))
}

/// A version that became current, and another writer made its predecessor current again before the operator had recorded
/// that: the target accepts the version that nobody wants.
fn moved_back<'a>(input: Input<'_>, secret: &'a AwsSecret, owned: bool) -> Option<&'a VersionId> {
    let version = secret.labelled(STAGED_LABEL).filter(|version| owned && version.is_derived())?;
    let recorded = input.status.staging.target_of(version).is_some() && !input.status.recorded(version);
    (recorded && secret.labelled(AWSPREVIOUS) == Some(version)).then_some(version)
}

fn was_current(input: Input<'_>, secret: &AwsSecret, version: &VersionId) -> bool {
    input.status.recorded(version) || secret.labelled(AWSPREVIOUS) == Some(version) || *version == input.want.ids.creation()
}

fn has_target(input: Input<'_>, version: &VersionId) -> bool {
    input.want.strategy.is_some() || input.status.staging.target_of(version).is_some()
}

/// Why a version of this object has the id that it has; `None`: the id does not follow from any cause of this object.
pub fn explain(
    want: &Desired,
    status: &StatusFacts,
    labels: &BTreeMap<String, VersionId>,
    version: &VersionId,
    now: Timestamp,
) -> Option<Cause> {
    let hash = want.value.as_ref().map(DeclaredValue::hash);
    let predecessors: Vec<&VersionId> = [AWSPREVIOUS, AWSCURRENT].iter().filter_map(|label| labels.get(*label)).collect();
    let candidates = Candidates {
        rollback: want.rollback_request.as_ref().map(|request| request.token.as_str()),
        rotate: want.rotate_request.as_deref(),
        rolled_out: predecessors.iter().copied().filter(|_| want.rollout.is_some()).collect(),
        declared: hash.as_deref().map(|hash| (predecessors, hash)),
        due: due_times(want, status, now),
    };
    want.ids.explain(version, &candidates)
}

/// The due time that the ID of this version follows from.
pub fn slot_of(want: &Desired, status: &StatusFacts, version: &VersionId, now: Timestamp) -> Option<Timestamp> {
    due_times(want, status, now).into_iter().find(|due| want.ids.slot(*due) == *version)
}

/// The last due time whose version was abandoned. Those before it are over too, also if the history does not have their
/// versions any more.
pub fn last_attempted(want: &Desired, status: &StatusFacts, now: Timestamp) -> Option<Timestamp> {
    if status.staging.abandoned.is_empty() {
        return None;
    }
    let is_abandoned = |due: &Timestamp| status.staging.abandoned(&want.ids.slot(*due)).is_some();
    due_times(want, status, now).into_iter().rfind(is_abandoned)
}

/// The due times after the last reported change of the value: those with attempts that were abandoned, and as many after them
/// as the history keeps.
fn due_times(want: &Desired, status: &StatusFacts, now: Timestamp) -> Vec<Timestamp> {
    let Rotation::Scheduled { clock, expression, .. } = &want.rotation else { return Vec::new() };
    let Some(base) = status.counted_from() else { return Vec::new() };
    let first = clock.due_after(base, status.schedule_since(expression, now));
    let last = status.staging.abandoned.first().map(|last| last.time);
    let attempted = |due: &Timestamp| last.is_some_and(|last| *due <= last);
    let mut left = MAX_SLOTS;
    std::iter::successors(first, |due| clock.next_after(*due))
        .take(MAX_ATTEMPTS)
        .take_while(|due| {
            let goes_on = attempted(due) || left > 0;
            left = left.saturating_sub(usize::from(!attempted(due)));
            goes_on
        })
        .collect()
}
