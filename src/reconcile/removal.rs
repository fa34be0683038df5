//! One reconcile of an object that is being deleted. It reads only what the plan asks for, and it ends: what AWS or
//! Kubernetes refuses for longer than `--deletion-timeout` is reported, and the object is released.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tracing::Instrument as _;

use super::failed;
use super::reconciler::{Context, Reconciler};
use super::result::{ReconcileResult, at_least_a_second};
use super::target::Abandoned;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{FINALIZER, RotatedSecret};
use crate::aws::Address;
use crate::backoff::Class;
use crate::command::SecretRef;
use crate::desired::{Removal, Strategy};
use crate::facts::{Remains, SecretLeft};
use crate::failure::{Failed, Failure};
use crate::journal::{Effect, GoesOn};
use crate::kubernetes::{mirror, object};
use crate::plan::{CleanupNext, plan_cleanup};
use crate::refusal::Refusal;
use crate::status::events::Kept;
use crate::status::{self, EventNote, deletion};
use crate::step::{Step, StepKind};

/// The maximum number of steps: release the Secret, abandon a staged version, stop the replication, delete, remove the finalizer.
const MAX_STEPS: usize = 10;
/// How long to wait between two looks while AWS may show an old state.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// How an attempt ended.
enum Attempt {
    /// The object is released.
    Released,
    /// Nothing can be done before this time.
    Waits { until: Timestamp, why: String },
}

/// Reconciles an object that is being deleted.
pub(super) async fn reconcile(object: &RotatedSecret, ctx: &Context) -> ReconcileResult {
    let now = (ctx.clock)();
    if !object.finalizers().iter().any(|name| name == FINALIZER) {
        return ReconcileResult { again: None, changed: false, failed: false };
    }
    if let Some(until) = deletion::backing_off(object, now) {
        return ReconcileResult { again: Some(at_least_a_second(until.duration_since(now))), changed: false, failed: false };
    }
    let mut reconciler = Reconciler::new(object, ctx);
    if let Some(until) = ctx.memory.unwritable(&reconciler.uid(), object.metadata.generation, now) {
        return ReconcileResult { again: Some(at_least_a_second(until.duration_since(now))), changed: false, failed: true };
    }
    let removal = Removal::of(object, &ctx.policy);
    let mut remains = Remains::default();
    let ended = match reconciler.clean_up(&removal, &mut remains).await {
        Err(failed) if reconciler.out_of_time(&removal, &failed.failure, now) && !at_finalizer(&failed) => {
            let why = format!("the deletion did not succeed within {}: {}", in_words(ctx.deletion_timeout), failed.failure.message);
            reconciler.release(&removal, &remains, Some(why)).await.map(|()| Attempt::Released)
        }
        ended => ended,
    };
    match ended {
        Ok(Attempt::Released) => {
            ctx.memory.forget(&reconciler.uid());
            ReconcileResult { again: None, changed: true, failed: false }
        }
        Ok(Attempt::Waits { until, why }) => {
            let after = deletion::waits(object, &removal, &Refusal::new(Reason::Progressing, why), now);
            let again = until.duration_since(now).min(LOOK_AGAIN);
            reconciler.report(object, after, again, None).await
        }
        Err(Failed { aspect, failure }) => {
            let begun = if failure.is_of_the_clock() { deletion::failing_since(object, now).unwrap_or(now) } else { removal.requested };
            let ends = begun.saturating_add(ctx.deletion_timeout).unwrap_or(begun);
            tracing::warn!(reason = %failure.reason, message = failure.message, request_id = failure.request_id.as_deref(), until = %ends, "the deletion waits");
            ctx.metrics.failure(failure.reason.as_str());
            let after = deletion::failed(object, &removal, &failure, aspect, ends, now);
            let next = after.failures.as_ref().and_then(|failures| failures.next_attempt_time.as_ref());
            let again = next.map_or(LOOK_AGAIN, |next| next.0.duration_since(now));
            reconciler.report(object, after, again, Some(failure.reason)).await
        }
    }
}

