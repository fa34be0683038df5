//! Statistics over all objects, calculated from their statuses and the current time. Pure.

mod member;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

pub use self::member::Member;
use self::member::Unusual;

/// How many namespaces are told apart, and how many namespaces and reasons. A tenant can make objects, so the rest has one
/// name.
pub(crate) const MOST_NAMESPACES: usize = 1000;
/// The name of the rest. No namespace has it.
pub(crate) const OTHERS: &str = "(others)";

/// Namespace, reason, and whom it concerns.
type Key = (String, &'static str, &'static str);

/// Objects that are not Ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trouble {
    /// How many.
    pub number: i64,
    /// Time since the first of them became not Ready.
    pub longest: SignedDuration,
}

/// What is wrong in a namespace beside objects that are not Ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InNamespace {
    /// Longest time by which a rotation is overdue.
    pub overdue_max: SignedDuration,
    /// Objects whose Secret does not hold the current version, or for which that is unknown.
    pub out_of_step: i64,
    /// Number of objects whose condition `RolledOut` is False, by its reason.
    pub not_rolled_out: BTreeMap<&'static str, i64>,
    /// Longest time since the start of a rollout that is in progress.
    pub rollout_waiting_max: SignedDuration,
    /// Time since the longest deletion in progress was requested.
    pub deleting_max: SignedDuration,
    /// Objects that the operator cannot read and does not reconcile.
    pub unreadable: i64,
    /// Number of objects whose target refuses a password, by the reason.
    pub targets_refusing: BTreeMap<&'static str, i64>,
    /// Objects whose current value is older than the maximum age.
    pub over_age: i64,
}

/// Statistics for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetStats {
    /// Number of objects by status and reason of the condition Ready. Objects without the condition count as `Unknown`,
    /// `None`.
    pub ready: BTreeMap<(&'static str, &'static str), i64>,
    /// Objects whose rotation is due, has not happened and is not suspended.
    pub overdue: i64,
    /// Objects whose last reconcile failed.
    pub failing: i64,
    /// Objects that require user action (condition Stalled).
    pub stalled: i64,
    /// Objects that are suspended by `spec.suspend`, `spec.rotation.suspend` or the Namespace.
    pub suspended: i64,
    /// Time since the first of them was suspended.
    pub suspended_max: SignedDuration,
    /// Objects whose mirror does not hold the current version, or for which that is unknown.
    pub out_of_step: i64,
    /// Number of objects whose condition `RolledOut` is False, by its reason.
    pub not_rolled_out: BTreeMap<&'static str, i64>,
    /// Longest time since the start of a rollout that is in progress. It may wait for a user.
    pub rollout_waiting_max: SignedDuration,
    /// Objects that are being deleted.
    pub deleting: i64,
    /// Time since the longest deletion in progress was requested.
    pub deleting_max: SignedDuration,
    /// Objects that own an AWS secret and declare no rotation.
    pub without_rotation: i64,
    /// Objects whose current value is older than the maximum age.
    pub over_age: i64,
    /// Objects that are not Ready and neither suspended nor being deleted, by namespace, reason, and whom that concerns.
    pub not_ready: BTreeMap<Key, Trouble>,
    /// What is wrong beside that, by namespace. Only namespaces in which something is.
    pub namespaces: BTreeMap<String, InNamespace>,
    /// Objects that the operator cannot read and does not reconcile.
    pub unreadable: i64,
    /// Objects whose status the API server refused at the last attempt of this process.
    pub status_not_written: i64,
    /// Longest time by which a rotation is overdue.
    pub overdue_max: SignedDuration,
    /// Creation time of the oldest current value that rotates.
    pub oldest_version: Option<Timestamp>,
    /// Time of the next rotation.
    pub next_rotation: Option<Timestamp>,
    /// Statistics per object, if enabled.
    pub each: Vec<One>,
}

/// Statistics of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct One {
    pub namespace: String,
    pub name: String,
    pub ready: bool,
    /// Consecutive failures.
    pub failures: i64,
    /// Time by which the rotation is overdue. Zero if it is not overdue.
    pub overdue: SignedDuration,
    /// Creation time of the current value.
    pub version_since: Option<Timestamp>,
    pub next_rotation: Option<Timestamp>,
}

