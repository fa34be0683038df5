//! `pin` and `unpin`: set `spec.target.versionId` or `spec.target.versionStage`, at which the Secret is held.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{PinArgs, UnpinArgs};
use super::connect::{FIELD_MANAGER, Session};
use super::objects::each_shown;
use super::output::{self, Page};
use super::versions::resolve;
use super::{Exit, Trouble};
use crate::api::{AWSCURRENT, CreationPolicy, RotatedSecret};
use crate::kubernetes::stored::Brief;

/// The fields of `pin -o json` and `unpin -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    namespace: String,
    name: String,
    /// Absent if the Secret follows a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    version_stage: String,
    /// Whether anything was written.
    changed: bool,
    message: String,
}

/// Where the Secret is held.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    version: Option<String>,
    stage: String,
}

impl Held {
    fn of(object: &RotatedSecret) -> Self {
        let target = &object.spec.target;
        Self { version: target.version_id.clone(), stage: target.version_stage.clone() }
    }

    fn label(stage: &str) -> Self {
        Self { version: None, stage: stage.to_owned() }
    }

    fn words(&self) -> String {
        self.version.as_ref().map_or_else(|| format!("the label {}", self.stage), |version| format!("version {version}"))
    }
}

pub(super) async fn pin(session: &Session, args: &PinArgs) -> Result<Exit, Trouble> {
    let object = session.object(&args.name).await?;
    if object.spec.target.creation_policy == CreationPolicy::None {
        return Err(Trouble::wrong(format!("{} has no Secret (spec.target.creationPolicy is None), so nothing can be pinned", args.name)));
    }
    let held = match (&args.to, &args.label) {
        (Some(version), _) => {
            let version = resolve(&object, version, &session.flags).map_err(Trouble::wrong)?;
            Held { version: Some(version), stage: AWSCURRENT.to_owned() }
        }
        (None, Some(label)) => Held::label(label),
        (None, None) => Held::label(AWSCURRENT),
    };
    let unpin = session.flags.plugin(&format!("unpin {}", args.name));
    let message =
        format!("the Secret of {} is pinned to {}, and rotations do not change it; to remove the pin: {unpin}", args.name, held.words());
    let answer = write(session, &object, &held, message).await?;
    output::emit(&args.out, &answer, || Page::of(&answer.message))?;
    Ok(Exit::Fine)
}

pub(super) async fn unpin(session: &Session, args: &UnpinArgs) -> Result<Exit, Trouble> {
    each_shown(session, &args.objects, &args.out, false, async |name, _| {
        let object = session.object(name).await?;
        let message = format!("the Secret of {name} is not pinned any more, and follows the current version");
        let answer = write(session, &object, &Held::label(AWSCURRENT), message).await?;
        Ok((Page::of(&answer.message), answer, Exit::Fine))
    })
    .await
}

async fn write(session: &Session, before: &RotatedSecret, held: &Held, message: String) -> Result<Answer, Trouble> {
    let name = before.name_any();
    let changed = Held::of(before) != *held;
    let mut other = None;
    if changed {
        // The object is read without the fields of its managers.
        let metadata = session.objects().get_metadata(&name).await.map_err(|error| session.trouble("get", &name, &error))?;
        other = other_manager(before, metadata.managed_fields());
        let stage = if held.stage == AWSCURRENT { Value::Null } else { json!(held.stage) };
        let patch = json!({"spec": {"target": {"versionId": held.version, "versionStage": stage}}});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // The response is not decoded: a newer operator may have written what this version does not know.
        let objects: Api<Brief<RotatedSecret>> = Api::namespaced(session.client.clone(), &session.namespace);
        objects.patch(&name, &parameters, &Patch::Merge(patch)).await.map_err(|error| session.trouble("patch", &name, &error))?;
    }
    let message = match (changed, other) {
        (false, _) => format!("{name} is already in this state, so nothing was written"),
        (true, Some(manager)) => {
            format!("{message}; the field manager {manager} sets the pin as well and may revert it: change its source too")
        }
        (true, None) => message,
    };
    let (version_id, version_stage) = (held.version.clone(), held.stage.clone());
    Ok(Answer { namespace: session.namespace.clone(), name, version_id, version_stage, changed, message })
}

/// Another writer that has set the pin, such as a tool for `GitOps`. Defaults of the API server belong to the client that
/// created the object, so a label that is the default tells nothing.
fn other_manager(object: &RotatedSecret, entries: &[ManagedFieldsEntry]) -> Option<String> {
    let pinned = Held::of(object) != Held::label(AWSCURRENT);
    let sets = |fields: &Value| {
        let target = fields.get("f:spec").and_then(|spec| spec.get("f:target"));
        target.is_some_and(|target| target.get("f:versionId").is_some() || (pinned && target.get("f:versionStage").is_some()))
    };
    let entries = entries.iter().filter(|entry| entry.subresource.is_none());
    let others = entries.filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| sets(&fields.0)));
    let mut managers = others.filter_map(|entry| entry.manager.clone());
    managers.find(|manager| !manager.starts_with("kubectl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_sets_the_pin_is_named_and_one_that_got_the_default_is_not() {
        let object = |stage: &str, manager: &str, fields: Value| -> RotatedSecret {
            serde_json::from_value(json!({
                "apiVersion": "rotated-secrets.io/v1alpha1",
                "kind": "RotatedSecret",
                "metadata": {"name": "db", "managedFields": [
                    {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:target": fields}}}
                ]},
                "spec": {"target": {"versionStage": stage}},
            }))
            .unwrap()
        };
        for (stage, manager, fields, expected) in [
            ("AWSCURRENT", "argocd-controller", json!({"f:versionStage": {}}), None),
            ("AWSPREVIOUS", "argocd-controller", json!({"f:versionStage": {}}), Some("argocd-controller")),
            ("AWSCURRENT", "flux", json!({"f:versionId": {}}), Some("flux")),
            ("AWSPREVIOUS", "kubectl-rotatedsecret", json!({"f:versionStage": {}}), None),
            ("AWSPREVIOUS", "flux", json!({"f:name": {}}), None),
        ] {
            let object = object(stage, manager, fields.clone());
            assert_eq!(other_manager(&object, object.managed_fields()).as_deref(), expected, "{stage} {manager} {fields}");
        }
    }
}
