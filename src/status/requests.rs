//! Requests by a person, and which of them were handled.

use jiff::Timestamp;
use kube::ResourceExt;

use super::note::EventNote;
use crate::api::{Cause, REFRESH, ROLLBACK, ROTATE, RequestStatus, RollbackRefusal, RotatedSecret, RotatedSecretStatus};
use crate::desired::{Desired, RollbackRequest, RollbackTo, bounded};

/// Whether something was requested since the last attempt. A failure acknowledges a refresh, and keeps the tokens of
/// other requests. So each request ends a wait once.
pub(super) fn news(object: &RotatedSecret) -> bool {
    let Some(status) = &object.status else { return true };
    let handled = status.requests.clone().unwrap_or_default();
    let tried = status.failures.as_ref().and_then(|failures| failures.requests.clone()).unwrap_or_default();
    let asked = present(object).unwrap_or_default();
    let fresh = |asked: Option<String>, known: [Option<String>; 2]| asked.is_some() && !known.contains(&asked);
    fresh(token(object, REFRESH), [handled.refresh, None])
        || fresh(asked.rotate, [handled.rotate, tried.rotate])
        || fresh(asked.rollback, [handled.rollback, tried.rollback])
}

/// The requests on the object that a failure does not acknowledge.
pub(super) fn present(object: &RotatedSecret) -> Option<RequestStatus> {
    let rollback = object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text)).map(|request| request.token);
    let requests = RequestStatus { rotate: token(object, ROTATE), rollback, ..RequestStatus::default() };
    (requests != RequestStatus::default()).then_some(requests)
}

/// The token of a request on the object.
pub(super) fn token(object: &RotatedSecret, annotation: &str) -> Option<String> {
    object.annotations().get(annotation).filter(|token| !token.is_empty()).map(|token| bounded(token))
}

/// The time until which a request waits, if it was not reported before.
pub fn delayed(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Option<Timestamp> {
    let held = |status: &RotatedSecretStatus| status.requests.as_ref().and_then(|requests| requests.held_until.clone());
    held(after).filter(|until| held(before).as_ref() != Some(until)).map(|until| until.0)
}

/// The Event for a request that waits, once for each time until which it does.
pub(super) fn delay(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Option<EventNote> {
    delayed(before, after).map(|until| EventNote {
        warning: false,
        reason: "RequestDelayed".to_owned(),
        action: "Wait",
        note: waits(until),
    })
}

/// Why and until when a request waits.
pub(super) fn waits(until: Timestamp) -> String {
    format!(
        "a request waits until {until}, because requests create versions too quickly (three in a row, then one in each \
         --minimum-request-interval of the operator)"
    )
}

/// Whether the reason of a refused rollback still holds. A later version may have ended it.
pub(super) fn still_holds(refusal: RollbackRefusal, asked: &RollbackRequest, want: &Desired, after: &RotatedSecretStatus) -> bool {
    let aws = after.aws.as_ref();
    match refusal {
        RollbackRefusal::Malformed
        | RollbackRefusal::VersionNotFound
        | RollbackRefusal::FieldMissing
        | RollbackRefusal::RotationInProgress => true,
        RollbackRefusal::MirrorOnly => want.value.is_none(),
        RollbackRefusal::NoPreviousVersion => aws.is_none_or(|aws| aws.previous_version_id.is_none()),
        RollbackRefusal::VersionPending => match &asked.to {
            Some(RollbackTo::Version(version)) => aws.and_then(|aws| aws.pending_version_id.as_deref()) == Some(version.as_str()),
            _ => true,
        },
        RollbackRefusal::AlreadyRolledBack => {
            let head = after.history.first().filter(|head| head.cause == Cause::RolledBack);
            head.is_some_and(|head| aws.and_then(|aws| aws.current_version_id.as_ref()) == Some(&head.version_id))
        }
    }
}

/// The token of a rollback request that cannot be carried out, and why, if that was not reported before.
pub fn rollback_refused<'a>(before: &RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Option<(&'a str, RollbackRefusal)> {
    answered(after).filter(|answer| answered(before).as_ref() != Some(answer))
}

fn answered(status: &RotatedSecretStatus) -> Option<(&str, RollbackRefusal)> {
    let requests = status.requests.as_ref()?;
    Some((requests.rollback.as_deref()?, requests.rollback_refused?))
}

/// The Event for a rollback that cannot be carried out, once.
pub(super) fn refused(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Option<EventNote> {
    let (_, refusal) = rollback_refused(before, after)?;
    Some(EventNote {
        warning: true,
        reason: "RollbackRefused".to_owned(),
        action: "RollBack",
        note: format!("the request to roll back is not carried out: {}", refusal.sentence()),
    })
}
