//! Statistics over all objects, calculated from their statuses and the current time. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{RolloutPhase, RotatedSecret};

/// 2018-01-01T00:00:00Z. AWS Secrets Manager was introduced in April 2018.
const EARLIEST: Timestamp = Timestamp::constant(1_514_764_800, 0);

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
    /// Objects whose mirror does not hold the current version, or for which that is unknown.
    pub out_of_step: i64,
    /// Number of objects whose condition `RolledOut` is False, by its reason.
    pub not_rolled_out: BTreeMap<&'static str, i64>,
    /// Longest time since the start of a rollout that is in progress. It may wait for a user.
    pub rollout_waiting_max: SignedDuration,
    /// Objects that the operator cannot read and does not reconcile.
    pub unreadable: i64,
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
            Some(next) if !suspended => now.duration_since(next).max(SignedDuration::ZERO),
            _ => SignedDuration::ZERO,
        };
        let failures = status.and_then(|status| status.failures.as_ref()).map_or(0, |failures| i64::from(failures.count.max(0)));
        let says = |of: &str, what: &str| condition(of).is_some_and(|condition| condition.status == what);
        add(&mut self.overdue, overdue > SignedDuration::ZERO);
        add(&mut self.failing, failures > 0);
        add(&mut self.stalled, says("Stalled", "True"));
        add(&mut self.suspended, suspended);
        add(&mut self.out_of_step, says("Mirrored", "False") && !inactive);
        if let Some(held_up) = condition("RolledOut").filter(|rolled_out| rolled_out.status == "False" && !inactive) {
            add(self.not_rolled_out.entry(word(&held_up.reason)).or_default(), true);
            let rollout = status.and_then(|status| status.rollout.as_ref()).filter(|rollout| rollout.phase == RolloutPhase::Waiting);
            let waiting = rollout.map_or(SignedDuration::ZERO, |rollout| now.duration_since(rollout.start_time.0.max(created)));
            self.rollout_waiting_max = self.rollout_waiting_max.max(waiting);
        }
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
}

/// The reason of a condition. One that this version does not know is `Other`, so that the values of labels stay bounded.
fn word(reason: &str) -> &'static str {
    Reason::ALL.into_iter().find(|known| known.as_str() == reason).map_or("Other", Reason::as_str)
}

