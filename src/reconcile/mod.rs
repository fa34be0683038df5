//! One reconcile of one object: observe, plan, act, until there is nothing left to do; then write the status once.

mod act;
mod authorize;
mod failed;
mod instrument;
mod locate_removal;
mod observe;
mod place;
mod reconciler;
mod removal;
mod result;
mod shape;
mod weakness;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use tracing::Instrument as _;

use self::failed::Failed;
pub use self::reconciler::Context;
use self::reconciler::Reconciler;
pub use self::result::ReconcileResult;
use self::result::at_least_a_second;
#[cfg(feature = "weakened")]
pub use self::weakness::Weakness;
use crate::api::RotatedSecret;
use crate::api::condition::ConditionType;
use crate::backoff::Class;
use crate::compare::Observation;
use crate::desired::Desired;
use crate::failure::Failure;
use crate::journal::Effect;
use crate::kubernetes::{mirror, object};
use crate::plan::{Assessment, Next, plan};
use crate::refusal::Refusal;
use crate::status::{self, Outcome, events};
use crate::step::{Step, StepKind};

/// The maximum number of steps in one reconcile. An AWS secret that is restored and adopted, with every setting to
/// correct and replicas in sixteen regions, needs thirty-four. More means two facts that never agree.
const MAX_STEPS: usize = 48;
/// How soon to reconcile again while AWS may show an old state.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// Reconciles one object. Never fails: a failure is reported in the object's status and leads to another reconcile.
pub async fn reconcile(object: &RotatedSecret, ctx: &Context) -> ReconcileResult {
    if object.metadata.deletion_timestamp.is_some() {
        return Box::pin(removal::reconcile(object, ctx)).await;
    }
    let now = (ctx.clock)();
    if let Some(until) = status::repair_delayed(object, now) {
        return ReconcileResult { again: Some(at_least_a_second(until.duration_since(now))), changed: false, failed: false };
    }
    if let Some(until) = status::backing_off(object, now)
        && !mirror_gone(object, ctx).await
    {
        return ReconcileResult { again: Some(at_least_a_second(until.duration_since(now))), changed: false, failed: false };
    }
    let mut reconciler = Reconciler::new(object, ctx);
    let want = match Desired::parse(object, &ctx.policy) {
        Ok(want) => want,
        Err(refusal) => return reconciler.finish(None, &Outcome::Invalid(refusal), now).await,
    };
    let configured = want.clone();
    let (want, run) = match reconciler.locate(want).await {
        Ok(want) => {
            let run = reconciler.run(&want).await;
            (want, run)
        }
        Err(failure) => (configured, Err(Failed::of(ConditionType::Provisioned, failure))),
    };
    let outcome = match run {
        Ok((seen, assessment)) => Outcome::Assessed { seen: Box::new(seen), assessment },
        Err(Failed { failure, aspect }) => {
            tracing::warn!(reason = %failure.reason, message = failure.message, "the reconcile failed");
            ctx.metrics.failure(failure.reason.as_str());
            Outcome::Failed { failure, aspect, secret_exists: reconciler.mirror.is_some() }
        }
    };
    reconciler.finish(Some(&want), &outcome, now).await
}

/// Whether the Secret that could not be written was deleted, as the message may have asked: then the wait ends.
async fn mirror_gone(object: &RotatedSecret, ctx: &Context) -> bool {
    let refused = |c: &Condition| c.type_ == ConditionType::Mirrored.to_string() && c.status == "False";
    // Without a Secret in the status there was none when the write failed.
    if !object.status.as_ref().is_some_and(|status| status.mirror.is_some() && status.conditions.iter().any(refused)) {
        return false;
    }
    let Ok(Desired { target: Some(target), .. }) = Desired::parse(object, &ctx.policy) else { return false };
    matches!(mirror::read(&ctx.client, object, &target, None).await, Ok(None))
}

