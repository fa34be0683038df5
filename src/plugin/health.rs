//! The state of one object at a given time. Pure.
//!
//! Most of it is in the conditions. If the operator is not running, no condition says so. This shows in what it should have
//! written by now.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;

use super::conditions::{condition, holds, lags, reason_of_suspension, suspended_by_namespace};
use super::connect::REQUEST_MANAGER;
use super::flags::Flags;
use super::progress::{self, Asking};
use super::table::Tone;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{FIELD_MANAGER, FailureStatus, RotatedSecret, RotatedSecretStatus};
use crate::kubernetes::stored::Unreadable;

/// Time within which the operator must react to a change or a due time.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// State of an object, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum State {
    /// User action is required.
    Stalled,
    /// A rotation was due and did not happen.
    Overdue,
    /// The operator did not react in time. It may not be running.
    Unattended,
    /// The last reconcile failed; the operator retries.
    Failing,
    /// A change is in progress.
    Progressing,
    /// Suspended by a user.
    Suspended,
    /// A rotation is due now.
    Due,
    /// The object is as specified, and its Secret is pinned: rotations do not change it.
    Pinned,
    /// The object is as specified.
    Ready,
}

impl State {
    /// Every state, worst first.
    pub(super) const ALL: [Self; 9] = [
        Self::Stalled,
        Self::Overdue,
        Self::Unattended,
        Self::Failing,
        Self::Progressing,
        Self::Suspended,
        Self::Due,
        Self::Pinned,
        Self::Ready,
    ];

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Stalled | Self::Overdue | Self::Unattended | Self::Failing => Tone::Bad,
            Self::Progressing | Self::Suspended | Self::Due | Self::Pinned => Tone::Caution,
            Self::Ready => Tone::Good,
        }
    }
}

/// Health of one object: the fields of `status -o json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) state: State,
    /// Status of the condition Ready: True, False, or Unknown if there is none yet.
    pub(super) ready: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The reason of the condition Stalled, if it is True and not that of Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stalled_reason: Option<String>,
    /// What happened, why, and the command to run; absent if the object is Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// By `spec.suspend` or by the Namespace.
    pub(super) suspended: bool,
    pub(super) rotation_suspended: bool,
    /// Why, by whom and since when it was suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suspend_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) creation_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_rotation_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_rotation_time: Option<Time>,
    /// Seconds for which a rotation has been due; absent if none is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overdue_seconds: Option<i64>,
    pub(super) missed_rotations: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failures: Option<FailureStatus>,
    /// Requests that the operator has not acknowledged: rotate, rollback, refresh.
    pub(super) pending_requests: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current_version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror_secret_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror_version_id: Option<String>,
    /// Fields that this version of the plugin does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unknown_fields: Vec<String>,
}

impl Health {
    /// Health of an object that this plugin cannot decode. Most likely the operator cannot decode it either.
    pub(super) fn unreadable(unreadable: &Unreadable) -> Self {
        let metadata = &unreadable.metadata;
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            state: State::Stalled,
            ready: "Unknown".to_owned(),
            reason: Some("Unreadable".to_owned()),
            stalled_reason: None,
            message: Some(format!("{}: apply it again, or delete it", unreadable.defect)),
            suspended: false,
            rotation_suspended: false,
            suspend_message: None,
            creation_time: metadata.creation_timestamp.clone(),
            last_rotation_time: None,
            next_rotation_time: None,
            overdue_seconds: None,
            missed_rotations: 0,
            failures: None,
            pending_requests: Vec::new(),
            secret_arn: unreadable.arn.clone(),
            current_version_id: None,
            mirror_secret_name: None,
            mirror_version_id: None,
            unknown_fields: Vec::new(),
        }
    }

    /// Whether a line of the table would be the same, except for ages.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        let line = |health: &Self| {
            (
                health.state,
                health.shown_reason().map(str::to_owned),
                health.message.clone(),
                health.current_version_id.clone(),
                health.mirror_version_id.clone(),
            )
        };
        line(self) == line(other)
    }

    /// The reason of the state: what waits for a user comes before what cannot be read at the moment.
    pub(super) fn shown_reason(&self) -> Option<&str> {
        self.stalled_reason.as_ref().filter(|_| self.state == State::Stalled).or(self.reason.as_ref()).map(String::as_str)
    }

    /// Whether the object is Ready, or was Ready when it was suspended.
    pub(super) fn is_fine(&self) -> bool {
        match self.state {
            State::Ready | State::Pinned | State::Due => true,
            State::Suspended => self.ready == "True",
            _ => false,
        }
    }
}

