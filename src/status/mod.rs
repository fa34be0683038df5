//! Facts and outcome -> the status, once at the end of a turn. Pure. The status is a report: losing it costs reads, never a rotation.

mod conditions;
mod requests;
mod settings;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::condition::{ConditionType, Reason, merge};
use crate::api::{
    AwsStatus, Cause, DeclaredStatus, FailureStatus, HistoryEntry, MirrorStatus, REFRESH, RequestStatus, RotatedSecret,
    RotatedSecretStatus, ScheduleStatus, UnseenVersion,
};
use crate::backoff;
use crate::desired::{LambdaRotation, Desired, Refusal, RollbackRequest, RollbackTo, Rotation};
use crate::failure::Failure;
use crate::version_id::VersionId;
use crate::plan::{Current, Mirror, Observed, Place, Remote, Reported, Rest, kept, settled};

/// How many versions the history keeps.
const HISTORY: usize = 10;

/// One thing that happened. Made of closed words and version ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNote {
    /// Warning, or normal.
    pub warning: bool,
    /// The word.
    pub reason: String,
    /// What the operator was doing.
    pub action: &'static str,
    /// The sentence.
    pub note: String,
}

/// How a turn ended.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing left to do, or nothing that may be done.
    Rested {
        /// The last facts.
        seen: Box<Observed>,
        /// How things stand.
        rest: Box<Rest>,
    },
    /// The spec cannot be carried out.
    Invalid(Refusal),
    /// Something failed on the way.
    Failed {
        /// What.
        failure: Failure,
        /// Whether there was a Secret of the target's name.
        secret_seen: bool,
    },
}

/// Until when the object waits after failures; `None`: it does not, or something new came in since.
pub fn backing_off(object: &RotatedSecret, now: Timestamp) -> Option<Timestamp> {
    let status = object.status.as_ref()?;
    let until = status.failures.as_ref()?.next_attempt_time.as_ref()?.0;
    let news = status.observed_generation != object.metadata.generation || requests::news(object);
    (until > now && !news).then_some(until)
}

/// What the status reports of earlier turns, as facts for the plan.
pub fn recall(object: &RotatedSecret, want: &Desired, now: Timestamp) -> Reported {
    let status = object.status.clone().unwrap_or_default();
    let edited = match (&status.schedule, &want.rotation) {
        (Some(before), Rotation::Scheduled { expression, .. }) => before.expression != *expression,
        (None, Rotation::Scheduled { .. }) => !status.history.is_empty(),
        _ => false,
    };
    Reported {
        schedule_edited: edited,
        declared: status.declared.as_ref().map(|declared| declared.hash.clone()),
        schedule_since: schedule_since(&status, want, now),
        adopting: status.history.first().filter(|head| head.cause == Cause::Adopted).map(|head| head.version_id.as_str().into()),
        rolled_back: status.history.first().filter(|head| head.cause == Cause::RolledBack).map(|head| head.version_id.as_str().into()),
        unscheduled: status.schedule.is_none() && !status.history.is_empty(),
        history: status.history.iter().map(|entry| VersionId::from(entry.version_id.clone())).collect(),
        rollback_handled: status.requests.as_ref().and_then(|requests| Some((requests.rollback.clone()?, requests.rollback_refused))),
        never_scheduled: status.schedule.is_none(),
        rotate_handled: status.requests.and_then(|requests| requests.rotate),
    }
}

/// Since when the schedule is in force: `None` for one that was there before the first version.
fn schedule_since(status: &RotatedSecretStatus, want: &Desired, now: Timestamp) -> Option<Timestamp> {
    let Rotation::Scheduled { expression, .. } = &want.rotation else { return None };
    match &status.schedule {
        Some(before) if before.expression == *expression => before.since.as_ref().map(|since| since.0),
        Some(_) => Some(now),
        None => (!status.history.is_empty()).then_some(now),
    }
}