impl Reconciler<'_> {
    /// Until there is nothing to do.
    async fn run(&mut self, want: &Desired) -> Result<(Observation, Assessment), Failed> {
        for _ in 0..MAX_STEPS {
            let seen = self.observe(want).await?;
            let step = match plan(want, &seen, (self.ctx.clock)()) {
                Next::Rest(assessment) => return Ok((seen, assessment)),
                Next::Do(step) => self.weaknesses.step(step),
            };
            self.carry_out(want, &seen, &step).await?;
        }
        Err(Failed { aspect: ConditionType::Ready, failure: Failure::bug("the plan does not come to rest") })
    }

    /// One step, and its entry in the journal.
    async fn carry_out(&mut self, want: &Desired, seen: &Observation, step: &Step) -> Result<(), Failed> {
        let version = step.version().map_or("", crate::version_id::VersionId::as_str);
        let span = tracing::info_span!("step", step = step.kind(), version);
        let acted = async {
            tracing::info!("step");
            self.act(want, seen, step).await
        };
        let acted = acted.instrument(span).await;
        self.record_metrics(want, step, acted.as_ref().ok());
        let effect = match acted {
            Ok(effect) => effect,
            // A setting that AWS refuses for good is reported, and the credential goes on without it. What passes by
            // itself is retried with everything else.
            Err(failure) if step.is_setting() && failure.is_terminal() => {
                tracing::warn!(step = step.kind(), reason = %failure.reason, message = failure.message, "AWS refused a setting");
                self.ctx.metrics.failure(failure.reason.as_str());
                Effect::Refused(Refusal::new(failure.reason, failure.message))
            }
            Err(failure) => return Err(Failed::in_step(step, failure)),
        };
        let done = matches!(effect, Effect::Applied { .. } | Effect::Exists { .. });
        if matches!(step, Step::PutPolicy | Step::DeletePolicy) {
            // What was read is older than this write, also if AWS gives both the same date.
            self.reads.policy = None;
        }
        self.journal.record(step.clone(), effect);
        if let Some(note) = events::of_step(want, step).filter(|_| done) {
            self.ctx.events.publish(&self.object, &note).await;
        }
        Ok(())
    }

    /// Writes the status, and says when to reconcile again.
    async fn finish(&mut self, want: Option<&Desired>, outcome: &Outcome, started: Timestamp) -> ReconcileResult {
        let now = (self.ctx.clock)();
        let before = self.object.status.clone().unwrap_or_default();
        let after = status::write(&self.object, want, outcome, now);
        let failed = matches!(outcome, Outcome::Failed { .. });
        let steps: Vec<StepKind> = self.journal.kinds().collect();
        let mut changed = !steps.is_empty();
        if after != before {
            match object::write_status(&self.ctx.client, &self.object, &after).await {
                Ok(written) => self.object = written,
                Err(failure) => {
                    // The cache was old, or the API server is away. Nothing is lost: the next reconcile reports again.
                    tracing::debug!(reason = %failure.reason, message = failure.message, "the status could not be written");
                    let delay = if failure.class == Class::Conflict { Duration::from_secs(1) } else { Duration::from_secs(15) };
                    return ReconcileResult { again: Some(delay), changed, failed };
                }
            }
            changed = true;
            if let Some(entry) = status::recorded(&before, &after) {
                self.record_version(want, entry);
            }
        }
        for note in status::event_notes(&before, &after, &steps) {
            self.ctx.events.publish(&self.object, &note).await;
        }
        tracing::debug!(?steps, took = %now.duration_since(started), "reconcile ended");
        ReconcileResult { again: Some(at_least_a_second(self.again(outcome, &after, now))), changed, failed }
    }

    fn again(&self, outcome: &Outcome, status: &crate::api::RotatedSecretStatus, now: Timestamp) -> SignedDuration {
        match outcome {
            Outcome::Failed { .. } => {
                let next = status.failures.as_ref().and_then(|failures| failures.next_attempt_time.as_ref());
                next.map_or(SOON, |at| at.0.duration_since(now))
            }
            Outcome::Invalid(_) => self.resync(),
            Outcome::Assessed { assessment, .. } => {
                let soonest = if assessment.awaits_consistency() { SOON } else { self.resync() };
                assessment.wake().map_or(soonest, |wake| wake.duration_since(now).min(soonest))
            }
        }
    }

    /// The resync period, within ten percent for each object, so that a thousand do not reconcile at once.
    fn resync(&self) -> SignedDuration {
        let seed = crate::version_id::VersionIds::of(&self.object.uid().unwrap_or_default()).seed();
        let spread = i32::try_from(seed % 201).unwrap_or(100) - 100;
        let interval = self.ctx.refresh_interval;
        interval + interval / 1000 * spread
    }
}
