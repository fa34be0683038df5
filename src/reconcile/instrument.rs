//! Metrics and log lines of steps and versions, and of changes of conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::api::{ADOPT_BY, Cause, HistoryEntry, RotatedSecretStatus};
use crate::compare::Observation;
use crate::desired::Desired;
use crate::facts::ReplicaState;
use crate::journal::Effect;
use crate::status::{self, Attempts, ConditionChange, SecretWrite};
use crate::step::Step;
use crate::text::manager_name;
use crate::version_id::VersionId;

impl Reconciler<'_> {
    /// Counts a step. `effect`: what it did; `None`: it failed.
    pub(super) fn record_metrics(&self, want: &Desired, seen: &Observation, step: &Step, effect: Option<&Effect>) {
        let metrics = &self.ctx.metrics;
        match effect {
            Some(Effect::Absent | Effect::Unfit(_) | Effect::GoesOn(_)) => {}
            Some(_) => {
                metrics.step(step.kind(), "ok");
                self.record_drift(seen, step);
            }
            None => {
                metrics.step(step.kind(), "failed");
                let cause = match step {
                    Step::Create { .. } => Some(Cause::Created),
                    Step::Put { cause, .. } => Some(*cause),
                    _ => None,
                };
                if let Some(cause) = cause {
                    metrics.rotation(want.strategy(), cause.as_str(), "Failed");
                }
            }
        }
    }

    /// Whether the declaration is the one that the status speaks of: then an external change is corrected.
    fn declared_before(&self) -> bool {
        self.object.status.as_ref().and_then(|status| status.observed_generation) == self.object.metadata.generation
    }

    /// Whether the declaration changed since the last status, and was not tried yet.
    pub(super) fn follows_change(&self) -> bool {
        let tried = |status: &RotatedSecretStatus| {
            let failures = status.failures.as_ref();
            failures.is_some_and(|failures| failures.generation == self.object.metadata.generation)
        };
        let status = self.object.status.as_ref();
        !self.declared_before() && status.is_some_and(|status| status.observed_generation.is_some() && !tried(status))
    }

    /// Whether the step corrects drift of a setting in AWS. A step that failed before carries out what was declared then, and
    /// so does a further attempt at a replica that AWS could not make.
    pub(super) fn corrects(&self, seen: &Observation, step: &Step) -> bool {
        let replicas = seen.secret.iter().flat_map(|secret| &secret.replicas);
        let failed: Vec<&str> =
            replicas.filter(|replica| replica.state == ReplicaState::Failed).map(|replica| replica.region.as_str()).collect();
        let again = match step {
            Step::MoveLabel { .. } | Step::Settle { .. } => true,
            // The consent to an adoption is removed when it was used.
            Step::Untag { keys } => keys.iter().eq([ADOPT_BY]),
            // The last report did not have it as declared: it could not be read then.
            Step::PutPolicy | Step::DeletePolicy => seen.status.applied.last_changed_date.is_none(),
            Step::Replicate { replicas } => replicas.keys().all(|region| failed.contains(&region.as_str())),
            _ => false,
        };
        step.is_setting() && !again && self.declared_before() && status::failed_before(&self.object, &step.key()).is_none()
    }

    /// What a step writes into the Secret; `None`: the step does not write it.
    pub(super) fn secret_write(&self, seen: &Observation, step: &Step) -> Option<SecretWrite> {
        SecretWrite::of(&self.object, step, seen.extras.wanted_previous.as_ref())
    }

    fn record_drift(&self, seen: &Observation, step: &Step) {
        let metrics = &self.ctx.metrics;
        if let Some(write) = self.secret_write(seen, step) {
            metrics.mirror_write(write.into());
            if write == SecretWrite::Repair {
                metrics.drift_repair(step.kind());
                metrics.mirror_repair(self.object.metadata.namespace.as_deref().unwrap_or_default());
                let version = step.version().map(VersionId::as_str);
                let manager = self.rival.as_deref().and_then(manager_name);
                tracing::warn!(reason = "MirrorRepaired", cause = "Repair", step = step.kind(), version, manager, "repaired");
            }
        } else if self.corrects(seen, step) {
            metrics.drift_repair(step.kind());
            tracing::warn!(reason = "SettingsRepaired", cause = "Repair", step = step.kind(), "repaired");
        }
    }

    /// A version became current, and the status says so.
    pub(super) fn record_version(&self, want: Option<&Desired>, entry: &HistoryEntry) {
        self.ctx.metrics.rotation(want.map_or("None", Desired::strategy), entry.cause.as_str(), "Succeeded");
        let what = match entry.cause {
            Cause::Created => "created",
            Cause::Adopted => "adopted",
            Cause::External => "changed externally",
            Cause::RolledBack => "rolled back",
            Cause::Scheduled | Cause::Requested | Cause::SpecChanged => "rotated",
        };
        tracing::info!(version = entry.version_id, cause = entry.cause.as_str(), "{what}");
    }

    /// Conditions changed, and the status says so. `logged`: the reasons that this reconcile has logged and counted.
    pub(super) fn record_conditions(&self, before: &RotatedSecretStatus, after: &RotatedSecretStatus, logged: &[Reason]) {
        for change in ConditionChange::all(before, after) {
            self.record_condition(&change, logged);
        }
    }

    fn record_condition(&self, change: &ConditionChange<'_>, logged: &[Reason]) {
        let Condition { type_: condition, reason, message, .. } = change.now;
        let previous_reason = change.before.map(|before| before.reason.as_str());
        if !change.is_problem() || change.is_repeated() {
            let what = match (change.is_of_ready(), change.holds()) {
                (true, true) => "ready",
                (true, false) => "not ready",
                (false, true) => "a condition is True",
                (false, false) => "a condition is False",
            };
            tracing::info!(condition, reason, previous_reason, message, "{what}");
            return;
        }
        let Some(known) = Reason::parse(reason).filter(|known| !logged.contains(known)) else { return };
        if change.is_of_ready() {
            tracing::warn!(condition, reason, previous_reason, message, "not ready");
        } else {
            tracing::warn!(condition, reason, previous_reason, message, "a condition is False");
        }
        // A failure was counted when it happened.
        if change.is_refusal() {
            self.ctx.metrics.failure(known.as_str());
        }
    }

    /// The reasons that this reconcile logged and counted.
    pub(super) fn logged(&self, attempts: &Attempts) -> Vec<Reason> {
        let unfit = self.journal.entries().iter().filter_map(|entry| match &entry.effect {
            Effect::Unfit(unfit) => Some(unfit.refusal.reason),
            _ => None,
        });
        attempts.failed.iter().map(|(_, failed)| failed.failure.reason).chain(unfit).collect()
    }
}
