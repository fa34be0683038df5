//! The end of a reconcile: the status is written, Events are published, and the next reconcile is planned.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::memory::{NotWritten, Permit};
use super::reconciler::Reconciler;
use super::result::{ReconcileResult, at_least_a_second};
use crate::api::condition::Reason;
use crate::api::{RotatedSecretStatus, StagedStep};
use crate::audit::Entry;
use crate::backoff::{self, Class};
use crate::desired::{Desired, Strategy};
use crate::failure::Failure;
use crate::kubernetes::{mirror, object};
use crate::plan::Assessment;
use crate::refusal::Refusal;
use crate::status::{self, Attempt, Attempts, EventNote, Outcome};
use crate::step::StepKind;
use crate::version_id::{VersionId, VersionIds};

/// How soon to reconcile again while AWS may show an old state.
const SOON: SignedDuration = SignedDuration::from_secs(5);
/// How often the ServiceAccount of an object without access is read. The operator may read ServiceAccounts of single
/// namespaces only, so it cannot watch them.
const ACCOUNT_READ: SignedDuration = SignedDuration::from_mins(1);
/// The reason of a status that cannot be written.
const NOT_WRITTEN: &str = "StatusNotWritten";
/// How many conflicts in a row are not reported.
const QUIET_CONFLICTS: u32 = 3;

/// The status is as it should be. `failed`: the last attempt to write it had failed.
pub(super) fn status_is_written(failed: bool) {
    if failed {
        tracing::info!("the status is written again");
    }
}

/// Whether a Job failed. Its result is read once, and the next attempt is no failure while it runs: the status has the count.
fn of_a_job(want: Option<&Desired>, attempts: &Attempts) -> bool {
    let runs_jobs = want.and_then(|want| want.strategy.as_ref()).is_some_and(Strategy::runs_jobs);
    let of_target = |attempt: &Attempt| match attempt {
        Attempt::Step(key) => matches!(key.kind(), StepKind::Apply | StepKind::Verify | StepKind::Abandon | StepKind::Check),
        Attempt::Read => false,
    };
    runs_jobs && attempts.failed.iter().any(|(attempt, _)| of_target(attempt))
}

