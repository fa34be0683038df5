//! One turn for one object: observe, plan, act, until there is nothing left to do; then report once.

mod instrument;
mod act;
mod authorize;
mod observe;
mod place;
mod settings;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Client, ResourceExt};
use tracing::Instrument as _;

use crate::api::{FINALIZER, RotatedSecret};
use crate::aws::{Address, Aws, Description, SecretsManager, Selector, Version};
use crate::backoff::Class;
use crate::kubernetes::events::Events;
use crate::kubernetes::{mirror, object};
use crate::desired::{Desired, Policy, Refusal};
use crate::failure::Failure;
use crate::version_id::VersionId;
use crate::metrics::Metrics;
use crate::plan::{Next, Observed, Place, Rest, Step, Unfit, plan, plan_cleanup};
use crate::status::{self, EventNote, Outcome};

/// The most steps that one turn may take. An AWS secret that comes back and is taken over, with every setting to
/// mend and replicas in sixteen regions, needs thirty-four; more means two facts that never agree.
const MOST_STEPS: usize = 48;
/// How soon to look again while AWS is settling.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// What every turn needs.
pub struct Context {
    /// Kubernetes.
    pub client: Client,
    /// AWS.
    pub aws: Aws,
    /// The administrator's decisions.
    pub policy: Policy,
    /// The time, in whole seconds: the API server keeps no more.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// For the owners of objects.
    pub events: Events,
    /// For the owners of the operator.
    pub metrics: Metrics,
    /// How long an object without news may go without a look.
    pub refresh_interval: SignedDuration,
    /// A mechanism to leave out.
    #[cfg(feature = "weakened")]
    pub weakness: Option<Weakness>,
}

/// Mechanisms that a test takes away to show that the crash plans notice.
#[cfg(feature = "weakened")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// A version's id does not follow from its cause.
    RandomVersions,
    /// The mirror gets the value that was made here, not the one that AWS holds.
    NoReadBack,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When to look again; `None`: when something changes.
    pub again: Option<Duration>,
    /// Whether anything was written.
    pub changed: bool,
    /// Whether it ended in a failure.
    pub failed: bool,
}

/// Runs one turn. Never fails: a failure is reported in the object's status and leads to another turn.
pub async fn turn(object: &RotatedSecret, ctx: &Context) -> Turn {
    let now = (ctx.clock)();
    if let Some(until) = status::backing_off(object, now)
        && !mirror_gone(object, ctx).await
    {
        return Turn { again: Some(wait(until, now)), changed: false, failed: false };
    }
    let deleting = object.metadata.deletion_timestamp.is_some();
    if deleting && !object.finalizers().iter().any(|name| name == FINALIZER) {
        return Turn { again: None, changed: false, failed: false };
    }
    let mut work = Work {
        ctx,
        object: object.clone(),
        permit: None,
        acting: None,
        spent: BTreeMap::new(),
        mirror_written: false,
        wrote: None,
        rolled_back: None,
        missing: BTreeSet::new(),
        in_vain: false,
        labelled: BTreeMap::new(),
        made: BTreeMap::new(),
        secret_seen: false,
        tried: BTreeMap::new(),
        policy_seen: None,
        place: Place::AsConfigured,
        located: None,
        unfit: BTreeMap::new(),
        steps: Vec::new(),
        event_notes: Vec::new(),
        #[cfg(feature = "weakened")]
        in_memory: None,
    };
    let want = match Desired::parse(object, &ctx.policy) {
        Ok(want) => want,
        Err(refusal) => return work.finish(None, &Outcome::Invalid(refusal), now).await,
    };
    let configured = want.clone();
    let want = match work.locate(want, deleting).await {
        Ok(want) => want,
        Err(failure) => return work.fail(&configured, failure, now).await,
    };
    match work.drive(&want, deleting).await {
        Ok(None) => Turn { again: None, changed: true, failed: false },
        Ok(Some((seen, rest))) => {
            let outcome = Outcome::Rested { seen: Box::new(seen), rest: Box::new(rest) };
            work.finish(Some(&want), &outcome, now).await
        }
        Err(failure) => work.fail(&want, failure, now).await,
    }
}

