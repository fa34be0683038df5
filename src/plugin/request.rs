//! `rotate`, `rollback` and `refresh`: an annotation with a fresh token, and then a wait until the status says that it was carried out.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::args::RequestArgs;
use super::connect::{FIELD_MANAGER, Session};
use super::progress::{self, Asking, Steps, Verdict};
use super::{Exit, Trouble, ages, output};
use crate::api::{CreationPolicy, REFRESH, ROLLBACK, ROTATE, RotatedSecret};
use crate::version_id::VersionIds;

/// How often the status is read. A status is written once in a turn, so there is little to miss.
const PAUSE: Duration = Duration::from_millis(500);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Outcome {
    /// Asked for, and not waited on.
    Requested,
    /// It happened.
    Done,
    /// It will not happen until a person acts.
    Refused,
    /// It did not happen in time, and may still.
    TimedOut,
}

/// The fields of `-o json` of the three.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    namespace: String,
    name: String,
    token: String,
    outcome: Outcome,
    /// The version that a rotate or rollback request makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    /// Of a rotate or rollback request.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Steps>,
    message: String,
}

pub(super) async fn rotate(session: &Session, args: &RequestArgs) -> Result<Exit, Trouble> {
    let before = ready_for(session, args, Asking::Rotate).await?;
    let token = token();
    let version = VersionIds::of(&before.uid().unwrap_or_default()).request(&token).to_string();
    // The refresh's acknowledgement tells that the operator has looked since, also where it fails.
    ask(session, &args.name, json!({ROTATE: token, REFRESH: token})).await?;
    let wait = Wait::new(args, &token, Some(version));
    wait.tell("requested", &format!("with token {token}"))?;
    wait.for_version(session, args, progress::rotation, &format!("{} is rotated", args.name)).await
}

/// Asks for the value of the version `to`, which is one that was found.
pub(super) async fn roll_back(session: &Session, args: &RequestArgs, object: &RotatedSecret, to: &str) -> Result<Exit, Trouble> {
    let token = token();
    let version = VersionIds::of(&object.uid().unwrap_or_default()).rollback(&token).to_string();
    ask(session, &args.name, json!({ROLLBACK: format!("{token}:{to}"), REFRESH: token})).await?;
    let wait = Wait::new(args, &token, Some(version));
    wait.tell("requested", &format!("the value of version {to}, with token {token}"))?;
    wait.for_version(session, args, progress::rollback, &format!("{} has the value of version {to} again", args.name)).await
}

pub(super) async fn refresh(session: &Session, args: &RequestArgs) -> Result<Exit, Trouble> {
    ready_for(session, args, Asking::Refresh).await?;
    let token = token();
    ask(session, &args.name, json!({REFRESH: token})).await?;
    let mut wait = Wait::new(args, &token, None);
    wait.tell("requested", &format!("with token {token}"))?;
    let ended = wait.until(session, |object, _| Ok(progress::look(object, &token))).await?;
    wait.finish(session, args, ended, &format!("the operator has looked, and {} is as it should be", args.name))
}

/// The object, if what is asked for can happen as it is.
pub(super) async fn ready_for(session: &Session, args: &RequestArgs, asking: Asking) -> Result<RotatedSecret, Trouble> {
    let object = session.object(&args.name).await?;
    progress::obstacle(&object, asking).map_or(Ok(object), |obstacle| Err(Trouble::wrong(obstacle)))
}

/// Readable in a status, and never the same twice.
fn token() -> String {
    let random: String = Uuid::new_v4().simple().to_string().chars().take(8).collect();
    format!("{}-{random}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"))
}

async fn ask(session: &Session, name: &str, annotations: serde_json::Value) -> Result<(), Trouble> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    session.objects().patch_metadata(name, &params, &patch).await.map(drop).map_err(|error| session.trouble("patch", name, &error))
}

/// One wait, and what was seen of it.
struct Wait {
    name: String,
    token: String,
    version: Option<String>,
    steps: Option<Steps>,
    started: Instant,
    patience: Option<Duration>,
    aloud: bool,
}