/// The status after a turn.
pub fn report(object: &RotatedSecret, want: Option<&Desired>, outcome: &Outcome, now: Timestamp) -> RotatedSecretStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let mut after = RotatedSecretStatus { observed_generation: generation, ..before.clone() };
    let statements = match outcome {
        Outcome::Invalid(refusal) => {
            after.failures = None;
            if let Some(refresh) = requests::token(object, REFRESH) {
                after.requests.get_or_insert_default().refresh = Some(refresh);
            }
            conditions::refused(&before, ConditionType::Provisioned, refusal)
        }
        Outcome::Failed { failure, secret_seen } => {
            after.mirror = after.mirror.filter(|_| *secret_seen || failure.of != ConditionType::Mirrored);
            let requests = requests::present(object);
            after.failures = Some(FailureStatus { requests, ..count_failure(&before, want, failure, now) });
            if let Some(refresh) = want.and_then(|want| want.refresh_request.clone()) {
                after.requests.get_or_insert_default().refresh = Some(refresh);
            }
            conditions::failed(&before, failure, now)
        }
        Outcome::Rested { rest, .. } if rest.suspended => {
            after.failures = None;
            conditions::suspended(&before)
        }
        Outcome::Rested { seen, rest } => {
            after.failures = None;
            if let Some(want) = want {
                look(&mut after, &before, want, seen, rest, now);
            }
            conditions::rested(&before, &after, want, seen, rest, now)
        }
    };
    after.conditions = merge(&before.conditions, &statements, generation, now);
    after
}

/// The parts of the status that say what is.
fn look(after: &mut RotatedSecretStatus, before: &RotatedSecretStatus, want: &Desired, seen: &Observed, rest: &Rest, now: Timestamp) {
    let mut requests = before.requests.clone().unwrap_or_default();
    if want.refresh_request.is_some() {
        requests.refresh.clone_from(&want.refresh_request);
    }
    if rest.rotate_handled.is_some() {
        requests.rotate.clone_from(&rest.rotate_handled);
    }
    if let Some((token, refused)) = &rest.rollback_handled {
        requests.rollback = Some(token.clone());
        requests.rollback_refused = *refused;
    }
    after.requests = (requests != RequestStatus::default()).then_some(requests);
    if rest.unsettled {
        let unseen = unseen(seen, now);
        if unseen.is_some() || after.aws.as_ref().is_some_and(|aws| aws.unseen.is_some()) {
            after.aws.get_or_insert_with(|| AwsStatus { region: Some(want.region.clone()), ..AwsStatus::default() }).unseen = unseen;
        }
        return;
    }
    if let (true, Some(current)) = (rest.adopting, seen.remote.as_ref().and_then(|remote| remote.current.as_ref())) {
        adopt(after, want, current);
        return;
    }
    let Some(remote) = seen.remote.as_ref() else {
        // What was recorded is taken back only by a look that found nothing there: it says where this object's secret is.
        let looked = seen.name_allowed && seen.refused.is_none() && !matches!(seen.place, Place::Unproved(_));
        if !looked && after.aws.is_some() {
            return;
        }
        after.aws = Some(AwsStatus { region: Some(want.region.clone()), ..AwsStatus::default() });
        return;
    };
    // What was announced stays announced, so that it becomes overdue; and a stranger's ARN is not ours to report.
    if !rest.mirror_seen {
        return;
    }
    after.next_rotation_time = rest.next_rotation.map(Time);
    after.aws = Some(AwsStatus {
        arn: Some(remote.arn.clone()),
        region: Some(want.region.clone()),
        current_version_id: remote.current.as_ref().map(|current| current.version.to_string()),
        previous_version_id: remote.previous.as_ref().map(ToString::to_string),
        pending_version_id: remote.pending.as_ref().map(ToString::to_string),
        retained_version_ids: if want.value.is_some() { retention::kept(remote).iter().map(ToString::to_string).collect() } else { Vec::new() },
        unseen: None,
        replicas: settings::replicas(remote),
        applied: settings::applied(before.aws.as_ref(), want, remote),
    });
    after.mirror = match (&seen.mirror, &want.target) {
        (Mirror::Ours { version, written, .. }, Some(target)) => Some(MirrorStatus {
            secret_name: target.name.clone(),
            version_id: version.as_ref().map(ToString::to_string),
            last_write_time: written.map(Time),
            confirmed_resource_version: confirmed(before, seen),
        }),
        _ => None,
    };
    // What the namespace's function may not do was not carried out.
    if let Some(declared) = want.value.as_ref().filter(|_| rest.provisioned.is_none() && seen.function_allowed) {
        after.declared = Some(DeclaredStatus { hash: declared.hash(), fields: declared.field_names() });
    }
    after.schedule = match &want.rotation {
        // The schedule comes into force with the first rotation; until then the absence says that it is to come.
        _ if rest.first_pending => before.schedule.clone(),
        Rotation::Scheduled { expression, .. } => {
            Some(ScheduleStatus { expression: expression.clone(), since: schedule_since(before, want, now).map(Time) })
        }
        Rotation::Lambda(LambdaRotation { terms: Ok(terms), .. }) if remote.rotation.enabled && remote.rotation.as_declared => {
            let expression = terms.rules.describe();
            let since = match &before.schedule {
                Some(before) if before.expression == expression => before.since.clone(),
                Some(_) => Some(Time(now)),
                None => (!before.history.is_empty()).then_some(Time(now)),
            };
            Some(ScheduleStatus { expression, since })
        }
        // A slip of the pen that is corrected is no new beginning, and neither is what AWS was not yet told.
        Rotation::Refused(_) | Rotation::Lambda(_) => before.schedule.clone(),
        Rotation::Never => None,
    };
    if let Some(current) = &remote.current {
        record(after, before, want, seen, remote, current);
    }
}