/// Whether the Secret that could not be written was deleted, as the message may have asked: then there is nothing to wait for.
async fn mirror_gone(object: &RotatedSecret, ctx: &Context) -> bool {
    let refused = |c: &Condition| c.type_ == "Mirrored" && c.status == "False";
    // Without a Secret in the status there was none when the write failed: its absence is no news.
    if !object.status.as_ref().is_some_and(|status| status.mirror.is_some() && status.conditions.iter().any(refused)) {
        return false;
    }
    let Ok(Desired { target: Some(target), .. }) = Desired::parse(object, &ctx.policy) else { return false };
    matches!(mirror::look(&ctx.client, object, &target, None).await, Ok(None))
}

/// One turn under way.
struct Work<'a> {
    ctx: &'a Context,
    object: RotatedSecret,
    /// What the namespace may; found out at the first look.
    permit: Option<authorize::Authorization>,
    /// AWS, as whoever acts for this object.
    acting: Option<SecretsManager>,
    /// Version ids that AWS said are used up, and when those versions were made.
    spent: BTreeMap<VersionId, Timestamp>,
    mirror_written: bool,
    wrote: Option<(VersionId, VersionId)>,
    /// The version that has an older one's value, and that one.
    rolled_back: Option<(VersionId, VersionId)>,
    /// Versions that a person names and AWS does not have.
    missing: BTreeSet<VersionId>,
    /// The last step wrote nothing, since what it was about is not there.
    in_vain: bool,
    /// Labels of ours that were moved, and where: a look may still show them where they were.
    labelled: BTreeMap<String, Option<VersionId>>,
    /// When versions were made, of those that were read.
    made: BTreeMap<VersionId, Timestamp>,
    /// Whether there was a Secret when last looked.
    secret_seen: bool,
    /// Steps that are done once a turn, and what AWS said if it refused.
    tried: BTreeMap<String, Option<Refusal>>,
    policy_seen: Option<settings::PolicyLook>,
    /// Where the AWS secret is; found out before the first look.
    place: Place,
    /// What was seen there, for the first look.
    located: Option<Description>,
    /// Versions that were read and must not be mirrored.
    unfit: BTreeMap<VersionId, Unfit>,
    steps: Vec<&'static str>,
    event_notes: Vec<EventNote>,
    #[cfg(feature = "weakened")]
    in_memory: Option<crate::value::Payload>,
}

