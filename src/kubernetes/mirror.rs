//! The mirrored Secret. The operator reads only its metadata. It writes with POST and PUT and preconditions, requests the
//! responses as metadata, so that no library can log a body with a value in it.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::GetParams;
use kube::client::Body;
use kube::{Client, Resource as _, ResourceExt};
use serde::Deserialize;
use serde_json::json;

use super::known::Known;
use super::managed_fields::{self, Writers};
use super::{failed, refused};
use crate::api::condition::Reason;
use crate::api::{
    ADOPT_BY, FIELD_MANAGER, LAST_CHANGED, MANAGED_BY, NOT_AFTER, PREVIOUS_VERSION_ID, RENDERING, RotatedSecret, SECRET_ARN, VERSION_ID,
};
use crate::backoff::Class;
use crate::command::{Command, ObjectRef};
use crate::desired::Target;
use crate::facts::{Claims, MirrorFacts};
use crate::failure::Failure;
use crate::text::shown;
use crate::value::Data;
use crate::version_id::VersionId;

const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// The metadata of the Secret.
#[derive(Debug, Clone)]
pub struct MirrorMetadata {
    /// The facts from the metadata.
    pub facts: MirrorFacts,
    /// The ARN of the AWS secret that its annotation names.
    pub arn: Option<String>,
    writers: Writers,
    /// Without `managedFields`.
    metadata: ObjectMeta,
}

impl MirrorMetadata {
    /// The revision of the Secret.
    pub fn revision(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref()
    }

    /// The keys of its data that the operator wrote last.
    pub fn keys(&self) -> &BTreeSet<String> {
        &self.writers.our_keys
    }
}

/// Reads the metadata of the Secret; `None`: there is none.
///
/// # Errors
/// If the API server does not answer, or the metadata cannot be read.
pub async fn read(client: &Client, object: &RotatedSecret, target: &Target, arn: Option<&str>) -> Result<Option<MirrorMetadata>, Failure> {
    let found = fetch(client, object, &target.name).await?;
    Ok(found.map(|(metadata, writers)| read_metadata(metadata, writers, object, target, arn)))
}

/// The same from what a watch shows, which may be older. `None`: no watch shows the Secret.
pub fn watched(known: &Known, object: &RotatedSecret, target: &Target, arn: Option<&str>) -> Option<MirrorMetadata> {
    let text = known.secret(object.metadata.namespace.as_deref()?, &target.name)?;
    managed_fields::read(&text).map(|(metadata, writers)| read_metadata(metadata, writers, object, target, arn))
}

/// Whether the watch shows that another client wrote data of the Secret or deleted it, as far as this can be told
/// without the spec. Used to decide which object comes first, and for nothing else.
pub fn was_edited(known: &Known, object: &RotatedSecret) -> bool {
    let mirror = object.status.as_ref().and_then(|status| status.mirror.as_ref());
    let (Some(mirror), Some(namespace)) = (mirror, object.metadata.namespace.as_deref()) else { return false };
    let Some(text) = known.secret(namespace, &mirror.secret_name) else { return known.lacks_secret(namespace, &mirror.secret_name) };
    managed_fields::read(&text).is_some_and(|(metadata, writers)| {
        let confirmed = mirror.confirmed_resource_version.is_some() && metadata.resource_version == mirror.confirmed_resource_version;
        let edited = !writers.foreign_keys.is_subset(&writers.our_keys)
            || writers.foreign_form
            || annotation(&metadata, VERSION_ID) != mirror.version_id.as_deref();
        edited && !confirmed
    })
}

/// Reads the metadata of the Secret without a comparison with the spec: `intact` is false.
///
/// # Errors
/// If the API server does not answer, or the metadata cannot be read.
pub async fn read_by_name(client: &Client, object: &RotatedSecret, name: &str) -> Result<Option<MirrorMetadata>, Failure> {
    Ok(fetch(client, object, name).await?.map(|(metadata, writers)| uncompared(metadata, writers, object)))
}

async fn fetch(client: &Client, object: &RotatedSecret, name: &str) -> Result<Option<(ObjectMeta, Writers)>, Failure> {
    let path = Secret::url_path(&(), object.metadata.namespace.as_deref());
    let request = kube::core::Request::new(path)
        .get_metadata(name, &GetParams::default())
        .map_err(|_| Failure::bug("the request could not be built"))?;
    let text = match client.request_text(request).await {
        Ok(text) => text,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        Err(error) => return Err(failed("reading the Secret's metadata", &error)),
    };
    managed_fields::read(&text).map(Some).ok_or_else(|| unreadable(name, &object.namespace().unwrap_or_default()))
}

fn unreadable(name: &str, namespace: &str) -> Failure {
    Failure {
        class: Class::Invalid,
        reason: Reason::WriteRefused,
        message: format!(
            "the metadata of the Secret {name} cannot be read by this version of the operator: delete it ({}), and the operator creates it again \
             immediately",
            Command::DeleteKubernetesSecret(ObjectRef { namespace, name })
        ),
        request_id: None,
    }
}