/// The youngest version that AWS has and does not show, so that the next turn waits for it instead of writing it again.
fn unseen(seen: &Observed, now: Timestamp) -> Option<UnseenVersion> {
    let shown = |version: &VersionId| seen.remote.as_ref().is_some_and(|remote| remote.labels.values().any(|shown| shown == version));
    let young = seen.spent.iter().filter(|(version, made)| !shown(version) && now < settled(**made));
    young.max_by_key(|(_, made)| **made).map(|(version, made)| UnseenVersion { version_id: version.to_string(), time: Time(whole(*made)) })
}

/// Kubernetes keeps whole seconds.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// An AWS secret that was there before is about to become ours. It is not ours yet, so its ARN is not reported; rotation is new on it.
fn adopt(after: &mut RotatedSecretStatus, want: &Desired, current: &Current) {
    after.aws = Some(AwsStatus { region: Some(want.region.clone()), ..AwsStatus::default() });
    after.declared = None;
    after.schedule = None;
    after.last_rotation_time = Some(Time(current.anchor));
    remember(after, current, Cause::Adopted, None);
}

fn remember(after: &mut RotatedSecretStatus, current: &Current, cause: Cause, copy_of: Option<String>) {
    let entry = HistoryEntry {
        version_id: current.version.to_string(),
        time: Time(current.changed),
        cause,
        outcome: crate::api::Outcome::Succeeded,
        reason: None,
        copy_of,
    };
    after.history.insert(0, entry);
    after.history.truncate(HISTORY);
}

/// The history and what follows from it.
fn record(
    after: &mut RotatedSecretStatus,
    before: &RotatedSecretStatus,
    want: &Desired,
    seen: &Observed,
    remote: &Remote,
    current: &Current,
) {
    after.last_rotation_time = Some(Time(current.anchor));
    match after.history.first_mut() {
        Some(head) if head.version_id == current.version.as_str() => head.time = Time(current.changed),
        _ => {
            let cause = cause(before, want, seen, remote, current);
            if cause == Cause::Scheduled {
                after.missed_rotations = missed(before, want, seen, current);
            }
            let copy = if cause == Cause::RolledBack { copy_of(want, seen, current) } else { None };
            remember(after, current, cause, copy);
        }
    }
}

