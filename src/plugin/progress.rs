//! Progress of a request, from the status. Pure.
//!
//! The version ID of a rotate request is known before the version is created ([`crate::version_id`]), so another rotation
//! is never mistaken for it. The version decides the outcome. Other problems of the object are reported in addition and do
//! not change the outcome.

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::conditions::{condition, holds, lags, not_rolled_out, reason_of_suspension, suspended_by_namespace};
use super::flags::Flags;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{
    CreationPolicy, Outcome, REFRESH, ROLLBACK, ROTATE, RequestStatus, RollbackRefusal, RotatedSecret, RotatedSecretStatus, StepFailure,
};
use crate::desired::{RollbackRequest, bounded};
use crate::step::StepKind;
use crate::version_id::{VersionId, VersionIds};

/// Steps of a rotation: the fields of `steps` in `rotate -o json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Steps {
    /// The request is on the object.
    pub(super) requested: bool,
    /// The new version became current in AWS.
    pub(super) current: bool,
    /// The Secret holds the current version, or no Secret is declared.
    pub(super) mirrored: bool,
    /// The object is Ready at the current generation.
    pub(super) ready: bool,
    /// Every workload is healthy with the version. `None`: no rollout is declared.
    #[serde(rename = "rolledOut", skip_serializing_if = "Option::is_none")]
    pub(super) rolled_out: Option<bool>,
}

/// Whether the request has ended, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request was carried out.
    Done,
    /// The request was carried out, and the object is not Ready for this other reason.
    DoneUnready(String),
    /// The request may still be carried out.
    Wait,
    /// The version is current in AWS and is not mirrored until a user acts: reason and command.
    NotMirrored(String),
    /// The Secret holds the version, and workloads do not run with it until a user acts: reason and command.
    NotRolledOut(String),
    /// The request was not carried out and will not be until a user acts: reason and command.
    Refused(String),
}

/// Kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// A new version.
    Rotate,
    /// A version with an older value.
    RollBack,
    /// A reconcile.
    Refresh,
}

impl Asking {
    /// The command of the plugin.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::RollBack => "rollback",
            Self::Refresh => "refresh",
        }
    }

    /// The annotation of the request.
    pub(super) fn annotation(self) -> &'static str {
        match self {
            Self::Rotate => ROTATE,
            Self::RollBack => ROLLBACK,
            Self::Refresh => REFRESH,
        }
    }
}

/// Tokens of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Token of the request.
    pub(super) token: String,
    /// Token of the refresh that is requested with it. The operator acknowledges it after the next reconcile, even if that
    /// reconcile fails.
    pub(super) refresh: String,
}

/// Progress of a rotate request.
pub(super) fn rotation(object: &RotatedSecret, asked: &Asked, flags: &Flags) -> (Steps, Verdict) {
    let handled = requests(object).rotate.as_ref() == Some(&asked.token);
    follow(object, asked, &tokens(object).request(&asked.token), Answer { handled, refused: None }, flags)
}

/// Progress of a rollback request.
pub(super) fn rollback(object: &RotatedSecret, asked: &Asked, flags: &Flags) -> (Steps, Verdict) {
    let requests = requests(object);
    let handled = requests.rollback.as_ref() == Some(&asked.token);
    let refused = requests.rollback_refused.filter(|_| handled).map(RollbackRefusal::sentence);
    follow(object, asked, &tokens(object).rollback(&asked.token), Answer { handled, refused }, flags)
}

fn tokens(object: &RotatedSecret) -> VersionIds {
    VersionIds::of(object.metadata.uid.as_deref().unwrap_or_default())
}

/// The requests that the operator has acknowledged.
pub(super) fn requests(object: &RotatedSecret) -> RequestStatus {
    object.status.as_ref().and_then(|status| status.requests.clone()).unwrap_or_default()
}

/// Token of a pending request: on the object and not acknowledged.
pub(super) fn pending(object: &RotatedSecret, asking: Asking) -> Option<String> {
    let text = object.annotations().get(asking.annotation()).filter(|text| !text.is_empty())?;
    let answered = requests(object);
    let (token, answered) = match asking {
        Asking::Rotate => (bounded(text), answered.rotate),
        Asking::Refresh => (bounded(text), answered.refresh),
        Asking::RollBack => (RollbackRequest::parse(text)?.token, answered.rollback),
    };
    (answered.as_ref() != Some(&token)).then_some(token)
}

