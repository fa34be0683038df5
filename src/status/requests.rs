//! What a person asked for, as the status keeps it.

use kube::ResourceExt;

use super::EventNote;
use crate::api::{REFRESH, ROLLBACK, ROTATE, RequestStatus, RotatedSecret, RotatedSecretStatus};
use crate::desired::{RollbackRequest, bounded};

/// Whether something was asked for since the last attempt. A refresh is acknowledged by failures too; of the other requests a failure keeps
/// the tokens. So each request ends a wait once.
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

/// A rollback that cannot be carried out, told once.
pub(super) fn refused(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Option<EventNote> {
    let answered = |status: &RotatedSecretStatus| {
        let requests = status.requests.as_ref()?;
        Some((requests.rollback.clone()?, requests.rollback_refused?))
    };
    let (_, refusal) = answered(after).filter(|answer| answered(before).as_ref() != Some(answer))?;
    Some(EventNote {
        warning: true,
        reason: "RollbackRefused".to_owned(),
        action: "RollBack",
        note: format!("the request to roll back is not carried out: {}", refusal.sentence()),
    })
}
