//! How all the objects stand, in numbers. Pure: statuses and the time -> counts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::RotatedSecret;
use crate::api::condition::Reason;

/// The numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetStats {
    /// Objects by status and reason of the condition Ready. An object without one is `Unknown`, `None`.
    pub ready: BTreeMap<(&'static str, &'static str), i64>,
    /// Rotations that are due and did not happen, and that nobody suspended.
    pub overdue: i64,
    /// Objects whose last look failed.
    pub failing: i64,
    /// Objects that wait for a person.
    pub stalled: i64,
    /// Objects with `spec.suspend` or `spec.rotation.suspend`.
    pub suspended: i64,
    /// Objects whose mirror does not hold the current version, or cannot be known to.
    pub out_of_step: i64,
    /// Objects that cannot be read, and for which nothing is done.
    pub unreadable: i64,
    /// How long the most overdue one is.
    pub overdue_max: SignedDuration,
    /// Since when the oldest value of those that rotate is in use.
    pub oldest_version: Option<Timestamp>,
    /// The soonest rotation that is to come.
    pub next_rotation: Option<Timestamp>,
    /// One by one, where that was asked for.
    pub each: Vec<One>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct One {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether Ready is True.
    pub ready: bool,
    /// Failures in a row.
    pub failures: i64,
    /// How long its rotation is due; zero: it is not.
    pub overdue: SignedDuration,
    /// Since when its value is in use.
    pub version_since: Option<Timestamp>,
    /// When it will be rotated next.
    pub next_rotation: Option<Timestamp>,
}

impl FleetStats {
    /// Counts one object. `each`: also by itself.
    pub fn count(&mut self, object: &RotatedSecret, now: Timestamp, each: bool) {
        let status = object.status.as_ref();
        let condition = |of: &str| status.and_then(|status| status.conditions.iter().find(|condition| condition.type_ == of));
        let ready = condition("Ready");
        let known = match ready.map(|ready| ready.status.as_str()) {
            Some("True") => "True",
            Some("False") => "False",
            _ => "Unknown",
        };
        // A word that this version does not know stays one word.
        let reason = ready
            .map_or("None", |ready| Reason::ALL.into_iter().find(|reason| reason.as_str() == ready.reason).map_or("Other", Reason::as_str));
        *self.ready.entry((known, reason)).or_default() += 1;

        let rotation = object.spec.rotation.as_ref();
        let suspended = object.spec.suspend || rotation.is_some_and(|rotation| rotation.suspend);
        let time = |time: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.map(|time| time.0);
        let next = status.and_then(|status| time(status.next_rotation_time.as_ref())).filter(|_| rotation.is_some());
        let since = status.and_then(|status| time(status.last_rotation_time.as_ref()));
        let overdue = match next {
            Some(next) if !suspended => now.duration_since(next).max(SignedDuration::ZERO),
            _ => SignedDuration::ZERO,
        };
        let failures = status.and_then(|status| status.failures.as_ref()).map_or(0, |failures| i64::from(failures.count));
        let says = |of: &str, what: &str| condition(of).is_some_and(|condition| condition.status == what);
        self.overdue += i64::from(overdue > SignedDuration::ZERO);
        self.failing += i64::from(failures > 0);
        self.stalled += i64::from(says("Stalled", "True"));
        self.suspended += i64::from(suspended);
        self.out_of_step += i64::from(says("Mirrored", "False") && !object.spec.suspend);
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
        let objects = [
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
        let census = census(&[object(&rotating(), &due), object(&rotating(), &later), object(&suspended, &due)]);
        assert_eq!((census.overdue, census.suspended), (1, 1));
        assert_eq!(census.overdue_max, SignedDuration::from_hours(1));
        assert_eq!(census.oldest_version, Some("2026-10-27T11:00:00Z".parse().unwrap()));
        assert_eq!(census.next_rotation, Some("2026-11-26T13:00:00Z".parse().unwrap()));
        assert_eq!(census.each.iter().map(|one| one.overdue.as_secs()).collect::<Vec<_>>(), [3600, 0, 0]);
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
    fn without_objects_no_time_is_made_up() {
        let census = census(&[object(&json!({}), &json!({"lastRotationTime": NOW}))]);
        assert_eq!((census.oldest_version, census.next_rotation, census.overdue), (None, None, 0));
        assert_eq!(census.each[0].version_since, Some(NOW.parse().unwrap()), "one by one it has its age");
    }
}
