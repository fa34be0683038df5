//! Waiting for a request: shows each step, and returns the outcome.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::answer::{Answer, Outcome};
use super::conditions::condition;
use super::connect::Session;
use super::flags::Flags;
use super::interrupt::Interrupt;
use super::objects::Task;
use super::output::{self, Page};
use super::progress::{self, Asked, Asking, Steps, Verdict};
use super::{Exit, Trouble, ages};
use crate::api::condition::ConditionType;
use crate::api::{CreationPolicy, RotatedSecret, StagedStep};

/// Interval at which the status is read. The operator writes it once in each reconcile.
const PAUSE: Duration = Duration::from_millis(500);

/// Function that determines the progress of a rotation or a rollback.
type Progress = fn(&RotatedSecret, &Asked, &Flags) -> (Steps, Verdict);

/// A request that was sent.
pub(super) struct Sent {
    /// Whether the API server has confirmed it. If not, the user has interrupted the command meanwhile.
    pub(super) arrived: bool,
    pub(super) interrupt: Interrupt,
}

/// State of one wait.
pub(super) struct Wait {
    /// The request.
    pub(super) asked: Asked,
    /// The object, as last read.
    pub(super) object: RotatedSecret,
    name: String,
    asking: Asking,
    version: Option<String>,
    steps: Option<Steps>,
    /// Until when the operator holds the request back, as told.
    held: Option<Timestamp>,
    /// The step of the version on its way to a target, as told.
    staged: Option<StagedStep>,
    /// When the command started to wait.
    began: Instant,
    started: Instant,
    patience: Duration,
    waits: bool,
    aloud: bool,
    /// Other objects wait at the same time, so that each line names its own.
    several: bool,
    sent: Sent,
    flags: Flags,
}

impl Wait {
    pub(super) fn new(session: &Session, task: Task<'_>, asking: Asking, asked: Asked, object: &RotatedSecret, sent: Sent) -> Self {
        Self {
            asked,
            object: object.clone(),
            name: task.name.to_owned(),
            asking,
            version: None,
            steps: None,
            held: None,
            staged: None,
            began: Instant::now(),
            started: Instant::now(),
            patience: Duration::try_from(task.args.timeout).unwrap_or_default(),
            waits: !task.args.no_wait,
            aloud: task.args.out.is_text(),
            several: task.several,
            sent,
            flags: session.flags.clone(),
        }
    }

    /// Waits for the version that the request creates.
    pub(super) fn making(self, version: String) -> Self {
        Self { version: Some(version), steps: Some(Steps { requested: true, ..Steps::default() }), ..self }
    }

    /// Shows times since the start of `earlier`.
    pub(super) fn continuing(self, earlier: &Self) -> Self {
        Self { began: earlier.began, ..self }
    }

    /// Waits even with `--no-wait`.
    pub(super) fn in_any_case(self) -> Self {
        Self { waits: true, ..self }
    }

    /// Waits for the version that the request creates, and shows each step.
    pub(super) async fn for_version(mut self, session: &Session, progress: Progress, done: &str) -> Result<Answer, Trouble> {
        let (outcome, message) = self
            .until(session, |wait| {
                let (steps, verdict) = progress(&wait.object, &wait.asked, &wait.flags);
                let told = wait.steps.replace(steps).unwrap_or_default();
                let held = progress::held_until(&wait.object, wait.asking).filter(|_| !steps.current);
                if let Some(until) = held.filter(|_| wait.held != held) {
                    wait.held = held;
                    wait.tell("waits", &progress::holds_back(until))?;
                }
                wait.tell_staged()?;
                if steps.current && !told.current {
                    wait.tell("current", &format!("AWS holds version {}", wait.version.as_deref().unwrap_or_default()))?;
                }
                if steps.mirrored && !told.mirrored {
                    wait.tell("mirrored", &mirrored(&wait.object))?;
                }
                if steps.rolled_out == Some(true) && told.rolled_out != Some(true) {
                    wait.tell("rolled out", "every workload is healthy with it")?;
                }
                Ok(verdict)
            })
            .await?;
        self.end(session, outcome, message, done)
    }

