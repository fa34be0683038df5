//! The RotatedSecret itself: finalizer and status, both written with optimistic concurrency.

use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::failed;
use super::stored::{Brief, Stored, Unreadable};
use crate::api::{FIELD_MANAGER, FINALIZER, RotatedSecret, RotatedSecretStatus};
use crate::failure::Failure;

fn api(client: &Client, object: &RotatedSecret) -> Api<Stored> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// Decodes the response to a write. It can be decoded, unless another client has written the object as well.
fn written(stored: Stored) -> Result<RotatedSecret, Failure> {
    stored.into_readable().map_err(|_| Failure::conflict("the object changed meanwhile; the operator reads it again"))
}

/// Adds (`true`) or removes our finalizer and preserves the others. Returns the object as written.
///
/// # Errors
/// Includes a conflict if the object changed since it was read. Another reconcile follows.
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
        .map_err(|error| failed("writing the finalizer", &error))
        .and_then(written)
}

/// Removes our finalizer from an object of which only the metadata can be read.
///
/// # Errors
/// Includes a conflict if the object changed since it was read.
pub async fn release(client: &Client, unreadable: &Unreadable) -> Result<(), Failure> {
    let metadata = &unreadable.metadata;
    let others: Vec<&String> = metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER).collect();
    let patch = json!({"metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid, "finalizers": others}});
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    Api::<Brief<RotatedSecret>>::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default())
        .patch(metadata.name.as_deref().unwrap_or_default(), &params, &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|error| failed("writing the finalizer", &error))
}

/// Writes the status. Returns the object as written.
///
/// # Errors
/// Includes a conflict if the object changed since it was read. Another reconcile follows.
pub async fn write_status(client: &Client, object: &RotatedSecret, status: &RotatedSecretStatus) -> Result<RotatedSecret, Failure> {
    // The metadata here is incomplete. The API server uses only the status and the resourceVersion.
    let mut next = object.clone();
    next.metadata.managed_fields = None;
    next.status = Some(status.clone());
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    api(client, object)
        .replace_subresource("status", &object.name_any(), &params, &next)
        .await
        .map_err(|error| failed("writing the status", &error))
        .and_then(written)
}

/// Checks with a new read that the object exists and is not being deleted.
///
/// # Errors
/// If it does not exist, is being deleted, or cannot be read.
pub async fn alive(client: &Client, object: &RotatedSecret) -> Result<(), Failure> {
    // A list with one result: the operator has the permission to list, and needs no permission to get otherwise.
    let params = ListParams::default().fields(&format!("metadata.name={}", object.name_any()));
    let found = Api::<Brief<RotatedSecret>>::namespaced(client.clone(), &object.namespace().unwrap_or_default())
        .list(&params)
        .await
        .map_err(|error| failed("reading the object", &error))?;
    let lives = found.iter().any(|found| found.uid() == object.uid() && found.metadata.deletion_timestamp.is_none());
    if lives { Ok(()) } else { Err(Failure::conflict("the object is being deleted; the operator reads it again")) }
}