impl Reconciler<'_> {
    /// Writes the status, and says when to reconcile again.
    pub(super) async fn finish(
        &mut self,
        want: Option<&Desired>,
        outcome: &Outcome,
        attempts: Attempts,
        started: Timestamp,
    ) -> ReconcileResult {
        let now = (self.ctx.clock)();
        let uid = self.uid();
        let before = self.object.status.clone().unwrap_or_default();
        let failed = !attempts.failed.is_empty();
        let steps: Vec<StepKind> = self.journal.kinds().collect();
        let mut result = ReconcileResult { again: None, changed: steps.iter().any(|step| !step.reads()), failed };
        self.stirs();
        self.saw(outcome);
        // One that waits has tried nothing.
        if matches!(outcome, Outcome::Assessed { .. } | Outcome::Invalid { .. }) {
            self.ctx.memory.failed_no_more(&uid);
        }
        let namespace_suspends = self.namespace.as_ref().map(|namespace| namespace.suspension().is_some());
        let attempts = Attempts { unreported: self.ctx.memory.unreported(&uid, now), namespace_suspends, ..attempts };
        if let Some(delay) = self.quiet(&before, &attempts).filter(|_| !of_a_job(want, &attempts)) {
            self.ctx.memory.keep_quiet(&uid, now);
            // A large future, of a rare case.
            Box::pin(self.tell_repair(want, outcome, &attempts, &steps, now)).await;
            result.again = Some(at_least_a_second(delay));
            return result;
        }
        self.ctx.memory.reported(&uid);
        let after = self.next_status(want, outcome, &attempts, now);
        if after != before && self.watched.is_used() && !matches!(outcome, Outcome::Failed { .. }) {
            // Time has passed since it was compared. The next reconcile reads what this one only saw in watches.
            result.again = Some(at_least_a_second(SignedDuration::ZERO));
            return result;
        }
        let entries = self.entries(&before, &after).await;
        // The next reconcile does not tell it, if this status cannot be written.
        if let Some(note) = status::events::of_mirror(&before, &after, &steps, self.rival.as_deref()) {
            self.ctx.events.publish(&self.object, &note).await;
        }
        if after == before {
            status_is_written(self.ctx.memory.is_as_written(&uid));
            self.audit(&entries);
        } else {
            match self.write_status(&before, &after, &entries, now).await {
                Ok(()) => {}
                Err(until) => {
                    result.again = Some(at_least_a_second(until.duration_since(now)));
                    return result;
                }
            }
            result.changed = true;
            self.record_conditions(&before, &after, &self.logged(&attempts));
            if let Some(until) = status::delayed(&before, &after) {
                tracing::info!(reason = "RequestDelayed", %until, "a request waits");
                self.ctx.metrics.request_delayed();
            }
            if let Some((_, refusal)) = status::rollback_refused(&before, &after) {
                tracing::warn!(reason = "RollbackRefused", message = refusal.sentence(), "a request is refused");
                self.ctx.metrics.failure("RollbackRefused");
            }
            if let Some(took) = status::rolled_out(&before, &after) {
                self.ctx.metrics.rolled_out(took.unsigned_abs());
            }
            if let Some(entry) = status::recorded(&before, &after) {
                self.record_version(want, entry);
            }
        }
        for note in status::event_notes(&before, &after) {
            self.ctx.events.publish(&self.object, &note).await;
        }
        tracing::debug!(?steps, took = %now.duration_since(started), "reconcile ended");
        result.again = Some(at_least_a_second(self.again(want, outcome, &after, now)));
        result
    }

    /// The Event of a repaired Secret. The status is not written, so the next reconcile does not know of it.
    async fn tell_repair(&self, want: Option<&Desired>, outcome: &Outcome, attempts: &Attempts, steps: &[StepKind], now: Timestamp) {
        let before = self.object.status.clone().unwrap_or_default();
        let after = status::write(&self.object, want, outcome, attempts, now);
        let note = status::events::of_mirror(&before, &after, steps, self.rival.as_deref());
        if let Some(note) = note.filter(|note| note.reason == status::events::MIRROR_REPAIRED) {
            self.ctx.events.publish(&self.object, &note).await;
        }
    }

    /// The delay after failures that pass by themselves and are the first after a reconcile that carried everything out:
    /// they are counted in the metrics, and reported if the next attempt fails too.
    fn quiet(&self, before: &RotatedSecretStatus, attempts: &Attempts) -> Option<SignedDuration> {
        let classes: Vec<Class> = attempts.failed.iter().map(|(_, failed)| failed.failure.class).collect();
        let generation = self.object.metadata.generation;
        let ready = before.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True" && c.observed_generation == generation);
        if classes.is_empty() || before.failures.is_some() || !ready || !classes.iter().all(|class| class.is_transient()) {
            return None;
        }
        let most = if classes.iter().all(|class| *class == Class::Conflict) { QUIET_CONFLICTS } else { 1 };
        let so_far = attempts.unreported.map_or(0, |(count, _)| count);
        let delays = classes.iter().map(|class| backoff::delay(*class, so_far.saturating_add(1), self.seed()));
        // The clock shows whole seconds.
        delays.max().filter(|_| so_far < most).map(|delay| SignedDuration::from_secs(delay.as_secs().max(1)))
    }

    /// Writes the status, and before that `entries` to the audit stream. `Err`: when to reconcile again.
    pub(super) async fn write_status(
        &mut self,
        before: &RotatedSecretStatus,
        after: &RotatedSecretStatus,
        entries: &[Entry],
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let (uid, revision) = (self.uid(), self.object.resource_version().unwrap_or_default());
        match self.ctx.memory.permit(&uid, before, after, now) {
            Permit::Write => {}
            Permit::WriteContested => self.contested().await,
            Permit::WaitUntil(until) => return Err(until),
        }
        // If this process has replaced this revision, the cache is old, and the lines were written then.
        if !self.ctx.memory.superseded(&uid, &revision) {
            self.audit(entries);
            self.ctx.audit.flush().await;
        }
        match object::write_status(&self.ctx.client, &self.object, after).await {
            Ok(written) => {
                self.object = written;
                let [recorded, earlier] = [after, before].map(|status| status.staged.as_ref().map(|staged| &staged.version_id));
                // With another step, AWS has the version, and the record was lost.
                let unsent = || after.staged.as_ref().is_some_and(|staged| staged.step == StagedStep::Stage);
                if let Some(version) = recorded.filter(|_| recorded != earlier && unsent()) {
                    self.ctx.memory.announces(&uid, &VersionId::from(version.clone()), now);
                }
                status_is_written(self.ctx.memory.wrote(&uid, after, now));
                self.ctx.memory.supersedes(&uid, &revision);
                Ok(())
            }
            // The cache was old. Nothing is lost: the next reconcile reports again.
            Err(failure) if failure.class == Class::Conflict => {
                tracing::debug!("the status was not written: the object changed meanwhile");
                Err(now)
            }
            Err(failure) => Err(self.cannot_write(&failure, now).await),
        }
    }

    /// A reconcile failed. Without a status that can be written, each attempt fails in the same way: logged once an hour.
    pub(super) fn log_failure(&self, failure: &Failure) {
        let (reason, message, request_id) = (failure.reason.as_str(), &failure.message, failure.request_id.as_deref());
        if self.ctx.memory.fails_again(&self.uid(), reason) {
            tracing::debug!(reason, message, request_id, "the reconcile failed again");
        } else {
            tracing::warn!(reason, message, request_id, "the reconcile failed");
        }
    }

    /// Without a status, the next reconcile would repeat what this one did. So the object waits. Told once, until a
    /// status is written: at once if it was refused, otherwise if the next attempt fails too.
    async fn cannot_write(&self, failure: &Failure, now: Timestamp) -> Timestamp {
        let reason = failure.reason.as_str();
        let NotWritten { until, count, logged } =
            self.ctx.memory.cannot_write(&self.uid(), self.object.metadata.generation, self.seed(), reason, now);
        self.ctx.metrics.failure(NOT_WRITTEN);
        let message = &failure.message;
        if logged {
            tracing::debug!(reason = NOT_WRITTEN, cause = reason, message, %until, "the status cannot be written again");
        } else {
            tracing::warn!(reason = NOT_WRITTEN, cause = reason, message, "the status cannot be written");
        }
        let told_at = if matches!(failure.class, Class::Denied | Class::Invalid) { 1 } else { 2 };
        if count == told_at {
            let note = format!(
                "the status of this object cannot be written: it may look Ready, and the operator tries again once in two minutes: {}",
                failure.message
            );
            let note = EventNote { warning: true, reason: "StatusNotWritten".to_owned(), action: "Report", note };
            self.ctx.events.publish(&self.object, &note).await;
        }
        until
    }

    /// Another writer replaces the status, and this is not the first time.
    async fn contested(&self) {
        let writer = object::status_writer(&self.ctx.client, &self.object).await;
        let writer = writer.as_deref().unwrap_or("unknown");
        let note = format!(
            "another writer (field manager {writer}) replaces the status of this object: if two operators reconcile it, make their \
             --namespaces or --object-selector disjoint, or stop one; until then the status is written once a minute"
        );
        tracing::warn!(reason = "StatusContested", writer, "another writer replaces the status");
        self.ctx.metrics.failure("StatusContested");
        let note = EventNote { warning: true, reason: "StatusContested".to_owned(), action: "Report", note };
        self.ctx.events.publish(&self.object, &note).await;
    }

    fn again(&self, want: Option<&Desired>, outcome: &Outcome, status: &RotatedSecretStatus, now: Timestamp) -> SignedDuration {
        let next = status.failures.as_ref().and_then(|failures| failures.next_attempt_time.as_ref());
        let retry = next.map(|at| at.0.duration_since(now));
        // The attempt goes on, and says itself when to look again.
        let goes_on = self.journal.going_on().next().is_some();
        let retry = retry.filter(|retry| retry.is_positive() || !goes_on);
        let soonest = match outcome {
            Outcome::Failed { .. } if retry.is_none() => SOON,
            Outcome::Failed { .. } | Outcome::Waiting { .. } | Outcome::Invalid { .. } => self.resync(),
            Outcome::Assessed { seen, assessment, .. } => {
                let soonest = match assessment {
                    _ if assessment.awaits_consistency() => SOON,
                    // What is refused, failed or in progress may depend on more than the feed tells.
                    Assessment::Examined(examined) if status.failures.is_none() && examined.is_at_rest() => {
                        self.until_next(want, seen, now)
                    }
                    _ => self.resync(),
                };
                assessment.wake().map_or(soonest, |wake| wake.duration_since(now).min(soonest))
            }
        };
        let expiry = status.mirror.as_ref().and_then(|mirror| mirror.not_after.as_ref());
        let expires = expiry.map(|at| at.0.duration_since(now)).filter(SignedDuration::is_positive);
        let account = self.lacks_access(status).then_some(ACCOUNT_READ);
        [retry, expires, account].into_iter().flatten().min().map_or(soonest, |earlier| earlier.min(soonest))
    }

    /// Whether a change of the ServiceAccount may be what the object waits for.
    fn lacks_access(&self, status: &RotatedSecretStatus) -> bool {
        let reasons = [Reason::IdentityRefused, Reason::IdentityNotAllowed, Reason::AccessDenied];
        let denied = || status.conditions.iter().any(|condition| reasons.iter().any(|reason| condition.reason == reason.as_str()));
        self.object.spec.aws.service_account_ref.is_some() && self.ctx.policy.service_accounts && denied()
    }

    /// The resync period.
    pub(super) fn resync(&self) -> SignedDuration {
        self.spread(self.ctx.refresh_interval)
    }

    /// The interval within ten percent for each object, so that a thousand do not reconcile at once.
    pub(super) fn spread(&self, interval: SignedDuration) -> SignedDuration {
        let spread = i32::try_from(self.seed() % 201).unwrap_or(100).saturating_sub(100);
        interval.saturating_add(interval.checked_div(1000).unwrap_or_default().saturating_mul(spread))
    }

    pub(super) fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    fn seed(&self) -> u128 {
        VersionIds::of(&self.uid()).seed()
    }

    /// AWS is not read again yet. Says whether the Secret is there: it is not created again before AWS can be read.
    pub(super) async fn wait(&mut self, want: &Desired, waits: status::Waits, started: Timestamp) -> ReconcileResult {
        let outcome = Outcome::Waiting { secret_exists: self.secret_exists(want).await };
        let steps = waits.steps.into_iter().map(|(key, _)| Attempt::Step(key));
        let attempts = Attempts { held: steps.chain([Attempt::Read]).collect(), ..Attempts::default() };
        self.finish(Some(want), &outcome, attempts, started).await
    }

    /// Whether there is a Secret of the target's name; `None`: none is declared, or it cannot be read.
    pub(super) async fn secret_exists(&self, want: &Desired) -> Option<bool> {
        let target = want.target.as_ref()?;
        mirror::read(&self.ctx.client, &self.object, target, None).await.ok().map(|found| found.is_some())
    }

    /// Why nothing is done for an object that names another Secret than the one that it has. The API server does not accept
    /// such a change. A second Secret would hold the value where nobody expects it, and the first one would stay as it is.
    pub(super) async fn renamed(&self, want: &Desired) -> Option<Refusal> {
        let target = want.target.as_ref().filter(|_| !want.suspended)?;
        let reported = &self.object.status.as_ref()?.mirror.as_ref()?.secret_name;
        if *reported == target.name {
            return None;
        }
        match mirror::read_by_name(&self.ctx.client, &self.object, reported).await {
            Ok(found) => found.filter(|found| found.facts.ours).map(|_| {
                Refusal::new(
                    Reason::InvalidSpec,
                    format!(
                        "spec.target.name cannot be changed: it is {}, and the Secret of this object is {reported}; create another object for \
                         another Secret, or delete the Secret {reported}, and the operator creates {}",
                        target.name, target.name
                    ),
                )
            }),
            Err(failure) => Some(Refusal::new(failure.reason, failure.message)),
        }
    }

    /// Whether the Secret exists that the status reports; `None`: it reports none, or the Secret cannot be read.
    pub(super) async fn reported_secret_exists(&self) -> Option<bool> {
        let name = &self.object.status.as_ref()?.mirror.as_ref()?.secret_name;
        mirror::read_by_name(&self.ctx.client, &self.object, name).await.ok().map(|found| found.is_some())
    }
}
