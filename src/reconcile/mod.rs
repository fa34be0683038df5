//! One reconcile of one object: observe, plan, act, until there is nothing left to do; then write the status once.

mod access;
mod act;
mod admin;
mod answered;
mod audited;
mod authorize;
mod check;
mod confirm;
mod dispatch;
mod failed;
mod finalizer;
mod first_list;
mod instrument;
mod job;
mod locate_removal;
mod memory;
mod observe;
mod place;
mod receiver_token;
mod reconciler;
mod removal;
mod report;
mod requested;
mod rest;
mod result;
mod rollout;
mod shape;
mod target;
mod watched;
mod weakness;

use jiff::Timestamp;
use tracing::Instrument as _;

use self::failed::Stopped;
pub use self::memory::Memory;
pub use self::reconciler::Context;
use self::reconciler::Reconciler;
pub use self::result::ReconcileResult;
use self::result::at_least_a_second;
#[cfg(feature = "weakened")]
pub use self::weakness::Weakness;
use crate::api::condition::ConditionType;
use crate::api::{Cause, RotatedSecret, RotatedSecretStatus, StagedStep};
use crate::backoff::Class;
use crate::compare::Observation;
use crate::desired::{Desired, Pin, Strategy};
use crate::facts::Place;
use crate::failure::{Failed, Failure};
use crate::journal::{Effect, Journal};
use crate::plan::{Assessment, Next, plan};
use crate::status::{self, Attempt, Attempts, Outcome, Waits, events};
use crate::step::{Step, StepKind};

/// The maximum number of steps in one reconcile. An AWS secret that is restored and adopted, with every setting to
/// correct and replicas in sixteen regions, needs thirty-four. More means two facts that never agree.
const MAX_STEPS: usize = 48;
/// How many steps of one reconcile may get no answer. Each takes up to 45 seconds, and a reconcile has three minutes.
const MAX_UNANSWERED: usize = 2;

/// Reconciles one object. Never fails: a failure is reported in the object's status and leads to another reconcile.
pub async fn reconcile(object: &RotatedSecret, ctx: &Context) -> ReconcileResult {
    if object.metadata.deletion_timestamp.is_some() {
        return Box::pin(removal::reconcile(object, ctx)).await;
    }
    let now = (ctx.clock)();
    let nothing =
        |until: Timestamp| ReconcileResult { again: Some(at_least_a_second(until.duration_since(now))), changed: false, failed: false };
    let mut reconciler = Reconciler::new(object, ctx);
    let finalizer = reconciler.keep_finalizer(&status::waits(object, now)).await;
    if let Some(until) = status::repair_delayed(object, now) {
        return nothing(until);
    }
    if let Some(until) = ctx.memory.unwritable(&reconciler.uid(), object.metadata.generation, now) {
        return nothing(until);
    }
    let parsed = match Desired::parse(object, &ctx.policy) {
        Ok(want) => reconciler.renamed(&want).await.map_or(Ok(want), Err),
        refused => refused,
    };
    let want = match parsed {
        Ok(want) => want,
        Err(refusal) => {
            let outcome = Outcome::Invalid { refusal, secret_exists: reconciler.reported_secret_exists().await };
            return reconciler.finish(None, &outcome, Attempts::default(), now).await;
        }
    };
    let waits = reconciler.waits(&want, now).await;
    if waits.read.is_some() {
        return reconciler.wait(&want, waits, now).await;
    }
    reconciler.journal = Journal::holding(waits.steps).following(ctx.memory.unreported_version(&reconciler.uid()));
    if let Some((step, effect)) = finalizer {
        reconciler.journal.record(step, effect);
    }
    loop {
        let (want, mut outcome, mut attempts) = Box::pin(reconciler.attempt(want.clone())).await;
        // What was decided with an old Namespace is void. At most once, since everything is read from then on.
        if std::mem::take(&mut reconciler.watched.is_void) {
            continue;
        }
        if !reconciler.may_stand(&want, &outcome, &attempts, now) {
            let confirmed = reconciler.confirm(&want).await;
            let is_void = std::mem::take(&mut reconciler.watched.is_void);
            match confirmed {
                Err(failed) => (outcome, attempts) = reconciler.stopped(&want, Stopped::read(failed)).await,
                Ok(()) if is_void || !matches!(outcome, Outcome::Failed { .. }) => continue,
                Ok(()) => {}
            }
        }
        if let Outcome::Failed { failed, .. } = &outcome {
            reconciler.log_failure(&failed.failure);
            ctx.metrics.failure(failed.failure.reason.as_str());
        }
        return reconciler.finish(Some(&want), &outcome, attempts, now).await;
    }
}

