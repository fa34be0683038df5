//! How far a request has come, by what the status says. Pure.
//!
//! The version that a rotate request makes is known before it is made ([`crate::version_id`]), so another rotation is never taken for it. The outcome is
//! that of the version: what else is wrong with the object is said beside it, and changes nothing in it.

use kube::ResourceExt;
use serde::Serialize;

use super::conditions::{condition, holds, lags};
use super::flags::Flags;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{CreationPolicy, Outcome, REFRESH, ROLLBACK, ROTATE, RequestStatus, RollbackRefusal, RotatedSecret};
use crate::desired::{RollbackRequest, bounded};
use crate::version_id::{VersionId, VersionIds};

/// The steps of a rotation, as `rotate -o json` has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Steps {
    /// The request is on the object.
    pub(super) requested: bool,
    /// The new version became current in AWS.
    pub(super) current: bool,
    /// The Secret holds what is current (also: none is asked for).
    pub(super) mirrored: bool,
    /// The object is Ready, and speaks of this.
    pub(super) ready: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It happened.
    Done,
    /// It happened, and the object is not Ready for another reason: which.
    DoneUnready(String),
    /// It may still happen.
    Wait,
    /// The version is current in AWS, and cannot be mirrored by itself: why, and what to type.
    NotMirrored(String),
    /// It did not happen and will not by itself: why, and what to type.
    Refused(String),
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// A new value.
    Rotate,
    /// An older value.
    RollBack,
    /// A look.
    Refresh,
}

impl Asking {
    /// The command.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::RollBack => "rollback",
            Self::Refresh => "refresh",
        }
    }

    /// Where the request stands on the object.
    pub(super) fn annotation(self) -> &'static str {
        match self {
            Self::Rotate => ROTATE,
            Self::RollBack => ROLLBACK,
            Self::Refresh => REFRESH,
        }
    }
}

/// A request, as it is on the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Of what is asked for.
    pub(super) token: String,
    /// Of the refresh that goes with it: its acknowledgement tells that the operator has looked since, also where it fails.
    pub(super) look: String,
}

/// How far the rotation is.
pub(super) fn rotation(object: &RotatedSecret, asked: &Asked, flags: &Flags) -> (Steps, Verdict) {
    let handled = requests(object).rotate.as_ref() == Some(&asked.token);
    follow(object, asked, &tokens(object).request(&asked.token), Answer { handled, refused: None }, flags)
}

/// How far the rollback is.
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

/// The token of a request that is on the object and that the operator has not acknowledged.
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

/// What the operator says of the request itself.
#[derive(Clone, Copy)]
struct Answer {
    handled: bool,
    refused: Option<&'static str>,
}

/// How far the way to the version `expected` is.
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
    let steps = Steps { requested: true, current: made, mirrored, ready };
    let verdict = match steps {
        Steps { ready: true, .. } => Verdict::Done,
        Steps { mirrored: true, .. } => unready(object).map_or(Verdict::Wait, Verdict::DoneUnready),
        Steps { current: true, .. } => undelivered(object).map_or(Verdict::Wait, Verdict::NotMirrored),
        _ => unmade(object, asked, answer, pending, flags).map_or(Verdict::Wait, Verdict::Refused),
    };
    (steps, verdict)
}

/// Why the object is not Ready although the version is current and mirrored. `None`: the operator is still at it.
fn unready(object: &RotatedSecret) -> Option<String> {
    let ready = condition(object, ConditionType::Ready).filter(|ready| ready.status == "False" && !lags(object))?;
    (!under_way(&ready.reason)).then(|| ready.message.clone())
}

/// Why the Secret will not hold the current version until a person acts.
fn undelivered(object: &RotatedSecret) -> Option<String> {
    let mirrored = condition(object, ConditionType::Mirrored).filter(|mirrored| mirrored.status == "False")?;
    reason(&mirrored.reason).is_some_and(Reason::requires_user_action).then(|| mirrored.message.clone())
}

