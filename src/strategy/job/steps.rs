//! One step as a Job: it is created, runs, and its result is read. Each call does what can be done now.

use jiff::Timestamp;
use serde_json::Value;

use super::ask::Ask;
use super::manifest::{job_template, manifest};
use super::port::{Created, Port};
use super::seen::{End, Held, Seen};
use super::values::{Values, secret};
use crate::failure::Failure;
use crate::strategy::webhook::Step;
use crate::strategy::{Problem, Refused};

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The Job did it.
    Done,
    /// It goes on.
    Runs(Begun),
    /// It needs the values: [`begin`] is next.
    Needs(Needs),
}

/// A Job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its name.
    pub job: String,
    /// When it was created, by the clock of the API server.
    pub created: Option<Timestamp>,
    /// It is an earlier one, which ends first.
    pub earlier: bool,
}

/// A Job that is to be created, or that lacks its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    job_template: Value,
    existing: Option<Seen>,
}

/// Why a step does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The Job ended without doing it, or there can be none.
    Ended {
        /// The closed word.
        problem: Problem,
        /// The Job, and its exit code if that is known.
        job: Option<(String, Option<u8>)>,
    },
    /// Kubernetes did not do what was asked for.
    Kubernetes(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Kubernetes(failure)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Ended { problem: refused.into(), job: None }
    }
}

fn runs(job: &Seen, earlier: bool) -> Answer {
    Answer::Runs(Begun { job: job.name.clone(), created: job.created, earlier })
}

/// What can be done without the values.
///
/// # Errors
/// That the step was not done, and why.
pub async fn proceed(port: &impl Port, ask: &Ask<'_>) -> Result<Answer, Stop> {
    let (name, jobs, held) = (ask.name(), port.jobs().await?, port.secrets().await?);
    let own = jobs.iter().find(|job| job.name == name);
    // The values are taken away at the end of a Job, whatever becomes of the step.
    let unread = match own {
        Some(own) => take_away(port, own, &held).await?,
        None => false,
    };
    let template = port.template(ask.template).await?.ok_or(Refused::TemplateMissing)?;
    let job_template = job_template(&template, ask)?;
    let inputs = ask.inputs(job_template);
    let valid = own.filter(|own| !own.deleting && own.inputs.as_ref() == Some(&inputs) && own.values.is_some());
    let succeeded = valid.is_some_and(|own| own.end == Some(End::Succeeded)) && (ask.lasts() || unread);
    if succeeded && ask.step != Step::Undo {
        return Ok(Answer::Done);
    }
    for job in jobs.iter().filter(|job| job.name != name) {
        take_away(port, job, &held).await?;
        // What was verified before it is applied again does not count.
        let stale = ask.step == Step::Apply && job.name == (Ask { step: Step::Verify, ..*ask }).name();
        if stale && !job.runs() && !job.deleting {
            port.delete(job).await?;
        }
    }
    // One Job of an object at a time: a version that is undone must not be applied afterwards.
    if let Some(other) = jobs.iter().find(|job| job.name != name && job.runs()) {
        for job in jobs.iter().filter(|job| job.runs() && !job.deleting) {
            port.delete(job).await?;
        }
        // One that has ended may have been overtaken by the other one.
        if let Some(own) = own.filter(|own| !own.runs() && !own.deleting) {
            port.delete(own).await?;
        }
        return Ok(runs(other, true));
    }
    if succeeded {
        return Ok(Answer::Done);
    }
    match (own, valid) {
        (None, _) => Ok(Answer::Needs(Needs { job_template: job_template.clone(), existing: None })),
        (Some(own), Some(_)) if own.runs() => {
            let has_values = held.iter().any(|held| held.job == own.uid);
            let needs = || Answer::Needs(Needs { job_template: job_template.clone(), existing: Some(own.clone()) });
            Ok(if has_values { runs(own, false) } else { needs() })
        }
        (Some(own), Some(Seen { end: Some(end), .. })) if unread => {
            let code = if let End::Refused(code) = end { *code } else { None };
            let problem = end.problem().unwrap_or(Refused::JobRefused.into());
            Err(Stop::Ended { problem, job: Some((own.name.clone(), code)) })
        }
        // Its result was read before, or counts for something else. The next attempt has the same name, so this one ends first.
        (Some(own), _) => {
            if !own.deleting {
                port.delete(own).await?;
            }
            Ok(runs(own, true))
        }
    }
}

/// Empties the Secret of a Job that has ended. Says whether it had values: then nobody has read the result of the Job.
async fn take_away(port: &impl Port, job: &Seen, held: &[Held]) -> Result<bool, Stop> {
    let Some(secret) = held.iter().find(|held| held.job == job.uid && !held.read && !job.runs()) else { return Ok(false) };
    port.empty(secret).await?;
    Ok(true)
}

/// Creates the Job, and the Secret with its values. The pods wait for the Secret. `suffix`: makes the name of the Secret
/// another one for each attempt.
///
/// # Errors
/// That there can be no Job, and why.
pub async fn begin(port: &impl Port, ask: &Ask<'_>, needs: &Needs, values: &Values<'_>, suffix: u32) -> Result<Begun, Stop> {
    if let Some(job) = &needs.existing {
        let name = job.values.clone().unwrap_or_default();
        port.hold(&secret(ask, &name, (&job.name, &job.uid), values)).await?;
        return Ok(Begun { job: job.name.clone(), created: job.created, earlier: false });
    }
    let job = ask.name();
    let name = format!("{job}-{suffix:08x}");
    let created = port.create(&manifest(&needs.job_template, ask, &name)?).await?;
    match created {
        Created::Now(uid) => port.hold(&secret(ask, &name, (&job, &uid), values)).await?,
        // Another replica was faster, and gives it the values; or it is not ours.
        Created::Exists if port.jobs().await?.iter().any(|seen| seen.name == job) => {}
        Created::Exists => return Err(Refused::JobNameTaken.into()),
        Created::Invalid => return Err(Refused::TemplateUnusable.into()),
    }
    Ok(Begun { job, created: None, earlier: false })
}

#[cfg(test)]
mod tests;
