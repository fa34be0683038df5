//! Statistics over all objects, calculated from their statuses and the current time. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{FINALIZER, OWNER, PLATFORM, RolloutPhase, RotatedSecret};

/// 2018-01-01T00:00:00Z. AWS Secrets Manager was introduced in April 2018.
const EARLIEST: Timestamp = Timestamp::constant(1_514_764_800, 0);

/// How many namespaces and reasons are told apart. A tenant can make objects, so the rest has one name.
const MOST_TROUBLES: usize = 1000;
/// The name of the rest. No namespace has it.
const OTHERS: &str = "(others)";

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
    /// Objects that are being deleted.
    pub deleting: i64,
    /// Time since the longest deletion in progress was requested.
    pub deleting_max: SignedDuration,
    /// Objects that own an AWS secret and declare no rotation.
    pub without_rotation: i64,
    /// Objects that are not Ready and neither suspended nor being deleted, by namespace, reason, and whom that concerns.
    pub not_ready: BTreeMap<Key, Trouble>,
    /// Longest time by which a rotation is overdue, by namespace.
    pub overdue_in: BTreeMap<String, SignedDuration>,
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
            Some(next) if !suspended && object.metadata.deletion_timestamp.is_none() => now.duration_since(next).max(SignedDuration::ZERO),
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
        let namespace = object.namespace().unwrap_or_default();
        if let Some(deletion) = &object.metadata.deletion_timestamp {
            // Other finalizers are those of other programs.
            if object.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
                add(&mut self.deleting, true);
                self.deleting_max = self.deleting_max.max(now.duration_since(deletion.0.max(created)));
            }
        } else if known != "True" && !inactive {
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
            let namespace = bounded(&self.overdue_in, namespace);
            let longest = self.overdue_in.entry(namespace).or_default();
            *longest = overdue.max(*longest);
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
    if known.len() < MOST_TROUBLES || known.contains_key(&key) { key } else { (OTHERS.to_owned(), key.1, key.2) }
}

/// The namespace, or the name of all others when there are too many.
fn bounded(known: &BTreeMap<String, SignedDuration>, namespace: String) -> String {
    if known.len() < MOST_TROUBLES || known.contains_key(&namespace) { namespace } else { OTHERS.to_owned() }
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
    fn what_is_not_ready_is_told_by_namespace_and_reason_with_the_longest_time() {
        let of = |namespace: &str, status: &str, reason: &str, since: &str| {
            let mut condition = condition("Ready", status, reason);
            condition["lastTransitionTime"] = since.into();
            let mut object = object(&rotating(), &json!({"conditions": [condition]}));
            object.metadata.namespace = Some(namespace.to_owned());
            object.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-26T09:00:00Z")).unwrap();
            object
        };
        let mut deleted = of("shop", "False", "AccessDenied", "2026-11-26T11:00:00Z");
        deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-26T11:30:00Z")).unwrap();
        deleted.status.as_mut().unwrap().next_rotation_time = serde_json::from_value(json!("2026-11-26T11:00:00Z")).unwrap();
        let mut of_others = deleted.clone();
        of_others.metadata.finalizers = Some(vec!["example.com/own".to_owned()]);
        deleted.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        let mut blip = of("shop", "False", "AwsUnavailable", "2026-11-26T09:30:00Z");
        blip.status.as_mut().unwrap().failures = serde_json::from_value(json!({"count": 2, "since": "2026-11-26T11:58:00Z"})).unwrap();
        let mut identity = of("bank", "False", "AccessDenied", "2026-11-26T11:58:00Z");
        identity.spec.aws.service_account_ref = serde_json::from_value(json!({"name": "app"})).unwrap();
        let mut mirrored = of("shop", "True", "Succeeded", NOW);
        mirrored.spec.rotation = None;
        let objects = vec![
            of("shop", "False", "NotOwned", "2026-11-26T11:59:00Z"),
            of("shop", "False", "NotOwned", "2026-11-26T11:00:00Z"),
            of("shop", "False", "Suspended", "2026-11-26T11:00:00Z"),
            of("bank", "False", "NotOwned", "0001-01-01T00:00:00Z"),
            of("bank", "Unknown", "OfTheFuture", "9999-12-30T21:59:59Z"),
            deleted,
            of_others,
            blip,
            identity,
            mirrored,
        ];
        let census = census(&objects);
        let trouble = |number, minutes| Trouble { number, longest: SignedDuration::from_mins(minutes) };
        let expected = [
            (("bank".to_owned(), "AccessDenied", OWNER), trouble(1, 2)),
            (("bank".to_owned(), "NotOwned", OWNER), trouble(1, 180)),
            (("bank".to_owned(), "Other", PLATFORM), trouble(1, 0)),
            (("shop".to_owned(), "AwsUnavailable", PLATFORM), trouble(1, 2)),
            (("shop".to_owned(), "NotOwned", OWNER), trouble(2, 60)),
        ];
        assert_eq!(census.not_ready, BTreeMap::from(expected));
        assert_eq!((census.deleting, census.deleting_max), (1, SignedDuration::from_mins(30)));
        assert_eq!((census.overdue, census.overdue_in.len()), (0, 0), "what is being deleted is not overdue");
        assert_eq!(census.without_rotation, 1);
    }

    #[test]
    fn a_rotation_is_overdue_in_its_namespace_and_many_namespaces_share_one_name() {
        let mut stats = FleetStats::default();
        for number in 0..MOST_TROUBLES + 5 {
            let overdue = json!({"nextRotationTime": "2026-11-26T11:00:00Z", "conditions": [condition("Ready", "False", "Overdue")]});
            let mut object = object(&rotating(), &overdue);
            object.metadata.namespace = Some(format!("team-{number}"));
            stats.count(&object, NOW.parse().unwrap(), false);
        }
        assert_eq!((stats.overdue_in.len(), stats.not_ready.len()), (MOST_TROUBLES + 1, MOST_TROUBLES + 1));
        assert_eq!(stats.overdue_in[OTHERS], SignedDuration::from_hours(1));
        assert_eq!(stats.not_ready[&(OTHERS.to_owned(), "Overdue", PLATFORM)].number, 5);
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