impl Reconciler<'_> {
    /// Observes and acts until there is nothing to do. Returns the desired state at the place where the secret is, and what is to
    /// be reported.
    async fn attempt(&mut self, configured: Desired) -> (Desired, Outcome, Attempts) {
        // Decided again.
        (self.place, self.access) = (Place::AsConfigured, None);
        let (want, run) = match self.locate(configured.clone()).await {
            Ok(want) => {
                let run = self.run(&want).await;
                (want, run)
            }
            Err(failure) => {
                let failed = self.hasten(&configured, Failed { aspect: ConditionType::Provisioned, failure });
                (configured, Err(Stopped::read(failed)))
            }
        };
        let (seen, assessment) = match run {
            Ok(rests) => rests,
            Err(stopped) => {
                let (outcome, attempts) = self.stopped(&want, stopped).await;
                return (want, outcome, attempts);
            }
        };
        let attempts = self.attempts().of_staged(seen.secret.as_ref().and_then(|secret| secret.pending.in_progress()));
        // The plan ended before the Secret, so what is reported of it may be out of date.
        let secret_exists = match &assessment {
            Assessment::Examined(_) => None,
            Assessment::Suspended | Assessment::Blocked(_) => self.reported_secret_exists().await,
        };
        (want, Outcome::Assessed { seen: Box::new(seen), assessment, secret_exists }, attempts)
    }

    /// What is to be reported of a reconcile that ended early.
    async fn stopped(&self, want: &Desired, Stopped { attempt, failed }: Stopped) -> (Outcome, Attempts) {
        let mut attempts = self.attempts();
        attempts.failed.push((attempt, failed.clone()));
        (Outcome::Failed { failed, secret_exists: self.secret_exists(want).await }, attempts)
    }

    /// Until there is nothing to do.
    async fn run(&mut self, want: &Desired) -> Result<(Observation, Assessment), Stopped> {
        for _ in 0..MAX_STEPS {
            let seen = match self.observe(want).await {
                Ok(seen) => seen,
                Err(failed) => return Err(Stopped::read(self.hasten(want, failed))),
            };
            let step = match plan(want, &seen, (self.ctx.clock)()) {
                Next::Rest(assessment) => return Ok((seen, assessment)),
                Next::Do(_) if self.answered.was_used() => continue,
                Next::Do(_) if self.watched.is_used() => {
                    self.confirm(want).await.map_err(Stopped::read)?;
                    self.not_void()?;
                    continue;
                }
                Next::Do(step) => self.weaknesses.step(step),
            };
            self.carry_out(want, &seen, &step).await?;
        }
        Err(Stopped::read(Failed { aspect: ConditionType::Ready, failure: Failure::bug("the plan does not come to rest") }))
    }

    /// What was decided with the Namespace is still true.
    fn not_void(&self) -> Result<(), Stopped> {
        let changed = || Failure::conflict("the Namespace changed meanwhile; the operator reads it again");
        if self.watched.is_void { Err(Stopped::read(failed::of(ConditionType::Provisioned, changed()))) } else { Ok(()) }
    }

    /// One step, and its entry in the journal.
    async fn carry_out(&mut self, want: &Desired, seen: &Observation, step: &Step) -> Result<(), Stopped> {
        let version = step.version().map(crate::version_id::VersionId::as_str);
        // Before the step, which may be carried out without an answer.
        self.audit_passed_over(want, seen, step);
        let span = tracing::error_span!("step", step = step.kind(), version);
        let acted = async {
            if StepKind::from(step).reads() {
                tracing::debug!("step");
            } else {
                tracing::info!("step");
            }
            self.act(want, seen, step).await
        };
        let acted = acted.instrument(span).await;
        self.record_metrics(want, seen, step, acted.as_ref().ok());
        let effect = match acted {
            Ok(effect) => effect,
            Err(failure) => {
                let shown_deleted = seen.secret.as_ref().is_none_or(|secret| secret.deleted);
                self.failed(want, step, failed::for_secret(shown_deleted, failure))?
            }
        };
        let done = matches!(effect, Effect::Applied { .. } | Effect::Exists { .. });
        if done {
            self.audit_step(seen, step);
        }
        if matches!(step, Step::PutPolicy | Step::DeletePolicy) {
            // What was read is older than this write, also if AWS gives both the same date.
            self.reads.policy = None;
        }
        if step.writes_mirror() || matches!(step, Step::Put { .. } | Step::Promote { .. }) {
            // A workload may have been created since with the value before.
            self.workloads = None;
        }
        if let Some(limited) = step.limited().filter(|_| done) {
            self.ctx.memory.charge(&want.secret_key(), limited, want.request_interval, (self.ctx.clock)());
        }
        let written = match step {
            Step::Put { version, cause, .. } => Some((version, *cause)),
            Step::RotateNow { version } => Some((version, Cause::Requested)),
            _ => None,
        };
        if let Some((version, cause)) = written.filter(|_| done) {
            self.ctx.memory.puts(&self.uid(), version, cause, matches!(effect, Effect::Exists { .. }));
        }
        self.journal.record(step.clone(), effect);
        let repair = || self.corrects(seen, step).then(|| events::of_repair(want, step.into()));
        let change = || self.follows_change().then(|| events::of_change(want, step.into())).flatten();
        if let Some(note) = events::of_step(want, step).or_else(repair).or_else(change).filter(|_| done) {
            self.ctx.events.publish(&self.object, &note).await;
        }
        Ok(())
    }

    /// A step failed. The plan goes on without it, unless what was read is outdated, or AWS does not answer at all.
    fn failed(&mut self, want: &Desired, step: &Step, failure: Failure) -> Result<Effect, Stopped> {
        let unread = std::mem::take(&mut self.value_unread);
        let failed = self.hasten(want, failed::in_step(step, unread, failure));
        let class = failed.failure.class;
        let unanswered = self.journal.failed().filter(|(_, failed)| failed.failure.class.is_transient()).count();
        if matches!(class, Class::Conflict | Class::Bug) || (class.is_transient() && unanswered.saturating_add(1) >= MAX_UNANSWERED) {
            return Err(Stopped { attempt: Attempt::Step(step.key()), failed });
        }
        let version = step.version().map(crate::version_id::VersionId::as_str);
        tracing::warn!(step = step.kind(), version, reason = %failed.failure.reason, message = failed.failure.message, request_id = failed.failure.request_id.as_deref(), "a step failed");
        self.ctx.metrics.failure(failed.failure.reason.as_str());
        Ok(Effect::Failed(failed))
    }

    /// One user has one password, which may be that of the staged version, while pods have the previous one. Until that has
    /// ended, what passes by itself is tried again within seconds, and so is what AWS or Kubernetes denies: it may be allowed
    /// again at any time, and a call that is denied changes nothing. What the target refuses is tried rarely.
    fn hasten(&self, want: &Desired, mut failed: Failed) -> Failed {
        let one_user = self.changes_user_in_use || want.strategy.as_ref().is_some_and(Strategy::replaces);
        let status = self.object.status.as_ref();
        let staged = status.and_then(|status| status.staged.as_ref());
        let in_force = staged.is_some_and(|staged| staged.step != StagedStep::Stage) || self.journal.did(StepKind::Apply);
        if !one_user || !(in_force || status.is_some_and(|status| secret_is_behind(want, status))) {
            return failed;
        }
        if failed.failure.class == Class::Retry {
            failed.failure.class = Class::Urgent;
        } else if failed.failure.is_denial() {
            failed.failure.class = Class::DeniedInForce;
        }
        failed
    }

    /// The backoffs that are not over. A change of what decides about access ends them, as a change of the spec does.
    async fn waits(&mut self, want: &Desired, now: Timestamp) -> Waits {
        let waits = status::waits(&self.object, now);
        if want.suspended || waits.is_empty() {
            return Waits::default();
        }
        let changed = self.access_changed(want, waits.access.as_deref()).await;
        if changed { Waits::default() } else { waits }
    }

    fn attempts(&self) -> Attempts {
        Attempts {
            failed: self.journal.failed().map(|(key, failed)| (Attempt::Step(key), failed.clone())).collect(),
            held: self.journal.held().cloned().map(Attempt::Step).collect(),
            going_on: self.journal.going_on().map(|(key, _)| Attempt::Step(key)).collect(),
            access: self.access_hash.clone(),
            ..Attempts::default()
        }
    }
}

/// Whether the Secret does not hold the version that is current in AWS, although it is not pinned.
fn secret_is_behind(want: &Desired, status: &RotatedSecretStatus) -> bool {
    let follows = want.target.as_ref().is_some_and(|target| target.pin == Pin::Current);
    let current = status.aws.as_ref().and_then(|aws| aws.current_version_id.as_ref());
    let held = status.mirror.as_ref().and_then(|mirror| mirror.version_id.as_ref());
    follows && held.zip(current).is_some_and(|(held, current)| held != current)
}