/// Until when the operator holds a pending rotate or rollback request back.
pub(super) fn held_until(object: &RotatedSecret, asking: Asking) -> Option<Timestamp> {
    let waits = asking != Asking::Refresh && pending(object, asking).is_some();
    requests(object).held_until.filter(|_| waits).map(|until| until.0)
}

/// Since when a refresh is pending, by the time in its token. `None`: no pending token of the plugin. A pending rotation
/// proves nothing: the operator may hold it back.
pub(super) fn refresh_asked_at(object: &RotatedSecret) -> Option<Timestamp> {
    token_time(&pending(object, Asking::Refresh)?)
}

/// Format of the time with which a token of the plugin begins.
pub(super) const TOKEN_TIME: &str = "%Y%m%dT%H%M%SZ";

fn token_time(token: &str) -> Option<Timestamp> {
    let (time, _) = token.split_once('-')?;
    jiff::civil::DateTime::strptime(TOKEN_TIME, time).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
}

/// Acknowledgement of the request in the status.
#[derive(Clone, Copy)]
struct Answer {
    handled: bool,
    refused: Option<&'static str>,
}

/// Progress towards the version `expected`.
fn follow(object: &RotatedSecret, asked: &Asked, expected: &VersionId, answer: Answer, flags: &Flags) -> (Steps, Verdict) {
    let status = object.status.clone().unwrap_or_default();
    let (current, pending) = status.aws.map_or((None, None), |aws| (aws.current_version_id, aws.pending_version_id));
    let pending = pending.as_deref() == Some(expected.as_str());
    let succeeded = |entry: &crate::api::HistoryEntry| entry.version_id == expected.as_str() && entry.outcome == Outcome::Succeeded;
    let made = current.as_deref() == Some(expected.as_str()) || status.history.iter().any(succeeded);
    let mirrored = made
        && (object.spec.target.creation_policy == CreationPolicy::None
            || pinned(object)
            || (current.is_some() && status.mirror.and_then(|mirror| mirror.version_id) == current));
    let ready = mirrored && !lags(object) && holds(object, ConditionType::Ready);
    // Without a rollout, it says that a credential is not retired.
    let reported = object.spec.rollout.is_some() || condition(object, ConditionType::RolledOut).is_some();
    let rolled_out = reported.then(|| mirrored && holds(object, ConditionType::RolledOut));
    let steps = Steps { requested: true, current: made, mirrored, ready, rolled_out };
    let verdict = match steps {
        // Before that, the condition is about the version before.
        Steps { mirrored: true, rolled_out: Some(false), .. } if let Some(why) = not_rolled_out(object) => Verdict::NotRolledOut(why),
        // While workloads are restarted, the object is Ready.
        Steps { ready: true, rolled_out: Some(false), .. } => Verdict::Wait,
        Steps { ready: true, .. } => Verdict::Done,
        Steps { mirrored: true, .. } => unready(object).map_or(Verdict::Wait, Verdict::DoneUnready),
        Steps { current: true, .. } => undelivered(object).map_or(Verdict::Wait, Verdict::NotMirrored),
        _ => unmade(object, asked, answer, pending, flags).map_or(Verdict::Wait, Verdict::Refused),
    };
    (steps, verdict)
}

/// Why the object is not Ready although the version is current and mirrored. `None`: the reconcile is in progress.
fn unready(object: &RotatedSecret) -> Option<String> {
    let ready = condition(object, ConditionType::Ready).filter(|ready| ready.status == "False" && !lags(object))?;
    (!under_way(&ready.reason)).then(|| ready.message.clone())
}

/// Why the Secret will not hold the current version until a user acts.
fn undelivered(object: &RotatedSecret) -> Option<String> {
    let mirrored = condition(object, ConditionType::Mirrored).filter(|mirrored| mirrored.status == "False")?;
    reason(&mirrored.reason).is_some_and(Reason::requires_user_action).then(|| mirrored.message.clone())
}

/// Why the version was not created and will not be until a user acts.
fn unmade(object: &RotatedSecret, asked: &Asked, answer: Answer, pending: bool, flags: &Flags) -> Option<String> {
    if let Some(refused) = answer.refused {
        return Some(refused.to_owned());
    }
    if object.spec.suspend {
        return obstacle(object, Asking::Refresh, flags);
    }
    if acknowledged(object, &asked.refresh)
        && let Some(why) = blocked(object)
    {
        return Some(why);
    }
    // If the version is pending, AWS rotates to it and has not finished.
    (answer.handled && !pending).then(|| {
        let history = flags.plugin(&format!("history {}", name(object)));
        format!("the operator has acknowledged the request without a new version: {history} shows why")
    })
}

