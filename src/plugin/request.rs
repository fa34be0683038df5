//! `rotate`, `rollback` and `refresh`: an annotation with a fresh token, and then a wait until the status says that it was carried out.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{Format, RequestArgs};
use super::connect::{FIELD_MANAGER, Session};
use super::output::{self, Page};
use super::progress::{self, Asked, Asking, Steps};
use super::rollback::Restored;
use super::wait::Wait;
use super::{Exit, Trouble};
use crate::api::{REFRESH, ROLLBACK, ROTATE, RotatedSecret};
use crate::kubernetes::stored::Brief;
use crate::desired::{RollbackRequest, RollbackTo};
use crate::version_id::VersionIds;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// Asked for, and not waited on.
    Requested,
    /// It happened.
    Done,
    /// It was only shown what would be asked for.
    DryRun,
    /// The version is current in AWS, and the Secret does not hold it until a person acts.
    NotMirrored,
    /// It did not happen, and will not until a person acts.
    Refused,
    /// It did not happen in time, and may still.
    TimedOut,
    /// The user did not wait for the end.
    Interrupted,
    /// The request was taken off the object.
    Withdrawn,
    /// There was no request to withdraw.
    NothingToWithdraw,
}

impl Outcome {
    fn exit(self) -> Exit {
        Exit::fine_if(matches!(self, Self::Requested | Self::Done | Self::DryRun | Self::Withdrawn | Self::NothingToWithdraw))
    }
}

/// The fields of `-o json` of the three.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Absent when nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    pub(super) outcome: Outcome,
    /// The version that a rotate or rollback request makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_id: Option<String>,
    /// Of a rollback: whose value it brings back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restores: Option<Restored>,
    /// Of a rotate or rollback request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) steps: Option<Steps>,
    pub(super) message: String,
    /// The command that takes the request back, while it is still on the object and not carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) withdraw: Option<String>,
}

impl Answer {
    /// About the object, when no request is on it.
    pub(super) fn unasked(session: &Session, name: &str, outcome: Outcome, message: String) -> Self {
        Self {
            namespace: session.namespace.clone(),
            name: name.to_owned(),
            token: None,
            outcome,
            version_id: None,
            restores: None,
            steps: None,
            message,
            withdraw: None,
        }
    }

    /// Writes it, for people on standard error where it is a failure.
    pub(super) fn give(&self, format: Option<Format>) -> Result<Exit, Trouble> {
        let exit = self.outcome.exit();
        let withdraw =
            self.withdraw.as_ref().map_or_else(String::new, |command| format!(" (the request stays; to withdraw it: {command})"));
        if format.is_some() {
            output::emit(format, self, Page::default)?;
        } else if self.outcome == Outcome::Done {
            // Told as the last step.
        } else if exit == Exit::Fine {
            output::write(&Page::of(&format!("{}{withdraw}", self.message)))?;
        } else {
            return Err(Trouble::wrong(format!("{}{withdraw}", self.message)));
        }
        Ok(exit)
    }
}

pub(super) async fn rotate(session: &Session, args: &RequestArgs) -> Result<Exit, Trouble> {
    if args.cancel {
        return withdraw(session, args, Asking::Rotate).await;
    }
    let object = ready_for(session, args, Asking::Rotate).await?;
    let look = token();
    let waiting = progress::pending(&object, Asking::Rotate);
    let asked = Asked { token: waiting.clone().unwrap_or_else(|| look.clone()), look };
    let annotations = if waiting.is_some() { json!({REFRESH: asked.look}) } else { json!({ROTATE: asked.token, REFRESH: asked.look}) };
    let version = VersionIds::of(&object.uid().unwrap_or_default()).request(&asked.token).to_string();
    ask(session, &args.name, annotations).await?;
    let wait = Wait::new(session, args, Asking::Rotate, asked, &object).making(version);
    wait.tell("requested", &format!("with token {}{}", wait.asked.token, earlier(waiting.is_some())))?;
    wait.for_version(session, progress::rotation, &format!("{} is rotated", args.name)).await?.give(args.out.output)
}

/// The same request, made again while it waits, is one request: who repeats a command after an error does not rotate twice.
fn earlier(waiting: bool) -> &'static str {
    if waiting { ", which was asked for before and still waits" } else { "" }
}

/// Asks for the value of a version that was found. `since`: an earlier wait of the same command.
pub(super) async fn roll_back(
    session: &Session,
    args: &RequestArgs,
    object: &RotatedSecret,
    restored: &Restored,
    since: Option<&Wait>,
) -> Result<Exit, Trouble> {
    let to = &restored.version_id;
    let look = token();
    let waiting = object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text));
    let waiting = waiting
        .filter(|_| progress::pending(object, Asking::RollBack).is_some())
        .filter(|request| matches!(&request.to, Some(RollbackTo::Version(version)) if version.as_str() == to));
    let again = waiting.is_some();
    let asked = Asked { token: waiting.map_or_else(|| look.clone(), |request| request.token), look };
    let annotations =
        if again { json!({REFRESH: asked.look}) } else { json!({ROLLBACK: format!("{}:{to}", asked.token), REFRESH: asked.look}) };
    let version = VersionIds::of(&object.uid().unwrap_or_default()).rollback(&asked.token).to_string();
    ask(session, &args.name, annotations).await?;
    let mut wait = Wait::new(session, args, Asking::RollBack, asked, object).making(version);
    if let Some(since) = since {
        wait = wait.continuing(since);
    }
    let told = format!("the value of {}, with token {}{}", restored.words(Timestamp::now()), wait.asked.token, earlier(again));
    wait.tell("requested", &told)?;
    let done = format!("{} has the value of version {to} again", args.name);
    let answer = wait.for_version(session, progress::rollback, &done).await?;
    Answer { restores: Some(restored.clone()), ..answer }.give(args.out.output)
}

