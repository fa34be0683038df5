//! Jobs of a rotation: their template, the Jobs themselves and the Secrets with their values. Jobs and Secrets are decoded as
//! far as they are needed, in pages: their owner can make each of them as large as the API server permits.

use http::{Method, Request, StatusCode, header};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::core::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{failed, refused, refused_account};
use crate::api::condition::Reason;
use crate::api::{FIELD_MANAGER, JOB_OF, JOB_READ, MANAGED_BY};
use crate::backoff::Class;
use crate::command::Command;
use crate::desired::is_subdomain;
use crate::failure::Failure;
use crate::strategy::job::{Created, Held, JobObject, Port, SecretObject, Seen};

/// Jobs in one page of a list. Each has at most 1.5 MiB in etcd.
const JOBS: u32 = 10;
/// Secrets in one page: their metadata only.
const SECRETS: u32 = 100;
/// Pages of a list. An object has a few Jobs at the same time.
const PAGES: usize = 10;

const LIST_OF_METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// The Jobs of one object.
pub struct Jobs<'a> {
    /// Kubernetes.
    pub client: &'a Client,
    /// The namespace of the object.
    pub namespace: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    /// Null in an empty list of metadata.
    #[serde(default)]
    items: Option<Vec<T>>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: String,
}

#[derive(Deserialize)]
struct WithUid {
    metadata: Uid,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

impl Port for Jobs<'_> {
    async fn template(&self, name: &str) -> Result<Option<Value>, Failure> {
        // A name from the status is untrusted, and this one becomes a part of a path.
        if !is_subdomain(name) {
            return Ok(None);
        }
        let path = format!("/apis/batch/v1/namespaces/{}/cronjobs/{name}", self.namespace);
        match self.send(Method::GET, &path, None, "application/json").await? {
            Ok(text) => decode(&text).map(Some),
            Err(refusal) if code(&refusal) == StatusCode::NOT_FOUND => Ok(None),
            Err(refusal) => Err(self.missing("get CronJobs", &refusal)),
        }
    }

    async fn jobs(&self) -> Result<Vec<Seen>, Failure> {
        let found: Vec<JobObject> = self.list("/apis/batch/v1", "jobs", JOBS, "application/json", "list Jobs").await?;
        Ok(found.into_iter().filter_map(|job| Seen::of(job, self.uid)).collect())
    }

    async fn secrets(&self) -> Result<Vec<Held>, Failure> {
        let found: Vec<SecretObject> = self.list("/api/v1", "secrets", SECRETS, LIST_OF_METADATA, "list Secrets").await?;
        Ok(found.into_iter().filter_map(Held::of).collect())
    }

    async fn create(&self, job: &Value) -> Result<Created, Failure> {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs?fieldManager={FIELD_MANAGER}", self.namespace);
        match self.send(Method::POST, &path, Some(("application/json", job.to_string().into_bytes())), METADATA_ONLY).await? {
            Ok(text) => decode::<WithUid>(&text).map(|created| Created::Now(created.metadata.uid)),
            Err(refusal) => match code(&refusal) {
                StatusCode::CONFLICT => Ok(Created::Exists),
                StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(Created::Invalid),
                _ => Err(self.missing("create Jobs", &refusal)),
            },
        }
    }

