//! Failures across reconciles: which step failed, and until when it is not tried again. Each step has a backoff of its own,
//! so that the others are carried out meanwhile.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{bounds, deletion, requests};
use crate::api::condition::Reason;
use crate::api::{FailureStatus, RotatedSecret, RotatedSecretStatus, StepFailure};
use crate::backoff::{self, Class};
use crate::failure::{Failed, Failure};
use crate::step::{StepKey, StepKind};
use crate::version_id::{VersionId, VersionIds};

/// How far the clocks of two replicas may differ.
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// The name of [`Attempt::Read`] in the status.
const READ: &str = "Read";
/// How many failures are kept. An object has fewer settings.
const MOST: usize = 16;

/// What was attempted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// A step.
    Step(StepKey),
    /// To read the state in AWS, or to become the identity that may. Nothing can be done without it.
    Read,
}

/// What this reconcile attempted in vain, and what it did not attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempts {
    /// What failed.
    pub failed: Vec<(Attempt, Failed)>,
    /// What was not tried, because its backoff is not over.
    pub held: Vec<Attempt>,
    /// What goes on outside of the operator. It keeps the count of its failures, and its backoff is over.
    pub going_on: Vec<Attempt>,
    /// Hash of the annotations that decide about access.
    pub access: Option<String>,
    /// Whether the Namespace suspends the object; `None`: it was not read.
    pub namespace_suspends: Option<bool>,
    /// Failures before these ones that were not reported, and the time of the first.
    pub unreported: Option<(u32, Timestamp)>,
}

impl Attempts {
    /// Without what failed before for a version that is no longer `staged`: it is not tried again.
    #[must_use]
    pub fn of_staged(mut self, staged: Option<&VersionId>) -> Self {
        self.held.retain(|attempt| match attempt {
            Attempt::Step(key) => !key.kind().is_of_staged() || staged.is_some_and(|staged| staged.as_str() == key.detail()),
            Attempt::Read => true,
        });
        self
    }
}

/// Backoffs that are not over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waits {
    /// Steps that are not tried.
    pub steps: Vec<(StepKey, Failed)>,
    /// Until when AWS is not read.
    pub read: Option<Timestamp>,
    /// When the last one is over.
    pub last: Option<Timestamp>,
    /// Hash of the annotations at the last failure.
    pub access: Option<String>,
}

impl Waits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }
}

/// The backoffs that are not over. None if the spec changed or something was requested since.
pub fn waits(object: &RotatedSecret, now: Timestamp) -> Waits {
    let mut waits = Waits::default();
    let Some(failures) = object.status.as_ref().and_then(|status| status.failures.clone()).map(bounds::failures) else { return waits };
    if failures.generation != object.metadata.generation || requests::news(object) {
        return waits;
    }
    waits.access = failures.access;
    for step in &failures.steps {
        let Some((attempt, failed)) = recall(step) else { continue };
        let Some(until) = until(step, failed.failure.class, now) else { continue };
        waits.last = waits.last.max(Some(until));
        match attempt {
            Attempt::Step(key) => waits.steps.push((key, failed)),
            Attempt::Read => waits.read = Some(until),
        }
    }
    waits
}

/// Whether a reconcile at `now` tries again what failed, although its backoff is not over: something new came in since.
pub fn early(object: &RotatedSecret, now: Timestamp) -> bool {
    let Some(failures) = object.status.as_ref().and_then(|status| status.failures.as_ref()) else { return false };
    // A deletion waits as a whole.
    if failures.steps.is_empty() {
        let pending = failures.next_attempt_time.as_ref().is_some_and(|next| next.0 > now);
        return pending && deletion::backing_off(object, now).is_none();
    }
    let pending = |step| recall(step).is_some_and(|(_, failed)| until(step, failed.failure.class, now).is_some());
    failures.steps.iter().take(MOST).any(pending) && waits(object, now).is_empty()
}

/// Until when the step is not tried. No failure of its class waits longer; a later time was written by a wrong clock.
fn until(step: &StepFailure, class: Class, now: Timestamp) -> Option<Timestamp> {
    let until = step.next_attempt_time.as_ref()?.0;
    let credible = until.duration_since(now) <= class.longest().saturating_add(MAX_SKEW);
    (until > now && credible).then_some(until)
}

