//! `rotate`, `rollback` and `refresh`: set an annotation with a new token, and wait until the status reports the result.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::args::RequestArgs;
use super::connect::{FIELD_MANAGER, Session};
use super::progress::{self, Asked, Asking};
use super::restored::Restored;
use super::wait::Wait;
use super::{Exit, Trouble};
use crate::api::{REFRESH, ROLLBACK, ROTATE, RotatedSecret};
use crate::desired::{RollbackRequest, RollbackTo};
use crate::kubernetes::stored::Brief;
use crate::version_id::VersionIds;

pub(super) async fn rotate(session: &Session, args: &RequestArgs) -> Result<Exit, Trouble> {
    if args.cancel {
        return withdraw(session, args, Asking::Rotate).await;
    }
    let object = ready_for(session, args, Asking::Rotate).await?;
    let refresh = token();
    let waiting = progress::pending(&object, Asking::Rotate);
    let asked = Asked { token: waiting.clone().unwrap_or_else(|| refresh.clone()), refresh };
    let annotations =
        if waiting.is_some() { json!({REFRESH: asked.refresh}) } else { json!({ROTATE: asked.token, REFRESH: asked.refresh}) };
    let version = VersionIds::of(&object.uid().unwrap_or_default()).request(&asked.token).to_string();
    ask(session, &args.name, annotations).await?;
    let wait = Wait::new(session, args, Asking::Rotate, asked, &object).making(version);
    wait.tell("requested", &format!("with token {}{}", wait.asked.token, earlier(waiting.is_some())))?;
    wait.for_version(session, progress::rotation, &format!("{} is rotated", args.name)).await?.give(args.out.output)
}

/// A request that is repeated while it is pending is one request, so that a command repeated after an error does not
/// rotate twice.
fn earlier(waiting: bool) -> &'static str {
    if waiting { ", of a request that is still pending" } else { "" }
}

/// Requests the value of the version in `restored`. `since`: an earlier wait of the same command.
pub(super) async fn roll_back(
    session: &Session,
    args: &RequestArgs,
    object: &RotatedSecret,
    restored: &Restored,
    since: Option<&Wait>,
) -> Result<Exit, Trouble> {
    let to = &restored.version_id;
    let refresh = token();
    let waiting = object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text));
    let waiting = waiting
        .filter(|_| progress::pending(object, Asking::RollBack).is_some())
        .filter(|request| matches!(&request.to, Some(RollbackTo::Version(version)) if version.as_str() == to));
    let again = waiting.is_some();
    let asked = Asked { token: waiting.map_or_else(|| refresh.clone(), |request| request.token), refresh };
    let annotations =
        if again { json!({REFRESH: asked.refresh}) } else { json!({ROLLBACK: format!("{}:{to}", asked.token), REFRESH: asked.refresh}) };
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
    let wait = request_refresh(session, args, &object).await?;
    wait.tell("requested", &format!("with token {}", wait.asked.token))?;
    let done = format!("the operator has reconciled {}, and it is Ready", args.name);
    wait.for_refresh(session, progress::refreshed, &done).await?.give(args.out.output)
}

/// Requests a refresh. Returns the wait for its acknowledgement.
pub(super) async fn request_refresh(session: &Session, args: &RequestArgs, object: &RotatedSecret) -> Result<Wait, Trouble> {
    let token = token();
    ask(session, &args.name, json!({REFRESH: token})).await?;
    let asked = Asked { token: token.clone(), refresh: token };
    Ok(Wait::new(session, args, Asking::Refresh, asked, object))
}

/// The object, if the request can be carried out in its current state.
pub(super) async fn ready_for(session: &Session, args: &RequestArgs, asking: Asking) -> Result<RotatedSecret, Trouble> {
    let object = session.object(&args.name).await?;
    progress::obstacle(&object, asking, &session.flags).map_or(Ok(object), |obstacle| Err(Trouble::wrong(obstacle)))
}

/// Removes a pending request from the object.
pub(super) async fn withdraw(session: &Session, args: &RequestArgs, asking: Asking) -> Result<Exit, Trouble> {
    let (name, verb) = (&args.name, asking.verb());
    // The operator may write the status in between, which makes the patch fail with a conflict.
    for _ in 0..5 {
        let object = session.object(name).await?;
        let (outcome, message) = match progress::pending(&object, asking) {
            None => (Outcome::NothingToWithdraw, format!("{name} has no pending {verb} request, so nothing was written")),
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
                            format!("; if the operator had already started it, {history} shows the version")
                        };
                        let message = format!("the {verb} request {token} of {name} is withdrawn{begun}");
                        (Outcome::Withdrawn, message)
                    }
                }
            }
        };
        return Answer::unasked(session, name, outcome, message).give(args.out.output);
    }
    Err(Trouble::wrong(format!("{name} changes too often, so the request could not be withdrawn: run the command again")))
}

/// A unique token that is readable in a status.
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
}
