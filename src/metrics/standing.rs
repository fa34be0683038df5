//! Gauges: what is so now.

use jiff::Timestamp;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::api::condition::Reason;
use crate::fleet::{FleetStats, One};

type Label = (&'static str, &'static str);
/// A label with a name of an object or a namespace.
type Name = (&'static str, String);
/// A gauge that may have no series: an unknown time is not exported, because 0 would mean 1970.
type Maybe = Family<[Label; 0], Gauge>;
/// Namespace of the objects, reason, and whom it concerns.
type Trouble = [Name; 3];

/// Gauges of the current state.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) leader: Gauge,
    pub(super) leaderless: Gauge,
    pub(super) in_progress: Gauge,
    pub(super) waiting: Gauge,
    pub(super) waiting_max: Gauge,
    pub(super) unsynchronized: Gauge,
    objects: Family<[Label; 2], Gauge>,
    overdue: Gauge,
    failing: Gauge,
    stalled: Gauge,
    suspended: Gauge,
    suspended_max: Gauge,
    out_of_step: Gauge,
    not_rolled_out: Family<[Label; 1], Gauge>,
    rollout_waiting_max: Gauge,
    deleting: Gauge,
    deleting_max: Gauge,
    without_rotation: Gauge,
    over_age: Gauge,
    namespace_not_ready: Family<Trouble, Gauge>,
    namespace_not_ready_max: Family<Trouble, Gauge>,
    namespace_overdue_max: Family<[Name; 1], Gauge>,
    namespace_out_of_step: Family<[Name; 1], Gauge>,
    namespace_not_rolled_out: Family<[Name; 2], Gauge>,
    namespace_rollout_waiting_max: Family<[Name; 1], Gauge>,
    namespace_deleting_max: Family<[Name; 1], Gauge>,
    namespace_unreadable: Family<[Name; 1], Gauge>,
    namespace_over_age: Family<[Name; 1], Gauge>,
    namespace_refusing: Family<[Name; 2], Gauge>,
    status_not_written: Gauge,
    unreadable: Family<[Label; 1], Gauge>,
    overdue_max: Gauge,
    oldest_version: Maybe,
    next_rotation: Maybe,
    object_ready: Family<[Name; 2], Gauge>,
    object_failures: Family<[Name; 2], Gauge>,
    object_overdue: Family<[Name; 2], Gauge>,
    object_version: Family<[Name; 2], Gauge>,
    object_next: Family<[Name; 2], Gauge>,
}