fn name(object: &RotatedSecret) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

fn reason(word: &str) -> Option<Reason> {
    Reason::ALL.into_iter().find(|reason| reason.as_str() == word)
}

fn under_way(reason: &str) -> bool {
    [Reason::Progressing, Reason::Creating].iter().any(|moving| moving.as_str() == reason)
}

/// Why the operator cannot create a version until a user acts, from the conditions of its last reconcile.
fn blocked(object: &RotatedSecret) -> Option<String> {
    let stalled = condition(object, ConditionType::Stalled).filter(|stalled| stalled.status == "True")?;
    let aspects = [ConditionType::Provisioned, ConditionType::Mirrored, ConditionType::Rotated];
    let unmet = aspects.into_iter().filter_map(|of| Some((of, condition(object, of).filter(|condition| condition.status == "False")?)));
    let mut in_the_way = unmet.filter(|(of, condition)| {
        reason(&condition.reason).is_some_and(|reason| reason.requires_user_action() && !goes_on(object, *of, reason))
    });
    // A failure that concerns none of the three also ended the reconcile.
    let failing = object.status.as_ref().is_some_and(failing);
    in_the_way.next().map(|(_, condition)| condition.message.clone()).or_else(|| failing.then(|| stalled.message.clone()))
}

/// Whether a request is carried out although this condition is False for this reason. This repeats a rule of the
/// operator's plan.
fn goes_on(object: &RotatedSecret, of: ConditionType, reason: Reason) -> bool {
    match of {
        ConditionType::Rotated => matches!(reason, Reason::InvalidSpec | Reason::IntervalTooShort),
        ConditionType::Mirrored => reason == Reason::VersionNotFound,
        ConditionType::Provisioned => is_setting(object, reason),
        _ => false,
    }
}

/// Whether anything but a setting failed.
fn failing(status: &RotatedSecretStatus) -> bool {
    let setting = |step: &StepFailure| step.step.parse::<StepKind>().is_ok_and(StepKind::is_setting);
    status.failures.as_ref().is_some_and(|failures| failures.steps.is_empty() || !failures.steps.iter().all(setting))
}

/// Whether this reason may concern a setting other than the value (key, policy, replicas). Such a setting blocks neither
/// rotation nor mirror.
fn is_setting(object: &RotatedSecret, reason: Reason) -> bool {
    let Some(status) = &object.status else { return false };
    if failing(status) || status.aws.as_ref().is_none_or(|aws| aws.current_version_id.is_none()) {
        return false;
    }
    let aws = &object.spec.aws;
    match reason {
        // The last four concern a setting here, because no other step failed.
        Reason::TagNotOwned
        | Reason::KeyNotAllowed
        | Reason::PolicyNotAllowed
        | Reason::PolicyRefused
        | Reason::ReplicaFailed
        | Reason::AccessDenied
        | Reason::KeyUnusable
        | Reason::LimitExceeded
        | Reason::AwsRefused => true,
        // Either the whole object is rejected, or one of these fields.
        Reason::InvalidSpec => aws.resource_policy.is_some() || aws.replica_regions.is_some(),
        Reason::RegionNotAllowed => aws.replica_regions.is_some(),
        _ => false,
    }
}

/// Whether the Secret is pinned to a version other than AWSCURRENT.
pub(super) fn pinned(object: &RotatedSecret) -> bool {
    object.spec.target.version_id.is_some() || object.spec.target.version_stage != "AWSCURRENT"
}

/// Whether the operator has reconciled since the refresh was requested, and the object is Ready.
pub(super) fn refreshed(object: &RotatedSecret, asked: &Asked) -> Verdict {
    if !acknowledged(object, &asked.refresh) {
        return Verdict::Wait;
    }
    match condition(object, ConditionType::Ready) {
        Some(ready) if ready.status == "True" => Verdict::Done,
        // Acknowledged, and a change is in progress.
        Some(ready) if under_way(&ready.reason) => Verdict::Wait,
        Some(ready) => Verdict::Refused(ready.message.clone()),
        None => Verdict::Wait,
    }
}

