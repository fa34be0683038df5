//! A step as a Job. A Job outlasts a reconcile: it is created and looked at, and the step goes on until it has ended.

use jiff::SignedDuration;

use super::reconciler::Reconciler;
use crate::aws::{Address, Selector};
use crate::backoff::Class;
use crate::command::ObjectRef;
use crate::desired::{Kind, Strategy, jobs_not_allowed};
use crate::failure::Failure;
use crate::journal::{Effect, GoesOn};
use crate::kubernetes::job::Jobs;
use crate::status;
use crate::step::Step;
use crate::strategy::job::{self, Answer, Ask, Begun, Stop, Values};
use crate::strategy::webhook::{self, Failure as Obstacle, ObjectName, ReceiverReason};
use crate::version_id::VersionId;

/// How soon to look at a Job again: soon at first, later more seldom. A Job says nothing by itself, because the operator would
/// need the right to watch the Jobs of a namespace.
const SOONEST: SignedDuration = SignedDuration::from_secs(2);
const LATEST: SignedDuration = SignedDuration::from_secs(30);

/// A step, and the versions whose values it gets.
pub(super) struct ByJob<'a> {
    /// Apply, Verify, Abandon or Check.
    pub(super) step: &'a Step,
    pub(super) version: &'a VersionId,
    /// The version that is current, if it is another one.
    pub(super) current: Option<&'a VersionId>,
    pub(super) previous: Option<&'a VersionId>,
}

/// How the step stands.
pub(super) enum Progress {
    Done,
    GoesOn(Effect),
    /// It was not done. With what says so, for the message.
    Stopped(Obstacle, String),
}

impl Reconciler<'_> {
    /// Creates the Job of a step, or looks at it.
    pub(super) async fn ask_job(
        &mut self,
        of: ObjectRef<'_>,
        strategy: &Strategy,
        at: Address<'_>,
        asked: ByJob<'_>,
    ) -> Result<Progress, Failure> {
        let Kind::Job { template, timeout } = &strategy.kind else { return Err(Failure::bug("a Job of a target that has none")) };
        let (client, uid) = (self.ctx.client.clone(), self.uid());
        let jobs = Jobs { client: &client, namespace: of.namespace, uid: &uid };
        let ask = Ask {
            step: named(asked.step)?,
            object: ObjectName { namespace: of.namespace, name: of.name, uid: &uid },
            version: asked.version.as_str(),
            current: asked.current.map(VersionId::as_str),
            template,
            timeout: *timeout,
        };
        let answer = match job::proceed(&jobs, &ask).await {
            Ok(Answer::Needs(needs)) => {
                let first = self.read(at, Selector::Version(asked.version)).await?.value;
                let current = match asked.current {
                    Some(current) => Some(self.read(at, Selector::Version(current)).await?.value),
                    None => None,
                };
                let previous = match asked.previous {
                    Some(previous) => self.find(at, previous).await?.map(|read| read.value),
                    None => None,
                };
                let values = match ask.step {
                    webhook::Step::Check => Values { current: Some(&first), ..Values::default() },
                    _ => Values { pending: Some(&first), current: current.as_ref(), previous: previous.as_ref() },
                };
                job::begin(&jobs, &ask, &needs, &values, rand::random()).await.map(Answer::Runs)
            }
            answer => answer,
        };
        let step: &str = ask.step.into();
        match answer {
            Ok(Answer::Done) => {
                tracing::info!(job = ask.name(), "the Job did its step");
                Ok(Progress::Done)
            }
            Ok(Answer::Runs(begun)) => Ok(Progress::GoesOn(self.goes_on(asked.step, step, &begun))),
            Ok(Answer::Needs(_)) => Err(Failure::bug("a Job that has its values needs them")),
            Err(Stop::Kubernetes(failure)) => Err(failure),
            Err(Stop::Ended { problem, job }) => {
                let (who, code) = match job {
                    Some((job, code)) => (format!("Job {job} (made from CronJob {template})"), code),
                    None => (format!("CronJob {template}"), None),
                };
                Ok(Progress::Stopped(Obstacle { problem, reason: code.map(ReceiverReason::exit_code) }, who))
            }
        }
    }

    fn goes_on(&self, step: &Step, word: &str, begun: &Begun) -> Effect {
        let now = (self.ctx.clock)();
        let age = begun.created.map_or(SignedDuration::ZERO, |created| now.duration_since(created));
        let wait = age.checked_div(4).unwrap_or_default().clamp(SOONEST, LATEST);
        let until = now.saturating_add(wait).unwrap_or(now);
        let what = if begun.earlier {
            format!("step {word} waits until Job {} and its pods are gone", begun.job)
        } else {
            format!("step {word} goes on in Job {}", begun.job)
        };
        tracing::info!(job = begun.job, earlier = begun.earlier, "the step goes on in a Job");
        Effect::GoesOn(GoesOn { until, what, after: status::failed_before(&self.object, &step.key()) })
    }
}

/// Why a staged version is not abandoned while no Jobs are allowed.
pub(super) fn not_allowed() -> Failure {
    let refusal = jobs_not_allowed();
    Failure { class: Class::Denied, reason: refusal.reason, message: refusal.message, request_id: None }
}

fn named(step: &Step) -> Result<webhook::Step, Failure> {
    match step {
        Step::Apply { .. } => Ok(webhook::Step::Apply),
        Step::Verify { .. } => Ok(webhook::Step::Verify),
        Step::Abandon { .. } => Ok(webhook::Step::Undo),
        Step::Check { .. } => Ok(webhook::Step::Check),
        _ => Err(Failure::bug("a Job for a step of no target")),
    }
}
