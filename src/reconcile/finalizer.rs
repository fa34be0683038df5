//! The finalizer of an object that has something to clean up. It follows from the object alone, so it needs no read of AWS
//! and no permission of the Namespace, and it is set while the object is suspended, refused or waiting: otherwise an
//! object whose deletion policy was just changed could be deleted without a word.

use kube::ResourceExt;

use super::failed;
use super::reconciler::Reconciler;
use crate::api::FINALIZER;
use crate::desired::needs_cleanup;
use crate::journal::Effect;
use crate::kubernetes::object;
use crate::status::Waits;
use crate::step::Step;

impl Reconciler<'_> {
    /// Adds or removes the finalizer of an object that has an AWS secret or a Secret. A new object gets it from the plan,
    /// immediately before the first of them is made: until then there is nothing to clean up.
    pub(super) async fn keep_finalizer(&mut self, waits: &Waits) -> Option<(Step, Effect)> {
        let (needed, present) = (needs_cleanup(&self.object), self.has_finalizer());
        let step = if needed { Step::AddFinalizer } else { Step::RemoveFinalizer };
        let held = waits.steps.iter().any(|(key, _)| *key == step.key());
        if needed == present || held || !self.has_something() {
            return None;
        }
        tracing::info!(step = step.kind(), "step");
        let written = object::set_finalizer(&self.ctx.client, &self.object, needed).await;
        self.ctx.metrics.step(step.kind(), if written.is_ok() { "ok" } else { "failed" });
        let effect = match written {
            Ok(written) => {
                self.object = written;
                Effect::Applied { at: (self.ctx.clock)() }
            }
            Err(failure) => {
                tracing::warn!(step = step.kind(), reason = %failure.reason, message = failure.message, request_id = failure.request_id.as_deref(), "a step failed");
                self.ctx.metrics.failure(failure.reason.as_str());
                Effect::Failed(failed::in_step(&step, false, failure))
            }
        };
        Some((step, effect))
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.object.finalizers().iter().any(|name| name == FINALIZER)
    }

    fn has_something(&self) -> bool {
        let aws = |status: &crate::api::RotatedSecretStatus| status.aws.as_ref().is_some_and(|aws| aws.arn.is_some());
        self.object.status.as_ref().is_some_and(|status| aws(status) || status.mirror.is_some() || !status.history.is_empty())
    }
}
