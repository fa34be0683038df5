//! `suspend` and `resume`: set `spec.suspend` and `spec.rotation.suspend`, or the annotation of the Namespace.

mod follows;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{OutputArgs, ResumeArgs, Selection, SuspendArgs};
use super::conditions::suspended_by_namespace;
use super::connect::{FIELD_MANAGER, REQUEST_MANAGER, Session};
use super::objects::selected;
use super::output::{self, Page};
use super::{Exit, Trouble};
use crate::api::{RotatedSecret, SUSPEND, SUSPEND_MESSAGE};
use crate::kubernetes::stored::Brief;

/// The fields of `suspend -o json` and `resume -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    namespace: String,
    /// Absent for the namespace itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    suspended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_suspended: Option<bool>,
    /// Whether anything was written.
    changed: bool,
    message: String,
}

/// A change of one object.
struct Change {
    spec: Value,
    /// The new annotation; null removes it.
    because: Value,
    /// Afterwards.
    suspended: (bool, bool),
    message: String,
}

pub(super) async fn suspend(session: &Session, args: &SuspendArgs) -> Result<Exit, Trouble> {
    let because = because(session, args.message.as_deref()).await;
    if args.objects.namespace_wide {
        return namespace(session, Some(&because), &args.out).await;
    }
    each(session, &args.objects.objects, &args.out, |object| {
        let name = object.name_any();
        let resume = session.flags.plugin(&format!("resume {name}"));
        let (all, rotation) = flags(object);
        if !args.rotation_only {
            return Ok(Change {
                spec: json!({"suspend": true}),
                because: json!(because),
                suspended: (true, rotation),
                message: format!("{name} is suspended, and nothing is written in AWS or Kubernetes; to resume: {resume}"),
            });
        }
        if object.spec.rotation.is_none() {
            return Err(Trouble::wrong(format!(
                "{name} has no spec.rotation, so it does not rotate: omit --rotation-only to suspend all writes"
            )));
        }
        Ok(Change {
            spec: json!({"rotation": {"suspend": true}}),
            because: json!(because),
            suspended: (all, true),
            message: format!("rotation of {name} is suspended, its Secret is still mirrored; to resume: {resume}"),
        })
    })
    .await
}

pub(super) async fn resume(session: &Session, args: &ResumeArgs) -> Result<Exit, Trouble> {
    if args.objects.namespace_wide {
        return namespace(session, None, &args.out).await;
    }
    each(session, &args.objects.objects, &args.out, |object| {
        let name = object.name_any();
        let status = session.flags.plugin(&format!("status {name}"));
        let follows = follows::follows(object, session.now(), &session.flags);
        // The patch must not add spec.rotation to an object that has none.
        let spec = if object.spec.rotation.is_some() {
            json!({"suspend": false, "rotation": {"suspend": false}})
        } else {
            json!({"suspend": false})
        };
        let message = format!("{name} is resumed{follows}: {status} shows its state");
        Ok(Change { spec, because: Value::Null, suspended: (false, false), message })
    })
    .await
}

/// Changes every selected object, one after the other.
async fn each(
    session: &Session,
    selection: &Selection,
    out: &OutputArgs,
    change: impl Fn(&RotatedSecret) -> Result<Change, Trouble>,
) -> Result<Exit, Trouble> {
    let names = selected(session, selection).await?;
    let single = names.len() == 1;
    let mut exit = Exit::Fine;
    let mut answers = Vec::new();
    for name in &names {
        let ended = match session.object(name).await {
            Ok(object) => match change(&object) {
                Ok(change) => write(session, &object, change).await,
                Err(trouble) => Err(trouble),
            },
            Err(trouble) => Err(trouble),
        };
        match ended {
            Ok(answer) if single => output::emit(out, &answer, || Page::of(&answer.message))?,
            Ok(answer) => {
                if out.is_text() {
                    output::write(&Page::of(&answer.message))?;
                }
                answers.push(answer);
            }
            Err(trouble) if single => return Err(trouble),
            Err(trouble) => {
                exit = exit.and(trouble.exit);
                output::note(&format!("error: {name}: {trouble}"));
            }
        }
    }
    if !single {
        output::emit_all(out, &answers)?;
    }
    Ok(exit)
}

