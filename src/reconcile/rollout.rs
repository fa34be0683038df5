//! The steps of a rollout: workloads are read and restarted, and the previous credential is retired.

use super::dispatch::may_have;
use super::reconciler::Reconciler;
use super::target::{declared, named, words};
use crate::api::condition::Reason;
use crate::api::{AWSCURRENT, RETIRING_LABEL, WorkloadRef};
use crate::aws::Address;
use crate::backoff::Class;
use crate::command::Command;
use crate::desired::Desired;
use crate::failure::Failure;
use crate::journal::Effect;
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::workload;
use crate::strategy::{Problem, Tried};
use crate::value::Payload;
use crate::version_id::VersionId;

impl Reconciler<'_> {
    /// Reads the workloads that use the Secret.
    pub(super) async fn find_workloads(&mut self, want: &Desired) -> Result<(), Failure> {
        let (Some(rollout), Some(target)) = (&want.rollout, &want.target) else {
            return Err(Failure::bug("workloads are read without a rollout"));
        };
        self.workloads = Some(workload::find(&self.ctx.client, &want.namespace, &target.name, rollout).await?);
        Ok(())
    }

    /// Writes the version into the pod template of a workload.
    pub(super) async fn restart(&mut self, want: &Desired, name: &WorkloadRef, version: &VersionId) -> Result<Effect, Failure> {
        let found = self.workloads.iter().flatten().find(|found| found.workload == *name);
        let (Some(found), Some(target)) = (found, &want.target) else { return Ok(Effect::Absent) };
        workload::restart(&self.ctx.client, &want.namespace, &target.name, found, version).await?;
        Ok(self.applied())
    }

    /// Makes the target refuse the previous credential, and takes the label away that says that this is left to do.
    pub(super) async fn retire(
        &mut self,
        want: &Desired,
        at: Address<'_>,
        version: &VersionId,
        current: &VersionId,
    ) -> Result<Effect, Failure> {
        let strategy = declared(want)?;
        let policy = NamespacePolicy::of(&self.ctx.client, &want.namespace).await?;
        if !self.allows_host(&want.namespace, &policy, strategy).await? {
            let message = format!("{} is not allowed any more, so no credential is retired there", strategy.host_and_port());
            return Err(Failure { class: Class::Denied, reason: Reason::HostNotAllowed, message, request_id: None });
        }
        let (old, kept) = (self.find(at, version).await?, self.labelled(at, current, &[AWSCURRENT]).await?);
        // A change of another field of the value keeps the password.
        let differs = |old: &Payload| may_have(strategy, old, &kept.value).unwrap_or(false);
        if let Some(old) = old.filter(|old| differs(&old.value)) {
            let tried = Tried::default();
            let target = self.target(want.object_ref(), strategy, &tried).await?;
            // Last of all that is read: a rollback can have made the old credential current.
            let kept = self.labelled(at, current, &[AWSCURRENT]).await?;
            let retired = target.retire(&old.value, &kept).await;
            retired.map_err(|obstacle| {
                let (class, reason) = match obstacle.problem {
                    Problem::Refused(_) => (Class::Denied, Reason::RetirementFailed),
                    Problem::Unknown(_) => (Class::Retry, Reason::TargetUnreachable),
                };
                let host = named(&strategy.server, obstacle.problem, tried.last());
                let message = format!(
                    "{host} {} ({}); the credential of version {version} may still be valid, and the operator tries again: {}",
                    obstacle.problem.explanation(),
                    words(&obstacle),
                    Command::RefreshByPlugin(want.object_ref())
                );
                target.waits(obstacle.problem, Failure { class, reason, message, request_id: None })
            })?;
            tracing::info!("the previous credential is retired");
            // Before the label goes: until then the step is repeated.
            self.audit_retired(at.id, version);
            self.ctx.audit.flush().await;
        }
        self.move_label(at, RETIRING_LABEL, Some(version), None).await
    }
}