    async fn delete(&self, job: &Seen) -> Result<(), Failure> {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs/{}", self.namespace, job.name);
        // In the foreground: the Job, and with it its name, is there until its pods have ended.
        let options = json!({"propagationPolicy": "Foreground", "preconditions": {"uid": job.uid}});
        match self.send(Method::DELETE, &path, Some(("application/json", options.to_string().into_bytes())), METADATA_ONLY).await? {
            Ok(_) => Ok(()),
            // A conflict: it is another one by now.
            Err(refusal) if matches!(code(&refusal), StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Ok(()),
            Err(refusal) => Err(self.missing("delete Jobs", &refusal)),
        }
    }

    async fn hold(&self, secret: &Secret) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{}/secrets?fieldManager={FIELD_MANAGER}", self.namespace);
        let body = serde_json::to_vec(secret).map_err(|_| Failure::bug("the Secret could not be serialised"))?;
        match self.send(Method::POST, &path, Some(("application/json", body)), METADATA_ONLY).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refused("creating the Secret with the values of a Job", code(&refusal))),
        }
    }

    async fn empty(&self, held: &Held) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{}/secrets/{}?fieldManager={FIELD_MANAGER}", self.namespace, held.name);
        let emptied = json!({"metadata": {"uid": held.uid, "annotations": {JOB_READ: "true"}}, "data": null});
        let body = ("application/merge-patch+json", emptied.to_string().into_bytes());
        match self.send(Method::PATCH, &path, Some(body), METADATA_ONLY).await? {
            Ok(_) => Ok(()),
            // It went with its Job.
            Err(refusal) if code(&refusal) == StatusCode::NOT_FOUND => Ok(()),
            Err(refusal) => Err(refused("emptying the Secret with the values of a Job", code(&refusal))),
        }
    }
}

impl Jobs<'_> {
    async fn list<T: DeserializeOwned>(
        &self,
        group: &str,
        resource: &str,
        limit: u32,
        accept: &'static str,
        what: &'static str,
    ) -> Result<Vec<T>, Failure> {
        let (mut items, mut next) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let path = format!(
                "{group}/namespaces/{}/{resource}?labelSelector={}%3D{}%2C{}%3D{}&limit={limit}&continue={next}",
                self.namespace,
                MANAGED_BY.0.replace('/', "%2F"),
                MANAGED_BY.1,
                JOB_OF.replace('/', "%2F"),
                self.uid,
            );
            let text = match self.send(Method::GET, &path, None, accept).await? {
                Ok(text) => text,
                Err(refusal) => return Err(self.missing(what, &refusal)),
            };
            let page: Page<T> = decode(&text)?;
            items.extend(page.items.into_iter().flatten());
            // Characters of base64, or this is no API server.
            if page.metadata.next.is_empty() {
                return Ok(items);
            }
            next = page.metadata.next.bytes().map(escaped).collect();
        }
        Err(Failure {
            class: Class::Denied,
            reason: Reason::ApplyFailed,
            message: format!("there are too many {resource} with the label {JOB_OF}={}: delete those that have ended", self.uid),
            request_id: None,
        })
    }

    /// `Err`: the API server refuses it. Of its text only the name of the operator's account is used.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
        accept: &'static str,
    ) -> Result<Result<String, Box<Status>>, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
        let body = match body {
            Some((content, body)) => {
                request = request.header(header::CONTENT_TYPE, content);
                body
            }
            None => Vec::new(),
        };
        let request = request.body(body).map_err(|_| Failure::bug("the request could not be built"))?;
        match self.client.request_text(request).await {
            Ok(text) => Ok(Ok(text)),
            Err(kube::Error::Api(status)) => Ok(Err(status)),
            Err(error) => Err(failed("a request for a Job", &error)),
        }
    }

    /// The permissions are granted for each namespace, so the message says how.
    fn missing(&self, what: &'static str, refusal: &Status) -> Failure {
        let failure = refused(what, code(refusal));
        if failure.class != Class::Denied {
            return failure;
        }
        let command =
            Command::BindRole { role: "rotated-secrets-jobs", namespace: self.namespace, operator: refused_account(&refusal.message) };
        Failure {
            message: format!(
                "the API server does not let the operator {what} in namespace {0}: add {0} to rotationJobs.namespaces of the chart, or run as \
                 administrator: {command}; a quota or an admission policy of the namespace can be the cause, too",
                self.namespace,
            ),
            ..failure
        }
    }
}

fn code(refusal: &Status) -> StatusCode {
    StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|_| Failure {
        class: Class::Invalid,
        reason: Reason::ApplyFailed,
        message: "a Job or a CronJob of the rotation cannot be read by this version of the operator".to_owned(),
        request_id: None,
    })
}

fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}