pub(super) async fn refresh(session: &Session, args: &RequestArgs) -> Result<Exit, Trouble> {
    if args.cancel {
        return withdraw(session, args, Asking::Refresh).await;
    }
    let object = ready_for(session, args, Asking::Refresh).await?;
    let wait = look(session, args, &object).await?;
    wait.tell("requested", &format!("with token {}", wait.asked.token))?;
    let done = format!("the operator has looked, and {} is as it should be", args.name);
    wait.for_look(session, progress::look, &done).await?.give(args.out.output)
}

/// Asks for a look at AWS.
pub(super) async fn look(session: &Session, args: &RequestArgs, object: &RotatedSecret) -> Result<Wait, Trouble> {
    let token = token();
    ask(session, &args.name, json!({REFRESH: token})).await?;
    let asked = Asked { token: token.clone(), look: token };
    Ok(Wait::new(session, args, Asking::Refresh, asked, object))
}

/// The object, if what is asked for can happen as it is.
pub(super) async fn ready_for(session: &Session, args: &RequestArgs, asking: Asking) -> Result<RotatedSecret, Trouble> {
    let object = session.object(&args.name).await?;
    progress::obstacle(&object, asking, &session.flags).map_or(Ok(object), |obstacle| Err(Trouble::wrong(obstacle)))
}

/// Takes a request off the object that was not carried out.
pub(super) async fn withdraw(session: &Session, args: &RequestArgs, asking: Asking) -> Result<Exit, Trouble> {
    let (name, verb) = (&args.name, asking.verb());
    // The operator writes the status meanwhile, so the patch may meet another version of the object.
    for _ in 0..5 {
        let object = session.object(name).await?;
        let (outcome, message) = match progress::pending(&object, asking) {
            None => (Outcome::NothingToWithdraw, format!("{name} has no {verb} request that waits, so nothing was written")),
            Some(token) => {
                let patch =
                    json!({"metadata": {"resourceVersion": object.resource_version(), "annotations": {asking.annotation(): Value::Null}}});
                match session.objects().patch_metadata(name, &parameters(), &Patch::Merge(patch)).await {
                    Err(kube::Error::Api(status)) if status.code == 409 => continue,
                    Err(error) => return Err(session.trouble("patch", name, &error)),
                    Ok(_) => {
                        let history = session.flags.plugin(&format!("history {name}"));
                        let begun = if asking == Asking::Refresh {
                            String::new()
                        } else {
                            format!("; if the operator had begun with it, {history} shows the version")
                        };
                        let message = format!("the {verb} request {token} of {name} is withdrawn{begun}");
                        (Outcome::Withdrawn, message)
                    }
                }
            }
        };
        return Answer::unasked(session, name, outcome, message).give(args.out.output);
    }
    Err(Trouble::wrong(format!("{name} is being written again and again, so the request could not be withdrawn: try again")))
}

/// Readable in a status, and never the same twice.
fn token() -> String {
    let random: String = Uuid::new_v4().simple().to_string().chars().take(8).collect();
    format!("{}-{random}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"))
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

async fn ask(session: &Session, name: &str, annotations: Value) -> Result<(), Trouble> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let api: Api<Brief<RotatedSecret>> = Api::namespaced(session.client.clone(), &session.namespace);
    api.patch(name, &parameters(), &patch).await.map(drop).map_err(|error| session.trouble("patch", name, &error))
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
            token: Some("t".to_owned()),
            outcome: Outcome::TimedOut,
            version_id: Some("v".to_owned()),
            restores: None,
            steps: Some(Steps { requested: true, ..Steps::default() }),
            message: "why".to_owned(),
            withdraw: Some("kubectl".to_owned()),
        };
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({"namespace": "shop", "name": "db", "token": "t", "outcome": "TimedOut", "versionId": "v",
                "steps": {"requested": true, "current": false, "mirrored": false, "ready": false}, "message": "why", "withdraw": "kubectl"})
        );
    }

    #[test]
    fn only_what_happened_or_was_only_asked_for_ends_well() {
        for (outcome, exit) in [
            (Outcome::Requested, Exit::Fine),
            (Outcome::Done, Exit::Fine),
            (Outcome::DryRun, Exit::Fine),
            (Outcome::Withdrawn, Exit::Fine),
            (Outcome::NothingToWithdraw, Exit::Fine),
            (Outcome::NotMirrored, Exit::Wrong),
            (Outcome::Refused, Exit::Wrong),
            (Outcome::TimedOut, Exit::Wrong),
            (Outcome::Interrupted, Exit::Wrong),
        ] {
            assert_eq!(outcome.exit(), exit, "{outcome:?}");
        }
    }
}