fn read_metadata(metadata: ObjectMeta, writers: Writers, object: &RotatedSecret, target: &Target, arn: Option<&str>) -> MirrorMetadata {
    let mut read = uncompared(metadata, writers, object);
    let MirrorMetadata { metadata, writers, .. } = &read;
    let annotation = |key: &str| annotation(metadata, key);
    let has = |wanted: &BTreeMap<String, String>, found: &Option<BTreeMap<String, String>>| {
        wanted.iter().all(|(key, value)| found.as_ref().and_then(|found| found.get(key)) == Some(value))
    };
    let intact = annotation(RENDERING) == Some(target.rendering(writers.our_keys.iter().map(String::as_str)).as_str())
        && writers.foreign_keys.is_subset(&writers.our_keys)
        && !writers.foreign_form
        && writers.string_data.is_none_or(|applied| writers.written.is_some_and(|written| applied < written))
        && has(&target.labels, &metadata.labels)
        && has(&target.annotations, &metadata.annotations)
        && arn.is_none_or(|arn| annotation(SECRET_ARN) == Some(arn));
    read.facts.intact = intact;
    read
}

fn uncompared(metadata: ObjectMeta, writers: Writers, object: &RotatedSecret) -> MirrorMetadata {
    let controller = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let ours = controller.is_some_and(|owner| Some(&owner.uid) == object.metadata.uid.as_ref());
    let adoptable = controller.is_none() && annotation(&metadata, ADOPT_BY).is_some_and(|by| Some(by) == object.metadata.name.as_deref());
    let version = annotation(&metadata, VERSION_ID).and_then(VersionId::parse);
    let previous = annotation(&metadata, PREVIOUS_VERSION_ID).and_then(VersionId::parse);
    let revision = metadata.resource_version.clone();
    let claims = Claims {
        controller: controller.filter(|_| !ours).map(|owner| (shown(&owner.kind), shown(&owner.name))),
        manager: writers.foreign_manager.as_deref().map(shown),
    };
    let not_after = annotation(&metadata, NOT_AFTER).and_then(|time| time.parse().ok());
    let changed = annotation(&metadata, LAST_CHANGED).and_then(|time| time.parse().ok());
    let written = writers.written;
    let facts = MirrorFacts { ours, adoptable, version, previous, intact: false, written, changed, revision, not_after, claims };
    MirrorMetadata { facts, arn: annotation(&metadata, SECRET_ARN).map(str::to_owned), writers, metadata }
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// What a Secret holds.
pub struct Contents<'a> {
    /// ARN of the AWS secret.
    pub arn: &'a str,
    /// The version.
    pub version: &'a VersionId,
    /// The version before it, if the data has its values too, or would have them if they could be mirrored.
    pub previous: Option<&'a VersionId>,
    /// `LastChangedDate` of the AWS secret, or when the operator has changed it since.
    pub changed: Option<Timestamp>,
    /// When the certificate in the data expires.
    pub not_after: Option<Timestamp>,
    /// The data.
    pub data: Data,
}

/// Creates the Secret (`before` is `None`), or replaces it if it has not changed since `before` was read. Returns its
/// metadata as the API server has stored them; `None`: the answer does not tell.
///
/// # Errors
/// Includes a conflict if another client wrote the Secret meanwhile. Another reconcile follows.
pub async fn write(
    client: &Client,
    object: &RotatedSecret,
    target: &Target,
    before: Option<&MirrorMetadata>,
    contents: Contents<'_>,
) -> Result<Option<MirrorMetadata>, Failure> {
    let Contents { arn, version, previous, changed, not_after, data } = contents;
    let namespace = object.namespace().unwrap_or_default();
    let rendering = target.rendering(data.keys().map(String::as_str));
    let (changed, not_after) = (changed.map(|time| time.to_string()), not_after.map(|time| time.to_string()));
    let mut ours = vec![(VERSION_ID, version.as_str()), (SECRET_ARN, arn), (RENDERING, &rendering)];
    ours.extend(previous.map(|previous| (PREVIOUS_VERSION_ID, previous.as_str())));
    ours.extend(changed.as_deref().map(|time| (LAST_CHANGED, time)));
    ours.extend(not_after.as_deref().map(|time| (NOT_AFTER, time)));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(target.name.clone()),
            namespace: Some(namespace.clone()),
            ..metadata(object, target, before, &ours)
        },
        type_: Some(target.layout.kind.as_str().to_owned()),
        data: Some(data.into_iter().map(|(key, value)| (key, ByteString(value.expose().to_vec()))).collect()),
        ..Secret::default()
    };
    let body = serde_json::to_vec(&secret).map_err(|_| Failure::bug("the Secret could not be serialised"))?;
    let (method, path) = match before {
        None => (Method::POST, format!("/api/v1/namespaces/{namespace}/secrets?fieldManager={FIELD_MANAGER}")),
        Some(_) => (Method::PUT, format!("/api/v1/namespaces/{namespace}/secrets/{}?fieldManager={FIELD_MANAGER}", target.name)),
    };
    let answer = send(client, method, &path, "application/json", body).await?;
    let status = answer.status();
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        if !unchangeable(answer).await {
            return Err(refused("writing the Secret", status));
        }
        return Err(Failure {
            class: Class::Invalid,
            reason: Reason::TypeMismatch,
            message: format!(
                "the Secret {0} has another type or is immutable, and Kubernetes does not allow to change that: delete it ({1}), and the operator \
                 creates it again immediately",
                target.name,
                Command::DeleteKubernetesSecret(ObjectRef { namespace: &namespace, name: &target.name })
            ),
            request_id: None,
        });
    }
    accepted(status, "writing the Secret")?;
    let answer = answer.into_body().collect_bytes().await.ok();
    let read = answer.and_then(|answer| managed_fields::read_partial(str::from_utf8(&answer).ok()?));
    Ok(read.map(|(metadata, writers)| read_metadata(metadata, writers, object, target, Some(arn))))
}

