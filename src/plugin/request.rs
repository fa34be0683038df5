//! `rotate`, `rollback` and `refresh`: set an annotation with a new token, and wait until the status reports the result.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Trouble;
use super::answer::{Answer, Outcome};
use super::connect::{REQUEST_MANAGER, Session};
use super::interrupt::Interrupt;
use super::objects::Task;
use super::progress::{self, Asked, Asking};
use super::restored::Restored;
use super::wait::{Sent, Wait};
use crate::api::{REFRESH, ROLLBACK, ROTATE, RotatedSecret};
use crate::desired::{EMERGENCY, RollbackRequest, RollbackTo};
use crate::kubernetes::stored::Brief;
use crate::version_id::VersionIds;

/// Requests a rotation. `force`: also if rotation is suspended. `emergency`: the previous credential is retired at once.
pub(super) async fn rotate(session: &Session, task: Task<'_>, force: bool, emergency: bool) -> Result<Answer, Trouble> {
    if task.args.cancel {
        return withdraw(session, task, Asking::Rotate).await;
    }
    let interrupt = Interrupt::listen();
    let object = interrupt.before(ready_for(session, task, Asking::Rotate)).await?;
    if let Some(held) = progress::held(&object, &session.flags).filter(|_| !force) {
        return Err(Trouble::wrong(held));
    }
    let refresh = token(session, &object);
    // A request that is pending and no emergency is replaced by one that is.
    let waiting = progress::pending(&object, Asking::Rotate).filter(|token| !emergency || token.ends_with(EMERGENCY));
    let new = if emergency { format!("{refresh}{EMERGENCY}") } else { refresh.clone() };
    let asked = Asked { token: waiting.clone().unwrap_or(new), refresh };
    let annotations =
        if waiting.is_some() { json!({REFRESH: asked.refresh}) } else { json!({ROTATE: asked.token, REFRESH: asked.refresh}) };
    let version = VersionIds::of(&object.uid().unwrap_or_default()).request(&asked.token).to_string();
    let sent = ask(session, task.name, annotations, &interrupt).await?;
    let wait = Wait::new(session, task, Asking::Rotate, asked, &object, sent).making(version);
    wait.requested(&format!("with token {}{}", wait.asked.token, earlier(waiting.is_some())))?;
    wait.for_version(session, progress::rotation, &format!("{} is rotated", task.name)).await
}

/// A request that is repeated while it is pending is one request, so that a command repeated after an error does not
/// rotate twice.
fn earlier(waiting: bool) -> &'static str {
    if waiting { ", of a request that is still pending" } else { "" }
}

/// The version to which a pending rollback goes back.
pub(super) fn pending_rollback(object: &RotatedSecret) -> Option<String> {
    progress::pending(object, Asking::RollBack)?;
    let request = object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text))?;
    Some(match request.to? {
        RollbackTo::Version(version) => version.to_string(),
        RollbackTo::Previous => "AWSPREVIOUS".to_owned(),
    })
}

/// Requests the value of the version in `restored`. `since`: an earlier wait of the same command.
pub(super) async fn roll_back(
    session: &Session,
    task: Task<'_>,
    object: &RotatedSecret,
    restored: &Restored,
    since: Option<&Wait>,
    interrupt: &Interrupt,
) -> Result<Answer, Trouble> {
    let to = &restored.version_id;
    let refresh = token(session, object);
    let waiting = object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text));
    let waiting = waiting
        .filter(|_| progress::pending(object, Asking::RollBack).is_some())
        .filter(|request| matches!(&request.to, Some(RollbackTo::Version(version)) if version.as_str() == to));
    let again = waiting.is_some();
    let asked = Asked { token: waiting.map_or_else(|| refresh.clone(), |request| request.token), refresh };
    let annotations =
        if again { json!({REFRESH: asked.refresh}) } else { json!({ROLLBACK: format!("{}:{to}", asked.token), REFRESH: asked.refresh}) };
    let version = VersionIds::of(&object.uid().unwrap_or_default()).rollback(&asked.token).to_string();
    let sent = ask(session, task.name, annotations, interrupt).await?;
    let mut wait = Wait::new(session, task, Asking::RollBack, asked, object, sent).making(version);
    if let Some(since) = since {
        wait = wait.continuing(since);
    }
    let replaced = pending_rollback(object).filter(|pending| pending != to);
    let instead = replaced.map_or_else(String::new, |pending| format!(", instead of the pending rollback to {pending}"));
    let told = format!("the value of {}, with token {}{}{instead}", restored.words(session.now()), wait.asked.token, earlier(again));
    wait.requested(&told)?;
    let done = format!("{} has the value of version {to} again", task.name);
    let answer = wait.for_version(session, progress::rollback, &done).await?;
    Ok(Answer { restores: Some(restored.clone()), ..answer })
}