/// What the status says of an attempt; `None` if this version of the operator does not know it.
fn recall(step: &StepFailure) -> Option<(Attempt, Failed)> {
    let attempt = if step.step == READ {
        Attempt::Read
    } else {
        Attempt::Step(StepKey::parse(&step.step, step.detail.as_deref().unwrap_or_default())?)
    };
    let failure =
        Failure { class: step.class.parse().ok()?, reason: Reason::parse(&step.reason)?, message: step.message.clone(), request_id: None };
    Some((attempt, Failed { aspect: step.condition.parse().ok()?, failure }))
}

/// How this step failed before, as the status says.
pub fn failed_before(object: &RotatedSecret, key: &StepKey) -> Option<Failed> {
    let failures = object.status.as_ref()?.failures.clone().map(bounds::failures)?;
    let attempt = Attempt::Step(key.clone());
    let found = failures.steps.iter().find(|step| failures.generation == object.metadata.generation && is(step, &attempt))?;
    recall(found).map(|(_, failed)| failed)
}

/// Whether the mirrored Secret could not be written at the last attempt, as the status says.
pub fn mirror_failed(status: &RotatedSecretStatus) -> bool {
    let writes_mirror = |step: &StepFailure| step.step.parse().is_ok_and(StepKind::writes_mirror);
    status.failures.as_ref().is_some_and(|failures| failures.steps.iter().take(MOST).any(writes_mirror))
}

fn is(step: &StepFailure, attempt: &Attempt) -> bool {
    match attempt {
        Attempt::Read => step.step == READ,
        Attempt::Step(key) => step.step == name(key) && step.detail.as_deref().unwrap_or_default() == key.detail(),
    }
}

fn name(key: &StepKey) -> &'static str {
    key.kind().into()
}

/// The failures after a reconcile; `None`: nothing failed, and nothing is held.
pub(super) fn count(object: &RotatedSecret, attempts: &Attempts, now: Timestamp) -> Option<FailureStatus> {
    let before = object.status.as_ref().and_then(|status| status.failures.clone());
    let earlier = |attempt: &Attempt| before.as_ref()?.steps.iter().find(|step| is(step, attempt)).cloned();
    let failed = attempts.failed.iter().map(|(attempt, failed)| {
        let unreported = attempts.unreported.filter(|_| before.is_none());
        counted(object, attempt, failed, earlier(attempt).as_ref(), unreported, now)
    });
    let going_on = attempts.going_on.iter().filter_map(earlier).map(|step| StepFailure { next_attempt_time: None, ..step });
    let steps: Vec<StepFailure> = failed.chain(attempts.held.iter().filter_map(earlier)).chain(going_on).take(MOST).collect();
    let count = steps.iter().map(|step| step.count).max()?;
    let kept = before.filter(|_| attempts.failed.is_empty());
    Some(FailureStatus {
        count,
        since: steps.iter().filter_map(|step| step.since.clone()).min_by_key(|since| since.0),
        next_attempt_time: steps.iter().filter_map(|step| step.next_attempt_time.clone()).min_by_key(|next| next.0),
        requests: kept.as_ref().map_or_else(|| requests::present(object), |kept| kept.requests.clone()),
        access: kept.map_or_else(|| attempts.access.clone(), |kept| kept.access),
        generation: object.metadata.generation,
        steps,
    })
}

fn counted(
    object: &RotatedSecret,
    attempt: &Attempt,
    failed: &Failed,
    earlier: Option<&StepFailure>,
    unreported: Option<(u32, Timestamp)>,
    now: Timestamp,
) -> StepFailure {
    let Failure { class, reason, .. } = failed.failure;
    let (so_far, since) = match earlier {
        Some(earlier) => (u32::try_from(earlier.count).unwrap_or(0), earlier.since.as_ref().map(|since| since.0)),
        None => unreported.map_or((0, None), |(count, since)| (count, Some(since))),
    };
    let count = so_far.saturating_add(1);
    let seed = VersionIds::of(object.metadata.uid.as_deref().unwrap_or_default()).seed();
    let wait = SignedDuration::from_secs(backoff::delay(class, count, seed).as_secs().max(1));
    let (step, detail) = match attempt {
        Attempt::Read => (READ, None),
        Attempt::Step(key) => (name(key), Some(key.detail().to_owned()).filter(|detail| !detail.is_empty())),
    };
    StepFailure {
        step: step.to_owned(),
        detail,
        condition: failed.aspect.to_string(),
        class: class.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: failed.refusal().message,
        count: i32::try_from(count).unwrap_or(i32::MAX),
        // One from the future was written by a wrong clock.
        since: Some(Time(since.filter(|since| *since <= now).unwrap_or(now))),
        next_attempt_time: now.saturating_add(wait).ok().map(Time),
    }
}

#[cfg(test)]
mod tests;
