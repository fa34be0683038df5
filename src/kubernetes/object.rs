//! The RotatedSecret itself: finalizer and status, both written with optimistic concurrency.

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource as _, ResourceExt};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::stored::{Brief, MOST_FINALIZERS, Stored, Unreadable};
use super::{failed, managed_fields};
use crate::api::condition::Reason;
use crate::api::{FIELD_MANAGER, FINALIZER, RotatedSecret, RotatedSecretStatus};
use crate::backoff::Class;
use crate::failure::Failure;
use crate::text::shown;

fn api(client: &Client, object: &RotatedSecret) -> Api<Stored> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

/// Decodes the response to a write. It can be decoded, unless another client has written the object as well.
fn written(stored: Stored) -> Result<RotatedSecret, Failure> {
    stored.into_readable().map_err(|_| Failure::conflict("the object changed meanwhile; the operator reads it again"))
}

/// The finalizers of others, which a patch has to contain, because it replaces the list.
///
/// # Errors
/// If not all of them are known. The object exists until they are removed, so it can wait with ours.
fn other_finalizers(metadata: &ObjectMeta) -> Result<Vec<&str>, Failure> {
    let others: Vec<&str> = metadata.finalizers.iter().flatten().map(String::as_str).filter(|name| *name != FINALIZER).collect();
    if others.len() <= MOST_FINALIZERS {
        return Ok(others);
    }
    Err(Failure {
        class: Class::Invalid,
        reason: Reason::WriteRefused,
        message: format!(
            "the object has more than {MOST_FINALIZERS} finalizers of other controllers; the operator changes its own finalizer when some of \
             them are removed"
        ),
        request_id: None,
    })
}

/// Another object; `None`: it does not exist, or cannot be decoded.
///
/// # Errors
/// If the API server does not answer.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<RotatedSecret>, Failure> {
    let found = Api::<Stored>::namespaced(client.clone(), namespace).get_opt(name).await;
    let found = found.map_err(|error| failed("reading a RotatedSecret", &error))?;
    Ok(found.and_then(|stored| stored.into_readable().ok()))
}

/// Adds (`true`) or removes our finalizer and preserves the others. Returns the object as written.
///
/// # Errors
/// Includes a conflict if the object changed since it was read. Another reconcile follows.
pub async fn set_finalizer(client: &Client, object: &RotatedSecret, present: bool) -> Result<RotatedSecret, Failure> {
    let mut finalizers = other_finalizers(&object.metadata)?;
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

/// Removes our finalizer from an object that is being deleted. Succeeds if the object does not exist any more.
///
/// # Errors
/// Includes a conflict if the object changed since it was read and can be read again.
pub async fn remove_finalizer(client: &Client, object: &RotatedSecret) -> Result<(), Failure> {
    match set_finalizer(client, object, false).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.class == Class::Conflict => match current(client, object).await {
            Ok(None) => Ok(()),
            // Without the permission to list, the watch does not deliver the change, and the object stays out of date.
            Err(denied) if denied.class == Class::Denied => remove_finalizer_of_any_revision(client, object).await,
            Ok(Some(_)) | Err(_) => Err(failure),
        },
        Err(failure) => Err(failure),
    }
}

/// The patch tests the uid and the finalizer at its position, so it removes nothing else.
async fn remove_finalizer_of_any_revision(client: &Client, object: &RotatedSecret) -> Result<(), Failure> {
    let last = object.finalizers().iter().position(|name| name == FINALIZER).unwrap_or_default();
    // Others may have removed theirs meanwhile.
    for position in (0..=last).rev() {
        let entry = format!("/metadata/finalizers/{position}");
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": object.uid()},
            {"op": "test", "path": entry, "value": FINALIZER},
            {"op": "remove", "path": entry},
        ]);
        let resource = RotatedSecret::url_path(&(), object.metadata.namespace.as_deref());
        let request = Request::patch(format!("{resource}/{}?fieldManager={FIELD_MANAGER}", object.name_any()))
            .header(http::header::CONTENT_TYPE, "application/json-patch+json")
            .body(serde_json::to_vec(&patch).map_err(|_| Failure::bug("the patch could not be serialised"))?)
            .map_err(|_| Failure::bug("the request could not be built"))?;
        match client.request_text(request).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            // The test failed.
            Err(kube::Error::Api(status)) if status.code == 422 && position > 0 => {}
            Err(error) => return Err(failed("writing the finalizer", &error)),
        }
    }
    Ok(())
}