/// Requests a reconcile.
pub(super) async fn refresh(session: &Session, task: Task<'_>) -> Result<Answer, Trouble> {
    if task.args.cancel {
        return withdraw(session, task, Asking::Refresh).await;
    }
    let interrupt = Interrupt::listen();
    let object = interrupt.before(ready_for(session, task, Asking::Refresh)).await?;
    let wait = request_refresh(session, task, &object, &interrupt).await?;
    wait.requested(&format!("with token {}", wait.asked.token))?;
    let done = format!("the operator has reconciled {}, and it is Ready", task.name);
    wait.for_refresh(session, progress::refreshed, &done).await
}

/// Requests a refresh. Returns the wait for its acknowledgement.
pub(in crate::plugin) async fn request_refresh(
    session: &Session,
    task: Task<'_>,
    object: &RotatedSecret,
    interrupt: &Interrupt,
) -> Result<Wait, Trouble> {
    let token = token(session, object);
    let sent = ask(session, task.name, json!({REFRESH: token}), interrupt).await?;
    let asked = Asked { token: token.clone(), refresh: token };
    Ok(Wait::new(session, task, Asking::Refresh, asked, object, sent))
}

/// The object, if the request can be carried out in its current state.
pub(in crate::plugin) async fn ready_for(session: &Session, task: Task<'_>, asking: Asking) -> Result<RotatedSecret, Trouble> {
    let object = session.object(task.name).await?;
    if let Some(obstacle) = progress::obstacle(&object, asking, &session.flags) {
        return Err(Trouble::wrong(obstacle));
    }
    // The status does not say it yet.
    if let Some(because) = session.suspension().await {
        let resume = session.flags.plugin("resume --namespace-wide");
        let name = task.name;
        return Err(Trouble::wrong(format!(
            "the namespace of {name} is suspended ({because}), so the request would have no effect: {resume}"
        )));
    }
    Ok(object)
}

/// Removes a pending request from the object.
pub(super) async fn withdraw(session: &Session, task: Task<'_>, asking: Asking) -> Result<Answer, Trouble> {
    let (name, verb) = (task.name, asking.verb());
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
        return Ok(Answer::unasked(session, name, outcome, message));
    }
    Err(Trouble::wrong(format!("{name} changes too often, so the request could not be withdrawn: run the command again")))
}

/// A unique token that is readable in a status. It begins with the time since when the operator has a refresh to
/// acknowledge, so that a repeated request does not look like a new one. Every request of the plugin contains a refresh.
fn token(session: &Session, object: &RotatedSecret) -> String {
    token_of(progress::refresh_asked_at(object).unwrap_or_else(|| session.now()))
}

fn token_of(time: Timestamp) -> String {
    let random: String = Uuid::new_v4().simple().to_string().chars().take(8).collect();
    format!("{}-{random}", time.strftime(progress::TOKEN_TIME))
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(REQUEST_MANAGER.to_owned()), ..PatchParams::default() }
}

async fn ask(session: &Session, name: &str, annotations: Value, interrupt: &Interrupt) -> Result<Sent, Trouble> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let api: Api<Brief<RotatedSecret>> = Api::namespaced(session.client.clone(), &session.namespace);
    interrupt.before(async { Ok(()) }).await?;
    let parameters = parameters();
    let arrived = tokio::select! {
        biased;
        ended = api.patch(name, &parameters, &patch) => {
            ended.map_err(|error| session.trouble("patch", name, &error))?;
            true
        }
        () = interrupt.received() => false,
    };
    Ok(Sent { arrived, interrupt: interrupt.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_fresh_and_short_enough_to_be_kept_as_they_are() {
        let tokens: std::collections::BTreeSet<_> = (0..50).map(|_| token_of(Timestamp::now())).collect();
        assert_eq!(tokens.len(), 50);
        for token in tokens {
            assert_eq!(crate::desired::bounded(&token), token);
            assert!(token.len() == 25 && token.chars().nth(8) == Some('T'), "{token}");
        }
    }

    #[test]
    fn the_time_since_when_a_refresh_is_pending_is_in_its_token() {
        let at: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let object = |annotations: Value, requests: Value| -> RotatedSecret {
            let object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "spec": {},
                "metadata": {"name": "db", "annotations": annotations}, "status": {"requests": requests}});
            serde_json::from_value(object).unwrap()
        };
        let earlier = token_of(at);
        let then: Timestamp = "2026-06-01T12:05:00Z".parse().unwrap();
        let later = token_of(then);
        assert_eq!(progress::refresh_asked_at(&object(json!({ROTATE: earlier, REFRESH: earlier}), json!({}))), Some(at));
        // The operator has acknowledged that refresh: the rotation is held back, and only the refresh is new.
        assert_eq!(progress::refresh_asked_at(&object(json!({ROTATE: earlier, REFRESH: later}), json!({}))), Some(then));
        assert_eq!(progress::refresh_asked_at(&object(json!({ROTATE: earlier, REFRESH: later}), json!({"refresh": later}))), None);
        assert_eq!(progress::refresh_asked_at(&object(json!({REFRESH: "by hand"}), json!({}))), None);
    }
}
