//! What a reconcile changed, from the status before and after it. Pure.

use kube::ResourceExt;

use super::entry::{Action, Entry};
use crate::api::{Cause, HistoryEntry, Outcome, ROLLBACK, ROTATE, RotatedSecret, RotatedSecretStatus};
use crate::desired::{RollbackRequest, bounded};
use crate::status::{ConditionChange, abandoned, recorded, rollback_refused, rolled_out};
use crate::version_id::VersionIds;

/// The entries of a reconcile of `object`, from the status before and after it. They follow from the status alone: a process
/// that is stopped before it writes the status leaves them to the next one. A repair is told when it is made.
pub fn changes(object: &RotatedSecret, before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Vec<Entry> {
    let changed = Changed { object, before, after };
    let mut entries: Vec<Entry> = recorded(before, after).map(|entry| changed.version(entry)).into_iter().collect();
    entries.extend(changed.secret());
    entries.extend(abandoned(before, after).map(|entry| changed.abandoned(entry)));
    entries.extend(changed.rolled_out());
    entries.extend(changed.request_refused());
    entries.extend(changed.refused());
    entries
}

struct Changed<'a> {
    object: &'a RotatedSecret,
    before: &'a RotatedSecretStatus,
    after: &'a RotatedSecretStatus,
}

impl Changed<'_> {
    fn entry(&self, action: Action) -> Entry {
        let arn = |status: &RotatedSecretStatus| status.aws.as_ref().and_then(|aws| aws.arn.clone());
        Entry { arn: arn(self.after).or_else(|| arn(self.before)), ..Entry::of(action) }
    }

    /// A version became current.
    fn version(&self, entry: &HistoryEntry) -> Entry {
        let action = Action::of_version(entry.cause);
        let previous = self.before.history.iter().find(|earlier| earlier.outcome != Outcome::Abandoned);
        Entry {
            version: Some(entry.version_id.clone()),
            previous_version: previous.map(|previous| previous.version_id.clone()),
            copy_of: entry.copy_of.clone(),
            cause: Some(entry.cause.as_str()),
            due_time: due_time(entry),
            // The clock of AWS may be slower than that of the operator.
            late_seconds: entry.due_time.as_ref().map(|due| entry.time.0.duration_since(due.0).as_secs().max(0)),
            failed_attempts: entry.failed_attempts,
            request: self.request(entry),
            ..self.entry(action)
        }
    }

    /// The token of the request that the version follows from. The ID of the version proves it.
    fn request(&self, entry: &HistoryEntry) -> Option<String> {
        let ids = VersionIds::of(&self.object.uid().unwrap_or_default());
        let handled = self.after.requests.clone().unwrap_or_default();
        let annotation = |name: &str| self.object.annotations().get(name);
        match entry.cause {
            Cause::Requested => {
                let asked = annotation(ROTATE).map(|token| bounded(token));
                [asked, handled.rotate].into_iter().flatten().find(|token| ids.request(token).as_str() == entry.version_id)
            }
            Cause::RolledBack => {
                let asked = annotation(ROLLBACK).and_then(|text| RollbackRequest::parse(text)).map(|request| request.token);
                [asked, handled.rollback].into_iter().flatten().find(|token| ids.rollback(token).as_str() == entry.version_id)
            }
            _ => None,
        }
    }

    fn abandoned(&self, entry: &HistoryEntry) -> Entry {
        Entry {
            version: Some(entry.version_id.clone()),
            cause: Some(entry.cause.as_str()),
            reason: entry.reason.clone(),
            due_time: due_time(entry),
            failed_attempts: entry.failed_attempts,
            ..self.entry(Action::Abandoned)
        }
    }

    /// The Secret has another version.
    fn secret(&self) -> Option<Entry> {
        let version = self.after.mirror.as_ref()?.version_id.clone()?;
        let previous_version = self.before.mirror.as_ref().and_then(|earlier| earlier.version_id.clone());
        let changed = previous_version.as_ref() != Some(&version);
        changed.then(|| Entry { version: Some(version), previous_version, ..self.entry(Action::Mirrored) })
    }

    fn rolled_out(&self) -> Option<Entry> {
        rolled_out(self.before, self.after)?;
        let version = self.after.rollout.as_ref().map(|rollout| rollout.version_id.clone());
        Some(Entry { version, ..self.entry(Action::RolledOut) })
    }

    /// A rollback that cannot be carried out. The reason is that of its Event.
    fn request_refused(&self) -> Option<Entry> {
        let (token, _) = rollback_refused(self.before, self.after)?;
        // What does not have the form of a request could be anything, also a value.
        let asked = self.object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text));
        let well_formed = asked.is_some_and(|asked| asked.token == token && asked.to.is_some());
        let (request, reason) = (Some(token.to_owned()).filter(|_| well_formed), Some("RollbackRefused".to_owned()));
        Some(Entry { reason, request, ..self.entry(Action::Refused) })
    }

    /// A condition became False, and no call failed.
    fn refused(&self) -> Vec<Entry> {
        let refusals = ConditionChange::all(self.before, self.after).into_iter().filter(ConditionChange::is_refusal);
        refusals.map(|change| Entry { reason: Some(change.now.reason.clone()), ..self.entry(Action::Refused) }).collect()
    }
}

fn due_time(entry: &HistoryEntry) -> Option<String> {
    entry.due_time.as_ref().map(|due| due.0.to_string())
}
