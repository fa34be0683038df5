//! Statistics over all objects, calculated from their statuses and the current time. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{FINALIZER, OWNER, PLATFORM, RolloutPhase, RotatedSecret};

/// 2018-01-01T00:00:00Z. AWS Secrets Manager was introduced in April 2018.
const EARLIEST: Timestamp = Timestamp::constant(1_514_764_800, 0);

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

/// Reasons with which the target of a rotation refuses a password.
const REFUSALS: [Reason; 4] = [Reason::ApplyFailed, Reason::VerifyFailed, Reason::AbandonFailed, Reason::TargetDiverged];

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
    pub fn count(&mut self, object: &RotatedSecret, now: Timestamp, each: bool) {
        let status = object.status.as_ref();
        let condition = |of: &str| status.and_then(|status| status.conditions.iter().find(|condition| condition.type_ == of));
        let ready = condition("Ready");
        let known = match ready.map(|ready| ready.status.as_str()) {
            Some("True") => "True",
            Some("False") => "False",
            _ => "Unknown",
        };
        let reason = ready.map_or("None", |ready| word(&ready.reason));
        add(self.ready.entry((known, reason)).or_default(), true);

        let rotation = object.spec.rotation.as_ref();
        // Whether the Namespace suspends the object is only in the condition.
        let by_namespace = ready.is_some_and(|ready| ready.reason == Reason::Suspended.as_str());
        let inactive = object.spec.suspend || by_namespace;
        let suspended = inactive || rotation.is_some_and(|rotation| rotation.suspend);
        // No rotation was due before the object existed, no value is older than AWS Secrets Manager, and none is from the
        // future. The status may say so, for any user with access to it may have written it.
        let created = object.metadata.creation_timestamp.as_ref().map_or(EARLIEST, |time| time.0.max(EARLIEST));
        let next =
            status.and_then(|status| status.next_rotation_time.as_ref()).map(|time| time.0.max(created)).filter(|_| rotation.is_some());
        let since = status.and_then(|status| status.last_rotation_time.as_ref()).map(|time| time.0.max(EARLIEST).min(now));
        let overdue = match next {
            Some(next) if !suspended && object.metadata.deletion_timestamp.is_none() => now.duration_since(next).max(SignedDuration::ZERO),
            _ => SignedDuration::ZERO,
        };
        let failures = status.and_then(|status| status.failures.as_ref()).map_or(0, |failures| i64::from(failures.count.max(0)));
        let says = |of: &str, what: &str| condition(of).is_some_and(|condition| condition.status == what);
        add(&mut self.overdue, overdue > SignedDuration::ZERO);
        add(&mut self.failing, failures > 0);
        add(&mut self.stalled, says("Stalled", "True"));
        add(&mut self.suspended, suspended);
        if let Some(since) = status.and_then(|status| status.suspension_time.as_ref()).filter(|_| suspended) {
            self.suspended_max = self.suspended_max.max(now.duration_since(since.0.max(created)));
        }
        let namespace = object.namespace().unwrap_or_default();
        if says("Mirrored", "False") && !inactive {
            add(&mut self.out_of_step, true);
            add(&mut self.within(&namespace).out_of_step, true);
        }
        let refused = ["Rotated", "Ready"].into_iter().filter(|of| says(of, "False")).find_map(|of| {
            let reason = word(&condition(of)?.reason);
            REFUSALS.iter().any(|known| known.as_str() == reason).then_some(reason)
        });
        if let Some(reason) = refused.filter(|_| !inactive) {
            add(self.within(&namespace).targets_refusing.entry(reason).or_default(), true);
        }
        if let Some(held_up) = condition("RolledOut").filter(|rolled_out| rolled_out.status == "False" && !inactive) {
            add(self.not_rolled_out.entry(word(&held_up.reason)).or_default(), true);
            let rollout = status.and_then(|status| status.rollout.as_ref()).filter(|rollout| rollout.phase == RolloutPhase::Waiting);
            let waiting = rollout.map_or(SignedDuration::ZERO, |rollout| now.duration_since(rollout.start_time.0.max(created)));
            self.rollout_waiting_max = self.rollout_waiting_max.max(waiting);
            let within = self.within(&namespace);
            add(within.not_rolled_out.entry(word(&held_up.reason)).or_default(), true);
            within.rollout_waiting_max = within.rollout_waiting_max.max(waiting);
        }
        if let Some(deletion) = &object.metadata.deletion_timestamp {
            // Other finalizers are those of other programs.
            if object.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
                add(&mut self.deleting, true);
                let deleting = now.duration_since(deletion.0.max(created));
                self.deleting_max = self.deleting_max.max(deleting);
                let within = self.within(&namespace);
                within.deleting_max = within.deleting_max.max(deleting);
            }
        } else if known != "True" && !inactive {
            // While AWS cannot be read, Ready has the reason of that failure, and Stalled what waits for a user.
            let stalled = condition("Stalled").filter(|stalled| stalled.status == "True");
            let reason = stalled.map_or(reason, |stalled| word(&stalled.reason));
            let concerns = concerns(object, reason);
            let since = ready.map_or(created, |ready| ready.last_transition_time.0);
            // The object may have waited for its owner, or was suspended, before what fails now began.
            let failing = status.and_then(|status| status.failures.as_ref()).and_then(|failures| failures.since.as_ref());
            let since = failing.filter(|_| concerns == PLATFORM).map_or(since, |failing| failing.0.max(since));
            let key = place(&self.not_ready, (namespace.clone(), reason, concerns));
            let trouble = self.not_ready.entry(key).or_default();
            add(&mut trouble.number, true);
            trouble.longest = trouble.longest.max(now.duration_since(since.max(created).min(now)));
        }
        if overdue > SignedDuration::ZERO {
            let within = self.within(&namespace);
            within.overdue_max = within.overdue_max.max(overdue);
        }
        add(&mut self.without_rotation, object.spec.value.is_some() && rotation.is_none());
        self.overdue_max = self.overdue_max.max(overdue);
        self.oldest_version = since.filter(|_| rotation.is_some()).into_iter().chain(self.oldest_version).min();
        self.next_rotation = next.filter(|next| *next > now && !suspended).into_iter().chain(self.next_rotation).min();
        if each {
            self.each.push(One {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
                ready: known == "True",
                failures,
                overdue,
                version_since: since,
                next_rotation: next,
            });
        }
    }

    /// One object: whether its current value is older than `max_age`, also if it is suspended or declares no rotation. The
    /// value of an object that only mirrors is for others to rotate.
    pub fn count_age(&mut self, object: &RotatedSecret, now: Timestamp, max_age: SignedDuration) {
        let owns = object.spec.value.is_some() || object.spec.rotation.is_some();
        let since = object.status.as_ref().and_then(|status| status.last_rotation_time.as_ref());
        // A status may say any time.
        let age = since.map(|since| now.duration_since(since.0.max(EARLIEST)));
        if owns && object.metadata.deletion_timestamp.is_none() && age.is_some_and(|age| age > max_age) {
            add(&mut self.over_age, true);
            add(&mut self.within(&object.namespace().unwrap_or_default()).over_age, true);
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

/// The reason of a condition. One that this version does not know is `Other`, so that the values of labels stay bounded.
fn word(reason: &str) -> &'static str {
    Reason::ALL.into_iter().find(|known| known.as_str() == reason).map_or("Other", Reason::as_str)
}

/// Whom it concerns that the object is not Ready for this reason. The permissions of an identity of its own are those of the
/// owner.
fn concerns(object: &RotatedSecret, reason: &str) -> &'static str {
    let of_identity = [Reason::AccessDenied, Reason::IdentityRefused, Reason::KeyUnusable];
    match Reason::parse(reason) {
        Some(reason) if object.spec.aws.service_account_ref.is_some() && of_identity.contains(&reason) => OWNER,
        Some(reason) => reason.concerns(),
        None => PLATFORM,
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