/// Whether the status shows the labels in AWS as of this refresh, so that AWSPREVIOUS can be resolved from it.
pub(super) fn labels_seen(object: &RotatedSecret, asked: &Asked, flags: &Flags) -> Verdict {
    if object.spec.suspend {
        return obstacle(object, Asking::RollBack, flags).map_or(Verdict::Wait, Verdict::Refused);
    }
    if !acknowledged(object, &asked.refresh) {
        return Verdict::Wait;
    }
    if let Some(why) = blocked(object) {
        return Verdict::Refused(why);
    }
    let failing = object.status.as_ref().is_none_or(failing);
    let moving = |of| condition(object, of).is_some_and(|condition| condition.status == "False" && under_way(&condition.reason));
    // Replicas that AWS still creates are no reason to wait: the labels were read.
    let settings_only = moving(ConditionType::Provisioned) && !moving(ConditionType::Mirrored);
    // A rollback does not wait for a rollout.
    let rolling = condition(object, ConditionType::RolledOut).is_some_and(|rolled_out| rolled_out.reason == Reason::Waiting.as_str());
    let unsettled = moving(ConditionType::Mirrored) || holds(object, ConditionType::Reconciling) && !settings_only && !rolling;
    if failing || unsettled { Verdict::Wait } else { Verdict::Done }
}

/// Whether the refresh is acknowledged, which the operator also does after a failed reconcile.
pub(super) fn acknowledged(object: &RotatedSecret, refresh: &str) -> bool {
    requests(object).refresh.as_deref() == Some(refresh)
}

/// Why a request cannot be carried out in the current state of the object.
pub(super) fn obstacle(object: &RotatedSecret, asking: Asking, flags: &Flags) -> Option<String> {
    let name = name(object);
    let resume = || flags.plugin(&format!("resume {name}"));
    if object.metadata.deletion_timestamp.is_some() {
        return Some(format!("{name} is being deleted"));
    }
    if object.spec.suspend {
        return Some(format!("{name} is suspended, so the request would have no effect: {}", resume()));
    }
    if let Some(why) = suspended_by_namespace(object) {
        let resume = flags.plugin("resume --namespace-wide");
        return Some(format!("the namespace of {name} is suspended, so the request would have no effect: {why}; to resume: {resume}"));
    }
    if asking == Asking::Rotate
        && let Some(rotation) = object.spec.rotation.as_ref().filter(|rotation| rotation.lambda.is_some())
    {
        let advice = || format!("rotation of {name} is suspended, so AWS cannot rotate it, with or without --force: {}", resume());
        return rotation.suspend.then(advice);
    }
    match &object.spec.value {
        _ if asking == Asking::Refresh => None,
        None if asking == Asking::RollBack => Some(format!(
            "{name} mirrors a value that is managed outside this operator (it has no spec.value): restore the value there, or pin the Secret with \
             spec.target.versionId"
        )),
        Some(_) if asking == Asking::RollBack => None,
        None => Some(format!("{name} mirrors a value that is managed outside this operator (it has no spec.value): rotate it there")),
        Some(value) if value.plain_text.is_none() && value.generate.is_empty() => {
            Some(format!("{name} has only fixed fields, so there is nothing to rotate: add a field to spec.value.generate"))
        }
        Some(_) => None,
    }
}

/// Why a rotation needs `--force`.
pub(super) fn held(object: &RotatedSecret, flags: &Flags) -> Option<String> {
    object.spec.rotation.as_ref().filter(|rotation| rotation.suspend)?;
    let name = name(object);
    let because = reason_of_suspension(object).map_or_else(String::new, |because| format!(" ({because})"));
    Some(format!(
        "rotation of {name} is suspended{because}: add --force to rotate all the same, or {}",
        flags.plugin(&format!("resume {name}"))
    ))
}

/// Why and until when the operator holds a request back.
pub(super) fn holds_back(until: Timestamp) -> String {
    format!("the operator carries it out at {until}, because several requests have created versions in a row (--minimum-request-interval)")
}

/// Why the request was not carried out in time.
pub(super) fn late(object: &RotatedSecret, asking: Asking, asked: &Asked, waited: &str, flags: &Flags) -> String {
    let ready = condition(object, ConditionType::Ready).filter(|ready| ready.status == "False");
    match ready {
        _ if !acknowledged(object, &asked.refresh) => {
            format!("the operator has not acknowledged the request within {waited}: is it running? {}", flags.plugin("doctor"))
        }
        _ if let Some(until) = held_until(object, asking) => format!("it is not done within {waited}: {}", holds_back(until)),
        Some(ready) => format!("not done within {waited}: {}", ready.message),
        None => format!(
            "not done within {waited}, although the operator has reconciled: {} shows more, and {} whether the operator is older",
            flags.plugin(&format!("status {}", name(object))),
            flags.cluster("rotatedsecret version")
        ),
    }
}

#[cfg(test)]
mod tests;