impl Standing {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("leader", "Whether this replica is the leader: 1 or 0", self.leader.clone());
        registry.register_with_unit(
            "leaderless",
            "Time for which this replica has known no leader",
            Unit::Seconds,
            self.leaderless.clone(),
        );
        registry.register("reconciles_in_progress", "Reconciliations in progress", self.in_progress.clone());
        registry.register("reconciles_waiting", "Objects that wait for a reconcile", self.waiting.clone());
        registry.register_with_unit(
            "reconciles_waiting_max",
            "Time for which an object has been waiting for a reconcile, of the longest one",
            Unit::Seconds,
            self.waiting_max.clone(),
        );
        registry.register(
            "scopes_unsynchronized",
            "Namespaces of --namespaces whose objects could not be listed yet; without --namespaces, the cluster counts as one",
            self.unsynchronized.clone(),
        );
        registry.register("objects", "Objects by status and reason of the condition Ready", self.objects.clone());
        registry.register("objects_overdue", "Objects whose rotation is overdue", self.overdue.clone());
        registry.register("objects_failing", "Objects whose last reconcile failed", self.failing.clone());
        registry.register("objects_stalled", "Objects that require user action (condition Stalled)", self.stalled.clone());
        registry.register("objects_suspended", "Objects that are suspended, or whose rotation is suspended", self.suspended.clone());
        registry.register_with_unit(
            "suspended_max",
            "Time since an object or its rotation was suspended, of the longest one",
            Unit::Seconds,
            self.suspended_max.clone(),
        );
        registry.register("objects_out_of_step", "Objects whose Secret does not hold the current version", self.out_of_step.clone());
        registry.register("objects_not_rolled_out", "Objects whose condition RolledOut is False, by reason", self.not_rolled_out.clone());
        registry.register_with_unit(
            "rollout_waiting_max",
            "Time since the start of the longest rollout in progress",
            Unit::Seconds,
            self.rollout_waiting_max.clone(),
        );
        registry.register("objects_deleting", "Objects that are being deleted", self.deleting.clone());
        registry.register_with_unit(
            "deleting_max",
            "Time since the deletion of an object was requested, of the longest one in progress",
            Unit::Seconds,
            self.deleting_max.clone(),
        );
        registry.register(
            "objects_without_rotation",
            "Objects that own an AWS secret and declare no rotation",
            self.without_rotation.clone(),
        );
        registry.register("objects_over_age", "Objects whose value is older than --max-credential-age-days", self.over_age.clone());
        self.register_namespaces(registry);
        registry.register(
            "objects_status_not_written",
            "Objects whose status the API server refused at the last attempt of this replica",
            self.status_not_written.clone(),
        );
        registry.register("unreadable_objects", "Objects that the operator cannot read and does not reconcile", self.unreadable.clone());
        let seconds = |registry: &mut Registry, name: &str, help: &str, gauge: &Maybe| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        registry.register_with_unit(
            "overdue_max",
            "Time by which the most overdue rotation is overdue",
            Unit::Seconds,
            self.overdue_max.clone(),
        );
        seconds(registry, "oldest_version_timestamp", "Creation time of the oldest current value that rotates", &self.oldest_version);
        seconds(registry, "next_rotation_timestamp", "Time of the next rotation", &self.next_rotation);
        registry.register("object_ready", "Whether the object is Ready: 1 or 0", self.object_ready.clone());
        registry.register("object_failures", "Consecutive failed reconciliations", self.object_failures.clone());
        let each = |registry: &mut Registry, name: &str, help: &str, gauge: &Family<[Name; 2], Gauge>| {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        };
        each(registry, "object_overdue", "Time by which the object's rotation is overdue", &self.object_overdue);
        each(registry, "object_version_timestamp", "Creation time of the object's current value", &self.object_version);
        each(registry, "object_next_rotation_timestamp", "Time of the object's next rotation", &self.object_next);
    }

    pub(super) fn show(&self, census: &FleetStats) {
        self.objects.clear();
        for ((ready, reason), number) in &census.ready {
            self.objects.get_or_create(&[("ready", *ready), ("reason", *reason)]).set(*number);
        }
        self.overdue.set(census.overdue);
        self.failing.set(census.failing);
        self.stalled.set(census.stalled);
        self.suspended.set(census.suspended);
        self.suspended_max.set(census.suspended_max.as_secs());
        self.out_of_step.set(census.out_of_step);
        self.not_rolled_out.clear();
        // Alerts and panels find these reasons also when no object has them.
        let usual = [Reason::Waiting, Reason::RolloutFailed, Reason::RolloutRolledBack, Reason::RetirementFailed];
        for (reason, number) in usual.iter().map(|reason| (reason.as_str(), &0)).chain(census.not_rolled_out.iter().map(|(r, n)| (*r, n))) {
            self.not_rolled_out.get_or_create(&[("reason", reason)]).set(*number);
        }
        self.rollout_waiting_max.set(census.rollout_waiting_max.as_secs());
        self.deleting.set(census.deleting);
        self.deleting_max.set(census.deleting_max.as_secs());
        self.without_rotation.set(census.without_rotation);
        self.over_age.set(census.over_age);
        self.show_namespaces(census);
        // What a former leader remembers is old.
        self.status_not_written.set(if self.leader.get() == 1 { census.status_not_written } else { 0 });
        self.unreadable.get_or_create(&[("kind", "RotatedSecret")]).set(census.unreadable);
        self.overdue_max.set(census.overdue_max.as_secs());
        let maybe = |gauge: &Maybe, time: Option<Timestamp>| {
            gauge.clear();
            if let Some(time) = time {
                gauge.get_or_create(&[]).set(time.as_second());
            }
        };
        maybe(&self.oldest_version, census.oldest_version);
        maybe(&self.next_rotation, census.next_rotation);
        for family in [&self.object_ready, &self.object_failures, &self.object_overdue, &self.object_version, &self.object_next] {
            family.clear();
        }
        for one in &census.each {
            self.show_one(one);
        }
    }

    fn register_namespaces(&self, registry: &mut Registry) {
        registry.register(
            "namespace_objects_not_ready",
            "Objects of a namespace that are not Ready, by reason. Only namespaces that have some",
            self.namespace_not_ready.clone(),
        );
        registry.register_with_unit(
            "namespace_not_ready_max",
            "Time since an object of the namespace became not Ready, of the longest one",
            Unit::Seconds,
            self.namespace_not_ready_max.clone(),
        );
        registry.register_with_unit(
            "namespace_overdue_max",
            "Time by which the most overdue rotation of the namespace is overdue",
            Unit::Seconds,
            self.namespace_overdue_max.clone(),
        );
        registry.register(
            "namespace_objects_out_of_step",
            "Objects of a namespace whose Secret does not hold the current version. Only namespaces that have some",
            self.namespace_out_of_step.clone(),
        );
        registry.register(
            "namespace_objects_not_rolled_out",
            "Objects of a namespace whose condition RolledOut is False, by reason. Only namespaces that have some",
            self.namespace_not_rolled_out.clone(),
        );
        registry.register_with_unit(
            "namespace_rollout_waiting_max",
            "Time since the start of the longest rollout in progress in the namespace",
            Unit::Seconds,
            self.namespace_rollout_waiting_max.clone(),
        );
        registry.register_with_unit(
            "namespace_deleting_max",
            "Time since the deletion of an object of the namespace was requested, of the longest one in progress",
            Unit::Seconds,
            self.namespace_deleting_max.clone(),
        );
        registry.register(
            "namespace_unreadable_objects",
            "Objects of a namespace that the operator cannot read and does not reconcile. Only namespaces that have some",
            self.namespace_unreadable.clone(),
        );
        registry.register(
            "namespace_objects_over_age",
            "Objects of a namespace whose value is older than --max-credential-age-days. Only namespaces that have some",
            self.namespace_over_age.clone(),
        );
        registry.register(
            "namespace_targets_refusing",
            "Objects of a namespace whose target refuses a password, by reason. Only namespaces that have some",
            self.namespace_refusing.clone(),
        );
    }

    fn show_namespaces(&self, census: &FleetStats) {
        self.namespace_not_ready.clear();
        self.namespace_not_ready_max.clear();
        self.namespace_not_rolled_out.clear();
        self.namespace_refusing.clear();
        for ((namespace, reason, concerns), trouble) in &census.not_ready {
            let labels = [("object_namespace", namespace.clone()), ("reason", (*reason).to_owned()), ("concerns", (*concerns).to_owned())];
            self.namespace_not_ready.get_or_create(&labels).set(trouble.number);
            self.namespace_not_ready_max.get_or_create(&labels).set(trouble.longest.as_secs());
        }
        let gauges = [
            &self.namespace_overdue_max,
            &self.namespace_out_of_step,
            &self.namespace_rollout_waiting_max,
            &self.namespace_deleting_max,
            &self.namespace_unreadable,
            &self.namespace_over_age,
        ];
        for gauge in gauges {
            gauge.clear();
        }
        for (namespace, within) in &census.namespaces {
            let name: Name = ("object_namespace", namespace.clone());
            let values = [
                within.overdue_max.as_secs(),
                within.out_of_step,
                within.rollout_waiting_max.as_secs(),
                within.deleting_max.as_secs(),
                within.unreadable,
                within.over_age,
            ];
            for (gauge, value) in gauges.iter().zip(values).filter(|(_, value)| *value > 0) {
                gauge.get_or_create(std::array::from_ref(&name)).set(value);
            }
            let by_reason =
                [(&self.namespace_not_rolled_out, &within.not_rolled_out), (&self.namespace_refusing, &within.targets_refusing)];
            for (gauge, numbers) in by_reason {
                for (reason, number) in numbers {
                    gauge.get_or_create(&[name.clone(), ("reason", (*reason).to_owned())]).set(*number);
                }
            }
        }
    }

    fn show_one(&self, one: &One) {
        let labels = [("object_namespace", one.namespace.clone()), ("object_name", one.name.clone())];
        let set = |family: &Family<[Name; 2], Gauge>, value: i64| {
            family.get_or_create(&labels).set(value);
        };
        set(&self.object_ready, i64::from(one.ready));
        set(&self.object_failures, one.failures);
        set(&self.object_overdue, one.overdue.as_secs());
        if let Some(since) = one.version_since {
            set(&self.object_version, since.as_second());
        }
        if let Some(next) = one.next_rotation {
            set(&self.object_next, next.as_second());
        }
    }
}
