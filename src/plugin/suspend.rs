//! `suspend` and `resume`: set `spec.suspend` and `spec.rotation.suspend`.

use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{ObjectArgs, SuspendArgs};
use super::connect::{FIELD_MANAGER, Session};
use super::output::{self, Page};
use super::{Exit, Trouble};
use crate::api::RotatedSecret;

/// The fields of `suspend -o json` and `resume -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    namespace: String,
    name: String,
    suspended: bool,
    rotation_suspended: bool,
    /// Whether anything was written.
    changed: bool,
    message: String,
}

pub(super) async fn suspend(session: &Session, args: &SuspendArgs) -> Result<Exit, Trouble> {
    let object = session.object(&args.name).await?;
    let name = &args.name;
    let resume = session.flags.plugin(&format!("resume {name}"));
    let (patch, message) = if args.rotation_only {
        if object.spec.rotation.is_none() {
            return Err(Trouble::wrong(format!(
                "{name} has no spec.rotation, so it does not rotate: omit --rotation-only to suspend all writes"
            )));
        }
        (
            json!({"spec": {"rotation": {"suspend": true}}}),
            format!("rotation of {name} is suspended, its Secret is still mirrored; to resume: {resume}"),
        )
    } else {
        (
            json!({"spec": {"suspend": true}}),
            format!("{name} is suspended, and nothing is written in AWS or Kubernetes; to resume: {resume}"),
        )
    };
    write(session, args.out.output, &object, name, &patch, message).await
}

pub(super) async fn resume(session: &Session, args: &ObjectArgs) -> Result<Exit, Trouble> {
    let object = session.object(&args.name).await?;
    let name = &args.name;
    let late =
        object.status.as_ref().and_then(|status| status.next_rotation_time.as_ref()).is_some_and(|next| next.0 <= jiff::Timestamp::now());
    let follows = if late { "; a rotation is due and starts now" } else { "" };
    // The patch must not add spec.rotation to an object that has none.
    let patch = if object.spec.rotation.is_some() {
        json!({"spec": {"suspend": false, "rotation": {"suspend": false}}})
    } else {
        json!({"spec": {"suspend": false}})
    };
    let status = session.flags.plugin(&format!("status {name}"));
    write(session, args.out.output, &object, name, &patch, format!("{name} is resumed{follows}: {status} shows its state")).await
}

async fn write(
    session: &Session,
    format: Option<super::args::Format>,
    before: &RotatedSecret,
    name: &str,
    patch: &Value,
    message: String,
) -> Result<Exit, Trouble> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written =
        session.objects().patch(name, &params, &Patch::Merge(patch)).await.map_err(|error| session.trouble("patch", name, &error))?;
    let written = session.readable(written)?;
    let changed = flags(before) != flags(&written);
    let (suspended, rotation_suspended) = flags(&written);
    let answer = Answer {
        namespace: session.namespace.clone(),
        name: name.to_owned(),
        suspended,
        rotation_suspended,
        changed,
        message: if changed { message } else { format!("{name} is already in this state, so nothing was written") },
    };
    output::emit(format, &answer, || Page::of(&answer.message))?;
    Ok(Exit::Fine)
}

fn flags(object: &RotatedSecret) -> (bool, bool) {
    (object.spec.suspend, object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend))
}