impl Wait {
    /// Waits for the version that the request makes, and tells each step.
    async fn for_version(
        mut self,
        session: &Session,
        args: &RequestArgs,
        progress: fn(&RotatedSecret, &str) -> (Steps, Verdict),
        done: &str,
    ) -> Result<Exit, Trouble> {
        let mut told = Steps { requested: true, ..Steps::default() };
        let ended = self
            .until(session, |object, wait| {
                let (steps, verdict) = progress(object, &wait.token);
                if steps.current && !told.current {
                    wait.tell("current", &format!("AWS holds version {}", wait.version.as_deref().unwrap_or_default()))?;
                }
                if steps.mirrored && !told.mirrored {
                    let secret = object.status.as_ref().and_then(|status| status.mirror.as_ref()).map(|mirror| mirror.secret_name.as_str());
                    match secret {
                        Some(secret) if progress::pinned(object) => {
                            wait.tell("mirrored", &format!("Secret {secret} is pinned and stays as it is"))?;
                        }
                        Some(secret) if object.spec.target.creation_policy == CreationPolicy::Owner => {
                            wait.tell("mirrored", &format!("Secret {secret} holds it"))?;
                        }
                        _ => wait.tell("mirrored", "no Secret is asked for")?,
                    }
                }
                told = steps;
                wait.steps = Some(steps);
                Ok(verdict)
            })
            .await?;
        self.finish(session, args, ended, done)
    }

    fn new(args: &RequestArgs, token: &str, version: Option<String>) -> Self {
        Self {
            name: args.name.clone(),
            token: token.to_owned(),
            steps: version.is_some().then(|| Steps { requested: true, ..Steps::default() }),
            version,
            started: Instant::now(),
            patience: (!args.no_wait).then(|| Duration::try_from(args.timeout).unwrap_or_default()),
            aloud: args.out.output.is_none(),
        }
    }

    /// One step, for people, when it is seen.
    fn tell(&self, step: &str, what: &str) -> Result<(), Trouble> {
        if !self.aloud {
            return Ok(());
        }
        let waited = SignedDuration::try_from(self.started.elapsed()).unwrap_or_default();
        output::write(&format!("{:>5}   {step:<9}   {what}\n", ages::human(waited)))
    }

    /// Reads the object until the verdict is in. An API server that is away for a moment is asked again.
    async fn until(
        &mut self,
        session: &Session,
        mut judge: impl FnMut(&RotatedSecret, &mut Self) -> Result<Verdict, Trouble>,
    ) -> Result<(Outcome, String), Trouble> {
        let Some(patience) = self.patience else { return Ok((Outcome::Requested, String::new())) };
        loop {
            let over = self.started.elapsed() >= patience;
            match session.object(&self.name).await {
                Ok(object) => match judge(&object, self)? {
                    Verdict::Done => return Ok((Outcome::Done, String::new())),
                    Verdict::Refused(why) => return Ok((Outcome::Refused, why)),
                    Verdict::Wait if over => {
                        let waited = ages::human(SignedDuration::try_from(patience).unwrap_or_default());
                        return Ok((Outcome::TimedOut, progress::late(&object, &self.token, &waited)));
                    }
                    Verdict::Wait => {}
                },
                Err(trouble) if trouble.exit == Exit::Wrong || over => return Err(trouble),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE.min(patience)).await;
        }
    }

    fn finish(self, session: &Session, args: &RequestArgs, ended: (Outcome, String), done: &str) -> Result<Exit, Trouble> {
        let (outcome, why) = ended;
        let message = match outcome {
            Outcome::Done => done.to_owned(),
            Outcome::Requested => format!("kubectl rotatedsecret status {} shows what becomes of it", self.name),
            Outcome::Refused | Outcome::TimedOut => why,
        };
        let fine = matches!(outcome, Outcome::Done | Outcome::Requested);
        let answer = Answer {
            namespace: session.namespace.clone(),
            name: self.name.clone(),
            token: self.token.clone(),
            outcome,
            version_id: self.version.clone(),
            steps: self.steps,
            message,
        };
        if !self.aloud {
            output::emit(args.out.output, &answer, String::new)?;
            return Ok(Exit::fine_if(fine));
        }
        match outcome {
            Outcome::Done => self.tell("ready", &answer.message)?,
            Outcome::Requested => output::write(&format!("{}\n", answer.message))?,
            Outcome::Refused | Outcome::TimedOut => return Err(Trouble::wrong(answer.message)),
        }
        Ok(Exit::Fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_fresh_and_short_enough_to_be_kept_as_they_are() {
        let tokens: std::collections::BTreeSet<_> = (0..50).map(|_| token()).collect();
        assert_eq!(tokens.len(), 50);
        for token in tokens {
            assert_eq!(crate::desired::bounded(&token), token);
            assert!(token.len() == 25 && token.chars().nth(8) == Some('T'), "{token}");
        }
    }

    #[test]
    fn machines_get_stable_fields() {
        let answer = Answer {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            token: "t".to_owned(),
            outcome: Outcome::TimedOut,
            version_id: Some("v".to_owned()),
            steps: Some(Steps { requested: true, ..Steps::default() }),
            message: "why".to_owned(),
        };
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({"namespace": "shop", "name": "db", "token": "t", "outcome": "TimedOut", "versionId": "v",
                "steps": {"requested": true, "current": false, "mirrored": false, "ready": false}, "message": "why"})
        );
    }
}
