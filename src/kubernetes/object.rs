//! The RotatedSecret itself: finalizer and status, both under optimistic locks.

use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::failed;
use super::stored::{Brief, Stored, Unreadable};
use crate::api::condition::ConditionType;
use crate::api::{FIELD_MANAGER, FINALIZER, RotatedSecret, RotatedSecretStatus};
use crate::failure::Failure;

fn api(client: &Client, object: &RotatedSecret) -> Api<Stored> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// What was written can be read, unless somebody else wrote as well.
fn written(stored: Stored) -> Result<RotatedSecret, Failure> {
    stored.into_readable().map_err(|_| Failure::conflict("the object changed meanwhile; the operator looks again"))
}

/// Puts our finalizer on (`true`) or takes it off, leaving others. Gives the object as it is then.
///
/// # Errors
/// Also when the object changed since it was read: then the turn starts anew.
pub async fn set_finalizer(client: &Client, object: &RotatedSecret, present: bool) -> Result<RotatedSecret, Failure> {
    let mut finalizers: Vec<&str> = object.finalizers().iter().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if present {
        finalizers.push(FINALIZER);
    }
    let patch = json!({"metadata": {"resourceVersion": object.resource_version(), "uid": object.uid(), "finalizers": finalizers}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api(client, object)
        .patch(&object.name_any(), &params, &Patch::Merge(patch))
        .await
        .map_err(|error| failed(ConditionType::Ready, "writing the finalizer", &error))
        .and_then(written)
}

/// Takes our finalizer off an object of which only the metadata can be read, if it is still as it was seen.
///
/// # Errors
/// Also when it changed.
pub async fn let_go(client: &Client, unreadable: &Unreadable) -> Result<(), Failure> {
    let metadata = &unreadable.metadata;
    let others: Vec<&String> = metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER).collect();
    let patch = json!({"metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid, "finalizers": others}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    Api::<Brief<RotatedSecret>>::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default())
        .patch(metadata.name.as_deref().unwrap_or_default(), &params, &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|error| failed(ConditionType::Ready, "writing the finalizer", &error))
}

/// Writes the status. Gives the object as it is then.
///
/// # Errors
/// Also when the object changed since it was read: then the turn starts anew.
pub async fn write_status(client: &Client, object: &RotatedSecret, status: &RotatedSecretStatus) -> Result<RotatedSecret, Failure> {
    // Its metadata is not all that is stored. The API server takes nothing but the status and the resourceVersion.
    let mut next = object.clone();
    next.metadata.managed_fields = None;
    next.status = Some(status.clone());
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    api(client, object)
        .replace_subresource("status", &object.name_any(), &params, &next)
        .await
        .map_err(|error| failed(ConditionType::Ready, "writing the status", &error))
        .and_then(written)
}

/// Whether the object is still there and is not being deleted, by a fresh look.
///
/// # Errors
/// When it is not, or the API server does not answer.
pub async fn alive(client: &Client, object: &RotatedSecret) -> Result<(), Failure> {
    // A list of one: the operator has the right to list, and no other use for the one to get.
    let params = ListParams::default().fields(&format!("metadata.name={}", object.name_any()));
    let found = Api::<Brief<RotatedSecret>>::namespaced(client.clone(), &object.namespace().unwrap_or_default())
        .list(&params)
        .await
        .map_err(|error| failed(ConditionType::Ready, "reading the object", &error))?;
    let lives = found.iter().any(|found| found.uid() == object.uid() && found.metadata.deletion_timestamp.is_none());
    if lives { Ok(()) } else { Err(Failure::conflict("the object is being deleted; the operator looks again")) }
}