impl FleetStats {
    /// Adds one object. `each`: also to the statistics per object.
    pub fn count(&mut self, object: &Member, now: Timestamp, each: bool) {
        add(self.ready.entry((object.ready, object.reason)).or_default(), true);
        // No value is from the future.
        let since = object.version_since.map(|since| since.min(now));
        let overdue = match object.next {
            Some(next) if !object.suspended && !object.is_deleting => now.duration_since(next).max(SignedDuration::ZERO),
            _ => SignedDuration::ZERO,
        };
        add(&mut self.overdue, overdue > SignedDuration::ZERO);
        add(&mut self.failing, object.failures > 0);
        add(&mut self.suspended, object.suspended);
        add(&mut self.without_rotation, object.without_rotation);
        if let Some(unusual) = &object.unusual {
            self.count_unusual(&object.namespace, unusual, now);
        }
        if overdue > SignedDuration::ZERO {
            let within = self.within(&object.namespace);
            within.overdue_max = within.overdue_max.max(overdue);
        }
        self.overdue_max = self.overdue_max.max(overdue);
        self.oldest_version = since.filter(|_| object.rotates).into_iter().chain(self.oldest_version).min();
        self.next_rotation = object.next.filter(|next| *next > now && !object.suspended).into_iter().chain(self.next_rotation).min();
        if each {
            self.each.push(One {
                namespace: object.namespace.to_string(),
                name: object.name.to_string(),
                ready: object.ready == "True",
                failures: object.failures,
                overdue,
                version_since: since,
                next_rotation: object.next,
            });
        }
    }

    fn count_unusual(&mut self, namespace: &str, unusual: &Unusual, now: Timestamp) {
        add(&mut self.stalled, unusual.stalled);
        if let Some(since) = unusual.suspended_since {
            self.suspended_max = self.suspended_max.max(now.duration_since(since));
        }
        if unusual.out_of_step {
            add(&mut self.out_of_step, true);
            add(&mut self.within(namespace).out_of_step, true);
        }
        if let Some(reason) = unusual.refused {
            add(self.within(namespace).targets_refusing.entry(reason).or_default(), true);
        }
        if let Some((reason, since)) = unusual.not_rolled_out {
            let waiting = since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
            add(self.not_rolled_out.entry(reason).or_default(), true);
            self.rollout_waiting_max = self.rollout_waiting_max.max(waiting);
            let within = self.within(namespace);
            add(within.not_rolled_out.entry(reason).or_default(), true);
            within.rollout_waiting_max = within.rollout_waiting_max.max(waiting);
        }
        if let Some(since) = unusual.deleting_since {
            let deleting = now.duration_since(since);
            add(&mut self.deleting, true);
            self.deleting_max = self.deleting_max.max(deleting);
            let within = self.within(namespace);
            within.deleting_max = within.deleting_max.max(deleting);
        }
        if let Some((reason, concerns, since)) = unusual.trouble {
            let key = place(&self.not_ready, (namespace.to_owned(), reason, concerns));
            let trouble = self.not_ready.entry(key).or_default();
            add(&mut trouble.number, true);
            trouble.longest = trouble.longest.max(now.duration_since(since.min(now)));
        }
    }

    /// One object: whether its current value is older than `max_age`, also if it is suspended or declares no rotation. The
    /// value of an object that only mirrors is for others to rotate.
    pub fn count_age(&mut self, object: &Member, now: Timestamp, max_age: SignedDuration) {
        let owns = object.rotates || object.without_rotation;
        let age = object.version_since.map(|since| now.duration_since(since));
        if owns && !object.is_deleting && age.is_some_and(|age| age > max_age) {
            add(&mut self.over_age, true);
            add(&mut self.within(&object.namespace).over_age, true);
        }
    }

    /// One object: whether its status could not be written.
    pub fn count_status_not_written(&mut self, not_written: bool) {
        add(&mut self.status_not_written, not_written);
    }

    /// Adds an object that the operator cannot read.
    pub fn count_unreadable(&mut self, namespace: &str) {
        add(&mut self.unreadable, true);
        add(&mut self.within(namespace).unreadable, true);
    }

    /// What is wrong in this namespace, or in all others when there are too many.
    fn within(&mut self, namespace: &str) -> &mut InNamespace {
        let is_told = self.namespaces.len() < MOST_NAMESPACES || self.namespaces.contains_key(namespace);
        self.namespaces.entry(if is_told { namespace } else { OTHERS }.to_owned()).or_default()
    }
}

/// The key of this namespace and reason. When there are too many, that of all others with this reason.
fn place(known: &BTreeMap<Key, Trouble>, key: Key) -> Key {
    if known.len() < MOST_NAMESPACES || known.contains_key(&key) { key } else { (OTHERS.to_owned(), key.1, key.2) }
}

fn add(count: &mut i64, one: bool) {
    *count = count.saturating_add(i64::from(one));
}

#[cfg(test)]
mod tests;