fn add(count: &mut i64, one: bool) {
    *count = count.saturating_add(i64::from(one));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-26T12:00:00Z";

    fn object(spec: &Value, status: &Value) -> RotatedSecret {
        serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
            "metadata": {"name": "db", "namespace": "shop"}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn condition(of: &str, status: &str, reason: &str) -> Value {
        json!({"type": of, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW})
    }

    fn census(objects: &[RotatedSecret]) -> FleetStats {
        let mut census = FleetStats::default();
        for object in objects {
            census.count(object, NOW.parse().unwrap(), true);
        }
        census
    }

    fn rotating() -> Value {
        json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}})
    }

    #[test]
    fn objects_are_counted_by_ready_and_a_word_that_is_not_known_is_other() {
        let of = |status: &str, reason: &str| object(&rotating(), &json!({"conditions": [condition("Ready", status, reason)]}));
        let objects = vec![
            of("True", "Succeeded"),
            of("True", "Succeeded"),
            of("False", "NotOwned"),
            of("False", "OfTheFuture"),
            object(&rotating(), &Value::Null),
        ];
        let expected = [(("True", "Succeeded"), 2), (("False", "NotOwned"), 1), (("False", "Other"), 1), (("Unknown", "None"), 1)];
        assert_eq!(census(&objects).ready, BTreeMap::from(expected));
    }

    #[test]
    fn a_rotation_is_overdue_when_its_announced_time_is_past_and_nobody_suspended_it() {
        let due = json!({"nextRotationTime": "2026-11-26T11:00:00Z", "lastRotationTime": "2026-10-27T11:00:00Z"});
        let later = json!({"nextRotationTime": "2026-11-26T13:00:00Z", "lastRotationTime": "2026-11-20T13:00:00Z"});
        let mut suspended = rotating();
        suspended["rotation"]["suspend"] = true.into();
        let mut by_namespace = due.clone();
        by_namespace["conditions"] = json!([condition("Ready", "False", "Suspended"), condition("Mirrored", "False", "Suspended")]);
        let census =
            census(&[object(&rotating(), &due), object(&rotating(), &later), object(&suspended, &due), object(&rotating(), &by_namespace)]);
        assert_eq!((census.overdue, census.suspended, census.out_of_step), (1, 2, 0));
        assert_eq!(census.overdue_max, SignedDuration::from_hours(1));
        assert_eq!(census.oldest_version, Some("2026-10-27T11:00:00Z".parse().unwrap()));
        assert_eq!(census.next_rotation, Some("2026-11-26T13:00:00Z".parse().unwrap()));
        assert_eq!(census.each.iter().map(|one| one.overdue.as_secs()).collect::<Vec<_>>(), [3600, 0, 0, 0]);
    }

    #[test]
    fn failing_stalled_and_out_of_step_are_told_apart() {
        let failing = json!({"failures": {"count": 3}, "conditions": [condition("Ready", "False", "AwsUnavailable")]});
        let stalled = json!({"conditions": [condition("Stalled", "True", "NotOwned"), condition("Mirrored", "True", "Succeeded")]});
        let apart = json!({"conditions": [condition("Mirrored", "False", "SecretNotOwned")]});
        let census = census(&[object(&rotating(), &failing), object(&rotating(), &stalled), object(&rotating(), &apart)]);
        assert_eq!((census.failing, census.stalled, census.out_of_step), (1, 1, 1));
        assert_eq!(census.each[0].failures, 3);
    }

    #[test]
    fn rollouts_that_are_not_complete_are_counted_by_reason_and_the_longest_one_in_progress_is_timed() {
        let of = |status: &str, reason: &str, phase: &str, start: &str| {
            let rollout = json!({"versionId": "v", "phase": phase, "startTime": start});
            object(&rotating(), &json!({"conditions": [condition("RolledOut", status, reason)], "rollout": rollout}))
        };
        let mut suspended = of("False", "Waiting", "Waiting", "2026-11-26T01:00:00Z");
        suspended.spec.suspend = true;
        let objects = vec![
            of("False", "Waiting", "Waiting", "2026-11-26T11:59:00Z"),
            of("False", "Waiting", "Waiting", "2026-11-26T10:00:00Z"),
            of("False", "RolloutFailed", "Failed", "2026-11-26T08:00:00Z"),
            of("False", "RetirementFailed", "Completed", "2026-11-26T07:00:00Z"),
            of("False", "OfTheFuture", "Completed", "2026-11-26T07:00:00Z"),
            of("True", "Succeeded", "Completed", "2026-11-26T06:00:00Z"),
            suspended,
        ];
        let census = census(&objects);
        let expected = [("Other", 1), ("RetirementFailed", 1), ("RolloutFailed", 1), ("Waiting", 2)];
        assert_eq!(census.not_rolled_out, BTreeMap::from(expected));
        assert_eq!(census.rollout_waiting_max, SignedDuration::from_hours(2));
    }

    #[test]
    fn absurd_times_and_counts_in_a_status_stay_within_the_life_of_the_object() {
        let forged = |next: &str, last: &str| {
            let mut object = object(&rotating(), &json!({"nextRotationTime": next, "lastRotationTime": last, "failures": {"count": -7}}));
            object.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-26T10:00:00Z")).unwrap();
            object
        };
        let past = census(&[forged("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")]);
        assert_eq!((past.overdue, past.overdue_max), (1, SignedDuration::from_hours(2)));
        assert_eq!((past.oldest_version, past.failing, past.each[0].failures), (Some(EARLIEST), 0, 0));
        let future = census(&[forged("9999-12-30T21:59:59Z", "9999-12-30T21:59:59Z")]);
        assert_eq!((future.overdue, future.oldest_version), (0, Some(NOW.parse().unwrap())));
        let unknown = census(&[object(&rotating(), &json!({"nextRotationTime": "0001-01-01T00:00:00Z"}))]);
        assert!(unknown.overdue_max < SignedDuration::from_hours(24 * 366 * 9), "{:?}", unknown.overdue_max);
    }

    #[test]
    fn without_objects_no_time_is_made_up() {
        let census = census(&[object(&json!({}), &json!({"lastRotationTime": NOW}))]);
        assert_eq!((census.oldest_version, census.next_rotation, census.overdue), (None, None, 0));
        assert_eq!(census.each[0].version_since, Some(NOW.parse().unwrap()), "one by one it has its age");
    }
}