/// The version whose value the current one has again: as this turn wrote it, or as the request names it.
fn copy_of(want: &Desired, seen: &Observed, current: &Current) -> Option<String> {
    if let Some((_, to)) = seen.rolled_back.as_ref().filter(|(version, _)| *version == current.version) {
        return Some(to.to_string());
    }
    match want.rollback_request.as_ref() {
        Some(RollbackRequest { token, to: Some(RollbackTo::Version(to)) }) if want.ids.rollback(token) == current.version => {
            Some(to.to_string())
        }
        _ => None,
    }
}

/// Why the current version is current: our own ids follow from their cause, so the cause follows from the id.
fn cause(before: &RotatedSecretStatus, want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> Cause {
    let tokens = &want.ids;
    let known = before.history.iter().any(|entry| entry.version_id == current.version.as_str());
    let same_secret = before.aws.as_ref().and_then(|aws| aws.arn.as_ref()).is_none_or(|arn| *arn == remote.arn);
    if known && same_secret {
        return Cause::RolledBack;
    }
    if current.version == tokens.creation() {
        return Cause::Created;
    }
    if want.rollback_request.as_ref().is_some_and(|request| tokens.rollback(&request.token) == current.version) {
        return Cause::RolledBack;
    }
    if want.rotate_request.as_ref().is_some_and(|token| tokens.request(token) == current.version) {
        return Cause::Requested;
    }
    if let (Some(declared), Some(previous)) = (&want.value, &remote.previous)
        && tokens.declaration(previous, &declared.hash()) == current.version
    {
        return Cause::SpecChanged;
    }
    if current.version == tokens.first() {
        return Cause::Scheduled;
    }
    if matches!(want.rotation, Rotation::Lambda(_)) {
        // AWS says when it last rotated, not to which version: one that is older than that date, or that was pending, is what it rotated to.
        let pending = before.aws.as_ref().and_then(|aws| aws.pending_version_id.as_deref()) == Some(current.version.as_str());
        let rotated = pending || remote.rotation.last.is_some_and(|last| last >= current.changed);
        return if rotated { Cause::Scheduled } else { Cause::External };
    }
    let Rotation::Scheduled { clock, .. } = &want.rotation else { return Cause::External };
    let Some(anchor) = counted_from(before) else {
        // The status was lost, and with it what the slot counts from. An id that follows from a cause is ours, and no other cause is left.
        return if current.version.is_derived() { Cause::Scheduled } else { Cause::External };
    };
    let mut due = clock.due_after(anchor, seen.reported.schedule_since);
    for _ in 0..HISTORY {
        let Some(slot) = due else { break };
        if tokens.slot(slot) == current.version {
            return Cause::Scheduled;
        }
        due = clock.next_after(slot);
    }
    Cause::External
}

/// What the schedule counted from, as reported.
fn counted_from(before: &RotatedSecretStatus) -> Option<Timestamp> {
    before.last_rotation_time.as_ref().or(before.history.first().map(|head| &head.time)).map(|time| time.0)
}

fn missed(before: &RotatedSecretStatus, want: &Desired, seen: &Observed, current: &Current) -> i32 {
    let (Rotation::Scheduled { clock, .. }, Some(anchor)) = (&want.rotation, counted_from(before)) else { return 0 };
    // Before the first rotation there was no due time to miss.
    if current.version == want.ids.first() {
        return 0;
    }
    let due = clock.due_after(anchor, seen.reported.schedule_since).filter(|due| *due <= current.changed);
    due.map_or(0, |due| i32::try_from(clock.missed(due, current.changed)).unwrap_or(i32::MAX))
}

/// A write of this turn changed nothing, although another manager claims fields: at this revision all is well.
fn confirmed(before: &RotatedSecretStatus, seen: &Observed) -> Option<String> {
    let earlier = before.mirror.as_ref().and_then(|mirror| mirror.confirmed_resource_version.clone());
    match &seen.mirror {
        Mirror::Ours { intact: false, .. } if seen.mirror_written => seen.mirror_revision.clone(),
        _ => earlier.filter(|earlier| seen.mirror_revision.as_ref() == Some(earlier)),
    }
}

fn count_failure(before: &RotatedSecretStatus, want: Option<&Desired>, failure: &Failure, now: Timestamp) -> FailureStatus {
    let so_far = before.failures.as_ref();
    let count = so_far.map_or(0, |failures| failures.count).saturating_add(1);
    let seed = want.map_or(0, |want| want.ids.seed());
    let delay = backoff::delay(failure.class, u32::try_from(count).unwrap_or(1), seed);
    let whole = SignedDuration::from_secs(delay.as_secs().max(1));
    FailureStatus {
        count,
        since: so_far.and_then(|failures| failures.since.clone()).or(Some(Time(now))),
        next_attempt_time: Some(Time(now + whole)),
        requests: None,
    }
}

/// The version that became current in this turn, if one did.
pub fn news<'a>(before: &RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Option<&'a HistoryEntry> {
    after.history.first().filter(|head| before.history.first().is_none_or(|old| old.version_id != head.version_id))
}

/// The version that the Secret went to, if it went to another one.
fn moved<'a>(before: &RotatedSecretStatus, after: &'a RotatedSecretStatus) -> Option<&'a str> {
    let held = |status: &'a RotatedSecretStatus| status.mirror.as_ref().and_then(|mirror| mirror.version_id.as_deref());
    let earlier = before.mirror.as_ref().and_then(|mirror| mirror.version_id.as_deref())?;
    held(after).filter(|held| *held != earlier)
}