async fn write(session: &Session, before: &RotatedSecret, change: Change) -> Result<Answer, Trouble> {
    let name = before.name_any();
    let changed = flags(before) != change.suspended;
    if !changed && change.suspended == (false, false) && suspended_by_namespace(before).is_some() {
        let resume = session.flags.plugin("resume --namespace-wide");
        return Err(Trouble::wrong(format!("{name} is not suspended itself, but its namespace is: {resume}")));
    }
    if changed {
        let patch = json!({"metadata": {"annotations": {SUSPEND_MESSAGE: change.because}}, "spec": change.spec});
        // The response is not decoded: a newer operator may have written what this version does not know.
        let objects: Api<Brief<RotatedSecret>> = Api::namespaced(session.client.clone(), &session.namespace);
        objects.patch(&name, &parameters(), &Patch::Merge(patch)).await.map_err(|error| session.trouble("patch", &name, &error))?;
    }
    let (suspended, rotation_suspended) = change.suspended;
    let message = if changed { change.message } else { format!("{name} is already in this state, so nothing was written") };
    Ok(Answer {
        namespace: session.namespace.clone(),
        name: Some(name),
        suspended,
        rotation_suspended: Some(rotation_suspended),
        changed,
        message,
    })
}

/// Sets or removes the annotation of the Namespace.
async fn namespace(session: &Session, because: Option<&str>, out: &OutputArgs) -> Result<Exit, Trouble> {
    let name = &session.namespace;
    let api: Api<Brief<Namespace>> = Api::all(session.client.clone());
    let found = api.get_opt(name).await.map_err(|error| refused(session, "get", &error))?;
    let Some(found) = found else {
        return Err(Trouble::wrong(format!("there is no namespace {name}: {} shows all", session.flags.cluster("get namespaces"))));
    };
    let before = found.annotations().get(SUSPEND);
    let resume = session.flags.plugin("resume --namespace-wide");
    let (changed, message) = match (before, because) {
        (Some(before), Some(_)) => (false, format!("namespace {name} is suspended already ({before}); to resume: {resume}")),
        (None, None) => (false, format!("namespace {name} is not suspended, so nothing was written")),
        (None, Some(because)) => {
            (true, format!("namespace {name} is suspended ({because}): nothing is written for any object in it; to resume: {resume}"))
        }
        (Some(_), None) => {
            let status = session.flags.plugin("status");
            (true, format!("namespace {name} is resumed; objects that are suspended themselves stay so: {status} shows them"))
        }
    };
    if changed {
        let patch = json!({"metadata": {"annotations": {SUSPEND: because}}});
        let parameters = PatchParams { field_manager: Some(REQUEST_MANAGER.to_owned()), ..PatchParams::default() };
        api.patch(name, &parameters, &Patch::Merge(patch)).await.map_err(|error| refused(session, "patch", &error))?;
    }
    let answer = Answer { namespace: name.clone(), name: None, suspended: because.is_some(), rotation_suspended: None, changed, message };
    output::emit(out, &answer, || Page::of(&answer.message))?;
    Ok(Exit::Fine)
}

fn refused(session: &Session, verb: &str, error: &kube::Error) -> Trouble {
    let name = &session.namespace;
    match error {
        kube::Error::Api(status) if status.code == 403 => Trouble::unreachable(format!(
            "you may not {verb} the Namespace {name}: ask an administrator, or use --all, which suspends each object that exists now"
        )),
        error => session.trouble(verb, "", error),
    }
}

/// `INC-123, by jane, since 2026-12-01T09:14:07Z`.
async fn because(session: &Session, message: Option<&str>) -> String {
    let asked = Api::<SelfSubjectReview>::all(session.client.clone());
    let review = asked.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let user = review.ok().and_then(|review| review.status?.user_info?.username);
    worded(message, user.as_deref(), session.now())
}

fn worded(message: Option<&str>, user: Option<&str>, now: Timestamp) -> String {
    let since = format!("since {}", now.strftime("%Y-%m-%dT%H:%M:%SZ"));
    let by = user.map(|user| format!("by {user}"));
    message.map(str::to_owned).into_iter().chain(by).chain([since]).collect::<Vec<_>>().join(", ")
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Whether everything is suspended, and whether rotation is.
fn flags(object: &RotatedSecret) -> (bool, bool) {
    (object.spec.suspend, object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_says_why_by_whom_and_since_when() {
        let now = "2026-12-01T09:14:07.5Z".parse().unwrap();
        assert_eq!(worded(Some("INC-123"), Some("jane"), now), "INC-123, by jane, since 2026-12-01T09:14:07Z");
        assert_eq!(worded(None, None, now), "since 2026-12-01T09:14:07Z");
    }
}