impl Work<'_> {
    /// Reads a version, and remembers when it was made.
    async fn read(&mut self, at: Address<'_>, which: Selector<'_>) -> Result<Version, Failure> {
        let read = self.aws()?.read(at, which).await?;
        self.made.insert(read.id.clone(), read.created);
        Ok(read)
    }

    /// As `read`; `None` when there is none.
    async fn find(&mut self, at: Address<'_>, which: Selector<'_>) -> Result<Option<Version>, Failure> {
        let found = self.aws()?.read_if_present(at, which).await?;
        if let Some(read) = &found {
            self.made.insert(read.id.clone(), read.created);
        }
        Ok(found)
    }

    /// Until there is nothing to do. `None`: the object is gone.
    async fn drive(&mut self, want: &Desired, deleting: bool) -> Result<Option<(Observed, Rest)>, Failure> {
        for _ in 0..MOST_STEPS {
            let sight = self.observe(want, deleting).await?;
            self.secret_seen = sight.mirror.is_some();
            let now = (self.ctx.clock)();
            let next = if deleting { plan_cleanup(want, &sight.seen) } else { plan(want, &sight.seen, now) };
            let step = match next {
                Next::Rest(rest) => return Ok(Some((sight.seen, rest))),
                Next::Do(step) => step,
            };
            #[cfg(feature = "weakened")]
            let step = self.weaken(step);
            // All that is said on the way carries the version.
            let span = tracing::info_span!("step", step = step.kind(), version = instrument::version_of(&step));
            let acted = async {
                tracing::info!("acting");
                self.act(want, &sight, &step).await
            };
            let acted = acted.instrument(span).await;
            // What turned out to have no object wrote nothing.
            let in_vain = std::mem::take(&mut self.in_vain);
            if !in_vain {
                self.account(want, &step, acted.is_ok());
            }
            if !self.said(&step, deleting, acted)? {
                continue;
            }
            if !in_vain {
                self.steps.push(step.kind());
            }
            if deleting && step == Step::RemoveFinalizer {
                if let Some(note) = authorize::orphaned_secret_event(want, &sight.seen) {
                    self.ctx.events.publish(&self.object, &note).await;
                }
                return Ok(None);
            }
        }
        Err(Failure::bug("the plan does not come to rest"))
    }

    /// AWS, as whoever acts for this object.
    fn aws(&self) -> Result<&SecretsManager, Failure> {
        self.acting.as_ref().ok_or_else(|| Failure::bug("AWS was asked before it was known who acts"))
    }

    async fn fail(&mut self, want: &Desired, failure: Failure, started: Timestamp) -> Turn {
        tracing::warn!(reason = %failure.reason, message = failure.message, "the turn failed");
        self.ctx.metrics.failure(failure.reason.as_str());
        let outcome = Outcome::Failed { failure, secret_seen: self.secret_seen };
        self.finish(Some(want), &outcome, started).await
    }

    /// Reports, and says when to look again.
    async fn finish(&mut self, want: Option<&Desired>, outcome: &Outcome, started: Timestamp) -> Turn {
        let now = (self.ctx.clock)();
        let before = self.object.status.clone().unwrap_or_default();
        let status = status::report(&self.object, want, outcome, now);
        let failed = matches!(outcome, Outcome::Failed { .. });
        if status != before {
            match object::write_status(&self.ctx.client, &self.object, &status).await {
                Ok(written) => {
                    self.steps.push("WriteStatus");
                    self.object = written;
                }
                Err(failure) => {
                    // The cache was behind, or the API server is away. Nothing is lost: the report is made again from the facts.
                    tracing::debug!(reason = %failure.reason, message = failure.message, "the status could not be written");
                    let delay = if failure.class == Class::Conflict { Duration::from_secs(1) } else { Duration::from_secs(15) };
                    return Turn { again: Some(delay), changed: !self.steps.is_empty(), failed };
                }
            }
            if let Some(entry) = status::news(&before, &status) {
                self.news(want, entry);
            }
        }
        let mut event_notes = std::mem::take(&mut self.event_notes);
        event_notes.extend(status::event_notes(&before, &status, &self.steps));
        for note in event_notes {
            self.ctx.events.publish(&self.object, &note).await;
        }
        let again = match outcome {
            Outcome::Failed { .. } => status
                .failures
                .as_ref()
                .and_then(|failures| failures.next_attempt_time.as_ref())
                .map_or(SOON, |at| at.0.duration_since(now)),
            Outcome::Invalid(_) => self.refresh(),
            Outcome::Rested { rest, .. } => {
                let soonest = if rest.unsettled { SOON } else { self.refresh() };
                rest.wake.map_or(soonest, |wake| wake.duration_since(now).min(soonest))
            }
        };
        tracing::debug!(steps = ?self.steps, took = %now.duration_since(started), "turn done");
        Turn { again: Some(positive(again)), changed: !self.steps.is_empty(), failed }
    }

    /// The refresh interval, each object at its own pace within ten percent, so that a thousand do not look at once.
    fn refresh(&self) -> SignedDuration {
        let seed = crate::version_id::VersionIds::of(&self.object.uid().unwrap_or_default()).seed();
        let spread = i32::try_from(seed % 201).unwrap_or(100) - 100;
        let interval = self.ctx.refresh_interval;
        interval + interval / 1000 * spread
    }
}

fn wait(until: Timestamp, now: Timestamp) -> Duration {
    positive(until.duration_since(now))
}

/// At least a second: a wait of nothing would spin while caches catch up.
fn positive(wait: SignedDuration) -> Duration {
    Duration::try_from(wait.max(SignedDuration::from_secs(1))).unwrap_or(Duration::from_secs(1))
}