/// Sorts by state (worst first), next rotation and name.
pub(super) fn sort(items: &mut [Health]) {
    let key = |health: &Health| {
        let next = health.next_rotation_time.as_ref().map_or(Timestamp::MAX, |next| next.0);
        (health.state, next, health.namespace.clone(), health.name.clone())
    };
    items.sort_by_key(key);
}

/// Health of `object` at `now`. `flags` select its cluster in printed commands.
pub(super) fn judge(object: &RotatedSecret, now: Timestamp, flags: &Flags) -> Health {
    let status = object.status.clone().unwrap_or_default();
    let ready = condition(object, ConditionType::Ready);
    let unattended = unattended(object, now, flags);
    let state = state(object, &status, unattended.is_some(), now);
    let rotation_suspended = object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend);
    let because = reason_of_suspension(object).filter(|_| object.spec.suspend || rotation_suspended);
    let by_namespace = suspended_by_namespace(object).is_some();
    let said = || ready.map(|ready| ready.message.clone());
    let stalled = condition(object, ConditionType::Stalled)
        .filter(|stalled| stalled.status == "True" && ready.is_none_or(|ready| ready.reason != stalled.reason));
    let message = match state {
        State::Ready => None,
        State::Stalled => match (stalled, ready) {
            (Some(stalled), Some(ready)) => Some(format!("{}; at the moment: {}", stalled.message, ready.message)),
            (Some(stalled), None) => Some(stalled.message.clone()),
            (None, _) => said(),
        },
        State::Overdue | State::Unattended if unattended.is_some() => unattended,
        State::Overdue => condition(object, ConditionType::Rotated)
            .filter(|rotated| rotated.status == "False")
            .map(|rotated| rotated.message.clone())
            .or_else(said),
        State::Due => Some("a rotation is due now".to_owned()),
        State::Progressing if ready.is_none() => Some("the operator has not reconciled the object yet".to_owned()),
        State::Progressing if lags(object) => Some("the operator has not reconciled the latest spec yet".to_owned()),
        State::Progressing if object.metadata.deletion_timestamp.is_some() => Some("it is being deleted".to_owned()),
        State::Pinned => said().map(|said| {
            let unpin = flags.within(&object.namespace().unwrap_or_default()).plugin(&format!("unpin {}", object.name_any()));
            format!("{said}; to remove the pin: {unpin}")
        }),
        // One command for all objects of the namespace, so that they still share a sentence.
        State::Suspended if by_namespace => said().map(|said| {
            let resume = flags.within(&object.namespace().unwrap_or_default()).plugin("resume --namespace-wide");
            format!("{said}; to resume: {resume}")
        }),
        State::Suspended => said().map(|said| match &because {
            Some(because) => format!("{said} ({because})"),
            None => said,
        }),
        _ => said(),
    };
    let paused = by_namespace || object.spec.suspend || rotation_suspended;
    let overdue = status.next_rotation_time.as_ref().filter(|next| next.0 <= now && !paused).map(|next| now.duration_since(next.0));
    let aws = status.aws.clone().unwrap_or_default();
    Health {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        state,
        ready: ready.map_or_else(|| "Unknown".to_owned(), |ready| ready.status.clone()),
        reason: ready.map(|ready| ready.reason.clone()),
        stalled_reason: stalled.map(|stalled| stalled.reason.clone()),
        message,
        suspended: object.spec.suspend || by_namespace,
        rotation_suspended,
        suspend_message: because,
        creation_time: object.metadata.creation_timestamp.clone(),
        overdue_seconds: overdue.map(|overdue| overdue.as_secs()),
        missed_rotations: status.missed_rotations,
        pending_requests: pending(object),
        secret_arn: aws.arn,
        current_version_id: aws.current_version_id,
        mirror_secret_name: status.mirror.as_ref().map(|mirror| mirror.secret_name.clone()),
        mirror_version_id: status.mirror.and_then(|mirror| mirror.version_id),
        last_rotation_time: status.last_rotation_time,
        next_rotation_time: status.next_rotation_time,
        failures: status.failures,
        unknown_fields: Vec::new(),
    }
}