/// Removes our owner reference from the Secret, so that it is not deleted with its owner, and what says that it is ours.
///
/// # Errors
/// Includes a conflict if another client wrote the Secret meanwhile.
pub async fn release(client: &Client, object: &RotatedSecret, name: &str, seen: &MirrorMetadata) -> Result<(), Failure> {
    let namespace = object.namespace().unwrap_or_default();
    let owners: Vec<OwnerReference> =
        seen.metadata.owner_references.iter().flatten().filter(|owner| Some(&owner.uid) != object.uid().as_ref()).cloned().collect();
    let released = json!({"metadata": {
        "uid": seen.metadata.uid,
        "resourceVersion": seen.metadata.resource_version,
        "ownerReferences": owners,
        "labels": {MANAGED_BY.0: null},
        "annotations": {VERSION_ID: null, PREVIOUS_VERSION_ID: null, SECRET_ARN: null, RENDERING: null, LAST_CHANGED: null, NOT_AFTER: null},
    }});
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}?fieldManager={FIELD_MANAGER}");
    let body = serde_json::to_vec(&released).map_err(|_| Failure::bug("the patch could not be serialised"))?;
    accepted(send(client, Method::PATCH, &path, "application/merge-patch+json", body).await?.status(), "releasing the Secret")
}

/// The metadata to write: what was there, without what the operator wrote earlier, plus what is declared now.
fn metadata(object: &RotatedSecret, target: &Target, before: Option<&MirrorMetadata>, ours: &[(&str, &str)]) -> ObjectMeta {
    let mut next = before.map(|before| before.metadata.clone()).unwrap_or_default();
    let writers = before.map(|before| &before.writers);
    let mut labels = next.labels.take().unwrap_or_default();
    labels.retain(|key, _| !writers.is_some_and(|writers| writers.our_labels.contains(key)));
    labels.extend(target.labels.clone());
    let mut annotations = next.annotations.take().unwrap_or_default();
    annotations.retain(|key, _| !writers.is_some_and(|writers| writers.our_annotations.contains(key)));
    // Another client may have written them, or a backup of the Secret.
    for key in [PREVIOUS_VERSION_ID, LAST_CHANGED, NOT_AFTER] {
        annotations.remove(key);
    }
    // The consent is used. It would let a later object of this name adopt a Secret that was kept on purpose.
    if annotations.get(ADOPT_BY) == object.metadata.name.as_ref() {
        annotations.remove(ADOPT_BY);
    }
    annotations.extend(target.annotations.clone());
    annotations.extend(ours.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    next.labels = Some(labels);
    next.annotations = Some(annotations);
    if before.is_none_or(|before| !before.facts.ours) {
        next.owner_references.get_or_insert_default().push(OwnerReference {
            api_version: RotatedSecret::api_version(&()).into_owned(),
            kind: RotatedSecret::kind(&()).into_owned(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        });
    }
    next
}

fn accepted(status: StatusCode, what: &'static str) -> Result<(), Failure> {
    if status.is_success() { Ok(()) } else { Err(refused(what, status)) }
}

/// Whether the API server rejects the change of a field that cannot be changed: the type, or the data of an immutable
/// Secret. Only field names are read from the response, since its text may quote what was sent. The response of an
/// admission policy names no fields.
async fn unchangeable(answer: Response<Body>) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        details: Details,
    }
    #[derive(Deserialize)]
    struct Details {
        #[serde(default)]
        causes: Vec<Cause>,
    }
    #[derive(Deserialize)]
    struct Cause {
        #[serde(default)]
        field: String,
    }
    let Ok(body) = answer.into_body().collect_bytes().await else { return false };
    serde_json::from_slice::<Refusal>(&body)
        .is_ok_and(|refusal| refusal.details.causes.iter().any(|cause| matches!(cause.field.as_str(), "type" | "data" | "immutable")))
}

async fn send(client: &Client, method: Method, path: &str, content: &'static str, body: Vec<u8>) -> Result<Response<Body>, Failure> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, content)
        .header(header::ACCEPT, METADATA_ONLY)
        .body(Body::from(body))
        .map_err(|_| Failure::bug("the request could not be built"))?;
    client.send(request).await.map_err(|error| failed("writing the Secret", &error))
}

#[cfg(test)]
mod tests;