/// What the owner of the object should hear of a turn. `steps`: the kinds of what was done.
pub fn event_notes(before: &RotatedSecretStatus, after: &RotatedSecretStatus, steps: &[&'static str]) -> Vec<EventNote> {
    let mut event_notes = Vec::new();
    let normal = |reason: &str, action, note| EventNote { warning: false, reason: reason.to_owned(), action, note };
    let mirrored = steps.iter().any(|step| matches!(*step, "CreateMirror" | "ReplaceMirror"));
    if let Some(entry) = news(before, after) {
        let version = &entry.version_id;
        event_notes.push(match entry.cause {
            Cause::Created => normal("Created", "Create", format!("the AWS secret holds its first version {version}")),
            Cause::Adopted => {
                normal("Adopted", "Adopt", format!("the AWS secret was there before; it becomes ours and keeps version {version}"))
            }
            Cause::External => {
                normal("ChangedInAws", "Mirror", format!("version {version} was put in AWS by somebody else and is the truth now"))
            }
            Cause::RolledBack => normal(
                "RolledBack",
                "Mirror",
                match &entry.copy_of {
                    Some(older) => format!("version {version} is current and has the value of version {older}; a person asked for it"),
                    None => format!("version {version} is current again"),
                },
            ),
            Cause::Scheduled => normal("Rotated", "Rotate", format!("version {version} is current; it was due by schedule")),
            Cause::Requested => normal("Rotated", "Rotate", format!("version {version} is current; a person asked for it")),
            Cause::SpecChanged => normal("ValueChanged", "Rotate", format!("version {version} is current; spec.value changed")),
        });
    } else if let (true, Some(held)) = (mirrored, moved(before, after)) {
        event_notes.push(normal("Mirrored", "Mirror", format!("the Secret holds version {held}")));
    } else if mirrored && before.mirror.is_some() && before.observed_generation == after.observed_generation {
        event_notes.push(normal("MirrorRepaired", "Mirror", "the Secret was edited or deleted and is as it should be again".to_owned()));
    }
    event_notes.extend(requests::refused(before, after));
    let ready = |status: &RotatedSecretStatus| status.conditions.iter().find(|c| c.type_ == "Ready").cloned();
    match (ready(before), ready(after)) {
        (old, Some(new))
            if new.status == "False" && old.as_ref().is_none_or(|old| (&old.status, &old.reason) != (&new.status, &new.reason)) =>
        {
            let warning = new.reason != Reason::Progressing.as_str() && new.reason != Reason::Suspended.as_str();
            event_notes.push(EventNote { warning, reason: new.reason, action: "Reconcile", note: new.message });
        }
        (Some(old), Some(new)) if old.status == "False" && new.status == "True" => {
            event_notes.push(normal("Recovered", "Reconcile", new.message));
        }
        _ => {}
    }
    event_notes
}

#[cfg(test)]
mod tests;