/// Why the version was not made and will not be made by itself.
fn unmade(object: &RotatedSecret, asked: &Asked, answer: Answer, pending: bool, flags: &Flags) -> Option<String> {
    if let Some(refused) = answer.refused {
        return Some(refused.to_owned());
    }
    if object.spec.suspend {
        return obstacle(object, Asking::Refresh, flags);
    }
    if acknowledged(object, &asked.look)
        && let Some(why) = blocked(object)
    {
        return Some(why);
    }
    // A version that is pending: AWS rotates to it, and has not come to its end.
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

/// What keeps the operator from making a version until a person acts, by the conditions of its last look.
fn blocked(object: &RotatedSecret) -> Option<String> {
    let stalled = condition(object, ConditionType::Stalled).filter(|stalled| stalled.status == "True")?;
    let aspects = [ConditionType::Provisioned, ConditionType::Mirrored, ConditionType::Rotated];
    let unmet = aspects.into_iter().filter_map(|of| Some((of, condition(object, of).filter(|condition| condition.status == "False")?)));
    let mut in_the_way = unmet.filter(|(of, condition)| {
        reason(&condition.reason).is_some_and(|reason| reason.requires_user_action() && !goes_on(object, *of, reason))
    });
    // A failure that concerns none of the three ended the look too.
    let failing = object.status.as_ref().is_some_and(|status| status.failures.is_some());
    in_the_way.next().map(|(_, condition)| condition.message.clone()).or_else(|| failing.then(|| stalled.message.clone()))
}

/// Whether a request is carried out although this aspect is at fault for this reason. The operator's plan decides; this is what it lets pass.
fn goes_on(object: &RotatedSecret, of: ConditionType, reason: Reason) -> bool {
    match of {
        ConditionType::Rotated => matches!(reason, Reason::InvalidSpec | Reason::IntervalTooShort),
        ConditionType::Mirrored => reason == Reason::VersionNotFound,
        ConditionType::Provisioned => is_setting(object, reason),
        _ => false,
    }
}

/// Whether this reason may be that of a setting beside the value (key, policy, replicas), which holds up neither rotation nor mirror.
fn is_setting(object: &RotatedSecret, reason: Reason) -> bool {
    let Some(status) = &object.status else { return false };
    if status.failures.is_some() || status.aws.as_ref().is_none_or(|aws| aws.current_version_id.is_none()) {
        return false;
    }
    let aws = &object.spec.aws;
    match reason {
        // The last four are AWS's answer to a setting, since a failure of anything else is counted.
        Reason::KeyNotAllowed
        | Reason::PolicyNotAllowed
        | Reason::PolicyRefused
        | Reason::ReplicaFailed
        | Reason::AccessDenied
        | Reason::KeyUnusable
        | Reason::LimitExceeded
        | Reason::AwsRefused => true,
        // Either the whole object is refused, or one of these.
        Reason::InvalidSpec => aws.resource_policy.is_some() || aws.replica_regions.is_some(),
        Reason::RegionNotAllowed => aws.replica_regions.is_some(),
        _ => false,
    }
}

/// The Secret is held at a version that need not be the current one.
pub(super) fn pinned(object: &RotatedSecret) -> bool {
    object.spec.target.version_id.is_some() || object.spec.target.version_stage != "AWSCURRENT"
}

/// Whether the operator has looked since the refresh was asked for, and found all in order.
pub(super) fn look(object: &RotatedSecret, asked: &Asked) -> Verdict {
    if !acknowledged(object, &asked.look) {
        return Verdict::Wait;
    }
    match condition(object, ConditionType::Ready) {
        Some(ready) if ready.status == "True" => Verdict::Done,
        // It looked, and is in the middle of something.
        Some(ready) if under_way(&ready.reason) => Verdict::Wait,
        Some(ready) => Verdict::Refused(ready.message.clone()),
        None => Verdict::Wait,
    }
}

/// Whether the status says what AWS held when the operator looked for this refresh: then AWSPREVIOUS can be resolved from it.
pub(super) fn labels_seen(object: &RotatedSecret, asked: &Asked, flags: &Flags) -> Verdict {
    if object.spec.suspend {
        return obstacle(object, Asking::RollBack, flags).map_or(Verdict::Wait, Verdict::Refused);
    }
    if !acknowledged(object, &asked.look) {
        return Verdict::Wait;
    }
    if let Some(why) = blocked(object) {
        return Verdict::Refused(why);
    }
    let failing = object.status.as_ref().is_none_or(|status| status.failures.is_some());
    let moving = |of| condition(object, of).is_some_and(|condition| condition.status == "False" && under_way(&condition.reason));
    // Replicas that AWS still makes are no reason to wait: the labels were seen.
    let settings_only = moving(ConditionType::Provisioned) && !moving(ConditionType::Mirrored);
    let unsettled = moving(ConditionType::Mirrored) || holds(object, ConditionType::Reconciling) && !settings_only;
    if failing || unsettled { Verdict::Wait } else { Verdict::Done }
}

/// The operator has looked since: it acknowledges a refresh also where it fails.
pub(super) fn acknowledged(object: &RotatedSecret, look: &str) -> bool {
    requests(object).refresh.as_deref() == Some(look)
}

/// Why a request cannot be carried out as the object is, before it is made.
pub(super) fn obstacle(object: &RotatedSecret, asking: Asking, flags: &Flags) -> Option<String> {
    let name = name(object);
    let resume = || flags.plugin(&format!("resume {name}"));
    if object.metadata.deletion_timestamp.is_some() {
        return Some(format!("{name} is being deleted"));
    }
    if object.spec.suspend {
        return Some(format!("{name} is suspended, so nothing would happen: {}", resume()));
    }
    if asking == Asking::Rotate
        && let Some(rotation) = object.spec.rotation.as_ref().filter(|rotation| rotation.lambda.is_some())
    {
        let advice = || format!("rotation of {name} is suspended, and AWS rotates only where it is on: {}", resume());
        return rotation.suspend.then(advice);
    }
    match &object.spec.value {
        _ if asking == Asking::Refresh => None,
        None if asking == Asking::RollBack => Some(format!(
            "{name} only mirrors somebody else's value (it has no spec.value): go back where it is made, or pin the Secret with \
             spec.target.versionId"
        )),
        Some(_) if asking == Asking::RollBack => None,
        None => Some(format!("{name} only mirrors somebody else's value (it has no spec.value): rotate it where it is made")),
        Some(value) if value.plain_text.is_none() && value.generate.is_empty() => {
            Some(format!("{name} has fixed fields only, so there is nothing to renew: add a field to spec.value.generate"))
        }
        Some(_) => None,
    }
}

/// Why it did not happen in time.
pub(super) fn late(object: &RotatedSecret, asked: &Asked, waited: &str, flags: &Flags) -> String {
    let ready = condition(object, ConditionType::Ready).filter(|ready| ready.status == "False");
    match ready {
        _ if !acknowledged(object, &asked.look) => {
            format!("the operator has not looked at the request within {waited}: is it running? {}", flags.plugin("doctor"))
        }
        Some(ready) => format!("it did not happen within {waited}: {}", ready.message),
        None => format!("it did not happen within {waited}: {} shows more", flags.plugin(&format!("status {}", name(object)))),
    }
}

#[cfg(test)]
mod tests;