impl Reconciler<'_> {
    async fn clean_up(&mut self, removal: &Removal, remains: &mut Remains) -> Result<Attempt, Failed> {
        remains.mirror = self.retained(removal).await.map_err(|failure| failed::of(ConditionType::Mirrored, failure))?;
        for _ in 0..MAX_STEPS {
            match plan_cleanup(removal, remains, &self.journal, (self.ctx.clock)()) {
                CleanupNext::Look => {
                    let found = self.look_for_secret(removal).await;
                    remains.secret = Some(found.map_err(|failure| failed::of(ConditionType::Provisioned, failure))?);
                }
                CleanupNext::Do(step) => {
                    self.carry_out_removal(removal, remains, &step).await?;
                    if let Some(GoesOn { until, what, .. }) = self.journal.goes_on(&step) {
                        return self.waits_for(removal, *until, what);
                    }
                    if matches!(step, Step::StopReplicating { .. }) && self.journal.did(StepKind::StopReplicating) {
                        remains.secret = None;
                    }
                }
                CleanupNext::Wait { until, why } => return Ok(Attempt::Waits { until, why }),
                CleanupNext::Release { kept } => {
                    self.release(removal, remains, kept).await?;
                    return Ok(Attempt::Released);
                }
            }
        }
        Err(Failed { aspect: ConditionType::Ready, failure: Failure::bug("the deletion does not come to rest") })
    }

    /// A step goes on outside of the operator. It ends, or the object is released after `--deletion-timeout`.
    fn waits_for(&self, removal: &Removal, until: Timestamp, what: &str) -> Result<Attempt, Failed> {
        if until.duration_since(removal.requested) < self.ctx.deletion_timeout {
            return Ok(Attempt::Waits { until, why: what.to_owned() });
        }
        let failure = Failure { class: Class::Retry, reason: Reason::AbandonFailed, message: what.to_owned(), request_id: None };
        Err(Failed { aspect: ConditionType::Rotated, failure })
    }

    /// Whether a Secret has to be released so that it stays. In a namespace that is being deleted no Secret stays, and the
    /// operator's permissions there may be gone.
    async fn retained(&mut self, removal: &Removal) -> Result<bool, Failure> {
        let Some(name) = &removal.mirror else { return Ok(false) };
        match mirror::read_by_name(&self.ctx.client, &self.object, name).await {
            Ok(found) => {
                self.mirror = found;
                Ok(self.mirror.as_ref().is_some_and(|mirror| mirror.facts.ours))
            }
            Err(failure) if failure.class == Class::Denied && self.namespace_ends(removal).await => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    fn abandons_by_job(removal: &Removal, step: &Step) -> bool {
        matches!(step, Step::Abandon { .. }) && removal.strategy.as_ref().is_some_and(Strategy::runs_jobs)
    }

    async fn namespace_ends(&self, removal: &Removal) -> bool {
        let found = crate::kubernetes::namespace::NamespacePolicy::of(&self.ctx.client, &removal.namespace).await;
        found.is_ok_and(|namespace| namespace.is_ending())
    }

    async fn carry_out_removal(&mut self, removal: &Removal, remains: &Remains, step: &Step) -> Result<(), Failed> {
        let span = tracing::error_span!("step", step = step.kind());
        let acted = async {
            tracing::info!("step");
            self.act_for_removal(removal, remains, step).await
        };
        let acted = acted.instrument(span).await;
        self.ctx.metrics.step(step.kind(), if acted.is_ok() { "ok" } else { "failed" });
        let effect = match acted {
            Ok(effect) => effect,
            // A namespace that is being deleted takes the Secret along.
            Err(failure) if *step == Step::ReleaseMirror && failure.class == Class::Denied && self.namespace_ends(removal).await => {
                Effect::Absent
            }
            // No Job can be created there any more.
            Err(failure)
                if Self::abandons_by_job(removal, step) && failure.class == Class::Denied && self.namespace_ends(removal).await =>
            {
                let message = format!("the namespace is being deleted, so no Job can abandon the staged version: {}", failure.message);
                tracing::warn!(message, "the staged version is left as it is, and the target may accept it");
                Effect::Failed(Failed { aspect: ConditionType::Rotated, failure: Failure { message, ..failure } })
            }
            // AWS removes replicas after it has answered, and refuses to remove them twice.
            Err(failure) if matches!(step, Step::StopReplicating { .. }) && failure.reason == Reason::AwsRefused => Effect::Absent,
            Err(failure) => return Err(failed::in_step(step, false, failure)),
        };
        let applied = matches!(effect, Effect::Applied { .. });
        self.journal.record(step.clone(), effect);
        match (step, &remains.secret) {
            (Step::Delete { window }, Some(SecretLeft::Ours { arn, .. })) => {
                self.audit_deletion(arn);
                tracing::info!(secret = arn, days = window, "the AWS secret is scheduled for deletion");
                self.ctx.events.publish_lasting(&self.object, &status::events::deletion_scheduled(arn, *window)).await;
            }
            (Step::Abandon { version, .. }, Some(SecretLeft::Ours { arn, .. })) if applied => self.audit_abandoned(arn, version),
            _ => {}
        }
        Ok(())
    }

    async fn act_for_removal(&mut self, removal: &Removal, remains: &Remains, step: &Step) -> Result<Effect, Failure> {
        match (step, &remains.secret) {
            (Step::ReleaseMirror, _) => {
                if let (Some(name), Some(found)) = (&removal.mirror, &self.mirror) {
                    mirror::release(&self.ctx.client, &self.object, name, found).await?;
                }
            }
            (Step::Abandon { version, current }, Some(SecretLeft::Ours { arn, place, staged: Some(staged), .. })) => {
                let strategy = removal.strategy.as_ref().ok_or_else(|| Failure::bug("a version of no target is abandoned"))?;
                let (of, at) = (removal.object_ref(), Address { region: &place.region, id: arn });
                let staged = Abandoned { version, current, previous: staged.previous.as_ref(), last: staged.abandoned.as_ref() };
                return self.undo(of, strategy, at, staged).await;
            }
            (Step::StopReplicating { regions }, Some(SecretLeft::Ours { arn, place, .. })) => {
                self.aws()?.stop_replicating(Address { region: &place.region, id: arn }, regions).await?;
            }
            (Step::Delete { window }, Some(SecretLeft::Ours { arn, place, .. })) => {
                self.aws()?.delete(Address { region: &place.region, id: arn }, *window).await?;
            }
            _ => return Err(Failure::bug("a step that is no cleanup")),
        }
        Ok(Effect::Applied { at: (self.ctx.clock)() })
    }

    /// Removes the finalizer. What remains in AWS is logged before, because the object may be gone afterwards, and
    /// reported afterwards.
    async fn release(&mut self, removal: &Removal, remains: &Remains, kept: Option<String>) -> Result<(), Failed> {
        let note = kept.as_ref().map(|why| kept_note(removal, remains, why));
        self.audit_remains(removal, remains, note.as_ref());
        self.ctx.audit.flush().await;
        match (&note, &removal.aws) {
            (Some(note), _) => tracing::warn!(note = note.note, "the object is released, and an AWS secret remains"),
            (None, Some(aws)) if matches!(remains.secret, Some(SecretLeft::Absent)) && deletes(removal) && aws.recorded.is_some() => {
                let arn = aws.recorded.as_ref().map(|arn| arn.text.as_str());
                tracing::warn!(secret = arn, "the object is released; AWS shows no secret to delete");
            }
            _ => {}
        }
        let step = Step::RemoveFinalizer;
        let released = object::remove_finalizer(&self.ctx.client, &self.object).await;
        self.ctx.metrics.step(step.kind(), if released.is_ok() { "ok" } else { "failed" });
        released.map_err(|failure| failed::in_step(&step, false, failure))?;
        if let Some(note) = note {
            if deletes(removal) {
                self.ctx.metrics.secret_kept();
            }
            self.ctx.events.publish_lasting(&self.object, &note).await;
        }
        Ok(())
    }

    /// What remains in AWS. Written before the finalizer is removed, since nothing reconciles the object afterwards.
    fn audit_remains(&self, removal: &Removal, remains: &Remains, note: Option<&EventNote>) {
        match (note, &remains.secret) {
            (Some(note), Some(SecretLeft::Ours { arn, .. } | SecretLeft::Former { arn, .. })) => self.audit_kept(Some(arn), note),
            (Some(note), _) => {
                let recorded = removal.aws.as_ref().and_then(|aws| aws.recorded.as_ref());
                self.audit_kept(recorded.map(|arn| arn.text.as_str()), note);
            }
            (None, Some(SecretLeft::Absent)) if deletes(removal) => {
                let recorded = removal.aws.as_ref().and_then(|aws| aws.recorded.as_ref());
                if let Some(arn) = recorded {
                    self.audit_absent(&arn.text);
                }
            }
            // Scheduled by an earlier attempt, which may have ended before it wrote a line.
            (None, Some(SecretLeft::Ours { arn, deleted: true, .. })) if deletes(removal) && !self.journal.did(StepKind::Delete) => {
                self.audit_deletion(arn);
            }
            _ => {}
        }
    }

    /// Whether the object has waited long enough. An operator that was away for a long time makes several attempts first.
    fn out_of_time(&self, removal: &Removal, failure: &Failure, now: Timestamp) -> bool {
        let timeout = self.ctx.deletion_timeout;
        if failure.is_of_the_clock() {
            // How long this clock has been running is known, what time it is is not.
            return deletion::failing_since(&self.object, now).is_some_and(|since| now.duration_since(since) >= timeout);
        }
        let waited = now.duration_since(removal.requested);
        let attempts = deletion::attempts(&self.object).saturating_add(1);
        // The status cannot be written if the permission is gone, and another client can replace it.
        let here = self.ctx.memory.deletion_fails(&self.uid());
        waited >= timeout && (attempts >= deletion::LEAST_ATTEMPTS || here >= deletion::LEAST_ATTEMPTS)
    }

    /// Writes the status, and says when to reconcile again. `failed`: why the attempt failed, which is logged and counted.
    async fn report(
        &mut self,
        object: &RotatedSecret,
        after: crate::api::RotatedSecretStatus,
        again: SignedDuration,
        failed: Option<Reason>,
    ) -> ReconcileResult {
        let before = object.status.clone().unwrap_or_default();
        let mut changed = self.journal.kinds().next().is_some();
        let mut again = at_least_a_second(again);
        if after == before {
            super::report::status_is_written(self.ctx.memory.is_as_written(&self.uid()));
        } else {
            let now = (self.ctx.clock)();
            match self.write_status(&before, &after, &[], now).await {
                Ok(()) => {
                    changed = true;
                    self.record_conditions(&before, &after, failed.as_slice());
                    let mut notes = status::event_notes(&before, &after);
                    // The object was not Ready for the same reason before it was deleted.
                    if failed.is_some() && deletion::attempts(object) == 0 && !notes.iter().any(|note| note.warning) {
                        notes.extend(deletion::note(&after));
                    }
                    for note in notes {
                        self.ctx.events.publish(&self.object, &note).await;
                    }
                }
                Err(until) => again = at_least_a_second(until.duration_since(now)),
            }
        }
        ReconcileResult { again: Some(again), changed, failed: failed.is_some() }
    }
}

/// The finalizer itself cannot be removed: nothing else ends the deletion.
fn at_finalizer(failed: &Failed) -> bool {
    failed.aspect == ConditionType::Ready && failed.failure.class != Class::Bug
}

/// Whether the AWS secret is deleted with the object.
fn deletes(removal: &Removal) -> bool {
    removal.aws.as_ref().is_some_and(|aws| aws.window.is_some())
}

fn kept_note(removal: &Removal, remains: &Remains, why: &str) -> EventNote {
    let aws = removal.aws.as_ref();
    let found = match &remains.secret {
        Some(SecretLeft::Ours { arn, place, .. } | SecretLeft::Former { arn, place, .. }) => Some((arn.clone(), place.region.clone())),
        _ => None,
    };
    if !deletes(removal) {
        return status::events::left_staged(found.as_ref().map(|(arn, _)| arn.as_str()), why);
    }
    if let Some(SecretLeft::Ours { arn, place, replicas, .. }) = &remains.secret {
        return status::events::secret_kept(&Kept::Owned(SecretRef { region: &place.region, id: arn }, replicas), why);
    }
    let recorded = || aws.and_then(|aws| aws.recorded.as_ref()).map(|arn| (arn.text.clone(), arn.region.clone()));
    let place = || aws.and_then(|aws| aws.places(None).into_iter().next()).map(|place| (place.name, place.region));
    let named = found.or_else(recorded).or_else(place);
    let kept = named.as_ref().map_or(Kept::Unknown, |(id, region)| Kept::Named(SecretRef { region, id }));
    status::events::secret_kept(&kept, why)
}

fn in_words(timeout: SignedDuration) -> String {
    format!("{timeout:#}")
}
