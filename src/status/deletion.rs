//! The status of an object whose deletion waits, and how long it waits. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::note::EventNote;
use super::{bounds, conditions, requests, stalled};
use crate::api::condition::{ConditionType, Statement, merge};
use crate::api::{FailureStatus, RotatedSecret, RotatedSecretStatus};
use crate::backoff::{self, Class};
use crate::command::{Command, ObjectRef};
use crate::desired::Removal;
use crate::failure::{Failed, Failure};
use crate::refusal::Refusal;

/// The longest wait between two attempts, before jitter.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// How many attempts are made before an object is released, if there was no operator for a long time.
pub const LEAST_ATTEMPTS: i32 = 3;
/// The longest credible wait: with jitter, and with the difference between the clocks of two replicas.
const CREDIBLE: SignedDuration = SignedDuration::from_mins(11);

/// Until when the deletion waits after a failure. The deletion is a new generation, as is every later edit: each begins with
/// an attempt.
pub fn backing_off(object: &RotatedSecret, now: Timestamp) -> Option<Timestamp> {
    let status = object.status.as_ref().filter(|_| in_deletion(object))?;
    let until = status.failures.as_ref()?.next_attempt_time.as_ref()?.0;
    let credible = until.duration_since(now) <= CREDIBLE;
    (until > now && credible && !requests::news(object)).then_some(until)
}

/// How many attempts of this deletion have failed in a row.
pub fn attempts(object: &RotatedSecret) -> i32 {
    let failures = object.status.as_ref().and_then(|status| status.failures.as_ref());
    failures.filter(|_| in_deletion(object)).map_or(0, |failures| failures.count)
}

/// Since when the attempts of this deletion fail.
pub fn failing_since(object: &RotatedSecret, now: Timestamp) -> Option<Timestamp> {
    let failures = object.status.as_ref().filter(|_| in_deletion(object))?.failures.as_ref()?;
    failures.since.as_ref().map(|since| since.0).filter(|since| *since <= now)
}

/// The status speaks of the deletion, not of what was before.
fn in_deletion(object: &RotatedSecret) -> bool {
    object.status.as_ref().is_some_and(|status| status.observed_generation == object.metadata.generation)
}

/// The status while the deletion has to wait for AWS.
pub fn waits(object: &RotatedSecret, removal: &Removal, why: &Refusal, now: Timestamp) -> RotatedSecretStatus {
    let message = format!("the deletion waits: {}; {}", why.message, end_it(removal, ConditionType::Provisioned));
    let mut after = RotatedSecretStatus { failures: None, ..begin(object) };
    let before = object.status.clone().unwrap_or_default();
    let mut statements = conditions::refused(&before, ConditionType::Provisioned, &Refusal::new(why.reason, message));
    statements.push(conditions::reconciling(why.reason));
    conclude(&mut after, object, &statements, now);
    after
}

/// The status after an attempt that failed. `ends`: when the object is released, if there were enough attempts.
pub fn failed(
    object: &RotatedSecret,
    removal: &Removal,
    failure: &Failure,
    of: ConditionType,
    ends: Timestamp,
    now: Timestamp,
) -> RotatedSecretStatus {
    let in_the_end = |what: &str| format!(" until {ends}, for {LEAST_ATTEMPTS} attempts at least; then the object is released and {what}");
    let limit = match of {
        ConditionType::Ready => String::new(),
        ConditionType::Mirrored => in_the_end("the Secret is deleted with it"),
        ConditionType::Rotated => in_the_end("the version stays staged"),
        _ => in_the_end("the AWS secret is kept"),
    };
    let message = format!("{}; the deletion waits for this{limit}; {}", failure.message, end_it(removal, of));
    let told = Failure { message, ..failure.clone() };
    let before = object.status.clone().unwrap_or_default();
    let mut after = begin(object);
    let count = attempts(object).saturating_add(1);
    let delay = delay(failure.class, count, removal.ids.seed());
    let since = before.failures.as_ref().filter(|_| count > 1).and_then(|failures| failures.since.clone());
    after.failures = Some(FailureStatus {
        count,
        since: since.filter(|since| since.0 <= now).or(Some(Time(now))),
        next_attempt_time: now.saturating_add(delay).ok().map(Time),
        requests: requests::present(object),
        generation: object.metadata.generation,
        access: None,
        // A deletion waits as a whole.
        steps: Vec::new(),
    });
    // The deletion is one step.
    let stalled = stalled::kept(&before, object.metadata.generation);
    // No rotation is due any more.
    let undue = RotatedSecretStatus { next_rotation_time: None, ..before };
    let statements = conditions::failed(&undue, &Failed { aspect: of, failure: told }, stalled, now);
    conclude(&mut after, object, &statements, now);
    after
}

/// The Event of a deletion that waits, from its status.
pub fn note(status: &RotatedSecretStatus) -> Option<EventNote> {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    Some(EventNote { warning: true, reason: ready.reason.clone(), action: "Delete", note: ready.message.clone() })
}

/// Every refusal may pass by itself while AWS carries out what was asked before, so none waits for hours.
fn delay(class: Class, count: i32, seed: u128) -> SignedDuration {
    let class = if class == Class::Invalid { Class::Retry } else { class };
    let delay = backoff::delay(class, u32::try_from(count).unwrap_or(1), seed).min(LONGEST);
    SignedDuration::from_secs(delay.as_secs().max(1))
}

fn begin(object: &RotatedSecret) -> RotatedSecretStatus {
    let mut after = bounds::bounded(object.status.clone().unwrap_or_default());
    after.observed_generation = object.metadata.generation;
    if let Some(refresh) = requests::token(object, crate::api::REFRESH) {
        after.requests.get_or_insert_default().refresh = Some(refresh);
    }
    after
}

fn conclude(after: &mut RotatedSecretStatus, object: &RotatedSecret, statements: &[Statement], now: Timestamp) {
    after.conditions = merge(&after.conditions, statements, object.metadata.generation, now);
}

/// The command that ends the deletion now.
fn end_it(removal: &Removal, of: ConditionType) -> String {
    let patch = match of {
        ConditionType::Ready | ConditionType::Rotated => r#"{"metadata":{"finalizers":null}}"#,
        ConditionType::Mirrored => r#"{"spec":{"target":{"deletionPolicy":"Delete"}}}"#,
        _ => r#"{"spec":{"aws":{"deletionPolicy":"Retain"}}}"#,
    };
    let kept = if matches!(of, ConditionType::Provisioned) { " and keep the AWS secret" } else { "" };
    let object = ObjectRef { namespace: &removal.namespace, name: &removal.name };
    format!("to release the object now{kept}: {}", Command::Patch(object, patch))
}

#[cfg(test)]
mod tests;