/// Removes our finalizer from an object of which only the metadata can be read.
///
/// # Errors
/// Includes a conflict if the object changed since it was read.
pub async fn release(client: &Client, unreadable: &Unreadable) -> Result<(), Failure> {
    let metadata = &unreadable.metadata;
    let others = other_finalizers(metadata)?;
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
    let lives = current(client, object).await?.is_some_and(|found| found.metadata.deletion_timestamp.is_none());
    if lives { Ok(()) } else { Err(Failure::conflict("the object is being deleted; the operator reads it again")) }
}

/// The object of this uid as it is now; `None`: it is gone.
async fn current(client: &Client, object: &RotatedSecret) -> Result<Option<Brief<RotatedSecret>>, Failure> {
    // A list with one result: the operator has the permission to list, and needs no permission to get otherwise.
    let params = ListParams::default().fields(&format!("metadata.name={}", object.name_any()));
    let found = Api::<Brief<RotatedSecret>>::namespaced(client.clone(), &object.namespace().unwrap_or_default())
        .list(&params)
        .await
        .map_err(|error| failed("reading the object", &error))?;
    Ok(found.into_iter().find(|found| found.uid() == object.uid()))
}

/// Whether the object with this metadata is gone.
///
/// # Errors
/// If the API server does not say so.
pub async fn is_gone(client: &Client, metadata: &ObjectMeta) -> Result<bool, Failure> {
    let params = ListParams::default().fields(&format!("metadata.name={}", metadata.name.as_deref().unwrap_or_default()));
    let objects = Api::<Brief<RotatedSecret>>::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let found = objects.list(&params).await.map_err(|error| failed("reading the object", &error))?;
    Ok(!found.into_iter().any(|found| found.uid() == metadata.uid))
}

/// The field manager that last wrote the status, for a message; `None` if that cannot be read.
pub async fn status_writer(client: &Client, object: &RotatedSecret) -> Option<String> {
    let params = ListParams::default().fields(&format!("metadata.name={}", object.name_any()));
    let found = Api::<Brief<RotatedSecret>>::namespaced(client.clone(), &object.namespace()?).list(&params).await.ok()?;
    let found = found.into_iter().find(|found| found.uid() == object.uid())?;
    let writers = found.metadata.managed_fields?.into_iter().filter(|entry| entry.subresource.as_deref() == Some("status"));
    let last = writers.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    // Users choose the name.
    let name = last.manager?.chars().filter(char::is_ascii_graphic).take(64).collect();
    Some(name)
}

/// The field manager that owns this annotation of the object now, as it may be shown; `None` if Kubernetes does not tell, or
/// the text of the annotation is another one by now.
pub async fn annotator(client: &Client, object: &RotatedSecret, annotation: &str, is: impl Fn(&str) -> bool) -> Option<String> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    // As in `current`. What the operator caches of an object has no managedFields.
    let resource = RotatedSecret::url_path(&(), object.metadata.namespace.as_deref());
    let request = Request::get(format!("{resource}?fieldSelector=metadata.name%3D{}", object.name_any()))
        .header(http::header::ACCEPT, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
        .body(Vec::new())
        .ok()?;
    let text = client.request_text(request).await.ok()?;
    let list: List<'_> = serde_json::from_str(&text).ok()?;
    let manager = managed_fields::annotator(list.items.first()?.get(), object.metadata.uid.as_deref()?, annotation, is)?;
    Some(shown(&manager))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_finalizers(others: usize) -> ObjectMeta {
        let names = (0..others).map(|n| format!("example.org/f{n}")).chain([FINALIZER.to_owned()]);
        ObjectMeta { finalizers: Some(names.collect()), ..ObjectMeta::default() }
    }

    #[test]
    fn a_list_of_finalizers_that_is_not_known_completely_is_not_replaced() {
        for most in [0, 1, MOST_FINALIZERS] {
            assert_eq!(other_finalizers(&with_finalizers(most)).unwrap().len(), most);
        }
        let failure = other_finalizers(&with_finalizers(MOST_FINALIZERS + 1)).unwrap_err();
        assert_eq!((failure.class, failure.reason), (Class::Invalid, Reason::WriteRefused));
    }
}