    /// Says how far the version is on its way to a target.
    fn tell_staged(&mut self) -> Result<(), Trouble> {
        let staged = self.object.status.as_ref().and_then(|status| status.staged.as_ref());
        let step = staged.filter(|staged| Some(&staged.version_id) == self.version.as_ref()).map(|staged| staged.step);
        if step == self.staged {
            return Ok(());
        }
        self.staged = step;
        let version = self.version.as_deref().unwrap_or_default();
        match step {
            Some(StagedStep::Stage) => self.tell("recorded", &format!("version {version} is recorded and is staged next")),
            Some(StagedStep::Apply) => self.tell("staged", "AWS holds the version with AWSPENDING; next the target gets it"),
            Some(StagedStep::Verify) => self.tell("applied", "the target has the version; next the operator verifies it"),
            Some(StagedStep::Abandon) => {
                self.tell("abandoned", "the version does not become current; the target gets the current one back")
            }
            None => Ok(()),
        }
    }

    /// Waits until the operator acknowledges the refresh.
    pub(super) async fn for_refresh(
        mut self,
        session: &Session,
        judge: fn(&RotatedSecret, &Asked) -> Verdict,
        done: &str,
    ) -> Result<Answer, Trouble> {
        let (outcome, message) = self.until(session, |wait| Ok(judge(&wait.object, &wait.asked))).await?;
        self.end(session, outcome, message, done)
    }

    /// Waits until the status says which versions AWS has. The inner `Err` is the reason why it does not; the rollback is
    /// not requested then.
    pub(super) async fn for_labels(&mut self, session: &Session) -> Result<Result<(), Answer>, Trouble> {
        let (outcome, message) = self.until(session, |wait| Ok(progress::labels_seen(&wait.object, &wait.asked, &wait.flags))).await?;
        if outcome == Outcome::Done {
            return Ok(Ok(()));
        }
        let message = format!("AWSPREVIOUS is not known, so no rollback was requested: {message}");
        Ok(Err(Answer::unasked(session, &self.name, outcome, message)))
    }

    /// Shows that the request was made.
    pub(super) fn requested(&self, what: &str) -> Result<(), Trouble> {
        if self.sent.arrived { self.tell("requested", what) } else { Ok(()) }
    }

    /// Prints one step, unless the output is for a program.
    pub(super) fn tell(&self, step: &str, what: &str) -> Result<(), Trouble> {
        if !self.aloud {
            return Ok(());
        }
        let waited = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        let name = if self.several { format!("{}   ", self.name) } else { String::new() };
        output::write(&Page::of(&format!("{:>5}   {name}{step:<9}   {what}", ages::human(waited))))
    }

    /// Reads the object until there is a verdict or the user interrupts the command.
    async fn until(
        &mut self,
        session: &Session,
        judge: impl FnMut(&mut Self) -> Result<Verdict, Trouble>,
    ) -> Result<(Outcome, String), Trouble> {
        if !self.sent.arrived {
            let message = "interrupted while the request was sent, so that it may be on the object";
            return Ok((Outcome::Interrupted, message.to_owned()));
        }
        if !self.waits {
            return Ok((Outcome::Requested, String::new()));
        }
        let interrupt = self.sent.interrupt.clone();
        tokio::select! {
            biased;
            ended = self.watch(session, judge) => ended,
            () = interrupt.received() => Ok((Outcome::Interrupted, "interrupted before the result was known".to_owned())),
        }
    }

    /// Tries again if the API server does not respond.
    async fn watch(
        &mut self,
        session: &Session,
        mut judge: impl FnMut(&mut Self) -> Result<Verdict, Trouble>,
    ) -> Result<(Outcome, String), Trouble> {
        loop {
            let over = self.started.elapsed() >= self.patience;
            match session.object(&self.name).await {
                Ok(object) if object.uid() != self.object.uid() => {
                    let message = format!("{} was deleted and created again; the request was deleted with the old object", self.name);
                    return Err(Trouble::wrong(message));
                }
                Ok(object) => {
                    self.object = object;
                    let verdict = judge(self)?;
                    if let Some(ended) = self.ended(verdict, over || self.held_too_long(session.now())) {
                        return Ok(ended);
                    }
                }
                Err(trouble) if trouble.exit == Exit::Wrong || over => return Err(trouble),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE.min(self.patience)).await;
        }
    }