fn state(object: &RotatedSecret, status: &RotatedSecretStatus, is_unattended: bool, now: Timestamp) -> State {
    let reason_of = |of| condition(object, of).filter(|condition| condition.status == "False").map(|condition| condition.reason.as_str());
    let is = |found: Option<&str>, reason: Reason| found == Some(reason.as_str());
    let rotated = reason_of(ConditionType::Rotated);
    let unready = reason_of(ConditionType::Ready);
    let next = status.next_rotation_time.as_ref().map(|next| next.0);
    let by_namespace = suspended_by_namespace(object).is_some();
    let paused = object.spec.suspend || by_namespace || is(rotated, Reason::Suspended);
    let under_way = is(unready, Reason::Progressing) || (is(unready, Reason::Creating) && status.failures.is_none());
    match () {
        // A suspension is only in force once the operator has observed it.
        () if (object.spec.suspend || by_namespace) && !is_unattended => State::Suspended,
        () if holds(object, ConditionType::Stalled) => State::Stalled,
        () if is(rotated, Reason::Overdue) || (!paused && next.is_some_and(|next| now.duration_since(next) > PATIENCE)) => State::Overdue,
        () if is_unattended => State::Unattended,
        () if is(unready, Reason::Suspended) => State::Suspended,
        () if under_way || condition(object, ConditionType::Ready).is_none() => State::Progressing,
        () if unready.is_some() => State::Failing,
        () if object.metadata.deletion_timestamp.is_some() || lags(object) => State::Progressing,
        () if holds(object, ConditionType::Reconciling) => State::Progressing,
        () if !paused && next.is_some_and(|next| next <= now) => State::Due,
        () if progress::pinned(object) => State::Pinned,
        () => State::Ready,
    }
}

/// What the operator should have done by now and has not, as a sentence. `None`: nothing.
pub(super) fn unattended(object: &RotatedSecret, now: Timestamp, flags: &Flags) -> Option<String> {
    let status = object.status.clone().unwrap_or_default();
    let waiting = |since: Timestamp| now.duration_since(since) > PATIENCE;
    let asks = format!("is it running? {}", flags.within(&object.namespace().unwrap_or_default()).plugin("doctor"));
    if lags(object) && last_write(object).is_some_and(waiting) {
        return Some(format!("the operator has not reconciled the spec since it was changed: {asks}"));
    }
    if object.spec.suspend || suspended_by_namespace(object).is_some() {
        return None;
    }
    if pending(object).contains(&"refresh") && progress::refresh_asked_at(object).or_else(|| last_write(object)).is_some_and(waiting) {
        return Some(format!("the operator has not acknowledged a refresh request: {asks}"));
    }
    let attempt = status.failures.as_ref().and_then(|failures| failures.next_attempt_time.as_ref()).map(|at| at.0);
    if attempt.is_some_and(waiting) {
        return Some(format!("the operator has not retried at the announced time: {asks}"));
    }
    let rotates = !object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend);
    let next = status.next_rotation_time.as_ref().map(|next| next.0);
    // A running operator would have reported the passed due time, and the object would not be Ready.
    if rotates && next.is_some_and(waiting) && holds(object, ConditionType::Ready) {
        return Some(format!("a rotation is due and the operator does not report it: {asks}"));
    }
    None
}

/// Time of the last write of the object by a client other than the operator. Requests of the plugin do not count: they
/// have times of their own.
fn last_write(object: &RotatedSecret) -> Option<Timestamp> {
    let others = |manager: Option<&str>| manager != Some(FIELD_MANAGER) && manager != Some(REQUEST_MANAGER);
    let people = object.managed_fields().iter().filter(|entry| entry.subresource.is_none() && others(entry.manager.as_deref()));
    people.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max().or(object
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0))
}

/// Requests that are not acknowledged.
fn pending(object: &RotatedSecret) -> Vec<&'static str> {
    [Asking::Rotate, Asking::RollBack, Asking::Refresh]
        .into_iter()
        .filter(|asking| progress::pending(object, *asking).is_some())
        .map(Asking::verb)
        .collect()
}

#[cfg(test)]
mod tests;
