//! What the status says of earlier reconciles. Any user with access to the status subresource, or an operator with a wrong
//! clock, may have written it. Times are therefore bounded before they are used.

use jiff::Timestamp;

use super::failures::mirror_failed;
use super::{bounds, requests, rollout};
use crate::api::{Abandonment, AwsStatus, DeclaredStatus, HistoryEntry, Outcome, RotatedSecret, RotatedSecretStatus};
use crate::desired::SecretArn;
use crate::facts::{
    AbandonedFact, Announced, DeclaredFacts, HistoryFact, Repairs, ReportedMirror, ReportedSchedule, RequestFacts, StagingFacts,
    StatusFacts,
};
use crate::journal::CONSISTENCY_WINDOW;
use crate::text::shown;
use crate::version_id::VersionId;

/// Whether a user waits for the next reconcile: the object is new, was edited, is being deleted, or has a request. An edit
/// that was tried and failed is not urgent any longer.
pub fn urgent(object: &RotatedSecret) -> bool {
    let status = object.status.as_ref();
    let generations = [
        status.and_then(|status| status.observed_generation),
        status.and_then(|status| status.failures.as_ref()).and_then(|failures| failures.generation),
    ];
    !generations.contains(&object.metadata.generation) || object.metadata.deletion_timestamp.is_some() || requests::news(object)
}

/// 9000-01-01T00:00:00Z, the latest time of an event. Sums with the durations of this program stay in the range of
/// `Timestamp`.
const LATEST: Timestamp = Timestamp::constant(221_845_392_000, 0);

/// The status as facts. Times of events are moved into the years 1970 to 9000. A time in the future is not read as `now`:
/// the clock of the operator may be wrong, and a schedule must not move then.
pub fn read(object: &RotatedSecret, now: Timestamp) -> StatusFacts {
    let status = bounds::bounded(object.status.clone().unwrap_or_default());
    let bounded = |time: Timestamp| time.clamp(Timestamp::UNIX_EPOCH, LATEST);
    let requests = status.requests.clone().unwrap_or_default();
    let aws = status.aws.clone().unwrap_or_default();
    StatusFacts {
        arn: aws.arn.clone().filter(|arn| SecretArn::parse(arn).is_some()),
        previous: aws.previous_version_id.as_deref().and_then(VersionId::parse),
        unseen: unseen(&aws, now),
        applied: aws.applied.unwrap_or_default(),
        declared: status.declared.as_ref().map(declared).unwrap_or_default(),
        schedule: status.schedule.as_ref().map(|schedule| ReportedSchedule {
            expression: schedule.expression.clone(),
            since: schedule.since.as_ref().map(|since| bounded(since.0)),
        }),
        history: history(&status, bounded),
        last_rotation: status.last_rotation_time.as_ref().map(|time| bounded(time.0)),
        requests: RequestFacts {
            rollback: requests.rollback.map(|token| (token, requests.rollback_refused)),
            rotate: requests.rotate,
            refresh: requests.refresh,
        },
        current_generation: status.observed_generation == object.metadata.generation,
        mirror: ReportedMirror {
            version: status.mirror.as_ref().and_then(|mirror| VersionId::parse(mirror.version_id.as_deref()?)),
            previous: status.mirror.as_ref().and_then(|mirror| VersionId::parse(mirror.previous_version_id.as_deref()?)),
            repairs: repairs(&status).filter(|repairs| repairs.is_recent(now)),
            failed: mirror_failed(&status),
            rollout: rollout::read(&status, now, bounded),
            confirmed_revision: status.mirror.as_ref().and_then(|mirror| mirror.confirmed_resource_version.clone()),
        },
        staging: staging(&status, bounded),
    }
}

fn staging(status: &RotatedSecretStatus, bounded: impl Fn(Timestamp) -> Timestamp) -> StagingFacts {
    let abandoned = status.history.iter().filter(|entry| entry.outcome == Outcome::Abandoned);
    let fact = |entry: &HistoryEntry| AbandonedFact {
        version: entry.version_id.as_str().into(),
        time: bounded(entry.time.0),
        why: entry.reason.as_deref().and_then(|reason| reason.parse().ok()).unwrap_or(Abandonment::VerifyFailed),
    };
    StagingFacts {
        announced: status.staged.as_ref().map(|staged| Announced {
            version: staged.version_id.as_str().into(),
            target: staged.target(),
            from: staged.from.as_deref().map(VersionId::from),
        }),
        met: None,
        abandoned: abandoned.map(fact).collect(),
    }
}

fn declared(declared: &DeclaredStatus) -> DeclaredFacts {
    DeclaredFacts { hash: Some(declared.hash.clone()), all: declared.fields.clone(), fixed: declared.fixed_fields.clone() }
}

/// Until when a Secret that had to be repaired several times is left alone; `None`: it is not, or something new came in.
pub fn repair_delayed(object: &RotatedSecret, now: Timestamp) -> Option<Timestamp> {
    let status = object.status.as_ref()?;
    let news = status.observed_generation != object.metadata.generation || requests::news(object);
    let repairs = repairs(status).filter(|repairs| !news && repairs.is_recent(now))?;
    // A time in the future was written by a wrong clock.
    repairs.delayed_until().filter(|until| *until > now && repairs.last <= now)
}

fn repairs(status: &RotatedSecretStatus) -> Option<Repairs> {
    let repairs = status.mirror.as_ref()?.repairs.as_ref()?;
    let count = u32::try_from(repairs.count).ok().filter(|count| *count > 0)?;
    Some(Repairs { count, last: repairs.last_time.0, manager: repairs.manager.as_deref().map(shown) })
}

fn history(status: &RotatedSecretStatus, bounded: impl Fn(Timestamp) -> Timestamp) -> Vec<HistoryFact> {
    let entries = status.history.iter().filter(|entry| entry.outcome != Outcome::Abandoned);
    entries
        .map(|entry| HistoryFact { version: entry.version_id.as_str().into(), time: bounded(entry.time.0), cause: entry.cause })
        .collect()
}

/// A version that an earlier reconcile wrote and AWS did not show. One from the future is not believed.
fn unseen(aws: &AwsStatus, now: Timestamp) -> Option<(VersionId, Timestamp)> {
    let unseen = aws.unseen.as_ref()?;
    let credible = unseen.time.0.duration_since(now) <= CONSISTENCY_WINDOW;
    credible.then(|| (unseen.version_id.as_str().into(), unseen.time.0.max(Timestamp::UNIX_EPOCH)))
}

#[cfg(test)]
mod tests;