    /// The outcome, if there is one. `over`: the time is up.
    fn ended(&self, verdict: Verdict, over: bool) -> Option<(Outcome, String)> {
        Some(match verdict {
            Verdict::Done => (Outcome::Done, String::new()),
            Verdict::DoneUnready(why) => (Outcome::Done, format!("; the object is not Ready for another reason: {why}")),
            Verdict::NotMirrored(why) => (Outcome::NotMirrored, self.only_in_aws(&why)),
            Verdict::NotRolledOut(why) => (Outcome::NotRolledOut, self.not_rolled_out(&why)),
            Verdict::Refused(why) => (Outcome::Refused, why),
            Verdict::Wait if !over => return None,
            Verdict::Wait => {
                let waited = ages::human(SignedDuration::try_from(self.patience).unwrap_or_default());
                let late = progress::late(&self.object, self.asking, &self.asked, &waited, &self.flags);
                match self.steps.unwrap_or_default() {
                    Steps { mirrored: true, rolled_out: Some(false), .. } => {
                        let waits = condition(&self.object, ConditionType::RolledOut).filter(|rolled_out| rolled_out.status == "False");
                        let why = waits.map_or(late, |waits| format!("not done within {waited}: {}", waits.message));
                        (Outcome::NotRolledOut, self.not_rolled_out(&why))
                    }
                    Steps { mirrored: true, .. } => (Outcome::Done, format!("; the object is not Ready yet: {late}")),
                    Steps { current: true, .. } => (Outcome::TimedOut, self.only_in_aws(&late)),
                    _ => (Outcome::TimedOut, late),
                }
            }
        })
    }

    /// Whether the operator holds the request back for longer than the command waits.
    fn held_too_long(&self, now: Timestamp) -> bool {
        let left = SignedDuration::try_from(self.patience.saturating_sub(self.started.elapsed())).unwrap_or_default();
        let held = progress::held_until(&self.object, self.asking).filter(|_| !self.steps.unwrap_or_default().current);
        held.is_some_and(|until| until.duration_since(now) > left)
    }

    fn only_in_aws(&self, why: &str) -> String {
        let version = self.version.as_deref().unwrap_or_default();
        format!("version {version} is current in AWS, so do not repeat the request; the Secret does not hold it: {why}")
    }

    fn not_rolled_out(&self, why: &str) -> String {
        let version = self.version.as_deref().unwrap_or_default();
        format!("the Secret holds version {version}, so do not repeat the request; the workloads do not run with it: {why}")
    }

    fn end(self, session: &Session, outcome: Outcome, message: String, done: &str) -> Result<Answer, Trouble> {
        let message = match outcome {
            Outcome::Done => format!("{done}{message}"),
            Outcome::Requested => format!("{} shows the result", self.flags.plugin(&format!("status {}", self.name))),
            _ => message,
        };
        let made = self.steps.is_some_and(|steps| steps.current);
        let waits = outcome != Outcome::Done && !made && (outcome == Outcome::Requested || self.still_asked());
        let withdraw = waits.then(|| self.flags.plugin(&format!("{} {} --cancel", self.asking.verb(), self.name)));
        let ready = self.steps.is_none_or(|steps| steps.ready);
        let answer = Answer {
            token: Some(self.asked.token.clone()),
            version_id: self.version.clone(),
            steps: self.steps,
            withdraw,
            ..Answer::unasked(session, &self.name, outcome, message)
        };
        if outcome == Outcome::Done && self.aloud {
            self.tell(if ready { "ready" } else { "done" }, &answer.message)?;
        }
        Ok(answer)
    }

    /// Whether the request is on the object and not acknowledged, as far as the last read shows.
    fn still_asked(&self) -> bool {
        let answered = progress::requests(&self.object);
        let answered = match self.asking {
            Asking::Rotate => answered.rotate,
            Asking::RollBack => answered.rollback,
            Asking::Refresh => answered.refresh,
        };
        answered.as_ref() != Some(&self.asked.token)
    }
}

/// State of the Secret, as a sentence.
fn mirrored(object: &RotatedSecret) -> String {
    let secret = object.status.as_ref().and_then(|status| status.mirror.as_ref()).map(|mirror| mirror.secret_name.as_str());
    match secret {
        Some(secret) if progress::pinned(object) => format!("Secret {secret} is pinned and does not change"),
        Some(secret) if object.spec.target.creation_policy == CreationPolicy::Owner => format!("Secret {secret} holds it"),
        _ => "no Secret is declared".to_owned(),
    }
}
